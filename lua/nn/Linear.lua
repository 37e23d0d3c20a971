-- Linear.lua: the fully connected layer.
local base = require 'dlrun.ffi'
local raw = require 'torch.raw'
local ops = require 'torch.ops'
local shapeOf = require 'torch.resize'.fullShape
local weighted = require 'nn.weighted'

--- nn.Linear(inFeatures, outFeatures [, bias = true]): y = x weightᵀ + bias.
-- Input (N, inFeatures), (inFeatures) or (…, inFeatures); weight (outFeatures, inFeatures), bias (outFeatures). Initialised
-- uniformly in ±1/√inFeatures (LeCun et al., "Efficient BackProp", 1998), as Torch7 does. inFeatures nil: taken from the first
-- input, when weight and bias are made; until then the module has no parameters to ask for.
local Linear, parent = torch.class('nn.Linear', 'nn.Module')
weighted.define(Linear)

function Linear:__init(inFeatures, outFeatures, bias)
    parent.__init(self)
    self.inFeatures = inFeatures ~= nil and weighted.count(inFeatures, 'nn.Linear: inFeatures') or nil
    self.outFeatures = weighted.count(outFeatures, 'nn.Linear: outFeatures')
    if type(bias) == 'table' then bias = bias.bias end
    self.hasBias = bias ~= false
    if inFeatures then weighted.allocate(self) end
end

function Linear:sizes() return {self.outFeatures, self.inFeatures}, {self.outFeatures} end

function Linear:fanIn() return self.weight:size(2) end

function Linear:sizeFrom(x)
    if x._t.ndim == 0 then base.fail('expected (…, inFeatures), got a tensor without dimensions') end
    self.inFeatures = weighted.count(tonumber(x._t.shape[x._t.ndim - 1]), 'inFeatures')
end

local function check(self, x)
    if not raw.isTensor(x) then base.fail('expected a tensor, got %s', torch.type(x)) end
    if not self.weight then weighted.complete(self, x) end
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

-- How many products make the output y (nn.Module:summary).
function Linear:multiplyAdds(_, y) return tonumber(torch.numel(y)) * self.weight:size(2) end

function Linear:__tostring__()
    local from = self.weight and self.weight:size(2) or '?'
    local text = ('%s(%s -> %d)'):format(torch.typename(self), from, self.weight and self.weight:size(1) or self.outFeatures)
    return (self.bias or not self.weight and self.hasBias) and text or text .. ' without bias'
end

return Linear
