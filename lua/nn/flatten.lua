-- flatten.lua: all parameters of a model as one vector (Torch7's getParameters), sharing, and conversion of types and
-- devices.
local ffi = require 'ffi'
local base = require 'dlrun.ffi'
local ops = require 'torch.ops'
local raw = require 'torch.raw'
local shapeOf = require 'torch.resize'.fullShape
local children = require 'nn.children'

local C = base.C
local Module = nn.Module

-- A name for the memory a tensor sees: tensors that share all of it are one parameter.
local function memoryKey(x)
    local t = x._t
    local storage = tostring(ffi.cast('uintptr_t', t.storage))
    return ('%s+%s:%s'):format(storage, tostring(t.byte_offset), table.concat(shapeOf(x), 'x'))
end

local function stridesOf(sizes)
    local strides, stride = {}, 1
    for k = #sizes, 1, -1 do
        strides[k] = stride
        stride = stride * sizes[k]
    end
    return strides
end

-- Moves tensors into one new vector; each object stays, seeing its part. Parameters always lie contiguous in logical order.
local function flatten(tensors)
    local place, total = {}, 0
    for _, x in ipairs(tensors) do
        local key = memoryKey(x)
        if not place[key] then
            place[key] = total
            total = total + tonumber(C.dl_tensor_count(x._t))
        end
    end
    local first = tensors[1]
    local flat = raw.empty(first._t.type, {total}, C.dl_device_of(first._t))
    local bytes = C.dl_dtype_bytes(first._t.type)
    local keys = {}
    for k, x in ipairs(tensors) do keys[k] = memoryKey(x) end
    for k, x in ipairs(tensors) do
        local sizes = shapeOf(x)
        local view = raw.on(flat._t.storage, first._t.type, place[keys[k]] * bytes, sizes, stridesOf(sizes))
        ops.into.copy(view, x)
        x:set(view)
    end
    return flat
end

--- params, gradParams = model:getParameters(): two vectors that hold all parameters and all gradients; the modules' tensors
-- become views of them. To be called once, before training; later calls make new vectors.
function Module:getParameters()
    local params, grads
    self:_rebinding(function()
        local p, g = self:parameters()
        if not p then
            params, grads = torch.Tensor(), torch.Tensor()
            return
        end
        local type_ = p[1]._t.type
        for k = 2, #p do
            if p[k]._t.type ~= type_ then
                base.fail('getParameters: parameters have different types: %s, %s', p[1]:type(), p[k]:type())
            end
        end
        torch.noGrad(function() params, grads = flatten(p), flatten(g) end)
    end)
    return params, grads
end
Module._flattenTensorBuffer = {}

function Module.flatten(parameters) return flatten(parameters) end

local function share(mine, theirs, names)
    for _, name in ipairs(names) do
        local a, b = rawget(mine, name), rawget(theirs, name)
        if raw.isTensor(a) and raw.isTensor(b) then a:set(raw.detach(b)) end
    end
    local others = {}
    for _, child in children.each(theirs) do others[#others + 1] = child end
    local k = 0
    for _, child in children.each(mine) do
        k = k + 1
        if others[k] then share(child, others[k], names) end
    end
end

--- a:share(b, 'weight', 'bias', …): a's fields, and those of all below it, see b's memory from now on.
function Module:share(other, ...)
    self:_rebinding(share, self, other, {...})
    return self
end

--- model:type([name]): reads or changes the type of all tensors in the model; the parameter objects stay the same.
-- model:float(), model:double(); model:to(device or name).
function Module:type(name, cache)
    if not name then return self._type end
    self:_rebinding(function() require 'nn.convert'(self, name, cache) end)
    self:apply(function(m) rawset(m, '_type', name) end)
    return self
end

function Module:float() return self:type 'torch.FloatTensor' end
function Module:double() return self:type 'torch.DoubleTensor' end
function Module:half() return self:type 'torch.HalfTensor' end

--- model:to(device): moves parameters and buffers; the objects stay the same, so an optimizer stays valid.
function Module:to(device)
    if type(device) == 'string' and device:match '^torch%.' then return self:type(device) end
    self:_rebinding(function()
        require 'nn.convert'(self, function(x) return x:to(device) end)
    end)
    return self
end
