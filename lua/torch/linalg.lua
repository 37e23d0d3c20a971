-- linalg.lua: products of matrices and vectors, triangles and diagonals.
local base = require 'dlrun.ffi'
local class = require 'torch.class'
local ops = require 'torch.ops'
local raw = require 'torch.raw'
local result = require 'torch.result'
local tensor = require 'torch.tensor'

local fail = base.fail
local luaType = type
local isTensor = raw.isTensor
local Tensor, dim = tensor.Tensor, tensor.dim

local M = {}
local F = {}
M.functions = F

-- ---- products ----------------------------------------------------------------------------------------------------------

local function dims(what, x, want, k)
    if dim(tensor.expect(x, what, k)) ~= want then
        local plural = want == 1 and '' or 's'
        fail('%s: argument %d must have %d dimension%s, not size %s', what, k, want, plural, tensor.shapeText(x))
    end
end

local function inner(what, a, b, da, db)
    if a._t.shape[da] ~= b._t.shape[db] then
        fail('%s: sizes do not fit: %s and %s', what, tensor.shapeText(a), tensor.shapeText(b))
    end
end

-- A product of two tensors of fixed dimensions: torch.name([res,] a, b), res:name(a, b).
local function product(name, dimsA, dimsB, multiply, check)
    local function new(a, b)
        dims(name, a, dimsA, 1)
        dims(name, b, dimsB, 2)
        if check then check(a, b) end
        return multiply(a, b)
    end
    F[name] = result.firstOfTwo(new)
    Tensor[name] = function(x, a, b)
        if b == nil then return new(x, a) end
        return result.store(x, new(a, b))
    end
end

local function matmul(a, b) return ops.matmul(a, b) end
product('mm', 2, 2, matmul, function(a, b) inner('mm', a, b, 1, 0) end)
product('mv', 2, 1, matmul, function(a, b) inner('mv', a, b, 1, 0) end)
product('bmm', 3, 3, matmul, function(a, b)
    inner('bmm', a, b, 2, 1)
    inner('bmm', a, b, 0, 0)
end)
local function outer(a, b) return ops.mul(ops.unsqueeze(a, 1), ops.unsqueeze(b, 0)) end
product('ger', 1, 1, outer)
F.outer, Tensor.outer = F.ger, Tensor.ger

function F.matmul(a, b) return ops.matmul(tensor.expect(a, 'matmul', 1), tensor.expect(b, 'matmul', 2)) end
Tensor.matmul = F.matmul

-- Both are seen as vectors.
function F.dot(a, b)
    tensor.expect(a, 'dot', 1)
    tensor.expect(b, 'dot', 2)
    if tensor.count(a) ~= tensor.count(b) then
        fail('dot: the tensors have %d and %d elements', tensor.count(a), tensor.count(b))
    end
    local n = {tensor.count(a)}
    return tensor.scalar(ops.matmul(ops.reshape(a, n), ops.reshape(b, n)))
end
Tensor.dot = F.dot

-- The vector product along dimension d (the first of size 3).
F.cross = result.firstOfTwo(function(a, b, d)
    tensor.expect(a, 'cross', 1)
    tensor.expect(b, 'cross', 2)
    if not tensor.sameShape(a, b) then fail('cross: sizes differ: %s and %s', tensor.shapeText(a), tensor.shapeText(b)) end
    if d == nil then
        for k = 1, dim(a) do d = d or (a._t.shape[k - 1] == 3 and k) or nil end
        if not d then fail('cross: no dimension of size 3 in %s', tensor.shapeText(a)) end
    end
    local k = tensor.dimension(d, dim(a), 'cross')
    if a._t.shape[k] ~= 3 then fail('cross: dimension %d has size %d, not 3', k + 1, tonumber(a._t.shape[k])) end
    local function part(x, i) return ops.slice(x, k, i % 3, 1) end
    local parts = {}
    for i = 0, 2 do
        parts[i + 1] = ops.sub(ops.mul(part(a, i + 1), part(b, i + 2)), ops.mul(part(a, i + 2), part(b, i + 1)))
    end
    return ops.cat(parts, k)
end)
Tensor.cross = F.cross

-- ---- products added to a tensor ----------------------------------------------------------------------------------------

-- Splits ([res,] [beta,] c, [alpha,] a, b), and x:name([beta,] [c,] [alpha,] a, b) where x is passed first: res (nil: new),
-- beta, c, alpha, a, b. One number without a c of its own is alpha, two are beta and alpha.
local function addition(what, ...)
    local list = {...}
    local n = #list
    if n < 3 then fail('%s: at least three arguments are expected', what) end
    local a, b = tensor.expect(list[n - 1], what, n - 1), tensor.expect(list[n], what, n)
    local tensors, numbers = {}, {before = {}, after = {}}
    for k = n - 2, 1, -1 do
        local v = list[k]
        if isTensor(v) then
            table.insert(tensors, 1, v)
        elseif luaType(v) == 'number' then
            table.insert(#tensors == 0 and numbers.after or numbers.before, 1, v)
        else
            fail('%s: argument %d must be a number or a tensor, not a %s', what, k, class.type(v))
        end
    end
    local before, after = numbers.before, numbers.after
    if #tensors == 0 or #tensors > 2 or #after > 2 or #before > 1 or (#after == 2 and #before > 0) then
        fail('%s: expected ([res,] [beta,] c, [alpha,] a, b)', what)
    end
    local beta = before[1] or (#after == 2 and after[1]) or 1
    return #tensors == 2 and tensors[1] or nil, beta, tensors[#tensors], after[#after] or 1, a, b
end

-- compute(beta, c, alpha, a, b) -> tensor
local function added(name, compute)
    F[name] = function(...)
        local res, beta, c, alpha, a, b = addition(name, ...)
        local y = compute(beta, c, alpha, a, b)
        return res and result.store(res, y) or y
    end
    Tensor[name] = function(x, ...)
        local _, beta, c, alpha, a, b = addition(name, x, ...)
        return result.store(x, compute(beta, c, alpha, a, b))
    end
end

local function column(x) return ops.unsqueeze(x, 1) end

added('addmm', function(beta, c, alpha, a, b)
    dims('addmm', a, 2, 2)
    dims('addmm', b, 2, 3)
    inner('addmm', a, b, 1, 0)
    return ops.addmm(c, a, b, beta, alpha)
end)
added('addmv', function(beta, c, alpha, a, b)
    dims('addmv', a, 2, 2)
    dims('addmv', b, 1, 3)
    inner('addmv', a, b, 1, 0)
    return ops.squeeze(ops.addmm(column(c), a, column(b), beta, alpha), {1})
end)
added('addr', function(beta, c, alpha, a, b)
    dims('addr', a, 1, 2)
    dims('addr', b, 1, 3)
    return ops.addmm(c, column(a), ops.unsqueeze(b, 0), beta, alpha)
end)
added('baddbmm', function(beta, c, alpha, a, b)
    dims('baddbmm', a, 3, 2)
    dims('baddbmm', b, 3, 3)
    return ops.addmm(c, a, b, beta, alpha)
end)
-- The products of the batch are summed: one product of the batches laid side by side.
added('addbmm', function(beta, c, alpha, a, b)
    dims('addbmm', a, 3, 2)
    dims('addbmm', b, 3, 3)
    inner('addbmm', a, b, 0, 0)
    inner('addbmm', a, b, 2, 1)
    local batch, n, m = tonumber(a._t.shape[0]), tonumber(a._t.shape[1]), tonumber(a._t.shape[2])
    local wide = ops.reshape(ops.transpose(a, 0, 1), {n, batch * m})
    return ops.addmm(c, wide, ops.reshape(b, {batch * m, tonumber(b._t.shape[2])}), beta, alpha)
end)

-- ---- triangles and diagonals -------------------------------------------------------------------------------------------

for _, name in ipairs {'tril', 'triu'} do
    F[name] = result.first(function(x, k)
        if dim(tensor.expect(x, name, 1)) ~= 2 then fail('%s: a matrix is expected, not size %s', name, tensor.shapeText(x)) end
        return ops[name](x, k or 0)
    end)
    Tensor[name] = F[name]
end

local function zeros(x, rows, columns) return raw.empty(x._t.type, {rows, columns}, raw.device(x)):zero() end

-- A square matrix with x on its k-th diagonal.
local function diagonalMatrix(x, k)
    local n = tensor.count(x)
    local y = ops.mul(ops.unsqueeze(x, 0), ops.eye(n, n, x._t.type))
    if k == 0 then return y end
    local m = math.abs(k)
    y = ops.cat(k > 0 and {zeros(x, n, m), y} or {y, zeros(x, n, m)}, 1)
    return ops.cat(k > 0 and {y, zeros(x, m, n + m)} or {zeros(x, m, n + m), y}, 0)
end

-- Of a vector: the matrix with that diagonal; of a matrix: its k-th diagonal.
F.diag = result.first(function(x, k)
    k = tensor.whole(k or 0, -math.huge, 'diag', 'the diagonal')
    local n = dim(tensor.expect(x, 'diag', 1))
    if n == 1 then return diagonalMatrix(x, k) end
    if n ~= 2 then fail('diag: a vector or a matrix is expected, not size %s', tensor.shapeText(x)) end
    return ops.copy(ops.diagonal(x, k))
end)
Tensor.diag = F.diag

return M
