-- criterions.lua: the losses.
local base = require 'dlrun.ffi'
local ops = require 'torch.ops'
local shapeOf = require 'torch.resize'.fullShape
local raw = require 'torch.raw'
local take = require 'torch.options'.take
local hints = require 'dlrun.hints'

local C = base.C
local isTensor = raw.isTensor

-- ---- options
-- ---------------------------------------------------------------------------------------------------------------

local reductions = {none = 0, mean = 1, sum = 2}

-- Torch7's (weights, sizeAverage) or one table of options: {weight=, reduction=, ignoreIndex=, labelSmoothing=}.
local function configure(self, first, sizeAverage, allowed)
    local options = {}
    if type(first) == 'table' then options = first else options.weight = first end
    take(torch.typename(self), options, allowed)
    self.weights = options.weight
    self.sizeAverage = sizeAverage ~= false
    self.reduction = options.reduction or (sizeAverage == false and 'sum' or 'mean')
    if not reductions[self.reduction] then
        base.fail('%s: reduction must be none, mean or sum, not %s', torch.typename(self), tostring(options.reduction))
    end
    self.ignoreIndex = options.ignoreIndex
    self.labelSmoothing = options.labelSmoothing or 0
end

-- Torch7's scripts switch sizeAverage after construction.
local function reductionOf(self)
    if self.sizeAverage == false and self.reduction == 'mean' then return 'sum' end
    return self.reduction
end

local function reduce(self, losses)
    local how = reductionOf(self)
    if how == 'none' then return losses end
    return ops[how](losses)
end

-- ---- classes
-- -----------------------------------------------------------------------------------------------------------------

-- The target in the input's shape and type; a number stands for a tensor of one element.
local function likeInput(input, target)
    if type(target) == 'number' then return ops.full(shapeOf(input), target, input._t.type) end
    if target._t.type ~= input._t.type then target = ops.copy(target, input._t.type) end
    local same = target._t.ndim == input._t.ndim
    for d = 0, same and input._t.ndim - 1 or -1 do same = same and target._t.shape[d] == input._t.shape[d] end
    return same and target or ops.reshape(target, shapeOf(input))
end

-- Labels 1..C as the library's 0..C-1. A number stands for one sample.
local function zeroBased(target, input)
    if type(target) == 'number' then return ops.full(input._t.ndim == 1 and {} or {1}, target - 1, C.DL_I64) end
    if not isTensor(target) then base.fail('the target must be a tensor of labels, not %s', torch.type(target)) end
    local t = target
    if input._t.ndim == 1 and t._t.ndim == 1 then t = ops.reshape(t, {}) end
    if input._t.ndim == 2 and t._t.ndim == 2 and tonumber(t._t.shape[1]) == 1 then t = ops.reshape(t, {-1}) end
    if t._t.type == C.DL_U8 or t._t.type == C.DL_BOOL then t = ops.copy(t, C.DL_I64) end -- 0 - 1 must not wrap
    return ops.sub_scalar(t, 1)
end

-- The library counts classes and samples from 0.
local function reword(message)
    return (message:gsub('label (%S+) at sample (%d+): expected ([%a ]*)0%.%.(%d+)', function(label, sample, kind, last)
        local number = tonumber(label)
        local hint = number == -1 and '; ' .. hints.labels or ''
        label = number and number == number and ('%.14g'):format(number + 1) or 'nan'
        return ('label %s at sample %d: expected %s1..%d%s'):format(label, sample + 1, kind, last + 1, hint)
    end))
end
table.insert(base.reword, reword)

local function ignored(self) return self.ignoreIndex and self.ignoreIndex - 1 or nil end

--- nn.ClassNLLCriterion([weights [, sizeAverage]]) or {weight=, reduction=, ignoreIndex=}: minus the log probability of the
-- label. Input (N, C) or (C) log probabilities, as LogSoftMax gives; target labels 1..C.
local ClassNLL, parent = torch.class('nn.ClassNLLCriterion', 'nn.Criterion')
local nllOptions = {'weight', 'reduction', 'ignoreIndex'}

function ClassNLL:__init(weights, sizeAverage, ignoreIndex)
    parent.__init(self)
    configure(self, weights, sizeAverage, nllOptions)
    self.ignoreIndex = self.ignoreIndex or ignoreIndex
end

function ClassNLL:compute(input, target)
    return (ops.nll_loss(input, zeroBased(target, input), self.weights, reductions[reductionOf(self)], ignored(self)))
end

local calls, warned = 0, false

-- Softmax before cross entropy trains, badly. One row of calls 1, 2, 4, 8, … is looked at, until one warning was given.
local function warnProbabilities(input)
    if warned or raw.capturing then return end
    calls = calls + 1
    if bit.band(calls, calls - 1) ~= 0 then return end
    local t = input._t
    if t.ndim ~= 2 or tonumber(t.shape[1]) < 2 or tonumber(t.shape[0]) == 0 then return end
    local row = ops.select(raw.detach(input), 0, 0)
    if ops.amin(row):item() >= 0 and math.abs(ops.sum(row):item() - 1) < 1e-4 then
        warned = true
        io.stderr:write('dlrun: nn.CrossEntropyCriterion: ', hints.softmaxBeforeCrossEntropy, '\n')
    end
end

--- nn.CrossEntropyCriterion([weights [, sizeAverage]]) or {weight=, reduction=, ignoreIndex=, labelSmoothing=}: log softmax
-- and negative log likelihood in one. Input (N, C) or (C) logits; target labels 1..C, or probabilities (N, C).
local CrossEntropy = torch.class('nn.CrossEntropyCriterion', 'nn.Criterion')
local crossEntropyOptions = {'weight', 'reduction', 'ignoreIndex', 'labelSmoothing'}

function CrossEntropy:__init(weights, sizeAverage)
    parent.__init(self)
    configure(self, weights, sizeAverage, crossEntropyOptions)
end

local function isProbabilities(input, target)
    return isTensor(target) and input._t.ndim == target._t.ndim and input._t.ndim == 2 and target._t.type <= C.DL_BF16
        and target._t.shape[1] == input._t.shape[1] and tonumber(input._t.shape[1]) > 1
end

function CrossEntropy:compute(input, target)
    warnProbabilities(input)
    local t = isProbabilities(input, target) and likeInput(input, target) or zeroBased(target, input)
    return (ops.cross_entropy(input, t, self.weights, reductions[reductionOf(self)], ignored(self), self.labelSmoothing))
end

-- ---- numbers
-- -----------------------------------------------------------------------------------------------------------------

local function checkShapes(self, input, target)
    if isTensor(input) and isTensor(target) and torch.numel(input) ~= torch.numel(target) then
        base.fail('%s: input (%s) and target (%s) have different numbers of elements', torch.typename(self),
            table.concat(shapeOf(input), ', '), table.concat(shapeOf(target), ', '))
    end
end

local weightedOptions = {'weight', 'reduction'}

-- Losses that are one pointwise expression of (input, target), then reduced. attributes: fields handed to the op.
local function definePair(name, op, attributes)
    local class = torch.class('nn.' .. name, 'nn.Criterion')
    local names = {'reduction'}
    for k, attribute in ipairs(attributes) do names[k + 1] = attribute.name end
    function class:__init(first)
        parent.__init(self)
        local options = type(first) == 'table' and first or {}
        configure(self, options, first, names)
        for _, attribute in ipairs(attributes) do self[attribute.name] = options[attribute.name] or attribute.default end
    end
    function class:compute(input, target)
        checkShapes(self, input, target)
        local list = {}
        for k, attribute in ipairs(attributes) do list[k] = self[attribute.name] end
        return reduce(self, ops[op](input, likeInput(input, target), unpack(list)))
    end
end

--- nn.MSECriterion([sizeAverage]): (x - y)²; nn.AbsCriterion: |x - y|. Both, as all losses of pairs, averaged, or summed with
-- sizeAverage = false; {reduction = 'none'} keeps them apart.
definePair('MSECriterion', 'squared_error', {})
definePair('AbsCriterion', 'absolute_error', {})

--- nn.SmoothL1Criterion([sizeAverage]) or {beta = 1}: d = |x - y|; d < beta ? d² / (2 beta) : d - beta / 2.
definePair('SmoothL1Criterion', 'smooth_l1', {{name = 'beta', default = 1}})

--- nn.HuberCriterion([sizeAverage]) or {delta = 1}: d = |x - y|; d < delta ? d² / 2 : delta (d - delta / 2).
definePair('HuberCriterion', 'huber', {{name = 'delta', default = 1}})

-- Losses with an optional weight of every element. check(input): refuses what the op cannot take.
local function defineWeighted(name, op, check)
    local class = torch.class('nn.' .. name, 'nn.Criterion')
    function class:__init(weights, sizeAverage)
        parent.__init(self)
        if type(weights) == 'boolean' then weights, sizeAverage = nil, weights end
        configure(self, weights, sizeAverage, weightedOptions)
    end
    function class:compute(input, target)
        checkShapes(self, input, target)
        if check and not raw.capturing then check(raw.detach(input)) end
        local losses = ops[op](input, likeInput(input, target))
        if self.weights then losses = ops.mul(losses, self.weights) end
        return reduce(self, losses)
    end
end

-- Names the first element outside 0..1; NaN is outside.
local function checkProbabilities(input)
    local outside = ops.ne(ops.clamp(input, 0, 1), input)
    if not ops.any(outside):item() then return end
    local at = ops.nonzero(outside)
    local element, place = input, {}
    for d = 1, input._t.ndim do
        local k = ops.select(ops.select(at, 0, 0), 0, d - 1):item()
        place[d] = k + 1
        element = ops.select(element, 0, k)
    end
    base.fail('nn.BCECriterion: element (%s) is %g: expected probabilities, 0..1; nn.Sigmoid before it, or '
        .. 'nn.BCEWithLogitsCriterion', table.concat(place, ', '), element:item())
end

--- nn.BCECriterion([weights [, sizeAverage]]): binary cross entropy of probabilities; logarithms are bounded at -100.
defineWeighted('BCECriterion', 'bce', checkProbabilities)

--- nn.BCEWithLogitsCriterion([weights [, sizeAverage]]): the same of logits: stable, without nn.Sigmoid before it.
defineWeighted('BCEWithLogitsCriterion', 'bce_with_logits')

--- nn.DistKLDivCriterion([sizeAverage]): target·(log target - input), input log probabilities.
definePair('DistKLDivCriterion', 'kl_div', {})

-- PyTorch's names.
nn.CrossEntropyLoss, nn.NLLLoss = nn.CrossEntropyCriterion, nn.ClassNLLCriterion
nn.MSELoss, nn.L1Loss = nn.MSECriterion, nn.AbsCriterion
nn.BCELoss, nn.BCEWithLogitsLoss, nn.SmoothL1Loss = nn.BCECriterion, nn.BCEWithLogitsCriterion, nn.SmoothL1Criterion
nn.HuberLoss, nn.KLDivLoss = nn.HuberCriterion, nn.DistKLDivCriterion
