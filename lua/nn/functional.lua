-- functional.lua: nn.functional: layers' computations as functions of tensors, under PyTorch's meaning and names in
-- camelCase.
local ops = require 'torch.ops'
local take = require 'torch.options'.take

local F = {}
nn.functional = F

--- F.relu(x), F.sigmoid(x), …: new tensors.
for name, op in pairs {
    relu = 'relu', relu6 = 'relu6', sigmoid = 'sigmoid', tanh = 'tanh', logSigmoid = 'log_sigmoid', silu = 'silu',
    mish = 'mish', gelu = 'gelu', elu = 'elu', selu = 'selu', celu = 'celu', leakyRelu = 'leaky_relu',
    softplus = 'softplus', softsign = 'softsign', softshrink = 'softshrink', hardshrink = 'hardshrink',
    hardtanh = 'hardtanh', hardsigmoid = 'hardsigmoid', hardswish = 'hardswish', tanhshrink = 'tanhshrink',
    threshold = 'threshold', prelu = 'prelu', linear = 'linear',
} do
    F[name] = function(...) return ops[op](...) end
end

local function along(op)
    return function(x, dim)
        if dim == 0 then error('dimensions start at 1 (and -1 is the last); 0 is none', 2) end
        dim = dim or -1
        return ops[op](x, dim > 0 and dim - 1 or dim)
    end
end

--- F.softmax(x [, dim = -1]), F.logSoftmax(x [, dim = -1])
F.softmax, F.logSoftmax = along 'softmax', along 'log_softmax'

--- F.dropout(x [, p = 0.5 [, training = true]])
function F.dropout(x, p, training)
    if training == false then return x end
    return (ops.dropout(x, p or 0.5))
end

-- Losses: the criterions, made for one call.
local function loss(class)
    return function(input, target, options) return nn[class](options)(input, target) end
end

--- F.crossEntropy(logits, labels [, options]), F.nllLoss, F.mseLoss, F.l1Loss, F.smoothL1Loss: as the criterions. Labels
-- from 1.
F.crossEntropy, F.nllLoss = loss 'CrossEntropyCriterion', loss 'ClassNLLCriterion'
F.mseLoss, F.l1Loss, F.smoothL1Loss = loss 'MSECriterion', loss 'AbsCriterion', loss 'SmoothL1Criterion'
F.binaryCrossEntropy, F.binaryCrossEntropyWithLogits = loss 'BCECriterion', loss 'BCEWithLogitsCriterion'
--- F.huberLoss(x, y [, options]), F.klDiv(logProbabilities, probabilities [, options]): as the criterions.
F.huberLoss, F.klDiv = loss 'HuberCriterion', loss 'DistKLDivCriterion'

--- F.oneHot(labels, classes): labels 1..classes as rows of 0 and 1.
function F.oneHot(labels, classes) return ops.one_hot(ops.sub_scalar(labels, 1), classes) end

--- F.embedding(ids, weight): rows of weight (n, size) by ids from 1; ids of any shape give (…, size).
function F.embedding(ids, weight) return nn.LookupTable.compute({weight = weight, paddingValue = 0}, ids) end

-- Normalisation: weight and bias are options, as they may be absent.

--- F.batchNorm(x, runningMean, runningVar [, {weight, bias, training = false, momentum = 0.1, eps = 1e-5}]): x (N, C, …). While
-- training the batch's own statistics count, and the running ones, which may then be nil, move towards them.
function F.batchNorm(x, mean, var, given)
    given = take('nn.functional.batchNorm', given, {'weight', 'bias', 'training', 'momentum', 'eps'})
    return (ops.batch_norm(x, given.weight, given.bias, mean, var, given.training or false, given.eps or 1e-5,
        given.momentum or 0.1))
end

--- F.layerNorm(x, shape [, {weight, bias, eps = 1e-5}]): over the last dimensions, whose sizes are shape, a number or a list.
function F.layerNorm(x, shape, given)
    given = take('nn.functional.layerNorm', given, {'weight', 'bias', 'eps'})
    local layer = nn.LayerNorm(shape, {affine = false, eps = given.eps})
    layer.weight, layer.bias = given.weight, given.bias
    return layer:compute(x)
end

--- F.groupNorm(x, groups [, {weight, bias, eps = 1e-5}]): x (N, C, …).
function F.groupNorm(x, groups, given)
    given = take('nn.functional.groupNorm', given, {'weight', 'bias', 'eps'})
    return (ops.group_norm(x, given.weight, given.bias, groups, given.eps or 1e-5))
end

--- F.normalize(x [, p = 2 [, eps]]): each row scaled to p-norm 1, as nn.Normalize.
function F.normalize(x, p, eps) return nn.Normalize(p or 2, eps):compute(x) end

-- Padding and resampling: the functions behind those modules.
for _, part in ipairs {'nn.padding', 'nn.resample'} do
    for name, f in pairs(require(part)) do F[name] = f end
end

-- Pooling: the modules, made for one call.
local function pool(class)
    return function(x, first, options) return nn[class](first, options):compute(x) end
end

--- F.maxPool2d(x, kernel [, options]), F.avgPool2d, F.lpPool2d(x, p, options), F.adaptiveAvgPool2d(x, size),
-- F.adaptiveMaxPool2d, and likewise 1d and 3d: as the modules. F.maxUnpool2d(x, indices, kernel [, options]).
for _, d in ipairs {'1d', '2d', '3d'} do
    for name, class in pairs {maxPool = 'MaxPool', avgPool = 'AvgPool', lpPool = 'LPPool', adaptiveAvgPool = 'AdaptiveAvgPool',
        adaptiveMaxPool = 'AdaptiveMaxPool'} do
        F[name .. d] = pool(class .. d)
    end
    F['maxUnpool' .. d] = function(x, indices, kernel, options)
        return nn['MaxUnpool' .. d](kernel, options):compute(x, indices)
    end
end
