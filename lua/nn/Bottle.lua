-- Bottle.lua: a module for batches applied to more dimensions.
local base = require 'dlrun.ffi'
local children = require 'nn.children'
local ops = require 'torch.ops'
local path = require 'nn.path'
local raw = require 'torch.raw'
local shapeOf = require 'torch.resize'.fullShape

--- nn.Bottle(module [, nInputDim = 2 [, nOutputDim = nInputDim]]): joins the leading dimensions of an input with more than
-- nInputDim to one batch for the module, whose output has nOutputDim dimensions, and takes them apart again.
local Bottle, parent = torch.class('nn.Bottle', 'nn.Container')

local function dims(what, n)
    if type(n) ~= 'number' or n < 1 or n % 1 ~= 0 then
        base.fail('nn.Bottle: %s must be a whole number from 1 up, not %s', what, tostring(n))
    end
    return n
end

function Bottle:__init(module, nInputDim, nOutputDim)
    parent.__init(self)
    if not children.isModule(module) then base.fail('nn.Bottle wants a module, got %s', torch.type(module)) end
    self.nInputDim = dims('nInputDim', nInputDim or 2)
    self.nOutputDim = dims('nOutputDim', nOutputDim or self.nInputDim)
    self:add(module)
end

-- x with its leading dimensions as one, so that n remain; and those dimensions.
local function joined(x, n)
    if not raw.isTensor(x) then base.fail('expected a tensor, got %s', torch.type(x)) end
    local shape = shapeOf(x)
    local ahead, batch = {}, 1
    for k = 1, #shape - n + 1 do
        ahead[k] = shape[k]
        batch = batch * shape[k]
    end
    if #ahead < 2 then return x, nil end
    return ops.reshape(x, {batch, unpack(shape, #ahead + 1)}), ahead
end

-- The inverse of `joined` for y, whose first dimension is the batch.
local function parted(y, ahead)
    if not ahead then return y end
    local shape, behind = {unpack(ahead)}, shapeOf(y)
    for k = 2, #behind do shape[#shape + 1] = behind[k] end
    return ops.reshape(y, shape)
end

function Bottle:compute(x)
    local flat, ahead = joined(x, self.nInputDim)
    return parted(self.modules[1](flat), ahead)
end

function Bottle:updateOutput(x)
    local depth = path.enter(self)
    local flat, ahead = joined(x, self.nInputDim)
    rawset(self, 'output', parted(self.modules[1]:updateOutput(flat), ahead))
    return path.leave(depth, self.output)
end

-- Calls the module's method of this name with the batch and its gradient.
local function backwards(self, name, x, g, ...)
    local depth = path.enter(self)
    local flat, ahead = joined(x, self.nInputDim)
    local flatGrad = ahead and joined(g, self.nOutputDim) or g
    local module = self.modules[1]
    local gradInput = module[name](module, flat, flatGrad, ...)
    if raw.isTensor(gradInput) then rawset(self, 'gradInput', parted(gradInput, ahead)) end
    return path.leave(depth, self.gradInput)
end

function Bottle:updateGradInput(x, g) return backwards(self, 'updateGradInput', x, g) end
function Bottle:backward(x, g, scale) return backwards(self, 'backward', x, g, scale or 1) end
function Bottle:accGradParameters(x, g, scale) backwards(self, 'accGradParameters', x, g, scale or 1) end
function Bottle:accUpdateGradParameters(x, g, lr) backwards(self, 'accUpdateGradParameters', x, g, lr) end

return Bottle
