-- response.lua: division of each value by a norm of those around it.
local base = require 'dlrun.ffi'
local checks = require 'nn.checks'
local ops = require 'torch.ops'
local shapeOf = require 'torch.resize'.fullShape
local weighted = require 'nn.weighted'

local count, number = weighted.count, checks.number

-- ---- across channels
-- -----------------------------------------------------------------------------------------------------

-- The sum over the channels c - before … c + after of dimension dim (from 0); outside is 0.
local function windowSum(x, dim, before, after)
    local shape = shapeOf(x)
    local function zeros(n)
        shape[dim + 1] = n
        return ops.full(shape, 0, x._t.type)
    end
    local parts = {x}
    if before > 0 then table.insert(parts, 1, zeros(before)) end
    if after > 0 then parts[#parts + 1] = zeros(after) end
    local padded = #parts > 1 and ops.cat(parts, dim) or x
    return ops.sum(ops.unfold(padded, dim, before + after + 1, 1), {-1})
end

-- x / (k + alpha / size · sum of squares)^beta
local function respond(self, x, dim, before, after)
    local sums = windowSum(ops.mul(x, x), dim, before, after)
    local scale = ops.add_scalar(ops.mul_scalar(sums, self.alpha / self.size), self.k)
    return ops.mul(x, ops.pow_scalar(scale, -self.beta))
end

--- nn.SpatialCrossMapLRN([size = 5 [, alpha = 1e-4 [, beta = 0.75 [, k = 1]]]]): y = x / (k + alpha / size · Σ x²)^beta, the
-- sum over the (size - 1) / 2 channels on either side and the own one (Krizhevsky et al., "ImageNet classification with deep
-- convolutional neural networks", 2012). Input ([N, ]C, height, width).
local LRN, parent = torch.class('nn.SpatialCrossMapLRN', 'nn.Module')

function LRN:__init(size, alpha, beta, k)
    parent.__init(self)
    local name = torch.typename(self)
    self.size = count(size or 5, name .. ': the size')
    self.alpha = number(alpha, 1e-4, name .. ': alpha')
    self.beta = number(beta, 0.75, name .. ': beta')
    self.k = number(k, 1, name .. ': k')
end

function LRN:compute(x)
    local n = checks.tensor(x)._t.ndim
    if n ~= 3 and n ~= 4 then
        base.fail('expected ([N, ]channels, height, width), got (%s)', table.concat(shapeOf(x), ', '))
    end
    local side = math.floor((self.size - 1) / 2)
    return respond(self, x, n - 3, side, side)
end

function LRN:__tostring__() return ('%s(%d)'):format(torch.typename(self), self.size) end

--- nn.LocalResponseNorm(size [, alpha = 1e-4 [, beta = 0.75 [, k = 1]]]): the same for (N, C, …), as in PyTorch: of an even
-- size one channel more is taken before than behind.
local LocalResponseNorm = torch.class('nn.LocalResponseNorm', 'nn.SpatialCrossMapLRN')

function LocalResponseNorm:__init(size, alpha, beta, k)
    LRN.__init(self, count(size, 'nn.LocalResponseNorm: the size'), alpha, beta, k)
end

function LocalResponseNorm:compute(x)
    if checks.tensor(x)._t.ndim < 3 then
        base.fail('expected (N, channels, …) of 3 dimensions or more, got (%s)', table.concat(shapeOf(x), ', '))
    end
    return respond(self, x, 1, math.floor(self.size / 2), math.floor((self.size - 1) / 2))
end

-- ---- rows
-- ----------------------------------------------------------------------------------------------------------------

--- nn.Normalize(p [, eps = 1e-10]): each row divided by its p-norm, (Σ|x|^p + eps)^(1/p); p may be math.huge: max|x| + eps.
-- Input (n) or (N, n).
local Normalize = torch.class('nn.Normalize', 'nn.Module')

function Normalize:__init(p, eps)
    parent.__init(self)
    if type(p) ~= 'number' or p ~= p or p <= 0 then base.fail('nn.Normalize: p must be above 0, not %s', tostring(p)) end
    self.p = p
    self.eps = number(eps, 1e-10, 'nn.Normalize: eps')
end

local function largest(self, x) return ops.add_scalar(ops.amax(ops.abs(x), {-1}, true), self.eps) end

local function norm(self, x)
    local powers = self.p == 2 and ops.mul(x, x) or ops.pow_scalar(ops.abs(x), self.p)
    return ops.pow_scalar(ops.add_scalar(ops.sum(powers, {-1}, true), self.eps), 1 / self.p)
end

function Normalize:compute(x)
    local n = checks.tensor(x)._t.ndim
    if n ~= 1 and n ~= 2 then base.fail('expected (n) or (N, n), got (%s)', table.concat(shapeOf(x), ', ')) end
    return ops.div(x, self.p == math.huge and largest(self, x) or norm(self, x))
end

function Normalize:__tostring__() return ('nn.Normalize(%g)'):format(self.p) end
