-- offsets.lua: learned offsets and factors, one for all elements or one for each place.
local base = require 'dlrun.ffi'
local ops = require 'torch.ops'
local raw = require 'torch.raw'
local shapeOf = require 'torch.resize'.fullShape

local function count(sizes)
    local n = 1
    for k = 1, #sizes do n = n * sizes[k] end
    return n
end

-- Does a tensor of these sizes broadcast to `shape`?
local function broadcasts(sizes, shape)
    local ahead = #shape - #sizes
    if ahead < 0 then return false end
    for k = 1, #sizes do
        if sizes[k] ~= 1 and sizes[k] ~= shape[ahead + k] then return false end
    end
    return true
end

-- p as it stands to x: broadcast, or, as Torch7 allows, its elements under x's shape, or under that of one sample.
local function fitted(p, x)
    if not raw.isTensor(x) then base.fail('expected a tensor, got %s', torch.type(x)) end
    local sizes, shape = shapeOf(p), shapeOf(x)
    if broadcasts(sizes, shape) then return p end
    if count(sizes) == count(shape) then return ops.reshape(p, shape) end
    if #shape > 1 and count(sizes) * shape[1] == count(shape) then return ops.reshape(p, {unpack(shape, 2)}) end
    base.fail('expected (%s), with or without a batch in front, got (%s)', table.concat(sizes, ', '),
        table.concat(shape, ', '))
end

local function sizesOf(name, ...)
    local list = {...}
    if type(list[1]) == 'table' then list = {unpack(list[1])} end
    if type(list[1]) == 'cdata' or type(list[1]) == 'userdata' then list = list[1]:totable() end
    for _, n in ipairs(list) do
        if type(n) ~= 'number' or n < 1 or n % 1 ~= 0 then
            base.fail('nn.%s: sizes must be whole numbers from 1 up, not %s', name, tostring(n))
        end
    end
    if #list == 0 then base.fail('nn.%s wants sizes', name) end
    return list
end

-- A class with one parameter, called `field`, that op applies. sizes(…) makes its sizes from the constructor's arguments.
local function define(name, field, op, sizes)
    local class, parent = torch.class('nn.' .. name, 'nn.Module')

    function class:__init(...)
        parent.__init(self)
        self.size = sizes(...)
        self[field] = torch.Tensor(unpack(self.size))
        self['grad' .. field:gsub('^%l', string.upper)] = torch.Tensor(unpack(self.size)):zero()
        self:reset()
    end

    -- Uniform in ±stdv·√3 if stdv is given, else in ±1/√n, n elements.
    function class:reset(stdv)
        stdv = stdv and stdv * math.sqrt(3) or 1 / math.sqrt(self[field]:nElement())
        torch.noGrad(function() self[field]:uniform(-stdv, stdv) end)
        return self
    end

    function class:compute(x) return ops[op](x, fitted(self[field], x)) end

    function class:__tostring__() return ('%s(%s)'):format(torch.typename(self), table.concat(self.size, 'x')) end
end

--- nn.Add(n [, scalar]): y = x + bias, bias (n), or one number with scalar = true. Input (n) or (N, n).
define('Add', 'bias', 'add', function(n, scalar) return sizesOf('Add', scalar and 1 or n) end)

--- nn.Mul(): y = weight x, one number.
define('Mul', 'weight', 'mul', function() return {1} end)

--- nn.CAdd(sizes…): y = x + bias, bias of these sizes, broadcast where one is 1. Input of these sizes, or a batch of such.
define('CAdd', 'bias', 'add', function(...) return sizesOf('CAdd', ...) end)

--- nn.CMul(sizes…): y = weight ∘ x, weight of these sizes, broadcast where one is 1. Input of these sizes, or a batch of such.
define('CMul', 'weight', 'mul', function(...) return sizesOf('CMul', ...) end)
