-- random.lua: tensors filled with random numbers, single draws, and the generator's state.
local ffi = require 'ffi'
local base = require 'dlrun.ffi'
local class = require 'torch.class'
local ops = require 'torch.ops'
local raw = require 'torch.raw'
local resize = require 'torch.resize'
local tensor = require 'torch.tensor'
local types = require 'torch.types'

local C = base.C
local fail = base.fail
local luaType = type
local isTensor = raw.isTensor
local Tensor = tensor.Tensor
local into = ops.into

local M = {}
local F = {}
M.functions = F

local none = {}

-- ---- parameters --------------------------------------------------------------------------------------------------------

local function parameter(value, default, what)
    if value == nil then return default end
    if luaType(value) ~= 'number' then fail('%s: a number is expected, not a %s', what, class.type(value)) end
    return value
end

local function probability(p, what)
    p = parameter(p, 0.5, what)
    if not (p >= 0 and p <= 1) then fail('%s: the probability must lie in 0..1, not %g', what, p) end
    return p
end

local function positive(value, default, what, name)
    value = parameter(value, default, what)
    if value <= 0 or value ~= value then fail('%s: %s must be positive, not %g', what, name, value) end
    return value
end

-- ---- filling -----------------------------------------------------------------------------------------------------------

-- Fills x by fill(y), where y is x itself or, for integer types, a Double stand-in that is then truncated into x.
local function throughFloat(x, fill)
    if tensor.typeOf(x).floating then return fill(x) end
    return into.copy(x, fill(raw.empty(C.DL_F64, resize.fullShape(x), raw.device(x))))
end

function Tensor.uniform(x, a, b)
    a, b = parameter(a, 0, 'uniform'), parameter(b, 1, 'uniform')
    if a > b then fail('uniform: the lower end %g is above the upper end %g', a, b) end
    return throughFloat(x, function(y) return into.uniform(y, none, a, b) end)
end

function Tensor.normal(x, mean, std)
    if isTensor(mean) or isTensor(std) then
        into.normal(x, none, 0, 1)
        if isTensor(std) then x:cmul(std) elseif std then x:mul(std) end
        return x:add(mean)
    end
    mean, std = parameter(mean, 0, 'normal'), parameter(std, 1, 'normal')
    if std < 0 or std ~= std then fail('normal: the standard deviation must not be negative: %g', std) end
    return throughFloat(x, function(y) return into.normal(y, none, mean, std) end)
end

-- p: a number, or a tensor of one probability for each element.
function Tensor.bernoulli(x, p)
    if not isTensor(p) then return into.bernoulli(x, none, probability(p, 'bernoulli')) end
    local draws = raw.empty(C.DL_F64, resize.fullShape(x), raw.device(x))
    into.uniform(draws, none, 0, 1)
    return into.copy(x, ops.lt(draws, resize.paired(p, x)))
end

-- Integers from..to, both included; (to) from 1; () any that the type holds exactly.
local largest = {float32 = 2 ^ 24, float64 = 2 ^ 53, float16 = 2 ^ 11, bfloat16 = 2 ^ 8, uint8 = 255, int8 = 127, int16 = 32767,
    int32 = 2 ^ 31 - 1, int64 = 2 ^ 53, bool = 1}

function Tensor.random(x, from, to)
    if from == nil then from, to = 0, largest[tensor.typeOf(x).name] end
    if to == nil then from, to = 1, from end
    parameter(from, nil, 'random')
    parameter(to, nil, 'random')
    if from > to then fail('random: the range %d..%d is empty', from, to) end
    return into.random_int(x, none, from, to)
end

-- -log(1 - u) / lambda
function Tensor.exponential(x, lambda)
    lambda = positive(lambda, 1, 'exponential', 'the rate')
    return throughFloat(x, function(y)
        into.uniform(y, none, 0, 1)
        into.rsub_scalar(y, y, 1)
        return into.mul_scalar(y, into.log(y, y), -1 / lambda)
    end)
end

function Tensor.cauchy(x, median, sigma)
    median, sigma = parameter(median, 0, 'cauchy'), parameter(sigma, 1, 'cauchy')
    return throughFloat(x, function(y)
        into.uniform(y, none, -math.pi / 2, math.pi / 2)
        return into.affine_scalar(y, into.tan(y, y), sigma, median)
    end)
end

-- Torch7's form: P(k) = (1 - p) p^(k-1), k from 1.
function Tensor.geometric(x, p)
    p = parameter(p, nil, 'geometric')
    if not p or not (p > 0 and p < 1) then fail('geometric: the probability must lie between 0 and 1') end
    return throughFloat(x, function(y)
        into.uniform(y, none, 0, 1)
        into.rsub_scalar(y, y, 1)
        into.mul_scalar(y, into.log(y, y), 1 / math.log(p))
        return into.add_scalar(y, into.floor(y, y), 1)
    end)
end

-- mean and std are those of the result, as in Torch7.
function Tensor.logNormal(x, mean, std)
    mean, std = positive(mean, 1, 'logNormal', 'the mean'), positive(std, 2, 'logNormal', 'the standard deviation')
    local m2, v = mean * mean, std * std
    return throughFloat(x, function(y)
        into.normal(y, none, math.log(m2 / math.sqrt(v + m2)), math.sqrt(math.log(v / m2 + 1)))
        return into.exp(y, y)
    end)
end

-- ---- single draws: torch.uniform(a, b) and so on -----------------------------------------------------------------------

for _, name in ipairs {'uniform', 'normal', 'bernoulli', 'exponential', 'cauchy', 'geometric', 'logNormal'} do
    F[name] = function(first, ...)
        if isTensor(first) then return Tensor[name](first, ...) end
        return tensor.item(Tensor[name](raw.empty(C.DL_F64, {1}), first, ...))
    end
end

function F.random(first, second)
    if isTensor(first) then return Tensor.random(first, second) end
    if first == nil then first, second = 0, 2 ^ 32 - 1 end
    return tensor.item(Tensor.random(raw.empty(C.DL_F64, {1}), first, second))
end

-- A random order of 1..n. It is made on the CPU, one exchange after the other, wherever it goes then.
local function randperm(res, n)
    if luaType(n) ~= 'number' or n < 0 or n % 1 ~= 0 then fail('randperm: a whole number is expected, not %s', tostring(n)) end
    local y = into.randperm(raw.empty(C.DL_I64, {n}, require('torch.storage').cpu()), n)
    into.add_scalar(y, y, 1)
    if not res then return raw.to(y, C.dl_default_device(), types.default.dtype) end
    return into.copy(resize.to(res, {n}), raw.to(y, raw.device(res)))
end
function F.randperm(a, b)
    if isTensor(a) then return randperm(a, b) end
    return randperm(nil, a)
end
Tensor.randperm = randperm

-- ---- the generator -----------------------------------------------------------------------------------------------------

function F.manualSeed(a, b)
    local seed = b or a -- a generator may stand in front
    if luaType(seed) ~= 'number' then fail('manualSeed: a number is expected, not a %s', class.type(seed)) end
    C.dl_seed(seed)
end

-- Seeds from the system's entropy; returns the seed.
function F.seed()
    local file = assert(io.open('/dev/urandom', 'rb'))
    local bytes = {file:read(6):byte(1, 6)}
    file:close()
    local seed = 0
    for _, b in ipairs(bytes) do seed = seed * 256 + b end
    C.dl_seed(seed)
    return seed
end

function F.initialSeed() return tonumber(C.dl_get_seed()) end

-- The state: seed and number of draws, as 16 bytes.
function F.getRNGState()
    local words = ffi.new('uint64_t[2]', C.dl_get_seed(), C.dl_random_call())
    local state = raw.empty(C.DL_U8, {16}, require('torch.storage').cpu())
    base.check(C.dl_tensor_write(state._t, words, 16))
    return state
end

function F.setRNGState(a, b)
    local state = b or a
    if not isTensor(state) or state._t.type ~= C.DL_U8 or tensor.count(state) ~= 16 then
        fail('setRNGState: what getRNGState returned is expected (a ByteTensor of 16)')
    end
    local words = ffi.new 'uint64_t[2]'
    base.check(C.dl_tensor_read(state._t, words, 16))
    C.dl_seed(words[0])
    C.dl_set_random_call(words[1])
end

return M
