-- resize.lua: Torch7's resize and set, which change what a tensor object is a view of, and its pairing of shapes.
local base = require 'dlrun.ffi'
local ops = require 'torch.ops'
local raw = require 'torch.raw'
local storage = require 'torch.storage'
local tensor = require 'torch.tensor'

local C = base.C
local fail = base.fail
local Tensor = tensor.Tensor

local M = {}

-- Makes x another view: of what y sees.
local function become(x, y)
    local t, of = raw.descriptor(x), raw.descriptor(y)
    C.dl_tensor_clear(t)
    base.check(C.dl_tensor_alias(t, of))
    return x
end
M.become = become

local function hasSizes(x, sizes)
    if x._t.ndim ~= #sizes then return false end
    for k = 1, #sizes do if x._t.shape[k - 1] ~= sizes[k] then return false end end
    return true
end

-- x:resize: the same storage, from the same offset, contiguous under the new sizes (a Lua array); it grows where it must.
function M.to(x, sizes)
    raw.descriptor(x)
    for k = 1, #sizes do
        if type(sizes[k]) ~= 'number' then fail('size %d must be a number, not a %s', k, type(sizes[k])) end
    end
    if #sizes == 0 then sizes = {0} end
    if hasSizes(x, sizes) then return x end
    if C.dl_is_recorded(x._t) == 2 then fail('resize: the tensor is the result of a recorded call; reshape or clone it') end
    local t = tensor.plain(x)._t
    local n = 1
    for k = 1, #sizes do
        if sizes[k] < 0 then fail('resize: size %d is negative: %d', k, sizes[k]) end
        n = n * sizes[k]
    end
    local leaf = C.dl_is_recorded(t) == 1
    local bytes = tonumber(t.byte_offset) + n * Tensor.elementSize(x)
    if bytes > tonumber(C.dl_storage_bytes(t.storage)) then raw.allocating(C.dl_storage_resize, t.storage, bytes) end
    become(x, raw.on(t.storage, t.type, t.byte_offset, sizes))
    if leaf then base.check(C.dl_requires_grad(x._t, 1)) end
    return x
end

-- x:resize(2, 3), (LongStorage) or (LongStorage, strides)
function Tensor.resize(x, first, ...)
    local strides = storage.isStorage(...) and storage.integers(...) or nil
    if strides and #strides > 0 then return Tensor.set(x, Tensor.storage(x), Tensor.storageOffset(x), first, ...) end
    return M.to(x, strides and storage.integers(first) or storage.integers(first, ...))
end

-- Sizes of x as the library has them, zero sizes included.
local function fullShape(x)
    local out, t = {}, raw.descriptor(x)
    for k = 1, t.ndim do out[k] = tonumber(t.shape[k - 1]) end
    return out
end
M.fullShape = fullShape

function Tensor.resizeAs(x, y)
    if tensor.sameShape(x, tensor.expect(y, 'resizeAs', 2)) then return x end
    if y._t.ndim == 0 then return become(x, tensor.count(x) == 1 and ops.view(x, {}) or raw.empty(x._t.type, {})) end
    return M.to(x, fullShape(y))
end

-- x:set(y), x:set(storage [, offset [, sizes [, strides]]]), x:set()
function Tensor.set(x, first, ...)
    if raw.isTensor(first) then
        if first._t.type ~= x._t.type then
            fail('set: the types differ: %s and %s', Tensor.type(x), Tensor.type(first))
        end
        return become(x, first)
    end
    return become(x, tensor.construct(tensor.typeOf(x), first, ...))
end

-- ---- pairing -----------------------------------------------------------------------------------------------------------

-- What broadcasting y with x would have: the number of elements, or nil where it is impossible.
local function broadcastCount(x, y)
    local s, t = x._t, y._t
    local n = 1
    for k = 1, math.max(s.ndim, t.ndim) do
        local a = k <= s.ndim and tonumber(s.shape[s.ndim - k]) or 1
        local b = k <= t.ndim and tonumber(t.shape[t.ndim - k]) or 1
        if a ~= b and a ~= 1 and b ~= 1 then return nil end
        n = n * (a == 1 and b or a)
    end
    return n
end

local warned = false
local function warnOnce(x, y)
    local n = broadcastCount(x, y)
    if warned or n == nil or n == tensor.count(x) then return end
    warned = true
    local text = 'dlrun: warning: tensors of size %s and %s are paired element by element, as in Torch7; broadcasting would '
        .. 'give %d elements (use :expand or :view to say which is meant)\n'
    io.stderr:write(text:format(tensor.shapeText(x), tensor.shapeText(y), n))
end

-- y as it pairs with x: itself where shapes agree or broadcast; under x's shape where only the element counts agree.
function M.paired(y, x)
    if tensor.sameShape(x, y) then return y end
    local n = tensor.count(y)
    if n ~= tensor.count(x) or x._t.ndim == 0 or y._t.ndim == 0 then return y end
    warnOnce(x, y)
    return ops.reshape(y, fullShape(x))
end

return M
