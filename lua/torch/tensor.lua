-- tensor.lua: the tensor classes and their Lua face: one table of methods shared by torch.FloatTensor and its kin, fields,
-- and the facts about a tensor (size, stride, type, storage).
local ffi = require 'ffi'
local base = require 'dlrun.ffi'
local class = require 'torch.class'
local hints = require 'dlrun.hints'
local ops = require 'torch.ops'
local raw = require 'torch.raw'
local storage = require 'torch.storage'
local types = require 'torch.types'

local C = base.C
local fail = base.fail
local isTensor, descriptor = raw.isTensor, raw.descriptor
local luaType = type

local Tensor = {}      -- methods of every tensor type
local classes = {}     -- dtype -> class
local fields = {}      -- name -> {get, set}: x.grad, x.requiresGrad
local operators = {}   -- Lua's metamethods, filled in by operators.lua
local indexing = {}    -- get(x, key), set(x, key, value), filled in by indexing.lua

local M = {Tensor = Tensor, classes = classes, fields = fields, operators = operators, indexing = indexing}

-- ---- shapes ------------------------------------------------------------------------------------------------------------

-- Torch7 knows no zero sizes: a vector of no elements is "a tensor with no dimension".
local function dim(x)
    local t = descriptor(x)
    local n = t.ndim
    if n == 1 and t.shape[0] == 0 then return 0 end
    return n
end
M.dim = dim

local function count(x) return tonumber(C.dl_tensor_count(descriptor(x))) end
M.count = count

-- A dimension from 1, or from -1 for the last, as the library's 0-based one. n: how many there are.
function M.dimension(d, n, what)
    if luaType(d) ~= 'number' then fail('%s: a dimension must be a number, not a %s', what, class.type(d)) end
    if d == 0 then fail('%s: dimensions start at 1 (and -1 is the last); 0 is none', what) end
    local k = d < 0 and n + d or d - 1
    if not (k >= 0 and k < n and k % 1 == 0) then fail('%s: dimension %g is out of range: the tensor has %d', what, d, n) end
    return k
end

function M.sameShape(a, b)
    local s, t = descriptor(a), descriptor(b)
    if s.ndim ~= t.ndim then return false end
    for k = 0, s.ndim - 1 do
        if s.shape[k] ~= t.shape[k] then return false end
    end
    return true
end

-- Sizes as a Lua array, and as text: 2x3.
function M.shapeOf(x)
    local out = {}
    for k = 1, dim(x) do out[k] = tonumber(x._t.shape[k - 1]) end
    return out
end

function M.shapeText(x) return dim(x) == 0 and 'no dimension' or table.concat(M.shapeOf(x), 'x') end

function M.typeOf(x) return types.byDtype[descriptor(x).type] end

-- The tensor argument number k of `what`, or an error.
function M.expect(x, what, k)
    if isTensor(x) then return x end
    fail('%s: argument %d must be a tensor, not %s', what, k, x == nil and 'nil' or 'a ' .. class.type(x))
end

-- A whole number of at least `least`, or an error.
function M.whole(value, least, what, name)
    if luaType(value) == 'number' and value >= least and value % 1 == 0 then return value end
    fail('%s: %s must be a whole number of at least %d, not %s', what, name, least, tostring(value))
end

-- ---- numbers -----------------------------------------------------------------------------------------------------------

local buffers = {} -- dtype -> a one-element array
for _, type in ipairs(types.list) do buffers[type.dtype] = type.array(1) end

-- The value of a one-element tensor as a Lua number (boolean for Bool); waits for the device.
function M.item(x)
    local type = types.byDtype[x._t.type]
    if type.packed then return M.item(raw.to(raw.detach(x), nil, C.DL_F32)) end
    local buffer = buffers[x._t.type]
    base.check(C.dl_tensor_read(x._t, buffer, type.bytes))
    C.dl_plain_nans(type.dtype, buffer, 1)
    if type.kind == 'bool' then return buffer[0] ~= 0 end
    return tonumber(buffer[0])
end

-- A full reduction's result: a Lua number; on the tape the 0-dim tensor itself.
function M.scalar(x)
    if x._t.var ~= nil then return x end
    return M.item(x)
end

-- A scalar argument: a number, or a one-element tensor. Truncated where x is an integer tensor, as in Torch7.
function M.number(value, x, what)
    if isTensor(value) then value = M.item(value) end
    if luaType(value) == 'boolean' then value = value and 1 or 0 end
    if luaType(value) ~= 'number' then
        if luaType(value) == 'cdata' and tonumber(value) then return value end
        fail('%s: a number is expected, not a %s', what, class.type(value))
    end
    if x and not types.byDtype[x._t.type].floating then return value < 0 and math.ceil(value) or math.floor(value) end
    return value
end

-- ---- facts -------------------------------------------------------------------------------------------------------------

function Tensor.dim(x) return dim(x) end
Tensor.nDimension = Tensor.dim
function Tensor.nElement(x) return count(x) end
Tensor.numel = Tensor.nElement

function Tensor.size(x, d)
    if d == nil then return storage.sizes(x._t.shape, dim(x)) end
    return tonumber(x._t.shape[M.dimension(d, dim(x), 'size')])
end

-- Results of convolutional layers may lie channels-last in memory; what shows strides lays them out plainly first.
local function plain(x)
    local t = descriptor(x)
    if t.flags ~= 0 then base.check(C.dl_tensor_plain(t)) end
    return x
end
M.plain = plain

function Tensor.stride(x, d)
    plain(x)
    if d == nil then return storage.sizes(x._t.strides, dim(x)) end
    return tonumber(x._t.strides[M.dimension(d, dim(x), 'stride')])
end

function Tensor.storage(x) return storage.of(plain(x)) end
function Tensor.storageOffset(x) return tonumber(x._t.byte_offset) / types.byDtype[x._t.type].bytes + 1 end
function Tensor.isContiguous(x) return C.dl_tensor_contiguous(plain(x)._t) ~= 0 end
function Tensor.isSameSizeAs(x, y) return M.sameShape(x, M.expect(y, 'isSameSizeAs', 2)) end
function Tensor.elementSize(x) return types.byDtype[x._t.type].bytes end

function Tensor.isSize(x, sizes)
    local wanted = storage.integers(sizes)
    if #wanted ~= dim(x) then return false end
    for k = 1, #wanted do if x._t.shape[k - 1] ~= wanted[k] then return false end end
    return true
end

-- Does x see the same elements as y: same storage, offset, sizes and strides?
function Tensor.isSetTo(x, y)
    M.expect(y, 'isSetTo', 2)
    local s, t = plain(x)._t, plain(y)._t
    if s.storage ~= t.storage or s.byte_offset ~= t.byte_offset or not M.sameShape(x, y) then return false end
    for k = 0, s.ndim - 1 do if s.strides[k] ~= t.strides[k] then return false end end
    return true
end

-- The address of the first element (a typed pointer). From then on the tensor counts as written before every use.
function Tensor.data(x)
    local data = C.dl_tensor_data(descriptor(x))
    if data == nil and count(x) > 0 then fail('data: this tensor is on %s; copy it to the CPU first', Tensor.device(x)) end
    return ffi.cast(types.byDtype[x._t.type].pointer, data)
end
function Tensor.cdata(x) return x._t end
function Tensor.device(x) return ffi.string(C.dl_device_name(raw.device(x))) end
function Tensor.item(x)
    if count(x) ~= 1 then fail('item: the tensor has %d elements, not one', count(x)) end
    return M.item(x)
end
function Tensor.retain(x) return x end
Tensor.free = Tensor.retain

-- ---- classes -----------------------------------------------------------------------------------------------------------

for _, type in ipairs(types.list) do
    local function new(...) return M.construct(type, ...) end -- construct.lua
    local methods = class.register(type.tensorName, {new = new, __factory = function() return new() end}, nil, new)
    getmetatable(methods).__index = Tensor
    classes[type.dtype] = methods
end

class.recognise(function(x) return isTensor(x) and classes[x._t.type] or nil end)

-- ---- the Lua face ------------------------------------------------------------------------------------------------------

local function index(x, key)
    if luaType(key) ~= 'string' then return indexing.get(x, key) end
    local field = fields[key] -- before the methods, which look up every name that is none in the op table
    if field then return field.get(x) end
    local method = classes[x._t.type][key]
    if method ~= nil then return method end
    local hint = hints.tensor[key]
    if hint then fail('%s', hint) end
    return nil
end

local function newindex(x, key, value)
    if luaType(key) ~= 'string' then return indexing.set(x, key, value) end
    local field = fields[key]
    if not field then fail("a tensor has no field '%s' to assign", key) end
    field.set(x, value)
end

local function metamethod(name)
    return function(a, b)
        local f = operators[name]
        return f(a, b)
    end
end

local warned = false

-- == asks for the same descriptor; Lua compares cdata with everything.
local function identical(a, b)
    if isTensor(a) and isTensor(b) then return ffi.cast('dl_tensor *', a._t) == ffi.cast('dl_tensor *', b._t) end
    if not warned and (luaType(a) == 'number' or luaType(b) == 'number') then
        warned = true
        io.stderr:write('dlrun: ', hints.equality, '\n')
    end
    return false
end

local metatable = {
    __index = index,
    __newindex = newindex,
    __len = function(x) return Tensor.size(x) end,
    __tostring = function(x) return classes[x._t.type].__tostring__(x) end,
    __eq = identical,
    __concat = function(a, b) return tostring(a) .. tostring(b) end,
}
for _, name in ipairs {'add', 'sub', 'mul', 'div', 'mod', 'pow', 'unm', 'lt', 'le'} do
    metatable['__' .. name] = metamethod(name)
end
ffi.metatype(raw.tensorType, metatable)

M.ops = ops
return M
