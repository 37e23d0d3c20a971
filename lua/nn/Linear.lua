-- Linear.lua: the fully connected layer.
local base = require 'dlrun.ffi'
local raw = require 'torch.raw'
local ops = require 'torch.ops'
local shapeOf = require 'torch.resize'.fullShape
local types = require 'torch.types'

local C = base.C

--- nn.Linear(inFeatures, outFeatures [, bias = true]): y = x weightᵀ + bias.
-- Input (N, inFeatures), (inFeatures) or (…, inFeatures); weight (outFeatures, inFeatures), bias (outFeatures). Initialised
-- uniformly in ±1/√inFeatures (LeCun et al., "Efficient BackProp", 1998), as Torch7 does. inFeatures nil: taken from the first
-- input, when weight and bias are made; until then the module has no parameters to ask for.
local Linear, parent = torch.class('nn.Linear', 'nn.Module')

local function size(value, what)
    if type(value) ~= 'number' or value < 1 or value % 1 ~= 0 then
        base.fail('nn.Linear: %s must be a whole number from 1 up, not %s', what, tostring(value))
    end
    return value
end

-- New parameters on a device (nil: the default one), in the module's type.
local function allocate(self, device)
    local dtype = types.byName[self._type].dtype
    local function new(...) return raw.empty(dtype, {...}, device) end
    self.weight = new(self.outFeatures, self.inFeatures)
    self.gradWeight = new(self.outFeatures, self.inFeatures):zero()
    if self.hasBias then
        self.bias = new(self.outFeatures)
        self.gradBias = new(self.outFeatures):zero()
    end
    self:reset()
end

function Linear:__init(inFeatures, outFeatures, bias)
    parent.__init(self)
    self.inFeatures = inFeatures ~= nil and size(inFeatures, 'inFeatures') or nil
    self.outFeatures = size(outFeatures, 'outFeatures')
    if type(bias) == 'table' then bias = bias.bias end
    self.hasBias = bias ~= false
    if inFeatures then allocate(self) end
end

function Linear:noBias()
    self.hasBias = false
    self.bias = nil
    self.gradBias = nil
    return self
end

-- Has it no weight yet? (Module:incomplete)
function Linear:incomplete() return self.weight == nil end

-- Makes what the first input decides.
local function complete(self, x)
    if raw.capturing then base.fail('its sizes come with the first input: run one batch before torch.capture') end
    if x._t.ndim == 0 then base.fail('expected (…, inFeatures), got a tensor without dimensions') end
    self.inFeatures = size(tonumber(x._t.shape[x._t.ndim - 1]), 'inFeatures')
    torch.noGrad(function() allocate(self, C.dl_device_of(x._t)) end)
    self:_decide()
end

function Linear:updateOutput(x)
    if not self.weight and raw.isTensor(x) then complete(self, x) end
    return parent.updateOutput(self, x)
end

--- linear:reset([stdv]): new initial weights, uniform in ±stdv·√3 if stdv is given, else in ±1/√inFeatures.
function Linear:reset(stdv)
    if not self.weight then return self end
    stdv = stdv and stdv * math.sqrt(3) or 1 / math.sqrt(self.weight:size(2))
    torch.noGrad(function()
        self.weight:uniform(-stdv, stdv)
        if self.bias then self.bias:uniform(-stdv, stdv) end
    end)
    return self
end

local function check(self, x)
    if not raw.isTensor(x) then base.fail('expected a tensor, got %s', torch.type(x)) end
    if not self.weight then complete(self, x) end
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
    local from = self.weight and self.weight:size(2) or '?'
    local text = ('%s(%s -> %d)'):format(torch.typename(self), from, self.weight and self.weight:size(1) or self.outFeatures)
    return (self.bias or not self.weight and self.hasBias) and text or text .. ' without bias'
end

return Linear
