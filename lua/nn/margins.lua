-- margins.lua: losses of a sign: the target is 1 or -1.
local base = require 'dlrun.ffi'
local ops = require 'torch.ops'
local raw = require 'torch.raw'
local shapeOf = require 'torch.resize'.fullShape

local parent = nn.Criterion

-- The targets in the shape and type of `like`; a number stands for all.
local function signs(self, like, target)
    local shape, t = shapeOf(like), target
    if type(target) == 'number' then
        t = ops.full(shape, target, like._t.type)
    elseif not raw.isTensor(target) or torch.numel(target) ~= torch.numel(like) then
        base.fail('%s: expected a target of 1 or -1 for each of %d, got %s', torch.typename(self), tonumber(torch.numel(like)),
            raw.isTensor(target) and ('a tensor (%s)'):format(table.concat(shapeOf(target), ', ')) or torch.type(target))
    else
        t = ops.reshape(ops.copy(raw.detach(target), like._t.type), shape)
    end
    if raw.capturing then return t end
    local bad = ops.ne_scalar(ops.abs(t), 1)
    if ops.any(bad):item() then
        local k = ops.select(ops.select(ops.nonzero(ops.reshape(bad, {-1})), 0, 0), 0, 0):item()
        base.fail('%s: target %g at sample %d: expected 1 or -1', torch.typename(self),
            ops.select(ops.reshape(t, {-1}), 0, k):item(), k + 1)
    end
    return t
end

-- max(0, a - x)
local function below(x, a) return ops.relu(ops.add_scalar(ops.neg(x), a)) end

-- A class of losses(self, input, target), averaged, or summed with sizeAverage = false.
local function define(name, margin, losses)
    local class = torch.class('nn.' .. name, 'nn.Criterion')
    function class:__init(given)
        parent.__init(self)
        self.margin = given == nil and margin or given
        if type(self.margin) ~= 'number' then
            base.fail('nn.%s: margin must be a number, not %s', name, tostring(self.margin))
        end
        self.sizeAverage = true
    end
    function class:compute(input, target)
        return ops[self.sizeAverage and 'mean' or 'sum'](losses(self, input, target))
    end
end

--- nn.MarginCriterion([margin = 1]): max(0, margin - y x), targets y 1 or -1.
define('MarginCriterion', 1, function(self, x, target)
    return below(ops.mul(signs(self, x, target), x), self.margin)
end)

--- nn.HingeEmbeddingCriterion([margin = 1]): of a distance x: x where the target is 1, max(0, margin - x) where it is -1.
define('HingeEmbeddingCriterion', 1, function(self, x, target)
    return ops.where(ops.gt_scalar(signs(self, x, target), 0), x, below(x, self.margin))
end)

local EPSILON = 1e-12 -- keeps the cosine of a zero vector finite

local function cosine(a, b)
    local function dot(u, v) return ops.sum(ops.mul(u, v), {-1}) end
    local squares = ops.mul(ops.add_scalar(dot(a, a), EPSILON), ops.add_scalar(dot(b, b), EPSILON))
    return ops.div(dot(a, b), ops.sqrt(squares))
end

--- nn.CosineEmbeddingCriterion([margin = 0]): of {a, b}, each (D) or (N, D): 1 - cos(a, b) where the target is 1,
-- max(0, cos(a, b) - margin) where it is -1.
define('CosineEmbeddingCriterion', 0, function(self, input, target)
    if type(input) ~= 'table' or not (raw.isTensor(input[1]) and raw.isTensor(input[2])) then
        base.fail('nn.CosineEmbeddingCriterion: expected a table of two tensors, got %s', torch.type(input))
    end
    local cos = cosine(input[1], input[2])
    local y = signs(self, cos, target)
    return ops.where(ops.gt_scalar(y, 0), ops.add_scalar(ops.neg(cos), 1), ops.relu(ops.add_scalar(cos, -self.margin)))
end)
