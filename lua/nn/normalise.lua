-- normalise.lua: batch, layer and group normalisation.
local base = require 'dlrun.ffi'
local checks = require 'nn.checks'
local ops = require 'torch.ops'
local path = require 'nn.path'
local raw = require 'torch.raw'
local shapeOf = require 'torch.resize'.fullShape
local take = require 'torch.options'.take
local types = require 'torch.types'
local weighted = require 'nn.weighted'

local count, number, tensor = weighted.count, checks.number, checks.tensor

-- The call that fusedInputs describes (fuse.lua); the module's output is its first result.
local function run(op, ...) return ops[op](...) end

local function affine(module, ...)
    module.weight, module.gradWeight = torch.ones(...), torch.zeros(...)
    module.bias, module.gradBias = torch.zeros(...), torch.zeros(...)
end

-- ---- batch normalisation
-- -------------------------------------------------------------------------------------------------

--- nn.BatchNormalization(n [, eps = 1e-5 [, momentum = 0.1 [, affine = true]]]): (x - mean) / √(var + eps) · weight + bias,
-- feature by feature (Ioffe and Szegedy, "Batch normalization", ICML 2015). Input (N, n). While training, mean and variance
-- are the batch's and move running_mean and running_var by the factor momentum (the running variance unbiased); evaluating
-- uses those. weight starts uniform in 0..1, bias 0, as in Torch7. n nil: taken from the first input, when all these are made.
local BatchNormalization, parent = torch.class('nn.BatchNormalization', 'nn.Module')
BatchNormalization.nDim = 2

-- New parameters and statistics on a device (nil: the default one), in the module's type.
local function allocate(self, device)
    local dtype = types.byName[self._type].dtype
    local function new() return raw.empty(dtype, {self.nFeatures}, device) end
    self:registerBuffer('running_mean', new())
    self:registerBuffer('running_var', new())
    if self.affine then
        self.weight, self.gradWeight = new(), new():zero()
        self.bias, self.gradBias = new(), new():zero()
    end
    self:reset()
end

function BatchNormalization:__init(n, eps, momentum, withAffine)
    parent.__init(self)
    local name = torch.typename(self)
    self.eps = number(eps, 1e-5, name .. ': eps')
    self.momentum = number(momentum, 0.1, name .. ': momentum')
    self.affine = withAffine ~= false
    if n ~= nil then
        self.nFeatures = count(n, name .. ': the number of features')
        allocate(self)
    end
end

-- Are its sizes unknown yet? (Module:incomplete)
function BatchNormalization:incomplete() return self.nFeatures == nil end

function BatchNormalization:takesRank(n)
    local nDim = self.nDim
    return type(nDim) == 'table' and nDim[n] or nDim == n
end

-- Makes what the first input decides.
local function complete(self, x)
    if raw.capturing then base.fail('its sizes come with the first input: run one batch before torch.capture') end
    if not self:takesRank(x._t.ndim) then
        base.fail('expected (N, features%s), got (%s)', self.shapeText, table.concat(shapeOf(x), ', '))
    end
    self.nFeatures = count(tonumber(x._t.shape[1]), torch.typename(self) .. ': the number of features')
    torch.noGrad(function() allocate(self, base.C.dl_device_of(x._t)) end)
    self:_decide()
end

function BatchNormalization:updateOutput(x)
    if self:incomplete() and raw.isTensor(x) then
        local depth = path.enter(self)
        complete(self, x)
        path.leave(depth)
    end
    return parent.updateOutput(self, x)
end

--- norm:reset(): initial weights and running statistics.
function BatchNormalization:reset()
    if self:incomplete() then return self end
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
    if self:incomplete() then complete(self, x) end
    if not self:takesRank(t.ndim) or tonumber(t.shape[1]) ~= self.nFeatures then
        base.fail('expected (N, %d%s), got (%s)', self.nFeatures, self.shapeText, table.concat(shapeOf(x), ', '))
    end
end
BatchNormalization.shapeText = ''

function BatchNormalization:fusedInputs(x)
    checkBatch(self, x)
    return 'batch_norm', x, self.weight, self.bias, self.running_mean, self.running_var, self.train, self.eps,
        self.train and self.momentum or 0
end

function BatchNormalization:compute(x) return (run(BatchNormalization.fusedInputs(self, x))) end

function BatchNormalization:__tostring__()
    return ('%s(%s)'):format(torch.typename(self), self.nFeatures or '?')
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

local function checkRows(self, x)
    local got, own = shapeOf(tensor(x)), self.shape
    for k = 1, #own do
        if got[#got - #own + k] ~= own[k] then
            base.fail('expected (…, %s), got (%s)', table.concat(own, ', '), table.concat(got, ', '))
        end
    end
end

LayerNorm.rms = false

-- The machine precision of the type that x is computed in where none was given, which RMSNorm alone allows.
local function epsilon(self, x) return self.eps or (x._t.type == types.byName.Double.dtype and 2 ^ -52 or 2 ^ -23) end

function LayerNorm:fusedInputs(x)
    checkRows(self, x)
    return 'layer_norm', x, self.weight, self.bias, #self.shape, epsilon(self, x), self.rms
end

function LayerNorm:compute(x) return (run(LayerNorm.fusedInputs(self, x))) end

function LayerNorm:__tostring__() return ('%s(%s)'):format(torch.typename(self), table.concat(self.shape, ', ')) end

--- nn.RMSNorm(shape [, {eps, affine = true}]): each sample divided by the root of its mean square over its last dimensions,
-- then times weight of that shape (Zhang and Sennrich, "Root mean square layer normalization", 2019). eps: by default the
-- machine precision of the type the input is computed in, as in PyTorch.
local RMSNorm = torch.class('nn.RMSNorm', 'nn.LayerNorm')
RMSNorm.rms = true

function RMSNorm:__init(shape, given)
    given = take('nn.RMSNorm', given, {'eps', 'affine'})
    LayerNorm.__init(self, shape, {eps = given.eps, affine = given.affine, bias = false})
    if given.eps == nil then self.eps = nil end
end

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

local function checkChannels(self, x)
    local got = shapeOf(tensor(x))
    if #got < 2 or got[2] ~= self.nFeatures then
        base.fail('expected (N, %d, …), got (%s)', self.nFeatures, table.concat(got, ', '))
    end
end

function GroupNorm:fusedInputs(x)
    checkChannels(self, x)
    return 'group_norm', x, self.weight, self.bias, self.groups, self.eps
end

function GroupNorm:compute(x) return (run(GroupNorm.fusedInputs(self, x))) end

function GroupNorm:__tostring__() return ('nn.GroupNorm(%d, %d)'):format(self.groups, self.nFeatures) end
