-- construct.lua: making tensors: torch.Tensor and its kin, zeros, ones, full, eye, ranges; copies and conversions.
local ffi = require 'ffi'
local base = require 'dlrun.ffi'
local class = require 'torch.class'
local host = require 'torch.host'
local options = require 'torch.options'
local ops = require 'torch.ops'
local raw = require 'torch.raw'
local resize = require 'torch.resize'
local storage = require 'torch.storage'
local tensor = require 'torch.tensor'
local types = require 'torch.types'

local C = base.C
local fail = base.fail
local luaType = type
local Tensor = tensor.Tensor
local isTensor = raw.isTensor

local M = {}
local F = {} -- torch.*
M.functions = F

-- ---- torch.FloatTensor(...) --------------------------------------------------------------------------------------------

local function product(sizes)
    local n = 1
    for k = 1, #sizes do n = n * sizes[k] end
    return n
end

-- torch.Tensor(0) and torch.Tensor(0, 5) are empty, as in Torch7; so are they all the same.
local function uninitialised(type, sizes, device)
    for k = 1, #sizes do
        if luaType(sizes[k]) ~= 'number' or sizes[k] < 0 or sizes[k] % 1 ~= 0 then
            fail('%s: size %d must be a whole number of at least 0, not %s', type.tensorName, k, tostring(sizes[k]))
        end
    end
    if #sizes == 0 or (#sizes == 1 and sizes[1] == 0) then sizes = {0} end
    return raw.empty(type.dtype, sizes, device)
end

-- (storage [, offset [, sizes LongStorage [, strides]]]) or (storage, offset, size1, stride1, size2, stride2 …)
local function onStorage(type, s, offset, sizes, ...)
    if storage.typeOf(s) ~= type then fail('%s: the storage is a %s', type.tensorName, storage.typeOf(s).storageName) end
    if ffi.istype('dl_lua_sizes', s) then s = storage.construct(type, s) end
    offset = offset or 1
    if sizes == nil then return raw.on(s._s, type.dtype, (offset - 1) * type.bytes, {math.max(s:size() - offset + 1, 0)}) end
    local shape, strides
    if luaType(sizes) == 'number' then
        local list = {sizes, ...}
        shape, strides = {}, {}
        for k = 1, #list, 2 do shape[#shape + 1], strides[#strides + 1] = list[k], list[k + 1] end
        for k = #shape, 1, -1 do -- a stride left out, or negative: contiguous behind
            if not strides[k] or strides[k] < 0 then strides[k] = k == #shape and 1 or strides[k + 1] * shape[k + 1] end
        end
    else
        shape = storage.integers(sizes)
        strides = ... and storage.integers(...) or nil
        if strides and #strides ~= #shape then strides = nil end
    end
    local needed = offset - 1
    for k = 1, #shape do needed = needed + (strides and (shape[k] - 1) * strides[k] or 0) end
    needed = strides and needed + 1 or needed + product(shape)
    if needed > s:size() then s:resize(needed) end
    return raw.on(s._s, type.dtype, (offset - 1) * type.bytes, shape, strides)
end

function M.make(type, device, first, ...)
    if first == nil then return raw.empty(type.dtype, {0}, device) end
    if luaType(first) == 'number' then return uninitialised(type, {first, ...}, device) end
    if isTensor(first) then
        if first._t.type == type.dtype then return raw.alias(first) end
        return raw.to(first, nil, type.dtype)
    end
    if storage.isStorage(first) then
        local isSize = storage.typeOf(first) == types.byName.Long and (type.name ~= 'int64' or storage.isStorage((...)))
        if isSize then return uninitialised(type, storage.integers(first), device) end
        return onStorage(type, first, ...)
    end
    if luaType(first) == 'table' then return host.fromTable(first, type, device) end
    fail('%s: sizes, a table, a tensor or a storage are expected, not a %s', type.tensorName, class.type(first))
end

function tensor.construct(type, ...) return M.make(type, storage.cpu(), ...) end

-- torch.Tensor(...): the default type, on the default device.
function F.Tensor(...) return M.make(types.default, nil, ...) end

-- torch.tensor(values [, {dtype=, device=, requiresGrad=}])
function F.tensor(values, given)
    local want = options.take('torch.tensor', given, {'dtype', 'device', 'requiresGrad'})
    local x
    if isTensor(values) then
        x = ops.copy(raw.detach(values))
        if want.dtype or want.device then x = raw.to(x, want.device, want.dtype and want.dtype.dtype) end
    else
        local leaf = values
        while luaType(leaf) == 'table' do leaf = leaf[1] end
        local type = want.dtype or (luaType(leaf) == 'boolean' and types.byName.Bool) or types.default
        if luaType(values) == 'table' then
            x = host.fromTable(values, type, want.device)
        else
            local number = tensor.number(values, nil, 'torch.tensor')
            x = raw.empty(type.dtype, {}, want.device)
            local data = host.hostType(type).array(1)
            data[0] = number
            host.write(x, data)
        end
    end
    if want.requiresGrad then base.check(C.dl_requires_grad(x._t, 1)) end
    return x
end

-- ---- filled ------------------------------------------------------------------------------------------------------------

local none = {}

function Tensor.fill(x, value) return ops.into.full(x, none, tensor.number(value, x, 'fill')) end
function Tensor.zero(x) return ops.into.full(x, none, 0) end

-- Sizes given as numbers, a LongStorage or a table, then perhaps an options table.
local function sizesAndOptions(what, first, ...)
    local n = select('#', ...)
    local last = n > 0 and (select(n, ...)) or nil
    local given = luaType(last) == 'table' and last or nil
    local list
    if luaType(first) == 'number' then
        list = {first, ...}
        if given then list[#list] = nil end
    else
        list = storage.integers(first)
    end
    return list, options.take(what, given, {'dtype', 'device', 'requiresGrad'})
end

local function asked(x, want)
    if want.requiresGrad then base.check(C.dl_requires_grad(x._t, 1)) end
    return x
end

-- A torch.* function and a method that make a tensor of given sizes: fill(x) sets the elements.
local function sized(name, fill)
    F[name] = function(first, ...)
        if isTensor(first) then
            resize.to(first, (sizesAndOptions(name, ...)))
            return fill(first)
        end
        local sizes, want = sizesAndOptions(name, first, ...)
        return asked(fill(uninitialised(want.dtype or types.default, sizes, want.device)), want)
    end
    Tensor[name] = function(x, first, ...)
        resize.to(x, (sizesAndOptions(name, first, ...)))
        return fill(x)
    end
end

sized('zeros', Tensor.zero)
sized('ones', function(x) return Tensor.fill(x, 1) end)
sized('rand', function(x) return x:uniform(0, 1) end)
sized('randn', function(x) return x:normal(0, 1) end)
sized('empty', function(x) return x end)

-- torch.full({2, 3}, value) or torch.full(2, 3, value)
function F.full(...)
    local list = {...}
    local given = luaType(list[#list]) == 'table' and #list > 1 and table.remove(list) or nil
    local value = table.remove(list)
    local want = options.take('torch.full', given, {'dtype', 'device', 'requiresGrad'})
    local x = uninitialised(want.dtype or types.default, storage.integers(unpack(list)), want.device)
    return asked(Tensor.fill(x, value), want)
end

-- As x in shape, type and device.
local function like(x) return raw.empty(x._t.type, tensor.shapeOf(x), raw.device(x)) end
M.like = like
for name, fill in pairs {zerosLike = Tensor.zero, onesLike = function(x) return Tensor.fill(x, 1) end,
    emptyLike = function(x) return x end, randLike = function(x) return x:uniform(0, 1) end,
    randnLike = function(x) return x:normal(0, 1) end} do
    F[name] = function(x) return fill(like(tensor.expect(x, 'torch.' .. name, 1))) end
end
function F.fullLike(x, value) return Tensor.fill(like(tensor.expect(x, 'torch.fullLike', 1)), value) end

-- ---- sequences ---------------------------------------------------------------------------------------------------------

-- Splits ([res,] arguments… [, {options}]): the result tensor or nil, the options, and the arguments as an array.
local function resultFirst(what, ...)
    local list = {...}
    local res = isTensor(list[1]) and table.remove(list, 1) or nil
    local given = luaType(list[#list]) == 'table' and table.remove(list) or nil
    return res, options.take(what, given, {'dtype', 'device', 'requiresGrad'}), list
end

-- Registers torch.name([res,] …) and x:name(…); sizes(arguments) gives the shape, fill(x, arguments) the elements.
local function sequence(name, sizes, fill)
    local function run(...)
        local res, want, list = resultFirst('torch.' .. name, ...)
        local shape = sizes(list)
        if res then
            resize.to(res, shape)
        else
            res = uninitialised(want.dtype or types.default, shape, want.device)
        end
        if tensor.count(res) > 0 then fill(res, list) end
        return asked(res, want)
    end
    F[name], Tensor[name] = run, run
end

local function numbers(what, list, n)
    for k = 1, n do
        if luaType(list[k]) ~= 'number' then
            fail('torch.%s: argument %d must be a number, not a %s', what, k, class.type(list[k]))
        end
    end
end

local function steps(what, first, last, step)
    if step == 0 then fail('torch.%s: the step must not be 0', what) end
    if (last - first) / step < 0 then fail('torch.%s: from %g to %g with step %g never arrives', what, first, last, step) end
    return (last - first) / step
end

sequence('range', function(list)
    list[3] = list[3] or 1
    numbers('range', list, 3)
    return {math.floor(steps('range', list[1], list[2], list[3])) + 1}
end, function(x, list) ops.into.arange(x, list[1], list[3], tensor.count(x), x._t.type) end)

sequence('arange', function(list)
    if #list == 1 then list[1], list[2] = 0, list[1] end
    list[3] = list[3] or 1
    numbers('arange', list, 3)
    return {math.ceil(steps('arange', list[1], list[2], list[3]))}
end, function(x, list) ops.into.arange(x, list[1], list[3], tensor.count(x), x._t.type) end)

local function lineCount(what)
    return function(list)
        numbers(what, list, 2)
        local n = tensor.whole(list[3] or 100, 1, 'torch.' .. what, 'the number of points')
        if n == 1 and list[1] ~= list[2] then fail('torch.%s: one point cannot reach from %g to %g', what, list[1], list[2]) end
        return {n}
    end
end

-- Computed on the host in f64, so that both ends are exact.
local function line(map)
    return function(x, list)
        local n = tensor.count(x)
        local data = host.hostType(tensor.typeOf(x)).array(n)
        local first, last = list[1], list[2]
        for k = 0, n - 1 do data[k] = map(k == n - 1 and last or first + k * (last - first) / (n - 1)) end
        host.write(x, data)
    end
end

sequence('linspace', lineCount 'linspace', line(function(v) return v end))
sequence('logspace', lineCount 'logspace', line(function(v) return 10 ^ v end))

sequence('eye', function(list)
    list[2] = list[2] or list[1]
    numbers('eye', list, 2)
    return {list[1], list[2]}
end, function(x, list) ops.into.eye(x, list[1], list[2], x._t.type) end)

-- ---- copies and conversions --------------------------------------------------------------------------------------------

function Tensor.clone(x) return ops.copy(x) end
function Tensor.contiguous(x) return Tensor.isContiguous(x) and x or ops.copy(x) end

-- x:copy(y): y's elements, converted; equal element counts pair whatever the shapes, else y broadcasts.
function Tensor.copy(x, y)
    tensor.expect(y, 'copy', 2)
    if raw.device(x) ~= raw.device(y) then y = raw.to(y, raw.device(x)) end
    return ops.into.copy(x, resize.paired(y, x))
end

local function device(name)
    local out = ffi.new 'dl_device *[1]'
    base.check(C.dl_device_open(name, out))
    return out[0]
end

-- x:to(device), (dtype), (device, dtype), (tensor): itself if nothing changes.
function Tensor.to(x, first, second)
    local where, type
    for _, want in ipairs {first, second} do
        if isTensor(want) then
            where, type = raw.device(want), tensor.typeOf(want)
        elseif types.byName[want] then
            type = types.byName[want]
        elseif luaType(want) == 'string' then
            where = device(want)
        else
            fail('to: a device, a type or a tensor is expected, not a %s', class.type(want))
        end
    end
    if (not where or where == raw.device(x)) and (not type or type.dtype == x._t.type) then return x end
    return raw.to(x, where, type and type.dtype)
end

-- x:type() is the type's name, x:type(name) a conversion.
function Tensor.type(x, name)
    if name == nil then return tensor.typeOf(x).tensorName end
    if name == 'torch.Tensor' then name = types.default.tensorName end
    local type = types.byName[name]
    if not type then fail("type: there is no tensor type '%s'", tostring(name)) end
    return Tensor.to(x, type.name)
end

function Tensor.typeAs(x, y) return Tensor.type(x, Tensor.type(tensor.expect(y, 'typeAs', 2))) end
for _, type in ipairs(types.list) do
    Tensor[type.method] = function(x) return Tensor.to(x, type.name) end
end
function Tensor.real(x) return Tensor.to(x, types.default.name) end
function Tensor.cpu(x) return Tensor.to(x, 'cpu') end
function Tensor.cuda(x) return Tensor.to(x, 'cuda') end
function Tensor.cl(x) return Tensor.to(x, 'opencl') end

return M
