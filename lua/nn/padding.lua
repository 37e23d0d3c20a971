-- padding.lua: places added or removed at the borders: Torch7's modules and PyTorch's, all of one op.
local base = require 'dlrun.ffi'
local ops = require 'torch.ops'
local raw = require 'torch.raw'
local shapeOf = require 'torch.resize'.fullShape
local take = require 'torch.options'.take

local M = {}

local function tensor(x, what)
    if not raw.isTensor(x) then base.fail('%s: expected a tensor, got %s', what, torch.type(x)) end
    return x
end

local function whole(value, what)
    if type(value) ~= 'number' or value % 1 ~= 0 then
        base.fail('%s: a pad must be a whole number, not %s', what, tostring(value))
    end
    return value
end

--- F.pad(x, {before, after, …} [, {mode = 'constant', value = 0}]): pads for the last dimension, then for the one before it,
-- and so on; negative ones crop. Modes: constant, reflect, replicate, circular.
function M.pad(x, pads, given)
    if type(given) == 'string' then given = {mode = given} end
    given = take('nn.functional.pad', given, {'mode', 'value'})
    if type(pads) ~= 'table' then base.fail('nn.functional.pad: expected a list of pads, got %s', torch.type(pads)) end
    for k = 1, #pads do whole(pads[k], 'nn.functional.pad') end
    return ops.pad(tensor(x, 'nn.functional.pad'), pads, given.mode or 'constant', given.value or 0)
end

-- ---- one dimension
-- ---------------------------------------------------------------------------------------------------------

--- nn.Padding(dim, pad [, nInputDim [, value = 0 [, index = 1]]]): |pad| slices of value along dim, before slice number
-- index; for pad > 0 counted from the end, behind it. A batch in front of nInputDim dimensions shifts dim.
local Padding, parent = torch.class('nn.Padding', 'nn.Module')

function Padding:__init(dim, pad, nInputDim, value, index)
    parent.__init(self)
    if type(dim) ~= 'number' or dim < 1 or dim % 1 ~= 0 then
        base.fail('nn.Padding: dimensions start at 1, not %s', tostring(dim))
    end
    self.dim, self.pad, self.nInputDim = dim, whole(pad, 'nn.Padding'), nInputDim
    self.value, self.index = value or 0, index or 1
end

function Padding:compute(x)
    local shape = shapeOf(tensor(x, 'nn.Padding'))
    local dim = (self.nInputDim and #shape ~= self.nInputDim) and self.dim + 1 or self.dim
    local size = shape[dim] or base.fail('expected %d dimensions or more, got (%s)', dim, table.concat(shape, ', '))
    local before = self.pad > 0 and size - self.index + 1 or self.index - 1 -- slices in front of the new ones
    if before < 0 or before > size then
        base.fail('index %d lies outside of dimension %d, which has %d slices', self.index, dim, size)
    end
    shape[dim] = math.abs(self.pad)
    local added = ops.full(shape, self.value, x._t.type)
    local parts = {added}
    if before > 0 then table.insert(parts, 1, ops.slice(x, dim - 1, 0, before)) end
    if before < size then table.insert(parts, ops.slice(x, dim - 1, before, size - before)) end
    return ops.cat(parts, dim - 1)
end

function Padding:__tostring__() return ('nn.Padding(%d, %d)'):format(self.dim, self.pad) end

-- ---- both sides of the last dimensions
-- -------------------------------------------------------------------------------------

local shapes = {'length', 'height, width', 'depth, height, width'}

-- The pads of n dimensions, given as one number for all, as a table, or in Torch7's way, where those left out are the first.
local function sides(name, n, ...)
    local first = ...
    local given, pads = type(first) == 'table' and first or {...}, {}
    if type(first) == 'table' and #given ~= 2 * n then
        base.fail('%s: expected one pad for all sides or a table of %d, got %d', name, 2 * n, #given)
    end
    for k = 1, 2 * n do pads[k] = whole(given[k] == nil and given[1] or given[k], name) end
    return pads
end

local function define(name, n, mode)
    local class = torch.class('nn.' .. name, 'nn.Module')
    function class:__init(...)
        parent.__init(self)
        self.value = 0
        if mode == 'constant' and name:find '^Constant' then
            local padding, value = ...
            if type(value) ~= 'number' then base.fail('nn.%s: the value must be a number, not %s', name, tostring(value)) end
            self.pads, self.value = sides('nn.' .. name, n, padding), value
        else
            self.pads = sides('nn.' .. name, n, ...)
        end
    end
    function class:compute(x)
        local dims = tensor(x, 'nn.' .. name)._t.ndim
        if dims ~= n + 1 and dims ~= n + 2 then
            base.fail('expected (N, C, %s) or (C, %s), got (%s)', shapes[n], shapes[n], table.concat(shapeOf(x), ', '))
        end
        return ops.pad(x, self.pads, mode, self.value)
    end
    function class:__tostring__() return ('%s(%s)'):format(torch.typename(self), table.concat(self.pads, ', ')) end
    return class
end

--- nn.SpatialZeroPadding(left [, right, top, bottom]), SpatialReflectionPadding, SpatialReplicationPadding: of (N, C, height,
-- width) or (C, height, width); pads left out are as the first, negative ones crop.
define('SpatialZeroPadding', 2, 'constant')
define('SpatialReflectionPadding', 2, 'reflect')
define('SpatialReplicationPadding', 2, 'replicate')

--- nn.VolumetricReplicationPadding(left [, right, top, bottom, front, back]): of (N, C, depth, height, width).
define('VolumetricReplicationPadding', 3, 'replicate')

-- PyTorch's, for one to three dimensions.
local borders = {
    Zero = {'constant', 'zeros at the borders'},
    Constant = {'constant', 'value at the borders'},
    Reflection = {'reflect', 'the inside mirrored at the borders, without the border itself'},
    Replication = {'replicate', 'the border repeated'},
    Circular = {'circular', 'the other end continued'},
}
local order = {'left, right', 'left, right, top, bottom', 'left, right, top, bottom, front, back'}

for n = 1, 3 do
    for name, row in pairs(borders) do
        local class = define(('%sPad%dd'):format(name, n), n, row[1])
        local text = '%s(padding%s): %s of (N, C, %s) or (C, %s); padding is one number for all sides or {%s}; negative: crop'
        local value = name == 'Constant' and ', value' or ''
        class.__doc = text:format(class.__typename, value, row[2], shapes[n], shapes[n], order[n])
    end
end

return M
