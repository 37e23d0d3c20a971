-- reduce.lua: sums, means, extremes and the like. A full reduction gives a Lua number (on the tape a 0-dim tensor); along a
-- dimension the size becomes 1, as in Torch7, unless {keepdim = false} is given.
local base = require 'dlrun.ffi'
local class = require 'torch.class'
local ops = require 'torch.ops'
local options = require 'torch.options'
local raw = require 'torch.raw'
local resize = require 'torch.resize'
local result = require 'torch.result'
local tensor = require 'torch.tensor'
local types = require 'torch.types'

local C = base.C
local fail = base.fail
local luaType = type
local isTensor = raw.isTensor
local Tensor, dim, scalar = tensor.Tensor, tensor.dim, tensor.scalar

local M = {}
local F = {}
M.functions = F

local all = {}

-- One function for torch.name and x:name.
local function define(name, f) F[name], Tensor[name] = f, f end

local function dimension(x, d, what) return tensor.dimension(d, dim(x), what) end

-- keepdim of the options table that may stand behind the dimension.
local function keeps(what, given, default)
    if given == nil then return default end
    if luaType(given) ~= 'table' then
        fail('%s: the argument behind the dimension is a table of options, not a %s', what, class.type(given))
    end
    local keep = options.take(what, given, {'keepdim'}).keepdim
    if keep == nil then return default end
    return keep
end

local function notEmpty(x, what)
    if tensor.count(x) == 0 then fail('%s: the tensor has no elements', what) end
end

-- Integer tensors as the default type, where a mean makes no sense among integers.
local function floating(x)
    if tensor.typeOf(x).floating then return x end
    return raw.to(raw.detach(x), nil, types.default.floating and types.default.dtype or C.DL_F32)
end

-- Torch7 keeps the type of integer tensors.
local function sameType(y, x) return y._t.type == x._t.type and y or raw.to(y, nil, x._t.type) end

-- ---- sums --------------------------------------------------------------------------------------------------------------

-- reduce(x, dims, keepdim) -> tensor
local function reduction(name, reduce, prepare)
    define(name, result.first(function(x, d, given)
        tensor.expect(x, name, 1)
        x = prepare and prepare(x, name) or x
        if d == nil then return scalar(reduce(x, all, false)) end
        return reduce(x, {dimension(x, d, name)}, keeps(name, given, true))
    end))
end

reduction('sum', function(x, dims, keep)
    if dims == all or tensor.typeOf(x).kind ~= 'integer' then return ops.sum(x, dims, keep) end
    return ops.sum(x, dims, keep, x._t.type)
end)
reduction('prod', function(x, dims, keep)
    local y = ops.prod(x, dims, keep)
    return dims ~= all and tensor.typeOf(x).kind == 'integer' and sameType(y, x) or y
end)
reduction('mean', function(x, dims, keep) return ops.mean(x, dims, keep) end, function(x, what)
    notEmpty(x, what)
    return floating(x)
end)
reduction('logsumexp', function(x, dims, keep) return ops.logsumexp(x, dims, keep) end, floating)

-- x:var([d [, byN]]): divided by n - 1, or by n where byN is true.
local function spread(name, finish)
    define(name, result.first(function(x, d, byN, given)
        x = floating(tensor.expect(x, name, 1))
        if luaType(d) == 'boolean' then d, byN = nil, d end
        if luaType(byN) == 'table' then byN, given = nil, byN end
        local correction = byN and 0 or 1
        if d == nil then return scalar(finish(ops.var(x, all, correction, false))) end
        return finish(ops.var(x, {dimension(x, d, name)}, correction, keeps(name, given, true)))
    end))
end
spread('var', function(v) return v end)
spread('std', function(v) return ops.sqrt(v) end)

-- x:norm([p [, d]])
define('norm', result.first(function(x, p, d, given)
    x = floating(tensor.expect(x, 'norm', 1))
    if d == nil then return scalar(ops.norm(x, p or 2, all, false)) end
    return ops.norm(x, p or 2, {dimension(x, d, 'norm')}, keeps('norm', given, true))
end))

-- The p-norm of x - y.
define('dist', function(x, y, p)
    tensor.expect(x, 'dist', 1)
    tensor.expect(y, 'dist', 2)
    return scalar(ops.norm(floating(ops.sub(x, resize.paired(y, x))), p or 2, all, false))
end)

-- ---- extremes ----------------------------------------------------------------------------------------------------------

-- New ones: the gradient of max and min reads those from 0.
local function oneBased(indices) return ops.add_scalar(indices, 1) end

-- torch.max(x), (x, d), (values, indices, x, d); (x, y) is elementwise as in PyTorch.
local function extreme(name, full, along, pointwise)
    local function run(x, a, b, c)
        tensor.expect(x, name, 1)
        if isTensor(a) and isTensor(b) then
            local values, indices = run(b, c)
            return result.store(x, values), result.store(a, indices)
        end
        if isTensor(a) and b ~= nil then -- (values, x, d)
            local values, indices = run(a, b)
            return result.store(x, values), indices
        end
        if isTensor(a) then return ops[pointwise](x, a) end
        notEmpty(x, name)
        if a == nil then return scalar(ops[full](x, all, false)) end
        local values, indices = ops[along](x, dimension(x, a, name), keeps(name, b, true))
        return values, oneBased(indices)
    end
    define(name, run)
end
extreme('max', 'amax', 'max_dim', 'maximum')
extreme('min', 'amin', 'min_dim', 'minimum')

-- Index (from 1) of the extreme: of the flattened tensor, or along d (which disappears, as in PyTorch).
for _, name in ipairs {'argmax', 'argmin'} do
    define(name, function(x, d, given)
        notEmpty(tensor.expect(x, name, 1), name)
        if d == nil then return tensor.item(ops[name](x, all, false)) + 1 end
        return oneBased(ops[name](x, {dimension(x, d, name)}, keeps(name, given, false)))
    end)
end

-- ---- truth -------------------------------------------------------------------------------------------------------------

for _, name in ipairs {'any', 'all'} do
    define(name, function(x, d, given)
        tensor.expect(x, name, 1)
        if d == nil then return tensor.item(ops[name](x, all, false)) end
        local y = ops[name](x, {dimension(x, d, name)}, keeps(name, given, true))
        return x._t.type == C.DL_BOOL and y or raw.to(y, nil, C.DL_U8)
    end)
end

-- Equal sizes and elements?
define('equal', function(x, y)
    tensor.expect(x, 'equal', 1)
    tensor.expect(y, 'equal', 2)
    if not tensor.sameShape(x, y) then return false end
    return tensor.count(x) == 0 or tensor.item(ops.all(ops.eq(raw.detach(x), raw.detach(y)), all, false))
end)

-- ---- running -----------------------------------------------------------------------------------------------------------

for _, name in ipairs {'cumsum', 'cumprod'} do
    define(name, result.first(function(x, d)
        tensor.expect(x, name, 1)
        return sameType(ops[name](x, dimension(x, d or 1, name)), x)
    end))
end

define('logcumsumexp', result.first(function(x, d)
    x = floating(tensor.expect(x, 'logcumsumexp', 1))
    return ops.logcumsumexp(x, dimension(x, d or 1, 'logcumsumexp'))
end))

define('trace', function(x)
    if dim(tensor.expect(x, 'trace', 1)) ~= 2 then fail('trace: a matrix is expected, not %d dimensions', dim(x)) end
    return scalar(ops.sum(ops.diagonal(x), all, false))
end)

-- ---- softmax -----------------------------------------------------------------------------------------------------------

for name, op in pairs {softmax = 'softmax', logSoftmax = 'log_softmax'} do
    define(name, function(x, d) return ops[op](x, dimension(tensor.expect(x, name, 1), d or -1, name)) end)
end

-- ---- renorm ------------------------------------------------------------------------------------------------------------

-- Slices along d whose p-norm is above maxnorm are scaled down to it. In place; torch.renorm is new.
function F.renorm(x, p, d, maxnorm)
    tensor.expect(x, 'renorm', 1)
    if isTensor(p) then return result.store(x, F.renorm(p, d, maxnorm, nil)) end
    local others = {}
    local k = dimension(x, d, 'renorm')
    for j = 0, dim(x) - 1 do if j ~= k then others[#others + 1] = j end end
    local norms = ops.norm(x, p, others, true)
    local scale = ops.clamp_max(ops.mul_scalar(ops.reciprocal(ops.add_scalar(norms, 1e-7)), maxnorm), 1)
    return ops.mul(x, scale)
end
function Tensor.renorm(x, ...) return ops.into.copy(x, F.renorm(x, ...)) end

return M
