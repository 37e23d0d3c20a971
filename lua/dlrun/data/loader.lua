-- loader.lua: passes over a dataset in batches. A dataset is anything with ds[i] = {x, y} and ds:size(); one with ds:gather
-- (see tensors.lua) and no transform of single samples gives a whole batch in one index operation.
local ffi = require 'ffi'
local base = require 'dlrun.ffi'
local C = base.C

local Loader = {}

-- Tensors of one batch from single samples: tensors are stacked, whole numbers become a Long tensor.
local function stack(values)
    if torch.isTensor(values[1]) then return torch.stack(values, 1) end
    for _, v in ipairs(values) do
        if v % 1 ~= 0 then return torch.tensor(values) end
    end
    return torch.LongTensor(values)
end

local function collate(ds, order, first, count)
    local xs, ys = {}, {}
    for k = 1, count do
        local sample = ds[order and order[first + k - 1] or first + k - 1]
        xs[k], ys[k] = sample[1], sample[2]
    end
    return stack(xs), stack(ys)
end

local function toDefaultDevice(x)
    local device = C.dl_default_device()
    if device == C.dl_device_of(x._t) then return x end
    return x:to(ffi.string(C.dl_device_name(device)))
end

-- The next batch of a pass, nothing at its end.
local function step(loader, pass)
    local ds, first = loader.dataset, pass.next
    local count = math.min(loader.batchSize, loader.size - first + 1)
    if count < (loader.dropLast and loader.batchSize or 1) then return nil end
    pass.next = first + count
    local x, y
    if ds.gather and not ds.transform then
        x, y = ds:gather(pass.order and pass.order:narrow(1, first, count), first, count)
    else
        x, y = collate(ds, pass.order, first, count)
    end
    x, y = toDefaultDevice(x), toDefaultDevice(y)
    if loader.transform then return loader.transform(x, y) end
    return x, y
end

-- The order of the samples lies in the CPU's memory, where single numbers of it are read at no cost.
local function start(loader)
    return {next = 1, order = loader.shuffle and torch.randperm(torch.LongTensor(), loader.size) or nil}
end

-- loader() is a new pass for `for x, y in loader() do`; `for x, y in loader do` calls loader(nil, previous x), whose pass is
-- found by that x, so that loops over one loader may be nested.
local function call(self, ...)
    local loader = Loader.of[self]
    if select('#', ...) == 0 then
        local pass = start(loader)
        return function() return step(loader, pass) end
    end
    local _, previous = ...
    local pass = start(loader)
    if previous ~= nil then pass = loader.passes[previous] end
    local x, y = step(loader, pass)
    if x ~= nil then loader.passes[x] = pass end
    return x, y
end

Loader.of = setmetatable({}, {__mode = 'k'})

local function length(self)
    local loader = Loader.of[self]
    local batches = loader.size / loader.batchSize
    return loader.dropLast and math.floor(batches) or math.ceil(batches)
end

-- A userdata, because LuaJIT asks a table's metatable for no length.
local prototype = newproxy(true)
local meta = getmetatable(prototype)
meta.__call = call
meta.__len = length
meta.__tostring = function(self) return ('loader of %d batches of %d'):format(length(self), Loader.of[self].batchSize) end
function meta.__index(self, key) return Loader.of[self][key] end

-- given: {batchSize = 1, shuffle = false, dropLast = false, transform = function(x, y) of a batch -> x, y}.
return function(ds, given)
    given = require 'torch.options'.take('data.loader', given, {'batchSize', 'shuffle', 'dropLast', 'transform'})
    local batchSize = given.batchSize or 1
    if type(batchSize) ~= 'number' or batchSize % 1 ~= 0 or batchSize < 1 then
        error(('data.loader: batchSize must be a whole number from 1 up, not %s'):format(tostring(batchSize)), 2)
    end
    local self = newproxy(prototype)
    Loader.of[self] = {
        dataset = ds, batchSize = batchSize, shuffle = given.shuffle, dropLast = given.dropLast, transform = given.transform,
        size = ds:size(), passes = setmetatable({}, {__mode = 'k'}),
    }
    return self
end
