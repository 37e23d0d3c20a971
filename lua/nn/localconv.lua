-- localconv.lua: Torch7's convolution whose filters differ from position to position.
local base = require 'dlrun.ffi'
local ops = require 'torch.ops'
local raw = require 'torch.raw'
local shapeOf = require 'torch.resize'.fullShape
local weighted = require 'nn.weighted'

--- nn.SpatialConvolutionLocal(nInputPlane, nOutputPlane, iW, iH, kW, kH [, dW, dH, padW, padH]): as SpatialConvolution of
-- images iH x iW, but every position has filters of its own. weight (oH, oW, nOutputPlane, nInputPlane, kH, kW), bias
-- (nOutputPlane, oH, oW), oH x oW the size of the output.
local Local, parent = torch.class('nn.SpatialConvolutionLocal', 'nn.Module')
weighted.define(Local)

function Local:__init(nInputPlane, nOutputPlane, iW, iH, kW, kH, dW, dH, padW, padH)
    parent.__init(self)
    self.hasBias = true
    local given = {
        nInputPlane = nInputPlane, nOutputPlane = nOutputPlane, iW = iW, iH = iH, kW = kW, kH = kH, dW = dW or 1, dH = dH or 1,
    }
    for name, value in pairs(given) do self[name] = weighted.count(value, 'nn.SpatialConvolutionLocal: ' .. name) end
    self.padW = weighted.count(padW or 0, 'nn.SpatialConvolutionLocal: padW', 0)
    self.padH = weighted.count(padH or self.padW, 'nn.SpatialConvolutionLocal: padH', 0)
    self.oW = math.floor((2 * self.padW + iW - kW) / self.dW) + 1
    self.oH = math.floor((2 * self.padH + iH - kH) / self.dH) + 1
    if self.oW < 1 or self.oH < 1 then
        base.fail('nn.SpatialConvolutionLocal: a kernel of %dx%d does not fit into images of %dx%d', kW, kH, iW, iH)
    end
    weighted.allocate(self)
end

function Local:sizes()
    return {self.oH, self.oW, self.nOutputPlane, self.nInputPlane, self.kH, self.kW}, {self.nOutputPlane, self.oH, self.oW}
end

function Local:fanIn() return self.nInputPlane * self.kH * self.kW end

local function checkLocal(self, x)
    if not raw.isTensor(x) then base.fail('expected a tensor, got %s', torch.type(x)) end
    local shape = shapeOf(x)
    local n = #shape
    if n < 3 or n > 4 or shape[n - 2] ~= self.nInputPlane or shape[n - 1] ~= self.iH or shape[n] ~= self.iW then
        base.fail('expected (N, %d, %d, %d), got (%s)', self.nInputPlane, self.iH, self.iW, table.concat(shape, ', '))
    end
    return n == 3
end

function Local:compute(x)
    local single = checkLocal(self, x)
    local columns = nn.functional.unfold(single and ops.unsqueeze(x, 0) or x, {self.kH, self.kW},
        {stride = {self.dH, self.dW}, padding = {self.padH, self.padW}})
    local places = self.oH * self.oW
    local weight = ops.reshape(self.weight, {places, self.nOutputPlane, self:fanIn()})
    -- place by place: (nOutputPlane, inputs) · (inputs, N)
    local y = ops.permute(ops.matmul(weight, ops.permute(columns, {2, 1, 0})), {2, 1, 0})
    y = ops.reshape(y, {shapeOf(y)[1], self.nOutputPlane, self.oH, self.oW})
    if self.bias then y = ops.add(y, self.bias) end
    return single and ops.select(y, 0, 0) or y
end

function Local:multiplyAdds(_, y) return tonumber(torch.numel(y)) * self:fanIn() end

function Local:__tostring__()
    local text = ('%s(%d -> %d, %dx%d, %dx%d'):format(torch.typename(self), self.nInputPlane, self.nOutputPlane, self.iW,
        self.iH, self.kW, self.kH)
    local moved = self.dW ~= 1 or self.dH ~= 1 or self.padW ~= 0 or self.padH ~= 0
    if moved then text = ('%s, %d,%d'):format(text, self.dW, self.dH) end
    if self.padW ~= 0 or self.padH ~= 0 then text = ('%s, %d,%d'):format(text, self.padW, self.padH) end
    return self.bias and text .. ')' or text .. ') without bias'
end
