-- initialise.lua: nn.init: fills tensors in place, unrecorded; returns them.
local base = require 'dlrun.ffi'
local ops = require 'torch.ops'
local raw = require 'torch.raw'

local M = {}

-- Inputs and outputs of one unit: (out, in, kernel…), as PyTorch counts them.
local function fans(x, what)
    local t = x._t
    if t.ndim < 2 then base.fail('nn.init.%s needs a tensor of two or more dimensions; this one has %d', what, t.ndim) end
    local field = 1
    for d = 2, t.ndim - 1 do field = field * tonumber(t.shape[d]) end
    return tonumber(t.shape[1]) * field, tonumber(t.shape[0]) * field
end

local function fill(method, x, ...)
    if not raw.isTensor(x) then base.fail('nn.init fills a tensor, not %s', torch.type(x)) end
    local old = torch.setGradEnabled(false)
    local ok, err = pcall(x[method], x, ...)
    torch.setGradEnabled(old)
    if not ok then error(err, 0) end
    return x
end

--- nn.init.uniform(x [, a = 0, b = 1]), normal(x [, mean = 0, std = 1]), constant(x, value), zeros(x), ones(x)
function M.uniform(x, a, b) return fill('uniform', x, a or 0, b or 1) end
function M.normal(x, mean, std) return fill('normal', x, mean or 0, std or 1) end
function M.constant(x, value) return fill('fill', x, value) end
function M.zeros(x) return fill('fill', x, 0) end
function M.ones(x) return fill('fill', x, 1) end

--- nn.init.eye(x): ones on the diagonal of a matrix.
function M.eye(x)
    return fill('copy', x, ops.eye(tonumber(x._t.shape[0]), tonumber(x._t.shape[1]), x._t.type))
end

--- gain = nn.init.calculateGain(name [, slope]): the scale that keeps variance through an activation.
function M.calculateGain(name, slope)
    local gains = {linear = 1, sigmoid = 1, tanh = 5 / 3, relu = math.sqrt(2), selu = 3 / 4}
    if name == 'leakyRelu' then return math.sqrt(2 / (1 + (slope or 0.01) ^ 2)) end
    return gains[name] or base.fail("nn.init.calculateGain: there is no '%s'", tostring(name))
end

--- nn.init.xavierUniform(x [, gain = 1]), xavierNormal: Glorot and Bengio, "Understanding the difficulty of training deep
-- feedforward neural networks", AISTATS 2010.
function M.xavierUniform(x, gain)
    local fanIn, fanOut = fans(x, 'xavierUniform')
    local a = (gain or 1) * math.sqrt(6 / (fanIn + fanOut))
    return M.uniform(x, -a, a)
end
function M.xavierNormal(x, gain)
    local fanIn, fanOut = fans(x, 'xavierNormal')
    return M.normal(x, 0, (gain or 1) * math.sqrt(2 / (fanIn + fanOut)))
end

local function kaimingScale(x, options, what)
    options = options or {}
    local fanIn, fanOut = fans(x, what)
    local gain = M.calculateGain(options.nonlinearity or 'leakyRelu', options.a or 0)
    return gain / math.sqrt(options.mode == 'fanOut' and fanOut or fanIn)
end

--- nn.init.kaimingUniform(x [, {a = 0, mode = 'fanIn', nonlinearity = 'leakyRelu'}]), kaimingNormal: He et al., "Delving
-- deep into rectifiers", ICCV 2015.
function M.kaimingUniform(x, options)
    local bound = math.sqrt(3) * kaimingScale(x, options, 'kaimingUniform')
    return M.uniform(x, -bound, bound)
end
function M.kaimingNormal(x, options) return M.normal(x, 0, kaimingScale(x, options, 'kaimingNormal')) end

return M
