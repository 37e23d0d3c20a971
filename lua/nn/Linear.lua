-- Linear.lua: the fully connected layer.
local base = require 'dlrun.ffi'
local raw = require 'torch.raw'
local ops = require 'torch.ops'
local shapeOf = require 'torch.resize'.fullShape

--- nn.Linear(inFeatures, outFeatures [, bias = true]): y = x weightᵀ + bias.
-- Input (N, inFeatures), (inFeatures) or (…, inFeatures); weight (outFeatures, inFeatures), bias (outFeatures). Initialised
-- uniformly in ±1/√inFeatures (LeCun et al., "Efficient BackProp", 1998), as Torch7 does.
local Linear, parent = torch.class('nn.Linear', 'nn.Module')

local function size(value, what)
    if type(value) ~= 'number' or value < 1 or value % 1 ~= 0 then
        base.fail('nn.Linear: %s must be a whole number from 1 up, not %s', what, tostring(value))
    end
    return value
end

function Linear:__init(inFeatures, outFeatures, bias)
    parent.__init(self)
    self.inFeatures = size(inFeatures, 'inFeatures')
    self.outFeatures = size(outFeatures, 'outFeatures')
    if type(bias) == 'table' then bias = bias.bias end
    self.weight = torch.Tensor(outFeatures, inFeatures)
    self.gradWeight = torch.Tensor(outFeatures, inFeatures):zero()
    if bias ~= false then
        self.bias = torch.Tensor(outFeatures)
        self.gradBias = torch.Tensor(outFeatures):zero()
    end
    self:reset()
end

function Linear:noBias()
    self.bias = nil
    self.gradBias = nil
    return self
end

--- linear:reset([stdv]): new initial weights, uniform in ±stdv·√3 if stdv is given, else in ±1/√inFeatures.
function Linear:reset(stdv)
    stdv = stdv and stdv * math.sqrt(3) or 1 / math.sqrt(self.weight:size(2))
    torch.noGrad(function()
        self.weight:uniform(-stdv, stdv)
        if self.bias then self.bias:uniform(-stdv, stdv) end
    end)
    return self
end

local function check(self, x)
    if not raw.isTensor(x) then base.fail('expected a tensor, got %s', torch.type(x)) end
    local t, w = x._t, self.weight._t
    local n = t.ndim > 0 and tonumber(t.shape[t.ndim - 1]) or 0
    if n ~= tonumber(w.shape[1]) then
        base.fail('expected (…, %d), got (%s)%s', tonumber(w.shape[1]), table.concat(shapeOf(x), ', '),
            tonumber(torch.numel(x)) % tonumber(w.shape[1]) == 0 and t.ndim > 2 and '; flatten it first: nn.Flatten()' or '')
    end
end

function Linear:fusedInputs(x)
    check(self, x)
    return 'linear', x, self.weight, self.bias
end

function Linear:compute(x)
    check(self, x)
    return ops.linear(x, self.weight, self.bias)
end

function Linear:__tostring__()
    local text = ('%s(%d -> %d)'):format(torch.typename(self), self.weight:size(2), self.weight:size(1))
    return self.bias and text or text .. ' without bias'
end

return Linear
