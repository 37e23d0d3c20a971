-- mingru.lua: the plugin's Lua part, found by require 'mingru' once the plugin is loaded: the layer nn.MinGRU.
require 'nn'
local ops = require 'torch.ops'
local scan = ops['mingru::scan']

--- nn.MinGRU(inputSize, hiddenSize): a recurrent layer whose gate looks at the input alone (Feng et al., Were RNNs All We
-- Needed?, 2024), so that a whole sequence is one product and one scan:
--     z = sigmoid(x Wzᵀ + bz),  c = x Wcᵀ + bc,  h[t] = (1 - z[t]) h[t-1] + z[t] c[t],  h[0] = 0.
-- Input (N, T, inputSize) or (T, inputSize), result (N, T, hiddenSize) or (T, hiddenSize): all states. weight
-- (2 hiddenSize, inputSize) and bias (2 hiddenSize), the gate's rows first; initialised uniformly in ±1/√inputSize.
local MinGRU, parent = torch.class('nn.MinGRU', 'nn.Module')

local function size(value, what)
    if type(value) ~= 'number' or value < 1 or value % 1 ~= 0 then
        error(('nn.MinGRU: %s must be a whole number from 1 up, not %s'):format(what, tostring(value)), 3)
    end
    return value
end

function MinGRU:__init(inputSize, hiddenSize)
    parent.__init(self)
    self.inputSize, self.hiddenSize = size(inputSize, 'inputSize'), size(hiddenSize, 'hiddenSize')
    self.weight, self.gradWeight = torch.Tensor(2 * hiddenSize, inputSize), torch.zeros(2 * hiddenSize, inputSize)
    self.bias, self.gradBias = torch.Tensor(2 * hiddenSize), torch.zeros(2 * hiddenSize)
    self:reset()
end

--- layer:reset([stdv]): new initial weights, uniform in ±stdv.
function MinGRU:reset(stdv)
    stdv = stdv or 1 / math.sqrt(self.inputSize)
    self.weight:uniform(-stdv, stdv)
    self.bias:uniform(-stdv, stdv)
    return self
end

function MinGRU:compute(x)
    local n = torch.isTensor(x) and x:dim()
    if n ~= 2 and n ~= 3 or x:size(n) ~= self.inputSize then
        error(('nn.MinGRU: expected (N, T, %d) or (T, %d), got %s'):format(self.inputSize, self.inputSize,
            n and '(' .. table.concat(x:size():totable(), ', ') .. ')' or torch.type(x)), 0)
    end
    local gates = ops.linear(n == 2 and ops.unsqueeze(x, 0) or x, self.weight, self.bias)
    local z = ops.sigmoid(ops.slice(gates, 2, 0, self.hiddenSize))
    local candidate = ops.slice(gates, 2, self.hiddenSize, self.hiddenSize)
    local h = scan(ops.rsub_scalar(z, 1), ops.mul(z, candidate))
    return n == 2 and ops.squeeze(h, {0}) or h
end

function MinGRU:__tostring__() return ('%s(%d -> %d)'):format(torch.typename(self), self.inputSize, self.hiddenSize) end

return MinGRU
