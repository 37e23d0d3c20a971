-- weighted.lua: modules with a weight and a bias: made when the module is, or, where a size is left to the first input, at
-- its first call; initialised uniformly. In one place for the classes that M.define is told of. Such a class has the methods
--
--   sizes()        the weight's sizes and the bias's, two arrays
--   fanIn()        how many products make one output, of which the initial weights' range is the inverse square root
--   sizeFrom(x)    notes in fields the sizes that the first input x decides, or raises an error
--
-- and the field hasBias.
local base = require 'dlrun.ffi'
local path = require 'nn.path'
local raw = require 'torch.raw'
local tape = require 'nn.tape'
local types = require 'torch.types'

local C = base.C
local M = {}

-- A size that must be a whole number from `least` (1) up; `what` names it in the error.
function M.count(value, what, least)
    least = least or 1
    if type(value) ~= 'number' or value < least or value % 1 ~= 0 then
        base.fail('%s must be a whole number from %d up, not %s', what, least, tostring(value))
    end
    return value
end

-- New parameters on a device (nil: the default one), in the module's type.
function M.allocate(self, device)
    local dtype = types.byName[self._type].dtype
    local weight, bias = self:sizes()
    self.weight = raw.empty(dtype, weight, device)
    self.gradWeight = raw.empty(dtype, weight, device):zero()
    if self.hasBias then
        self.bias = raw.empty(dtype, bias, device)
        self.gradBias = raw.empty(dtype, bias, device):zero()
    end
    self:reset()
end

-- The module's fields as they were.
local function restore(self, fields)
    for key in pairs(self) do
        if fields[key] == nil then self[key] = nil end
    end
    for key, value in pairs(fields) do
        if rawget(self, key) ~= value then self[key] = value end
    end
end

-- Makes what the first input decides. A module that then cannot compute this input is left without sizes, for a better one.
function M.complete(self, x)
    if raw.capturing then base.fail('its sizes come with the first input: run one batch before torch.capture') end
    local fields = {}
    for key, value in pairs(self) do fields[key] = value end
    local ok, message = pcall(torch.noGrad, function()
        self:sizeFrom(x)
        M.allocate(self, C.dl_device_of(x._t))
        self:compute(x)
    end)
    if not ok then
        restore(self, fields)
        error(message, 0)
    end
    self:_decide()
end

-- Has it no weight yet? (Module:incomplete)
local function incomplete(self) return self.weight == nil end

-- A segment knows its parameters from the start: they are made before it is recorded.
local function updateOutput(self, input)
    if not self.weight then
        local x, depth = tape.flatten(input)[1], path.enter(self)
        if x then M.complete(self, x) end
        path.leave(depth)
    end
    return nn.Module.updateOutput(self, input)
end

--- module:noBias(): without bias from now on; returns the module.
local function noBias(self)
    self.hasBias = false
    self.bias = nil
    self.gradBias = nil
    return self
end

--- module:reset([stdv]): new initial weights, uniform in ±stdv·√3 if stdv is given, else in ±1/√(inputs of one output)
-- (LeCun et al., "Efficient BackProp", 1998).
local function reset(self, stdv)
    if not self.weight then return self end
    stdv = stdv and stdv * math.sqrt(3) or 1 / math.sqrt(self:fanIn())
    torch.noGrad(function()
        self.weight:uniform(-stdv, stdv)
        if self.bias then self.bias:uniform(-stdv, stdv) end
    end)
    return self
end

function M.define(class)
    class.incomplete, class.updateOutput, class.noBias, class.reset = incomplete, updateOutput, noBias, reset
end

return M
