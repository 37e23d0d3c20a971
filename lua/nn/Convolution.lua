-- Convolution.lua: what the convolution layers share: the geometry in Torch7's fields (kW, dH, padT, …), the check of the
-- input, samples without a batch, the calls of the ops.
local base = require 'dlrun.ffi'
local ops = require 'torch.ops'
local raw = require 'torch.raw'
local shapeOf = require 'torch.resize'.fullShape
local spans = require 'nn.spans'
local weighted = require 'nn.weighted'

local isTensor = raw.isTensor

--- nn.Convolution: the parent of the convolution layers; make one of those.
local Convolution, parent = torch.class('nn.Convolution', 'nn.Module')
weighted.define(Convolution)

-- ---- geometry: for each axis a field of every kind ---------------------------------------------------------------------

-- The kinds of numbers: the fields' first part -> default, least value, and the word for it in messages.
local kinds = {
    k = {least = 1, what = 'kernel size'},
    d = {default = 1, least = 1, what = 'stride'},
    pad = {default = 0, least = 0, what = 'padding'},
    dilation = {default = 1, least = 1, what = 'dilation'},
    adj = {default = 0, least = 0, what = 'output padding'},
}

-- What a class's constructor did not set, in this class or in the version that saved an object.
for kind, row in pairs(kinds) do
    for _, axis in ipairs {'T', 'H', 'W'} do Convolution[kind .. axis] = row.default end
end
Convolution.groups = 1

-- For each number of dimensions and kind: the names of the fields, and a list that is filled anew for each call: ops read a
-- list at once.
local names, lists = {}, {}
for n, axes in ipairs(spans.axes) do
    names[n], lists[n] = {}, {}
    for kind in pairs(kinds) do
        names[n][kind], lists[n][kind] = {}, {}
        for k, axis in ipairs(axes) do names[n][kind][k] = kind .. axis end
    end
end

-- The module's numbers of a kind, in memory's order; valid until the next call.
local function numbers(self, kind)
    local fields, list = names[self.nSpatial][kind], lists[self.nSpatial][kind]
    for k = 1, #fields do list[k] = self[fields[k]] end
    return list
end

-- The elements of the kernel.
local function field(self)
    local n = 1
    for _, k in ipairs(numbers(self, 'k')) do n = n * k end
    return n
end

-- ---- construction ------------------------------------------------------------------------------------------------------

-- Called by the constructors; given: fields by name (kW, dH, padT, …), groups, hasBias.
function Convolution:__init(nInputPlane, nOutputPlane, given)
    parent.__init(self)
    local name = torch.typename(self)
    self.nInputPlane = nInputPlane ~= nil and weighted.count(nInputPlane, name .. ': the number of input planes') or nil
    self.nOutputPlane = weighted.count(nOutputPlane, name .. ': the number of output planes')
    for kind, row in pairs(kinds) do
        for _, key in ipairs(names[self.nSpatial][kind]) do
            local value = given[key]
            if value == nil then value = row.default end
            self[key] = weighted.count(value, ('%s: the %s %s'):format(name, row.what, key), row.least)
        end
    end
    self.groups = weighted.count(given.groups or 1, name .. ': the number of groups')
    self.hasBias = given.hasBias ~= false
    self:checkGroups()
    if nInputPlane then weighted.allocate(self) end
end

function Convolution:checkGroups()
    for _, planes in ipairs {self.nOutputPlane, self.nInputPlane} do
        if planes % self.groups ~= 0 then
            base.fail('%s: %d groups do not divide %d planes evenly', torch.typename(self), self.groups, planes)
        end
    end
end

function Convolution:sizes()
    return {self.nOutputPlane, self.nInputPlane / self.groups, unpack(numbers(self, 'k'))}, {self.nOutputPlane}
end

function Convolution:fanIn() return self.nInputPlane / self.groups * field(self) end

-- "(N, 3, H, W)", the input that is expected.
local function expected(self)
    return ('(N, %s, %s)'):format(self.nInputPlane or 'planes', table.concat(spans.axes[self.nSpatial], ', '))
end

local function refuse(self, x)
    local shape = shapeOf(x)
    local hint = #shape == self.nSpatial + 2 and shape[#shape] == self.nInputPlane and '; the planes come second' or ''
    base.fail('expected %s, got (%s)%s', expected(self), table.concat(shape, ', '), hint)
end

function Convolution:sizeFrom(x)
    local t, n = x._t, self.nSpatial
    if t.ndim ~= n + 1 and t.ndim ~= n + 2 then refuse(self, x) end
    self.nInputPlane = weighted.count(tonumber(t.shape[t.ndim - n - 1]), 'the number of input planes')
    self:checkGroups()
end

-- ---- the computation ---------------------------------------------------------------------------------------------------

-- Is x a batch, rather than one sample? An error if it is neither.
local function isBatch(self, x)
    if not isTensor(x) then base.fail('expected a tensor, got %s', torch.type(x)) end
    if not self.weight then weighted.complete(self, x) end
    local t, n = x._t, self.nSpatial
    if t.ndim ~= n + 1 and t.ndim ~= n + 2 or tonumber(t.shape[t.ndim - n - 1]) ~= self.nInputPlane then refuse(self, x) end
    return t.ndim == n + 2
end

-- The weight and the bias as the op wants them.
function Convolution:filters() return self.weight, self.bias end

-- The op of a batch: its name and arguments. pads, where there are any, are made ahead: (before, after) of each dimension, the
-- last first.
function Convolution:call(x)
    local weight, bias = self:filters()
    local pads = self.pads
    if pads then x = ops.pad(x, pads, self.paddingMode or 'constant') end
    return 'convolution', x, weight, bias, numbers(self, 'd'), not pads and numbers(self, 'pad') or nil,
        numbers(self, 'dilation'), self.groups
end

-- fuse.lua: what neighbours are joined to. One sample is left to compute.
function Convolution:fusedInputs(x)
    if isBatch(self, x) then return self:call(x) end
end

local function run(op, ...) return ops[op](...) end

-- What follows x is for `call`.
function Convolution:compute(x, ...)
    if isBatch(self, x) then return run(self:call(x, ...)) end
    return ops.select(run(self:call(ops.unsqueeze(x, 0), ...)), 0, 0)
end

-- How many products make the output y (nn.Module:summary).
function Convolution:multiplyAdds(_, y) return tonumber(torch.numel(y)) * self.nInputPlane / self.groups * field(self) end

-- ---- text --------------------------------------------------------------------------------------------------------------

-- Torch7's order of axes: time, then width before height.
local printed = {{'W'}, {'W', 'H'}, {'T', 'W', 'H'}}

local function text(self, kind, separator)
    local parts = {}
    for k, axis in ipairs(printed[self.nSpatial]) do parts[k] = ('%d'):format(self[kind .. axis]) end
    return table.concat(parts, separator or ',')
end

local function differs(self, kind)
    for _, value in ipairs(numbers(self, kind)) do
        if value ~= kinds[kind].default then return true end
    end
    return false
end

function Convolution:__tostring__()
    local parts = {('%s -> %d'):format(self.nInputPlane or '?', self.nOutputPlane), text(self, 'k', 'x')}
    if differs(self, 'd') or differs(self, 'pad') then parts[#parts + 1] = text(self, 'd') end
    for _, kind in ipairs {'pad', 'dilation', 'adj'} do
        if differs(self, kind) then parts[#parts + 1] = text(self, kind) end
    end
    if self.groups ~= 1 then parts[#parts + 1] = ('groups %d'):format(self.groups) end
    if self.paddingMode then parts[#parts + 1] = self.paddingMode end
    local whole = ('%s(%s)'):format(torch.typename(self), table.concat(parts, ', '))
    return (self.bias or not self.weight and self.hasBias) and whole or whole .. ' without bias'
end

-- ---- transposed --------------------------------------------------------------------------------------------------------

--- nn.FullConvolution: the parent of the transposed convolution layers; make one of those.
local Full = torch.class('nn.FullConvolution', 'nn.Convolution')

function Full:__init(...)
    Convolution.__init(self, ...)
    for k, adj in ipairs(numbers(self, 'adj')) do
        local stride, dilation = numbers(self, 'd')[k], numbers(self, 'dilation')[k]
        if adj >= math.max(stride, dilation) then
            base.fail('%s: the output padding must be less than the stride or the dilation, %d is not', torch.typename(self),
                adj)
        end
    end
end

function Full:sizes()
    return {self.nInputPlane, self.nOutputPlane / self.groups, unpack(numbers(self, 'k'))}, {self.nOutputPlane}
end

-- Torch7's count.
function Full:fanIn() return self.nInputPlane * field(self) end

function Full:call(x, adj)
    local weight, bias = self:filters()
    return 'convolution_transposed', x, weight, bias, numbers(self, 'd'), numbers(self, 'pad'), adj or numbers(self, 'adj'),
        numbers(self, 'dilation'), self.groups
end

-- The output padding with which the result has the spatial size of `target`.
local function adjust(self, target)
    local adj, shape, n = {}, shapeOf(target), self.nSpatial
    local k, d, pad = numbers(self, 'k'), numbers(self, 'd'), numbers(self, 'pad')
    for axis = 1, n do adj[axis] = (shape[#shape - n + axis] + 2 * pad[axis] - k[axis]) % d[axis] end
    return adj
end

--- full({x, target}): the output padding is such that the result is as large as target in space.
function Full:compute(x)
    if isTensor(x) then return Convolution.compute(self, x) end
    local target = type(x) == 'table' and x[2]
    if not (target and isTensor(target) and isTensor(x[1]) and target._t.ndim >= self.nSpatial) then
        base.fail('expected %s, or a table of such a tensor and one whose size is wanted', expected(self))
    end
    return Convolution.compute(self, x[1], adjust(self, target))
end

function Full:multiplyAdds(x) return tonumber(torch.numel(x)) * self.nOutputPlane / self.groups * field(self) end

return Convolution
