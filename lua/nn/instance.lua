-- instance.lua: normalisation of each channel of each sample by itself.
local base = require 'dlrun.ffi'
local checks = require 'nn.checks'
local ops = require 'torch.ops'
local shapeOf = require 'torch.resize'.fullShape
local take = require 'torch.options'.take
local weighted = require 'nn.weighted'

local count, number = weighted.count, checks.number

--- nn.InstanceNorm: the parent of nn.InstanceNorm1d to 3d.
local InstanceNorm, parent = torch.class('nn.InstanceNorm', 'nn.Module')

function InstanceNorm:__init(n, given)
    parent.__init(self)
    local name = torch.typename(self)
    given = take(name, given, {'eps', 'momentum', 'affine', 'trackRunningStats'})
    self.nFeatures = count(n, name .. ': the number of channels')
    self.eps = number(given.eps, 1e-5, name .. ': eps')
    self.momentum = number(given.momentum, 0.1, name .. ': momentum')
    self.tracks = given.trackRunningStats == true
    if given.affine then
        self.weight, self.gradWeight = torch.ones(n), torch.zeros(n)
        self.bias, self.gradBias = torch.zeros(n), torch.zeros(n)
    end
    if self.tracks then
        self:registerBuffer('running_mean', torch.zeros(n))
        self:registerBuffer('running_var', torch.ones(n))
    end
end

--- norm:reset(): weight 1, bias 0, and initial running statistics.
function InstanceNorm:reset()
    torch.noGrad(function()
        if self.weight then
            self.weight:fill(1)
            self.bias:zero()
        end
        if self.tracks then
            self.running_mean:zero()
            self.running_var:fill(1)
        end
    end)
    return self
end

-- Moves a running statistic towards the mean over samples of the batch's.
local function follow(running, batch, momentum, scale)
    local step = ops.mul_scalar(ops.copy(ops.mean(batch, {0}), running._t.type), momentum * scale)
    ops.into.add(running, ops.mul_scalar(running, 1 - momentum), step)
end

function InstanceNorm:compute(x)
    local shape = shapeOf(checks.tensor(x))
    local alone = #shape == self.spatial + 1 -- one sample
    if not (alone or #shape == self.spatial + 2) or shape[alone and 1 or 2] ~= self.nFeatures then
        base.fail('expected ([N, ]%d%s), got (%s)', self.nFeatures, self.shapeText, table.concat(shape, ', '))
    end
    if alone then x = ops.unsqueeze(x, 0) end
    local y, mean, var
    if self.tracks and not self.train then
        y = ops.batch_norm(x, self.weight, self.bias, self.running_mean, self.running_var, false, self.eps)
    else
        local places = 1
        for k = alone and 2 or 3, #shape do places = places * shape[k] end
        if places < 2 then base.fail('expected more than one value in each channel, got (%s)', table.concat(shape, ', ')) end
        y, mean, var = ops.group_norm(x, self.weight, self.bias, self.nFeatures, self.eps)
        if self.tracks then
            torch.noGrad(function()
                follow(self.running_mean, mean, self.momentum, 1)
                follow(self.running_var, var, self.momentum, places / (places - 1))
            end)
        end
    end
    return alone and ops.squeeze(y, {0}) or y
end

function InstanceNorm:__tostring__() return ('%s(%d)'):format(torch.typename(self), self.nFeatures) end

local function define(name, spatial, shapeText)
    local class = torch.class('nn.' .. name, 'nn.InstanceNorm')
    class.spatial, class.shapeText = spatial, shapeText
    function class:__init(n, given) InstanceNorm.__init(self, n, given) end
    return class
end

--- nn.InstanceNorm1d(n [, {eps = 1e-5, momentum = 0.1, affine = false, trackRunningStats = false}]): (x - mean) / √(var + eps),
-- each channel of each sample by itself (Ulyanov et al., "Instance normalization", 2016), of (N, n, length) or (n, length).
-- affine: then weight and bias by channel. trackRunningStats: evaluating uses running means of both, as batch normalisation.
nn.InstanceNorm1d = define('InstanceNorm1d', 1, ', length')
--- nn.InstanceNorm2d(n [, {eps, momentum, affine, trackRunningStats}]): the same for ([N, ]n, height, width).
nn.InstanceNorm2d = define('InstanceNorm2d', 2, ', height, width')
--- nn.InstanceNorm3d(n [, {eps, momentum, affine, trackRunningStats}]): the same for ([N, ]n, depth, height, width).
nn.InstanceNorm3d = define('InstanceNorm3d', 3, ', depth, height, width')
