-- raw.lua: tensors as the library sees them. What the rest of the front end, nn included, uses to speak to C.
--
-- A Lua tensor is a cdata of type dl_lua_tensor around one descriptor, `_t`. (Not a Lua table: a table gets no # in LuaJIT,
-- and the descriptor's own field names would hide methods such as size.) Every tensor owns its references and is cleared when
-- it is collected.
-- Descriptors are never copied: pass the tensor, or tensor._t for a `dl_tensor *`.
local ffi = require 'ffi'
local base = require 'dlrun.ffi'

local C = base.C
local raise = base.raise

ffi.cdef 'typedef struct dl_lua_tensor { dl_tensor _t; } dl_lua_tensor;'

local tensorType = ffi.typeof 'dl_lua_tensor'
local clear = ffi.cast('void (*)(void *)', C.dl_tensor_clear)
local bell = C.dl_memory_pressure()

local M = {tensorType = tensorType}

-- An empty tensor for a dl_call to fill. It is finalised from the start, so that no failure can leak it.
local function new() return ffi.gc(tensorType(), clear) end
M.new = new

function M.isTensor(x) return ffi.istype(tensorType, x) end

-- x's descriptor; an error for anything but a tensor (a string's or table's x._t would be NULL for C).
local function descriptor(x)
    if ffi.istype(tensorType, x) then return x._t end
    base.fail('a tensor is expected, not %s', x == nil and 'nil' or 'a ' .. type(x))
end
M.descriptor = descriptor

-- Runs after a collection: drops what the collected tapes kept in Lua; returns how many nodes went. Set by autograd.lua.
M.drain = function() return 0 end

-- A full cycle, and another if the first freed Lua values that a tape had held.
function M.relieve()
    collectgarbage()
    if M.drain() > 0 then collectgarbage() end
    C.dl_memory_collected()
end

-- Every function that made memory calls this: LuaJIT's collector does not see what tensors hold.
function M.pressed()
    if bell[0] ~= 0 then M.relieve() end
end

-- status of make(...), which allocates; out of memory gets one full cycle and one more try.
function M.allocating(make, ...)
    local status = make(...)
    if status == C.DL_NOMEM then
        M.relieve()
        status = make(...)
    end
    if status ~= 0 then raise(ffi.string(C.dl_last_error())) end
    M.pressed()
end

local shape = ffi.new('int64_t[?]', C.DL_MAX_DIMS)

-- Fills the shared shape buffer from a Lua array; returns it and the number of dimensions.
function M.shape(sizes)
    local n = #sizes
    if n > C.DL_MAX_DIMS then base.fail('a tensor has at most %d dimensions, not %d', C.DL_MAX_DIMS, n) end
    for k = 1, n do shape[k - 1] = sizes[k] end
    return shape, n
end

-- A new contiguous, uninitialised tensor; sizes is a Lua array, device a dl_device* (nil: the default device).
function M.empty(dtype, sizes, device)
    local x = new()
    local dims, n = M.shape(sizes)
    device = device or C.dl_default_device()
    if device == nil then raise(ffi.string(C.dl_last_error())) end
    M.allocating(C.dl_tensor_new, x._t, dtype, n, dims, device)
    return x
end

function M.alias(x)
    local y = new()
    base.check(C.dl_tensor_alias(y._t, descriptor(x)))
    return y
end

-- A tensor that shares x's storage and is not on the tape.
function M.detach(x)
    local y = new()
    base.check(C.dl_tensor_detach(y._t, descriptor(x)))
    return y
end

-- A copy on another device (nil: the same) in another dtype.
function M.to(x, device, dtype)
    local y = new()
    local t = descriptor(x)
    M.allocating(C.dl_tensor_to, y._t, t, device or C.dl_device_of(t), dtype or t.type)
    return y
end

-- A tensor on a storage: offset in bytes; sizes and strides are Lua arrays (strides nil: contiguous).
function M.on(storage, dtype, byteOffset, sizes, strides)
    local x = new()
    local dims, n = M.shape(sizes)
    local steps
    if strides then
        steps = ffi.new('int64_t[?]', math.max(n, 1))
        for k = 1, n do steps[k - 1] = strides[k] end
    end
    base.check(C.dl_tensor_on(x._t, storage, dtype, byteOffset, n, dims, steps))
    return x
end

local pointerArray, inputArray = ffi.typeof 'dl_tensor *[?]', ffi.typeof 'const dl_tensor *[?]'

local function fill(array, tensors, n)
    for k = 1, n do
        if tensors[k] then array[k - 1] = descriptor(tensors[k]) end
    end
    return array, n
end

-- The array of descriptor pointers that C functions take for outputs, from a Lua array of tensors (false: absent), and its
-- length. The caller keeps the tensors alive during the call.
function M.pointers(tensors) return fill(pointerArray(math.max(#tensors, 1)), tensors, #tensors) end

-- The same for inputs (a `const dl_tensor *const *`).
function M.inputs(tensors) return fill(inputArray(math.max(#tensors, 1)), tensors, #tensors) end

-- n new empty tensors with their pointers, for a C function to fill.
function M.news(n)
    local tensors = {}
    for k = 1, n do tensors[k] = new() end
    return tensors, (M.pointers(tensors))
end

-- Marks of the front end, kept in the descriptor of one Lua tensor: nn.Parameter, and requiresGrad = false.
local PARAMETER, FROZEN = 1, 2

local function mark(bit_)
    return function(x, on)
        x._t.reserved = on and bit.bor(x._t.reserved, bit_) or bit.band(x._t.reserved, bit.bnot(bit_))
        return x
    end, function(x) return bit.band(x._t.reserved, bit_) ~= 0 end
end
M.markParameter, M.isParameter = mark(PARAMETER)
M.freeze, M.isFrozen = mark(FROZEN)

-- Is torch.capture recording? Then nothing may be read out of tensors.
M.capturing = false

-- parameter -> the tensor in which its module accumulates the gradient.
M.companion = setmetatable({}, {__mode = 'k'})

function M.isEmpty(x) return x._t.storage == nil end

function M.device(x) return C.dl_device_of(descriptor(x)) end

return M
