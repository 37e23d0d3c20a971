-- PReLU.lua: He et al., "Delving deep into rectifiers", ICCV 2015.
local base = require 'dlrun.ffi'
local ops = require 'torch.ops'
local raw = require 'torch.raw'
local shapeOf = require 'torch.resize'.fullShape

--- nn.PReLU([nOutputPlane = 0]): y = x > 0 ? x : weight x. One weight for all elements, or one for each of nOutputPlane
-- channels; at first 0.25. Channels are dimension 1 of an input with 1 or 3 dimensions, else dimension 2.
local PReLU, parent = torch.class('nn.PReLU', 'nn.Module')

function PReLU:__init(nOutputPlane)
    parent.__init(self)
    self.nOutputPlane = nOutputPlane or 0
    if type(self.nOutputPlane) ~= 'number' or self.nOutputPlane < 0 or self.nOutputPlane % 1 ~= 0 then
        base.fail('nn.PReLU: nOutputPlane must be a whole number from 0 up, not %s', tostring(nOutputPlane))
    end
    local n = math.max(self.nOutputPlane, 1)
    self.weight = torch.Tensor(n)
    self.gradWeight = torch.Tensor(n):zero()
    self:reset()
end

function PReLU:reset()
    torch.noGrad(function() self.weight:fill(0.25) end)
    return self
end

-- The weights along x's channels.
local function weightFor(self, x)
    if self.nOutputPlane == 0 then return self.weight end
    local shape = shapeOf(x)
    local channel = (#shape == 1 or #shape == 3) and 1 or 2
    if shape[channel] ~= self.nOutputPlane then
        base.fail('expected %d channels in dimension %d, got (%s)', self.nOutputPlane, channel, table.concat(shape, ', '))
    end
    local sizes = {self.nOutputPlane}
    for _ = channel + 1, #shape do sizes[#sizes + 1] = 1 end
    return ops.reshape(self.weight, sizes)
end

function PReLU:compute(x)
    if not raw.isTensor(x) then base.fail('expected a tensor, got %s', torch.type(x)) end
    return ops.prelu(x, weightFor(self, x))
end

function PReLU:__tostring__() return ('%s(%d)'):format(torch.typename(self), self.nOutputPlane) end

return PReLU
