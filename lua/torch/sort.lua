-- sort.lua: sort, topk, kthvalue, median, mode, cummax and cummin in Torch7's forms: along the last dimension (cummax and
-- cummin the first) unless one is given, values and indices (from 1) as results; with two tensors in front, into those.
local base = require 'dlrun.ffi'
local class = require 'torch.class'
local ops = require 'torch.ops'
local options = require 'torch.options'
local raw = require 'torch.raw'
local result = require 'torch.result'
local tensor = require 'torch.tensor'

local fail = base.fail
local luaType = type
local Tensor, dim = tensor.Tensor, tensor.dim

local M = {}
local F = {}
M.functions = F

-- compute(x, …) -> values, indices from 0; as torch.name(x, …), torch.name(values, indices, x, …) and x:name(…).
local function define(name, compute)
    local function run(x, second, third, ...)
        tensor.expect(x, name, 1)
        if raw.isTensor(second) then
            local values, indices = run(tensor.expect(third, name, 3), ...)
            return result.store(x, values), result.store(second, indices)
        end
        local values, indices = compute(x, second, third, ...)
        return values, ops.add_scalar(indices, 1) -- the gradient reads the indices from 0
    end
    F[name], Tensor[name] = run, run
end

-- A 0-dim tensor, and Torch7's tensor with no dimension, have the one that the library counts.
local function dimension(x, d, what)
    if d == nil then return -1 end
    return tensor.dimension(d, math.max(dim(x), 1), what)
end

local function flag(value, what, name)
    if value == nil or luaType(value) == 'boolean' then return value or false end
    fail('%s: %s must be true or false, not a %s', what, name, class.type(value))
end

-- How many: 1..the size along d.
local function number(x, k, d, what)
    local n = x._t.ndim == 0 and 1 or tonumber(x._t.shape[d < 0 and x._t.ndim + d or d])
    if n == 0 then fail('%s: the dimension has no elements', what) end
    if luaType(k) == 'number' and k >= 1 and k <= n and k % 1 == 0 then return k end
    fail('%s: k must be a whole number of 1 to %d, the size of the dimension, not %s', what, n, tostring(k))
end

-- x:sort([d [, descending]]). Stable.
define('sort', function(x, d, descending)
    return ops.sort(x, dimension(x, d, 'sort'), flag(descending, 'sort', 'descending'))
end)

-- x:topk([k [, d [, largest [, sorted]]]]): the k smallest unless `largest` is true, in any order unless `sorted` is.
define('topk', function(x, k, d, largest, sorted)
    d = dimension(x, d, 'topk')
    return ops.topk(x, number(x, k or 1, d, 'topk'), d, flag(largest, 'topk', 'largest'), flag(sorted, 'topk', 'sorted'))
end)

-- Along a dimension that becomes 1, unless {keepdim = false} is given behind it or in its place.
local function kept(d, given, what)
    if luaType(d) == 'table' then d, given = nil, d end
    return d, options.take(what, given, {'keepdim'}).keepdim ~= false
end

-- x:kthvalue(k [, d]): the k-th smallest.
define('kthvalue', function(x, k, d, given)
    local keepdim
    d, keepdim = kept(d, given, 'kthvalue')
    d = dimension(x, d, 'kthvalue')
    return ops.kthvalue(x, number(x, k, d, 'kthvalue'), d, keepdim)
end)

-- x:median([d]), x:mode([d]): of an even number of elements the lower middle one; of equally frequent ones the smallest.
for _, name in ipairs {'median', 'mode'} do
    define(name, function(x, d, given)
        local keepdim
        d, keepdim = kept(d, given, name)
        return ops[name](x, dimension(x, d, name), keepdim)
    end)
end

-- x:cummax([d = 1]), x:cummin([d = 1]): the running extreme and where it is, of equal ones the last.
for _, name in ipairs {'cummax', 'cummin'} do
    define(name, function(x, d) return ops[name](x, dimension(x, d or 1, name)) end)
end

return M
