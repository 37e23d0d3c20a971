-- Dropout.lua: Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", JMLR 2014.
local base = require 'dlrun.ffi'
local ops = require 'torch.ops'
local tape = require 'nn.tape'

--- nn.Dropout([p = 0.5 [, v1 = false [, inplace = false]]]): while training, zeroes each element with probability p and
-- scales the others by 1/(1-p); v1 scales when evaluating instead (by 1-p). The mask is the same on every backend for the
-- same seed.
local Dropout, parent = torch.class('nn.Dropout', 'nn.Module')

function Dropout:__init(p, v1, inplace, stochasticInference)
    parent.__init(self)
    if type(p) == 'table' then p, inplace = p.p, p.inplace end
    self.p = p == nil and 0.5 or p
    if type(self.p) ~= 'number' or not (self.p >= 0 and self.p <= 1) then
        base.fail('nn.Dropout: p must lie in 0..1, not %s', tostring(p))
    end
    self.v2 = not v1
    self.inplace = inplace == true
    self.stochastic_inference = stochasticInference or false
end

function Dropout:setp(p) self.p = p end

local function overwrite(self, x, y)
    return self.inplace and tape.mayOverwrite(x) and ops.into.copy(x, y) or y
end

function Dropout:compute(x)
    if self.train or self.stochastic_inference then
        if self.p == 0 then return ops.copy(x) end
        local y, mask = ops.dropout(x, self.p)
        self.noise = mask
        if not self.v2 then y = ops.mul_scalar(y, 1 - self.p) end
        return overwrite(self, x, y)
    end
    if self.v2 then return self.inplace and x or ops.copy(x) end
    return ops.mul_scalar(x, 1 - self.p)
end

function Dropout:__tostring__() return ('%s(%f)'):format(torch.typename(self), self.p) end

return Dropout
