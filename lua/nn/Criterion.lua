-- Criterion.lua: losses. compute(input, target) is written once; criterion(input, target) is a 0-dim tensor on the tape,
-- criterion:forward a number and criterion:backward its gradient, as in Torch7.
local base = require 'dlrun.ffi'
local raw = require 'torch.raw'
local ops = require 'torch.ops'
local autograd = require 'torch.autograd'
local children = require 'nn.children'
local tape = require 'nn.tape'

local C = base.C
local isTensor = raw.isTensor

local Criterion = torch.class 'nn.Criterion'
Criterion.__newindex__ = children.note

--- nn.Criterion(): the parent of all losses. Fields: output (number), gradInput.
function Criterion:__init()
    self.gradInput = torch.Tensor()
    self.output = 0
end

local function checkArguments(self, input, target)
    if input == nil or target == nil then
        base.fail('%s wants (input, target); got (%s, %s)', torch.typename(self), torch.type(input), torch.type(target))
    end
end

local function followedTensor(target, leader)
    if not leader or leader._t.storage == nil or target._t.storage == nil then return target end
    local device = C.dl_device_of(leader._t)
    return C.dl_device_of(target._t) == device and target or raw.to(target, device, nil)
end

-- The target, on the device of the input: one that lies elsewhere moves by itself. Tables: each tensor to its own input, or to
-- the first where there are not as many.
local function followed(target, input)
    if isTensor(target) then
        return followedTensor(target, isTensor(input) and input or tape.flatten(input)[1])
    elseif type(target) ~= 'table' then
        return target
    end
    local moved, own, same = {}, type(input) == 'table' and #input == #target, true
    for k, t in pairs(target) do
        moved[k] = followed(t, own and input[k] or input)
        same = same and rawequal(moved[k], t)
    end
    return same and target or moved
end

-- Is this class written in Torch7's way, with updateOutput and updateGradInput of its own?
local function isClassic(self) return self.compute == nil end

local function noCompute(self)
    base.fail('%s has no compute(input, target), nor updateOutput and updateGradInput', torch.typename(self))
end

-- A classic criterion is one node of the tape.
local function callClassic(self, input, target)
    if self.updateOutput == Criterion.updateOutput then noCompute(self) end
    local value = torch.noGrad(self.updateOutput, self, input, target)
    local loss = isTensor(value) and value or torch.tensor(value)
    local inputs = tape.flatten(input)
    autograd.record(torch.typename(self), inputs, {loss}, function(grads)
        return torch.noGrad(function()
            local gi = tape.flatten(self:updateGradInput(input, target))
            for k = 1, #gi do gi[k] = ops.mul(gi[k], grads[1]) end
            return gi
        end)
    end)
    return loss
end

--- loss = criterion(input, target): a 0-dim tensor; loss:backward() gives the gradients.
function Criterion:__call__(input, target)
    checkArguments(self, input, target)
    if self.forward ~= Criterion.forward then return self:forward(input, target) end -- written in PyTorch's way
    if isClassic(self) then return callClassic(self, input, target) end
    return self:compute(input, followed(target, input))
end

--- value = criterion:forward(input, target): a Lua number; also criterion.output.
function Criterion:forward(input, target)
    checkArguments(self, input, target)
    return self:updateOutput(input, target)
end

-- A number that changes when the target's tensors are written.
local function versions(target)
    local total = 0
    for _, t in ipairs(tape.flatten(target)) do total = total + tonumber(C.dl_storage_version(t._t.storage)) end
    return total
end

function Criterion:updateOutput(input, target)
    if isClassic(self) then noCompute(self) end
    local loss
    local moved = followed(target, input)
    loss, self._segment = tape.record(function(x) return self:compute(x, moved) end, input, {})
    self._target, self._versions = target, versions(target)
    self.output = loss:item()
    return self.output
end

--- gradInput = criterion:backward(input, target)
function Criterion:backward(input, target)
    checkArguments(self, input, target)
    return self:updateGradInput(input, target)
end

local function one(loss)
    local unit, device = ops.full({}, 1), C.dl_device_of(loss._t)
    return C.dl_device_of(unit._t) == device and unit or raw.to(unit, device, nil)
end

function Criterion:updateGradInput(input, target)
    local segment = rawget(self, '_segment')
    -- a segment belongs to one target: Torch7 may be asked for the gradient of another, or without a forward
    if not segment or not rawequal(self._target, target) or self._versions ~= versions(target) then
        self:updateOutput(input, target)
        segment = self._segment
    end
    local grads = tape.backward(segment, input, {}, one(segment.outputs[1]), true, false)
    local inputs = tape.flatten(input)
    for k = 1, #inputs do grads[k] = grads[k] or tape.zerosLike(inputs[k]) end
    local result = tape.rebuild(input, grads)
    return tape.store(self, 'gradInput', result)
end

function Criterion:type(type_, cache)
    if not type_ then return self._type or torch.getdefaulttensortype() end
    rawset(self, '_type', type_)
    return require 'nn.convert'(self, type_, cache)
end
function Criterion:float() return self:type 'torch.FloatTensor' end
function Criterion:double() return self:type 'torch.DoubleTensor' end

function Criterion:clone() return require 'nn.clone'(self) end

function Criterion:__tostring__() return torch.typename(self) end

return Criterion
