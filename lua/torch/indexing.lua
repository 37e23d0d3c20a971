-- indexing.lua: x[i], x[{i, {j, k}, {}}], x[mask], x[indices], and assignment to each.
local ffi = require 'ffi'
local base = require 'dlrun.ffi'
local class = require 'torch.class'
local ops = require 'torch.ops'
local raw = require 'torch.raw'
local storage = require 'torch.storage'
local tensor = require 'torch.tensor'
local types = require 'torch.types'

local C = base.C
local fail = base.fail
local luaType = type
local isTensor = raw.isTensor
local Tensor = tensor.Tensor

local M = {}
local position = ffi.new('int64_t[?]', C.DL_MAX_DIMS)
local element = ffi.new 'double[1]'

-- ---- single elements ---------------------------------------------------------------------------------------------------

-- Is a read of x to be recorded, so that a number will not do?
local function onTape(x) return x._t.var ~= nil and C.dl_grad_enabled() ~= 0 and C.dl_is_recorded(x._t) ~= 0 end

-- An index from 1 (or -1 for the last) as the library's, checked against the size of dimension d (from 0).
local function place(x, d, i)
    local n = tonumber(x._t.shape[d])
    if i % 1 ~= 0 then fail('index %s of dimension %d is no whole number', tostring(i), d + 1) end
    local k = i < 0 and n + i or i - 1
    if i == 0 then fail('indices start at 1 (and -1 is the last); 0 was given for dimension %d of size %d', d + 1, n) end
    if k < 0 or k >= n then fail('index %d is out of range: dimension %d has size %d', i, d + 1, n) end
    return k
end

-- Elements beyond 2^53 keep their bits as int64; Bool elements are Lua booleans.
local function getElement(x)
    base.check(C.dl_element_get(x._t, position, element))
    if x._t.type == C.DL_BOOL then return element[0] ~= 0 end
    return element[0]
end

local function setElement(x, value)
    if luaType(value) == 'boolean' then value = value and 1 or 0 end
    if luaType(value) ~= 'number' then value = tensor.number(value, nil, 'x[i] = value') end
    base.check(C.dl_element_set(x._t, position, tonumber(value)))
end

-- ---- regions: x[{…}] ---------------------------------------------------------------------------------------------------

-- {a, b} or {a} of dimension d as start (from 0) and length.
local function range(x, d, spec)
    local n = tonumber(x._t.shape[d])
    if #spec == 0 then return 0, n end
    if #spec > 2 then fail('a range is {}, {first} or {first, last}, not a table of %d', #spec) end
    local first = place(x, d, spec[1])
    local last = spec[2] and place(x, d, spec[2]) or first
    if last < first then
        fail('range {%d, %d} of dimension %d ends before it begins', spec[1], spec[2], d + 1)
    end
    return first, last - first + 1
end

-- The view that x[spec] names.
local function region(x, spec)
    local dims = tensor.dim(x)
    if #spec > dims then fail('%d indices for a tensor of %d dimensions', #spec, dims) end
    local d = 0
    for k = 1, #spec do
        local s = spec[k]
        if luaType(s) == 'number' then
            x = ops.select(x, d, place(x, d, s))
        elseif luaType(s) == 'table' then
            local first, length = range(x, d, s)
            if #s > 0 then x = ops.slice(x, d, first, length) end
            d = d + 1
        else
            fail('index %d must be a number or a range {first, last}, not a %s', k, class.type(s))
        end
    end
    return x
end

-- Is spec one number for each dimension of x? Then it is in `position`.
local function isElement(x, spec)
    if #spec ~= x._t.ndim or #spec == 0 then return false end
    for k = 1, #spec do if luaType(spec[k]) ~= 'number' then return false end end
    for k = 1, #spec do position[k - 1] = place(x, k - 1, spec[k]) end
    return true
end

-- ---- masks and lists of indices ----------------------------------------------------------------------------------------

local function isMask(key)
    local kind = types.byDtype[key._t.type]
    return kind.name == 'uint8' or kind.kind == 'bool'
end

-- Indices from 1 as the library's int64 from 0.
local function fromZero(indices)
    local long = indices._t.type == C.DL_I64 and indices or raw.to(raw.detach(indices), nil, C.DL_I64)
    return ops.add_scalar(long, -1)
end
M.fromZero = fromZero

local function bool(mask) return mask._t.type == C.DL_BOOL and mask or ops.copy(mask, C.DL_BOOL) end
M.bool = bool

-- ---- x[key] ------------------------------------------------------------------------------------------------------------

local function requireDims(x)
    if tensor.dim(x) == 0 then fail('a tensor with no dimension cannot be indexed; x:item() is its value') end
end

function tensor.indexing.get(x, key)
    local kind = luaType(key)
    if kind == 'number' then
        requireDims(x)
        local k = place(x, 0, key)
        if x._t.ndim > 1 or onTape(x) then return ops.select(x, 0, k) end
        position[0] = k
        return getElement(x)
    end
    if storage.isStorage(key) then key, kind = key:totable(), 'table' end
    if kind == 'table' then
        requireDims(x)
        if not onTape(x) and isElement(x, key) then return getElement(x) end
        return region(x, key)
    end
    if isTensor(key) then
        if isMask(key) then return x:maskedSelect(key) end
        return x:index(1, key)
    end
    fail('a tensor is indexed by a number, a table, a mask or indices, not by a %s', class.type(key))
end

-- x[region] = value
local function assign(view, value)
    if isTensor(value) then return Tensor.copy(view, value) end
    if luaType(value) == 'table' then return Tensor.copy(view, tensor.classes[view._t.type].new(value)) end
    return Tensor.fill(view, value)
end

function tensor.indexing.set(x, key, value)
    local kind = luaType(key)
    local single = not isTensor(value) and luaType(value) ~= 'table' and not onTape(x)
    if kind == 'number' then
        requireDims(x)
        local k = place(x, 0, key)
        if x._t.ndim > 1 or not single then return assign(ops.select(x, 0, k), value) end
        position[0] = k
        return setElement(x, value)
    end
    if storage.isStorage(key) then key, kind = key:totable(), 'table' end
    if kind == 'table' then
        requireDims(x)
        if single and isElement(x, key) then return setElement(x, value) end
        return assign(region(x, key), value)
    end
    if not isTensor(key) then
        fail('a tensor is indexed by a number, a table, a mask or indices, not by a %s', class.type(key))
    end
    if isMask(key) then
        if isTensor(value) then return x:maskedCopy(key, value) end
        return x:maskedFill(key, value)
    end
    if isTensor(value) then return x:indexCopy(1, key, value) end
    return x:indexFill(1, key, value)
end

return M
