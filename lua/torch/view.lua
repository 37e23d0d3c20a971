-- view.lua: other looks at the same elements (narrow, select, transpose, view …), and joining and tiling tensors.
local base = require 'dlrun.ffi'
local ops = require 'torch.ops'
local raw = require 'torch.raw'
local resize = require 'torch.resize'
local storage = require 'torch.storage'
local tensor = require 'torch.tensor'

local fail = base.fail
local luaType = type
local isTensor = raw.isTensor
local Tensor, dim = tensor.Tensor, tensor.dim

local M = {}
local F = {}
M.functions = F

local function dimension(x, d, what) return tensor.dimension(d, dim(x), what) end

-- Index i (from 1, or from -1) of dimension d (from 0).
local function at(x, d, i, what)
    local n = tonumber(x._t.shape[d])
    if luaType(i) ~= 'number' or i % 1 ~= 0 then fail('%s: an index must be a whole number, not %s', what, tostring(i)) end
    if i == 0 then fail('%s: indices start at 1 (and -1 is the last); 0 is none', what) end
    local k = i < 0 and n + i or i - 1
    if k < 0 or k >= n then fail('%s: index %d is out of range: dimension %d has size %d', what, i, d + 1, n) end
    return k
end

function Tensor.select(x, d, i)
    d = dimension(x, d, 'select')
    return ops.select(x, d, at(x, d, i, 'select'))
end

-- size slices along dimension d, from index first on
function Tensor.narrow(x, d, first, size)
    d = dimension(x, d, 'narrow')
    local start = at(x, d, first, 'narrow')
    tensor.whole(size, 1, 'narrow', 'the size')
    local n = tonumber(x._t.shape[d])
    if start + size > n then
        fail('narrow: %d elements from index %d are out of range: dimension %d has size %d', size, first, d + 1, n)
    end
    return ops.slice(x, d, start, size)
end

-- x:sub(first1, last1 [, first2, last2 …]): a range of each dimension, both ends included.
function Tensor.sub(x, ...)
    if isTensor((...)) then fail('sub: bounds are expected, not a tensor; csub subtracts in place, torch.sub is new') end
    local bounds = {...}
    if #bounds % 2 == 1 or #bounds > 2 * dim(x) or #bounds == 0 then
        fail('sub: first and last index for up to %d dimensions are expected, not %d numbers', dim(x), #bounds)
    end
    for k = 1, #bounds, 2 do
        local d = (k - 1) / 2
        local first, last = at(x, d, bounds[k], 'sub'), at(x, d, bounds[k + 1], 'sub')
        if last < first then
            fail('sub: range %d..%d of dimension %d ends before it begins', bounds[k], bounds[k + 1], d + 1)
        end
        x = ops.slice(x, d, first, last - first + 1)
    end
    return x
end

function Tensor.transpose(x, a, b)
    return ops.transpose(x, dimension(x, a, 'transpose'), dimension(x, b, 'transpose'))
end

function Tensor.t(x)
    if dim(x) ~= 2 then fail('t: a matrix is expected, not %d dimensions; use transpose(d1, d2)', dim(x)) end
    return ops.transpose(x, 0, 1)
end

function Tensor.permute(x, ...)
    local order = storage.integers(...)
    if #order ~= dim(x) then fail('permute: %d dimensions are expected, not %d', dim(x), #order) end
    local dims = {}
    for k = 1, #order do dims[k] = dimension(x, order[k], 'permute') end
    return ops.permute(x, dims)
end

-- ---- sizes -------------------------------------------------------------------------------------------------------------

-- Sizes given as (2, -1), a table or a LongStorage; text for messages.
local function checkedView(x, sizes, what)
    local known, free = 1, nil
    for k = 1, #sizes do
        if sizes[k] == -1 then
            if free then fail('%s: only one size may be -1', what) end
            free = k
        else
            known = known * sizes[k]
        end
    end
    local n = tensor.count(x)
    if (free and (known == 0 or n % known ~= 0)) or (not free and known ~= n) then
        fail('%s: %d elements (size %s) do not fit size %s', what, n, tensor.shapeText(x), table.concat(sizes, 'x'))
    end
    return sizes
end

-- x:view(sizes) or res:view(x, sizes)
function Tensor.view(x, first, ...)
    if isTensor(first) then return resize.become(x, Tensor.view(first, ...)) end
    local sizes = checkedView(x, storage.integers(first, ...), 'view')
    if not Tensor.isContiguous(x) and x._t.var == nil then
        fail('view: the tensor (size %s) is not contiguous; use :contiguous():view(…) or :reshape(…)', tensor.shapeText(x))
    end
    return ops.view(x, sizes)
end

function Tensor.viewAs(x, y, z)
    if z then return resize.become(x, Tensor.viewAs(y, z)) end
    return Tensor.view(x, resize.fullShape(tensor.expect(y, 'viewAs', 2)))
end

-- New memory, as in Torch7; -1 is allowed.
function Tensor.reshape(x, ...)
    local y = ops.reshape(x, checkedView(x, storage.integers(...), 'reshape'))
    return y._t.storage == x._t.storage and ops.copy(y) or y
end

function F.reshape(x, first, ...)
    if not isTensor(first) then return Tensor.reshape(x, first, ...) end
    local y = Tensor.reshape(first, ...)
    return resize.to(x, resize.fullShape(y)):copy(y)
end

local function expandSizes(x, sizes)
    if #sizes < dim(x) then fail('expand: at least %d sizes are expected, not %d', dim(x), #sizes) end
    local offset = #sizes - dim(x)
    for k = 1, dim(x) do
        local n, m = tonumber(x._t.shape[k - 1]), sizes[k + offset]
        if n ~= m and n ~= 1 and m ~= -1 then
            fail('expand: dimension %d has size %d and cannot become %d (only size 1 expands)', k, n, m)
        end
    end
    return sizes
end

-- x:expand(sizes) or res:expand(x, sizes)
function Tensor.expand(x, first, ...)
    if isTensor(first) then return resize.become(x, Tensor.expand(first, ...)) end
    return ops.expand(x, expandSizes(x, storage.integers(first, ...)))
end

function Tensor.expandAs(x, y, z)
    if z then return resize.become(x, Tensor.expandAs(y, z)) end
    return Tensor.expand(x, resize.fullShape(tensor.expect(y, 'expandAs', 2)))
end

-- x tiled; res:repeatTensor(x, times) fills res.
function Tensor.repeatTensor(x, first, ...)
    if isTensor(first) then
        local y = Tensor.repeatTensor(first, ...)
        return resize.to(x, resize.fullShape(y)):copy(y)
    end
    local times = storage.integers(first, ...)
    if #times < dim(x) then fail('repeatTensor: at least %d numbers are expected, not %d', dim(x), #times) end
    return ops['repeat'](x, times)
end

-- Drops dimension d if its size is 1, or all such dimensions. A single element stays a vector, as in Torch7.
function Tensor.squeeze(x, d)
    local dims = {}
    if d ~= nil then
        d = dimension(x, d, 'squeeze')
        if x._t.shape[d] ~= 1 or dim(x) == 1 then return raw.alias(x) end
        dims[1] = d
    else
        for k = 0, dim(x) - 1 do if x._t.shape[k] == 1 then dims[#dims + 1] = k end end
        if #dims == 0 then return raw.alias(x) end
        if #dims == dim(x) then return tensor.scalar(ops.squeeze(x, dims)) end
    end
    return ops.squeeze(x, dims)
end

function Tensor.unsqueeze(x, d)
    return ops.unsqueeze(x, tensor.dimension(d, dim(x) + 1, 'unsqueeze'))
end

function Tensor.unfold(x, d, size, step)
    d = dimension(x, d, 'unfold')
    tensor.whole(size, 1, 'unfold', 'the size')
    tensor.whole(step, 1, 'unfold', 'the step')
    if size > tonumber(x._t.shape[d]) then
        fail('unfold: windows of %d, %d apart, do not fit dimension %d of size %d', size, step, d + 1, tonumber(x._t.shape[d]))
    end
    return ops.unfold(x, d, size, step)
end

-- Dimensions first..last (all) as one.
function Tensor.flatten(x, first, last)
    local n = dim(x)
    if n == 0 then return ops.reshape(x, {tensor.count(x)}) end
    local a, b = dimension(x, first or 1, 'flatten'), dimension(x, last or -1, 'flatten')
    if b < a then fail('flatten: the dimensions end before they begin') end
    local sizes, joined = {}, 1
    for k = 0, n - 1 do
        local size = tonumber(x._t.shape[k])
        if k < a or k > b then
            sizes[#sizes + 1] = size
        else
            joined = joined * size
            if k == b then sizes[#sizes + 1] = joined end
        end
    end
    return ops.reshape(x, sizes)
end

-- ---- pieces ------------------------------------------------------------------------------------------------------------

-- A table of pieces of `size` along dimension d (the first); the last may be shorter. With a table first: that is filled.
function Tensor.split(x, size, d)
    tensor.whole(size, 1, 'split', 'the size of a piece')
    d = dimension(x, d or 1, 'split')
    local n, out = tonumber(x._t.shape[d]), {}
    for start = 0, n - 1, size do out[#out + 1] = ops.slice(x, d, start, math.min(size, n - start)) end
    return out
end

-- n pieces of equal size; the last may be shorter.
function Tensor.chunk(x, n, d)
    tensor.whole(n, 1, 'chunk', 'the number of pieces')
    local k = dimension(x, d or 1, 'chunk')
    local size = tonumber(x._t.shape[k])
    return Tensor.split(x, math.max(math.ceil(size / n), 1), d)
end

-- torch.split([result table,] x, size [, d])
local function filling(method)
    return function(out, ...)
        if luaType(out) ~= 'table' then return method(out, ...) end
        local pieces = method(...)
        for k = 1, math.max(#out, #pieces) do out[k] = pieces[k] end
        return out
    end
end
F.split, F.chunk = filling(Tensor.split), filling(Tensor.chunk)

-- ---- joins -------------------------------------------------------------------------------------------------------------

-- ([res,] x1, x2 [, d]) or ([res,] {x1, x2, …} [, d]): result, array, dimension.
local function joined(what, a, b, c, d)
    if luaType(a) == 'table' then return nil, a, b end
    if luaType(b) == 'table' then return a, b, c end
    tensor.expect(a, what, 1)
    tensor.expect(b, what, 2)
    if isTensor(c) then return a, {b, c}, d end
    return nil, {a, b}, c
end

local function join(what, op, dims)
    return function(...)
        local res, list, d = joined(what, ...)
        local parts, most = {}, 0
        for k = 1, #list do
            local x = tensor.expect(list[k], what, k)
            if dim(x) > 0 or tensor.count(x) > 0 then parts[#parts + 1] = x end -- empty tensors join with anything
            most = math.max(most, dim(x))
        end
        if #parts == 0 then
            if #list == 0 then fail('%s: no tensors are given', what) end
            return res or raw.alias(list[1])
        end
        local y = op(parts, tensor.dimension(d or dims(most), what == 'cat' and math.max(most, 1) or most + 1, what))
        if not res then return y end
        return resize.to(res, resize.fullShape(y)):copy(y)
    end
end

F.cat = join('cat', function(parts, d) return ops.cat(parts, d) end, function(most) return math.max(most, 1) end)
F.stack = join('stack', function(parts, d) return ops.stack(parts, d) end, function() return 1 end)
Tensor.cat = F.cat

for _, name in ipairs {'select', 'narrow', 'sub', 'transpose', 't', 'permute', 'view', 'viewAs', 'expand', 'expandAs',
    'repeatTensor', 'squeeze', 'unsqueeze', 'unfold', 'flatten'} do
    F[name] = Tensor[name]
end
return M
