-- functional.lua: nn.functional: layers' computations as functions of tensors, under PyTorch's meaning and names in
-- camelCase.
local ops = require 'torch.ops'

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

--- F.oneHot(labels, classes): labels 1..classes as rows of 0 and 1.
function F.oneHot(labels, classes) return ops.one_hot(ops.sub_scalar(labels, 1), classes) end

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
