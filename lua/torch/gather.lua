-- gather.lua: reading and writing by index and by mask. Indices are from 1; those that write do so in place, as in Torch7.
local base = require 'dlrun.ffi'
local class = require 'torch.class'
local indexing = require 'torch.indexing'
local ops = require 'torch.ops'
local raw = require 'torch.raw'
local resize = require 'torch.resize'
local result = require 'torch.result'
local tensor = require 'torch.tensor'
local types = require 'torch.types'

local fail = base.fail
local luaType = type
local isTensor = raw.isTensor
local Tensor, dim = tensor.Tensor, tensor.dim
local fromZero, bool = indexing.fromZero, indexing.bool

local M = {}
local F = {}
M.functions = F

local function dimension(x, d, what) return tensor.dimension(d, dim(x), what) end

-- The index tensor argument as the library's.
local function indices(index, what, k)
    if luaType(index) == 'table' then index = tensor.classes[base.C.DL_I64].new(index) end
    tensor.expect(index, what, k)
    if tensor.typeOf(index).floating then fail('%s: indices must be integers; use :long()', what) end
    return fromZero(index)
end

local function vector(index, what)
    local list = indices(index, what, 3)
    if dim(list) > 1 then fail('%s: the indices must be a vector, not size %s', what, tensor.shapeText(list)) end
    return list
end

-- The library counts indices and positions from 0.
table.insert(base.reword, function(message)
    return (message:gsub('index (%-?%d+) at position (%d+): expected 0%.%.(%-?%d+)', function(index, position, last)
        local hint = index == '-1' and '; indices start at 1' or ''
        return ('index %d at position %d: expected 1..%d%s'):format(index + 1, position + 1, last + 1, hint)
    end))
end)

-- ---- index ---------------------------------------------------------------------------------------------------------------

F.index = result.first(function(x, d, index)
    return ops.index_select(x, dimension(tensor.expect(x, 'index', 1), d, 'index'), vector(index, 'index'))
end)
Tensor.index = F.index

-- src as slices of x number index[k]: of that shape, or of as many elements.
local function slices(x, d, index, src, what)
    local shape = resize.fullShape(x)
    shape[d + 1] = tensor.count(index)
    tensor.expect(src, what, 4)
    if src._t.ndim == #shape then return src end
    return ops.reshape(src, shape)
end

for name, op in pairs {indexCopy = 'index_copy', indexAdd = 'index_add'} do
    Tensor[name] = function(x, d, index, src)
        d = dimension(x, d, name)
        local list = vector(index, name)
        return ops.into.copy(x, ops[op](x, d, list, slices(x, d, list, src, name)))
    end
end

function Tensor.indexFill(x, d, index, value)
    local list = vector(index, 'indexFill')
    return ops.into.copy(x, ops.index_fill(x, dimension(x, d, 'indexFill'), list, tensor.number(value, x, 'indexFill')))
end

-- ---- gather and scatter ------------------------------------------------------------------------------------------------

F.gather = result.first(function(x, d, index)
    return ops.gather(x, dimension(tensor.expect(x, 'gather', 1), d, 'gather'), indices(index, 'gather', 3))
end)
Tensor.gather = F.gather

local function scatter(op, name)
    return function(x, d, index, src)
        d = dimension(tensor.expect(x, name, 1), d, name)
        local list = indices(index, name, 3)
        if not isTensor(src) then
            src = raw.empty(x._t.type, {}, raw.device(x)):fill(tensor.number(src, x, name))
        else -- the part of src that index covers
            for k = 0, list._t.ndim - 1 do
                local n = tonumber(list._t.shape[k])
                if src._t.shape[k] > n then src = ops.slice(src, k, 0, n) end
            end
        end
        return ops[op](x, d, list, src)
    end
end
local function inPlace(f) return function(x, ...) return ops.into.copy(x, f(x, ...)) end end
F.scatter, F.scatterAdd = scatter('scatter', 'scatter'), scatter('scatter_add', 'scatterAdd')
Tensor.scatter, Tensor.scatterAdd = inPlace(F.scatter), inPlace(F.scatterAdd)

-- ---- masks -------------------------------------------------------------------------------------------------------------

local function maskFor(x, mask, what)
    tensor.expect(mask, what, 2)
    return bool(resize.paired(mask, x))
end

F.maskedSelect = result.firstOfTwo(function(x, mask)
    return ops.masked_select(tensor.expect(x, 'maskedSelect', 1), maskFor(x, mask, 'maskedSelect'))
end)
Tensor.maskedSelect = F.maskedSelect

function F.maskedFill(x, mask, value)
    tensor.expect(x, 'maskedFill', 1)
    local v = raw.empty(x._t.type, {}, raw.device(x)):fill(value)
    return ops.where(maskFor(x, mask, 'maskedFill'), v, x)
end
Tensor.maskedFill = inPlace(F.maskedFill)

function F.maskedCopy(x, mask, src)
    tensor.expect(x, 'maskedCopy', 1)
    return ops.masked_scatter(x, maskFor(x, mask, 'maskedCopy'), tensor.expect(src, 'maskedCopy', 3))
end
Tensor.maskedCopy = inPlace(F.maskedCopy)

-- Indices (from 1) of the non-zero elements, one row each.
F.nonzero = result.first(function(x)
    local rows = ops.nonzero(tensor.expect(x, 'nonzero', 1))
    return ops.into.add_scalar(rows, rows, 1)
end)
Tensor.nonzero = F.nonzero

-- cond ? a : b, element by element; a and b may be numbers.
function F.where(condition, a, b)
    tensor.expect(condition, 'where', 1)
    local like = isTensor(a) and a or isTensor(b) and b or nil
    local function operand(v, k)
        if isTensor(v) then return v end
        if luaType(v) ~= 'number' then fail('where: argument %d must be a tensor or a number, not a %s', k, class.type(v)) end
        local dtype = like and like._t.type or types.default.dtype
        return raw.empty(dtype, {}, raw.device(condition)):fill(v)
    end
    return ops.where(bool(condition), operand(a, 2), operand(b, 3))
end

function F.oneHot(index, classes)
    return ops.one_hot(indices(index, 'oneHot', 1), classes)
end

return M
