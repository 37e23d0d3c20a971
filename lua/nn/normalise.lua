-- normalise.lua: batch, layer and group normalisation.
local base = require 'dlrun.ffi'
local ops = require 'torch.ops'
local raw = require 'torch.raw'
local shapeOf = require 'torch.resize'.fullShape
local take = require 'torch.options'.take

local function count(value, what)
    if type(value) ~= 'number' or value < 1 or value % 1 ~= 0 then
        base.fail('%s must be a whole number from 1 up, not %s', what, tostring(value))
    end
    return value
end

local function number(value, otherwise, what)
    if value == nil then return otherwise end
    if type(value) ~= 'number' or not (value >= 0 and value < math.huge) then
        base.fail('%s must be 0 or more, not %s', what, tostring(value))
    end
    return value
end

local function affine(module, ...)
    module.weight, module.gradWeight = torch.ones(...), torch.zeros(...)
    module.bias, module.gradBias = torch.zeros(...), torch.zeros(...)
end

local function tensor(x)
    if not raw.isTensor(x) then base.fail('expected a tensor, got %s', torch.type(x)) end
    return x
end

-- ---- batch normalisation
-- -------------------------------------------------------------------------------------------------

--- nn.BatchNormalization(n [, eps = 1e-5 [, momentum = 0.1 [, affine = true]]]): (x - mean) / √(var + eps) · weight + bias,
-- feature by feature (Ioffe and Szegedy, "Batch normalization", ICML 2015). Input (N, n). While training, mean and variance
-- are the batch's and move running_mean and running_var by the factor momentum (the running variance unbiased); evaluating
-- uses those. weight starts uniform in 0..1, bias 0, as in Torch7.
local BatchNormalization, parent = torch.class('nn.BatchNormalization', 'nn.Module')
BatchNormalization.nDim = 2

function BatchNormalization:__init(n, eps, momentum, withAffine)
    parent.__init(self)
    local name = torch.typename(self)
    self.nFeatures = count(n, name .. ': the number of features')
    self.eps = number(eps, 1e-5, name .. ': eps')
    self.momentum = number(momentum, 0.1, name .. ': momentum')
    self.affine = withAffine ~= false
    self:registerBuffer('running_mean', torch.zeros(n))
    self:registerBuffer('running_var', torch.ones(n))
    if self.affine then affine(self, n) end
    self:reset()
end

--- norm:reset(): initial weights and running statistics.
function BatchNormalization:reset()
    torch.noGrad(function()
        if self.weight then
            self.weight:uniform(0, 1)
            self.bias:zero()
        end
        self.running_mean:zero()
        self.running_var:fill(1)
    end)
    return self
end

local function checkBatch(self, x)
    local t = tensor(x)._t
    local nDim = self.nDim
    if not (type(nDim) == 'table' and nDim[t.ndim] or nDim == t.ndim) or tonumber(t.shape[1]) ~= self.nFeatures then
        base.fail('expected (N, %d%s), got (%s)', self.nFeatures, self.shapeText, table.concat(shapeOf(x), ', '))
    end
end
BatchNormalization.shapeText = ''

-- Moves a running statistic towards the batch's.
local function follow(running, batch, momentum, scale)
    local step = ops.mul_scalar(ops.copy(batch, running._t.type), momentum * scale)
    ops.into.add(running, ops.mul_scalar(running, 1 - momentum), step)
end

function BatchNormalization:compute(x)
    checkBatch(self, x)
    local y, mean, var = ops.batch_norm(x, self.weight, self.bias, self.running_mean, self.running_var, self.train, self.eps)
    if self.train then
        local n = tonumber(torch.numel(x)) / self.nFeatures
        torch.noGrad(function()
            follow(self.running_mean, mean, self.momentum, 1)
            follow(self.running_var, var, self.momentum, n / (n - 1))
        end)
    end
    return y
end

function BatchNormalization:__tostring__()
    return ('%s(%d)'):format(torch.typename(self), self.nFeatures)
end

--- nn.SpatialBatchNormalization(n [, eps, momentum, affine]): the same for (N, n, height, width).
local Spatial = torch.class('nn.SpatialBatchNormalization', 'nn.BatchNormalization')
Spatial.nDim, Spatial.shapeText = 4, ', height, width'
function Spatial:__init(...) BatchNormalization.__init(self, ...) end

--- nn.VolumetricBatchNormalization(n [, eps, momentum, affine]): the same for (N, n, depth, height, width).
local Volumetric = torch.class('nn.VolumetricBatchNormalization', 'nn.BatchNormalization')
Volumetric.nDim, Volumetric.shapeText = 5, ', depth, height, width'
function Volumetric:__init(...) BatchNormalization.__init(self, ...) end

local batchOptions = {'eps', 'momentum', 'affine'}

local function pytorch(class)
    function class:__init(n, given)
        given = take(torch.typename(self), given, batchOptions)
        BatchNormalization.__init(self, n, given.eps, given.momentum, given.affine)
    end
    function class:reset()
        BatchNormalization.reset(self)
        if self.weight then torch.noGrad(function() self.weight:fill(1) end) end
        return self
    end
end

--- nn.BatchNorm1d(n [, {eps = 1e-5, momentum = 0.1, affine = true}]): batch normalisation of (N, n) or (N, n, length), weight
-- starting at 1, as in PyTorch.
local BatchNorm1d = torch.class('nn.BatchNorm1d', 'nn.BatchNormalization')
BatchNorm1d.nDim, BatchNorm1d.shapeText = {[2] = true, [3] = true}, ' [, length]'
pytorch(BatchNorm1d)

--- nn.BatchNorm2d(n [, {eps = 1e-5, momentum = 0.1, affine = true}]): the same for (N, n, height, width).
local BatchNorm2d = torch.class('nn.BatchNorm2d', 'nn.BatchNormalization')
BatchNorm2d.nDim, BatchNorm2d.shapeText = 4, ', height, width'
pytorch(BatchNorm2d)

--- nn.BatchNorm3d(n [, {eps = 1e-5, momentum = 0.1, affine = true}]): the same for (N, n, depth, height, width).
local BatchNorm3d = torch.class('nn.BatchNorm3d', 'nn.BatchNormalization')
BatchNorm3d.nDim, BatchNorm3d.shapeText = 5, ', depth, height, width'
pytorch(BatchNorm3d)

-- ---- layer and group normalisation
-- ---------------------------------------------------------------------------------------

--- nn.LayerNorm(shape [, {eps = 1e-5, affine = true, bias = true}]): each sample standardized over its last dimensions, whose
-- sizes are `shape`, a number or a list; then weight and bias of that shape (Ba et al., "Layer normalization", 2016).
local LayerNorm = torch.class('nn.LayerNorm', 'nn.Module')

function LayerNorm:__init(shape, given)
    parent.__init(self)
    given = take('nn.LayerNorm', given, {'eps', 'affine', 'bias'})
    self.shape = type(shape) == 'table' and {unpack(shape)} or {shape}
    if #self.shape == 0 then base.fail('nn.LayerNorm: the shape must not be empty') end
    for _, n in ipairs(self.shape) do count(n, 'nn.LayerNorm: each size') end
    self.eps = number(given.eps, 1e-5, 'nn.LayerNorm: eps')
    if given.affine ~= false then
        affine(self, unpack(self.shape))
        if given.bias == false then self.bias, self.gradBias = nil, nil end
    end
end

--- norm:reset(): weight 1, bias 0.
function LayerNorm:reset()
    torch.noGrad(function()
        if self.weight then self.weight:fill(1) end
        if self.bias then self.bias:zero() end
    end)
    return self
end

function LayerNorm:compute(x)
    local got, own = shapeOf(tensor(x)), self.shape
    for k = 1, #own do
        if got[#got - #own + k] ~= own[k] then
            base.fail('expected (…, %s), got (%s)', table.concat(own, ', '), table.concat(got, ', '))
        end
    end
    return (ops.layer_norm(x, self.weight, self.bias, #own, self.eps))
end

function LayerNorm:__tostring__() return ('nn.LayerNorm(%s)'):format(table.concat(self.shape, ', ')) end

--- nn.GroupNorm(groups, n [, {eps = 1e-5, affine = true}]): each sample's n channels, in so many groups, standardized over a
-- group and all positions; then weight and bias by channel. Input (N, n, …) (Wu and He, "Group normalization", ECCV 2018).
local GroupNorm = torch.class('nn.GroupNorm', 'nn.Module')

function GroupNorm:__init(groups, n, given)
    parent.__init(self)
    given = take('nn.GroupNorm', given, {'eps', 'affine'})
    self.groups = count(groups, 'nn.GroupNorm: the number of groups')
    self.nFeatures = count(n, 'nn.GroupNorm: the number of channels')
    if n % groups ~= 0 then base.fail('nn.GroupNorm: %d groups do not divide %d channels evenly', groups, n) end
    self.eps = number(given.eps, 1e-5, 'nn.GroupNorm: eps')
    if given.affine ~= false then affine(self, n) end
end

GroupNorm.reset = LayerNorm.reset

function GroupNorm:compute(x)
    local got = shapeOf(tensor(x))
    if #got < 2 or got[2] ~= self.nFeatures then
        base.fail('expected (N, %d, …), got (%s)', self.nFeatures, table.concat(got, ', '))
    end
    return (ops.group_norm(x, self.weight, self.bias, self.groups, self.eps))
end

function GroupNorm:__tostring__() return ('nn.GroupNorm(%d, %d)'):format(self.groups, self.nFeatures) end
