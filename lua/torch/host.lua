-- host.lua: elements between tensors and Lua: nested tables in and out, loops over elements.
local ffi = require 'ffi'
local base = require 'dlrun.ffi'
local class = require 'torch.class'
local raw = require 'torch.raw'
local tensor = require 'torch.tensor'
local types = require 'torch.types'

local C = base.C
local fail = base.fail
local luaType = type
local Tensor = tensor.Tensor

local M = {}

local MOST = 2 ^ 31 - 64 -- bytes of one LuaJIT object

-- All elements of x in logical order as a C array (float for Half types), with their number and type.
local function read(x)
    local type = tensor.typeOf(x)
    if type.packed then return read(raw.to(raw.detach(x), nil, C.DL_F32)) end
    local n = tensor.count(x)
    if n * type.bytes > MOST then fail('%g elements are too many to bring into Lua', n) end
    local data = type.array(math.max(n, 1))
    if n > 0 then base.check(C.dl_tensor_read(x._t, data, n * type.bytes)) end
    C.dl_plain_nans(type.dtype, data, n)
    return data, n, type
end
M.read = read

-- Writes a C array, made by read() or of x's own type, over x's elements.
local function write(x, data)
    local type = tensor.typeOf(x)
    local n = tensor.count(x)
    if n == 0 then return x end
    if type.packed then
        local wide = raw.empty(C.DL_F32, tensor.shapeOf(x), raw.device(x))
        base.check(C.dl_tensor_write(wide._t, data, n * 4))
        return tensor.ops.into.copy(x, wide)
    end
    base.check(C.dl_tensor_write(x._t, data, n * type.bytes))
    return x
end
M.write = write

local truth = {array = ffi.typeof 'bool[?]'} -- what is not 0 becomes true in it, which a stored bool must be

-- The C array type in which values for x are given to write().
local function hostType(type) return type.packed and types.byName.Float or type.kind == 'bool' and truth or type end

-- One element read from a C array, as Lua has it.
local function value(data, k, type)
    if type.kind == 'bool' then return data[k] ~= 0 end
    return tonumber(data[k])
end

-- ---- tables ------------------------------------------------------------------------------------------------------------

-- Sizes of a nested table; its leaves are numbers, booleans or int64.
local function tableShape(t)
    local sizes = {}
    while luaType(t) == 'table' do
        sizes[#sizes + 1] = #t
        t = t[1]
    end
    return sizes
end

local function place(t, level, sizes, data, at)
    if #t ~= sizes[level] then
        fail('a table of tables must be rectangular: %d elements are expected at level %d, not %d', sizes[level], level, #t)
    end
    for k = 1, #t do
        local v = t[k]
        if level < #sizes then
            if luaType(v) ~= 'table' then
                fail('a table of tables must be rectangular: a %s stands among tables', class.type(v))
            end
            at = place(v, level + 1, sizes, data, at)
        else
            if luaType(v) == 'boolean' then v = v and 1 or 0 end
            if luaType(v) ~= 'number' and not (luaType(v) == 'cdata' and tonumber(v)) then
                fail('a tensor holds numbers, not a %s (element %d)', class.type(v), k)
            end
            data[at] = v
            at = at + 1
        end
    end
    return at
end

-- A tensor with a nested table's values.
function M.fromTable(t, type, device)
    local sizes = tableShape(t)
    local x = raw.empty(type.dtype, sizes, device)
    local data = hostType(type).array(math.max(tensor.count(x), 1))
    place(t, 1, sizes, data, 0)
    return write(x, data)
end

-- A nested table of x's values; a 0-dim tensor gives its number.
function Tensor.totable(x)
    local data, n, type = read(x)
    if x._t.ndim == 0 then return value(data, 0, type) end
    local sizes = tensor.shapeOf(x)
    local function nest(level, at)
        local out = {}
        local stride = 1
        for k = level + 1, #sizes do stride = stride * sizes[k] end
        for k = 1, sizes[level] do
            local from = at + (k - 1) * stride
            if level == #sizes then
                out[k] = value(data, from, type)
            else
                out[k] = nest(level + 1, from)
            end
        end
        return out
    end
    return n == 0 and {} or nest(1, 0)
end
Tensor.tolist = Tensor.totable

-- ---- loops -------------------------------------------------------------------------------------------------------------

local function callable(f, what)
    if luaType(f) ~= 'function' then fail('%s: a function is expected, not a %s', what, class.type(f)) end
    return f
end

-- read()'s array, to store results through.
local function assignable(data, type) return type.kind == 'bool' and ffi.cast('bool *', data) or data end

-- x[i] = f(x[i]) in logical order; where f returns nil the element stays.
function Tensor.apply(x, f)
    callable(f, 'apply')
    local data, n, type = read(x)
    local out = assignable(data, type)
    for k = 0, n - 1 do
        local new = f(value(data, k, type))
        if new ~= nil then out[k] = new end
    end
    return write(x, data)
end

local function sameCount(x, y, what)
    if tensor.count(x) ~= tensor.count(y) then
        fail('%s: the tensors have %d and %d elements', what, tensor.count(x), tensor.count(y))
    end
end

-- x[i] = f(x[i], y[i])
function Tensor.map(x, y, f)
    sameCount(x, tensor.expect(y, 'map', 2), 'map')
    callable(f, 'map')
    local data, n, type = read(x)
    local other, _, otherType = read(y)
    local out = assignable(data, type)
    for k = 0, n - 1 do
        local new = f(value(data, k, type), value(other, k, otherType))
        if new ~= nil then out[k] = new end
    end
    return write(x, data)
end

-- x[i] = f(x[i], y[i], z[i])
function Tensor.map2(x, y, z, f)
    sameCount(x, tensor.expect(y, 'map2', 2), 'map2')
    sameCount(x, tensor.expect(z, 'map2', 3), 'map2')
    callable(f, 'map2')
    local data, n, type = read(x)
    local second, _, secondType = read(y)
    local third, _, thirdType = read(z)
    local out = assignable(data, type)
    for k = 0, n - 1 do
        local new = f(value(data, k, type), value(second, k, secondType), value(third, k, thirdType))
        if new ~= nil then out[k] = new end
    end
    return write(x, data)
end

M.hostType = hostType
return M
