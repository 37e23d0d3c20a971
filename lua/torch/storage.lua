-- storage.lua: torch.FloatStorage and its kin: the memory behind tensors as a flat array, from 1.
--
-- Two forms share one face. dl_lua_storage owns a reference to a library storage. dl_lua_sizes is what x:size() and x:stride()
-- return: a torch.LongStorage of at most DL_MAX_DIMS numbers inside the Lua object, because a real one costs a finaliser.
local ffi = require 'ffi'
local base = require 'dlrun.ffi'
local class = require 'torch.class'
local raw = require 'torch.raw'
local types = require 'torch.types'

local C = base.C
local fail = base.fail
local luaType = type

ffi.cdef [[
typedef struct dl_lua_storage { dl_storage *_s; int32_t _dtype; } dl_lua_storage;
typedef struct dl_lua_sizes { int64_t _n; int64_t _v[12]; } dl_lua_sizes;
]]
assert(C.DL_MAX_DIMS == 12)

local storageType, sizesType = ffi.typeof 'dl_lua_storage', ffi.typeof 'dl_lua_sizes'

local M = {}
local Storage = {} -- methods
local longType = types.byName.Long

local function isSizes(s) return ffi.istype(sizesType, s) end
local function isStorage(s) return ffi.istype(storageType, s) or isSizes(s) end
local function typeOf(s) return isSizes(s) and longType or types.byDtype[s._dtype] end
M.isStorage, M.typeOf = isStorage, typeOf

local function release(s) C.dl_storage_release(s._s) end

-- Wraps a dl_storage; the object takes over one reference.
local function wrap(storage, type) return ffi.gc(storageType(storage, type.dtype), release) end

function M.new(type, count)
    local out = ffi.new 'dl_storage *[1]'
    raw.allocating(C.dl_storage_new, M.cpu(), count * type.bytes, out)
    return wrap(out[0], type)
end

-- The storage behind a tensor, as a storage of the tensor's type.
function M.of(x)
    local t = raw.descriptor(x)
    C.dl_storage_retain(t.storage)
    return wrap(t.storage, types.byDtype[t.type])
end

function M.cpu()
    local out = ffi.new 'dl_device *[1]'
    base.check(C.dl_device_open('cpu', out))
    return out[0]
end

-- A LongStorage of the n numbers at `from` (an int64_t *).
function M.sizes(from, n)
    local s = sizesType()
    s._n = n
    for k = 0, n - 1 do s._v[k] = from[k] end
    return s
end

-- The pointer to the elements and their number. Storages on other devices have no address.
local function elements(s)
    if isSizes(s) then return s._v, tonumber(s._n) end
    local type = types.byDtype[s._dtype]
    local n = tonumber(C.dl_storage_bytes(s._s)) / type.bytes
    local data = C.dl_storage_data(s._s)
    if data == nil and n > 0 then fail("this storage is not on the CPU; copy the tensor with :to('cpu') first") end
    return ffi.cast(type.pointer, data), n - n % 1
end
M.elements = elements

local function refusePacked(s)
    if typeOf(s).packed then fail('a %s has no single elements; use a copy as FloatTensor', typeOf(s).storageName) end
end

local singles = {} -- type -> a one-element array

local function get(s, k)
    local data, n = elements(s)
    if k < 1 or k > n then fail('storage index %s is out of range: it has %d elements, from 1', tostring(k), n) end
    refusePacked(s)
    local type = typeOf(s)
    if not type.floating then return tonumber(data[k - 1]) end
    local single = singles[type] or type.array(1)
    singles[type] = single
    ffi.copy(single, data + (k - 1), type.bytes)
    C.dl_plain_nans(type.dtype, single, 1)
    return tonumber(single[0])
end

local function set(s, k, value)
    if luaType(k) ~= 'number' or luaType(value) ~= 'number' then fail('a storage holds numbers under indices from 1') end
    local data, n = elements(s)
    if k < 1 or k > n then fail('storage index %s is out of range: it has %d elements, from 1', tostring(k), n) end
    refusePacked(s)
    data[k - 1] = value
end

-- ---- methods -----------------------------------------------------------------------------------------------------------

function Storage.size(s)
    if isSizes(s) then return tonumber(s._n) end
    local n = tonumber(C.dl_storage_bytes(s._s)) / types.byDtype[s._dtype].bytes
    return n - n % 1
end
Storage.__len__ = Storage.size

function Storage.fill(s, value)
    refusePacked(s)
    if luaType(value) ~= 'number' then fail('fill: a number is expected, not a %s', class.type(value)) end
    local data, n = elements(s)
    for k = 0, n - 1 do data[k] = value end
    return s
end

-- Element by element, converted; the shorter of the two counts is an error as in Torch7.
function Storage.copy(s, from)
    if not isStorage(from) then fail('copy: a storage is expected, not a %s', class.type(from)) end
    refusePacked(s)
    refusePacked(from)
    local data, n = elements(s)
    local other, m = elements(from)
    if n ~= m then fail('copy: sizes differ: %d and %d elements', n, m) end
    for k = 0, n - 1 do data[k] = other[k] end
    return s
end

function Storage.resize(s, n)
    if luaType(n) ~= 'number' or n < 0 then fail('resize: a size of at least 0 is expected, not %s', tostring(n)) end
    if isSizes(s) then
        if n > C.DL_MAX_DIMS then fail("a size()'s storage holds at most %d numbers", C.DL_MAX_DIMS) end
        s._n = n
    else
        raw.allocating(C.dl_storage_resize, s._s, n * types.byDtype[s._dtype].bytes)
    end
    return s
end

function Storage.totable(s)
    refusePacked(s)
    local data, n = elements(s)
    local out = {}
    for k = 1, n do out[k] = tonumber(data[k - 1]) end
    return out
end

function Storage.data(s) return (elements(s)) end
function Storage.cdata(s) return isSizes(s) and s or s._s end
function Storage.elementSize(s) return typeOf(s).bytes end
function Storage.type(s) return typeOf(s).storageName end
Storage.retain = function(s) return s end
Storage.free = Storage.retain

-- Storages of 1-byte elements read and write as strings.
function Storage.string(s, text)
    if typeOf(s).bytes ~= 1 then fail('string() is for Char and Byte storages') end
    if text == nil then
        local data, n = elements(s)
        return ffi.string(data, n)
    end
    Storage.resize(s, #text)
    ffi.copy((elements(s)), text, #text)
    return s
end

-- ---- construction ------------------------------------------------------------------------------------------------------

-- torch.LongStorage(), (n), ({values}), (another storage [, offset [, size]]) as in Torch7.
function M.construct(type, what, offset, size)
    if what == nil then return M.new(type, 0) end
    if luaType(what) == 'number' then return M.new(type, what) end
    if isStorage(what) then
        local from = Storage.totable(what)
        offset = offset or 1
        return M.construct(type, {unpack(from, offset, size and offset + size - 1 or #from)})
    end
    if luaType(what) ~= 'table' then fail('%s: a size, a table or a storage is expected', type.storageName) end
    local s = M.new(type, #what)
    if type.packed then return s end
    for k = 1, #what do set(s, k, what[k]) end
    return s
end

-- ---- classes -----------------------------------------------------------------------------------------------------------

local classes = {}
for _, type in ipairs(types.list) do
    local function new(...) return M.construct(type, ...) end
    local methods = class.register(type.storageName, {new = new}, nil, new)
    for name, f in pairs(Storage) do methods[name] = f end
    classes[type.dtype] = methods
end
M.classes = classes

class.recognise(function(x)
    if isSizes(x) then return classes[longType.dtype] end
    if ffi.istype(storageType, x) then return classes[x._dtype] end
end)

local function index(s, key)
    if luaType(key) == 'number' then return get(s, key) end
    return classes[typeOf(s).dtype][key]
end

local function text(s) return classes[typeOf(s).dtype].__tostring__(s) end

-- Lua compares cdata with everything: the same memory and type are equal, all else is not.
local function same(a, b)
    if not (isStorage(a) and isStorage(b)) then return false end
    if isSizes(a) or isSizes(b) then
        local p, n = elements(a)
        local q, m = elements(b)
        if n ~= m or typeOf(b) ~= typeOf(a) then return false end
        for k = 0, n - 1 do if p[k] ~= q[k] then return false end end
        return true
    end
    return a._s == b._s and a._dtype == b._dtype
end

local metatable = {__index = index, __newindex = set, __len = Storage.size, __tostring = text, __eq = same}
ffi.metatype(storageType, metatable)
ffi.metatype(sizesType, metatable)

-- ---- arguments that mean sizes -----------------------------------------------------------------------------------------

-- A Lua array of the integers given as (2, 3), ({2, 3}) or (LongStorage).
function M.integers(first, ...)
    if first == nil then return {} end
    if isStorage(first) then return Storage.totable(first) end
    if luaType(first) == 'number' then first = {first, ...} end
    if luaType(first) ~= 'table' then fail('sizes must be numbers, a table or a LongStorage, not a %s', class.type(first)) end
    for k = 1, #first do
        if luaType(first[k]) ~= 'number' then fail('size %d must be a number, not a %s', k, class.type(first[k])) end
    end
    return first
end

return M
