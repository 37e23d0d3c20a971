-- EmbeddingBag.lua: sums, means or maxima of the rows that bags of ids name.
local base = require 'dlrun.ffi'
local ops = require 'torch.ops'
local raw = require 'torch.raw'
local take = require 'torch.options'.take

local C = base.C

--- nn.EmbeddingBag(numEmbeddings, dim [, {mode = 'mean', paddingIndex=, maxNorm=, normType=}]): the sum, mean or maximum (mode
-- 'sum', 'mean', 'max') of the rows of weight that the ids of a bag name. Input: ids (bags, ids), or two inputs: a vector of
-- ids and where in it each bag begins, from 1. Output (bags, dim). The padding id counts for nothing; an empty bag gives
-- zeros.
local EmbeddingBag, parent = torch.class('nn.EmbeddingBag', 'nn.Embedding')

local reduce = {}

function EmbeddingBag:__init(numEmbeddings, dim, given)
    given = take('nn.EmbeddingBag', given, {'mode', 'paddingIndex', 'maxNorm', 'normType'})
    self.mode = given.mode or 'mean'
    if not reduce[self.mode] then
        base.fail("nn.EmbeddingBag: there is no mode '%s': sum, mean, max", tostring(self.mode))
    end
    parent.__init(self, numEmbeddings, dim, {paddingIndex = given.paddingIndex, maxNorm = given.maxNorm,
        normType = given.normType})
end

-- The number, from 0, of the bag that each of n ids belongs to.
local function bagsOf(offsets, n)
    local from = ops.sub_scalar(ops.copy(offsets, C.DL_I64), 1)
    if from._t.ndim ~= 1 or tonumber(from._t.shape[0]) == 0 or tonumber(ops.select(from, 0, 0):item()) ~= 0 then
        base.fail('the places where bags begin are a vector whose first element is 1')
    end
    local marks = ops.index_select_backward(ops.full({tonumber(from._t.shape[0])}, 1, C.DL_I64), from, 0, n + 1)
    return ops.sub_scalar(ops.cumsum(ops.slice(marks, 0, 0, n), 0), 1)
end

-- Sums of rows y (n, …) by bag.
local function sums(y, bags, n) return ops.index_select_backward(y, bags, 0, n) end

function reduce.sum(y, keep, bags, n) return sums(ops.mul(y, keep), bags, n) end

function reduce.mean(y, keep, bags, n)
    return ops.div(reduce.sum(y, keep, bags, n), ops.clamp_min(sums(keep, bags, n), 1))
end

-- Of each bag the rows that count, one after another; they need not be neighbours.
function reduce.max(y, keep, bags, n)
    local width, list = tonumber(y._t.shape[1]), {}
    local counts = ops.ne_scalar(ops.squeeze(keep, {1}), 0)
    for bag = 0, n - 1 do
        local at = ops.nonzero(ops.logical_and(counts, ops.eq_scalar(bags, bag)))
        if tonumber(at._t.shape[0]) == 0 then
            list[bag + 1] = ops.full({width}, 0, y._t.type)
        else
            list[bag + 1] = (ops.max_dim(ops.index_select(y, 0, ops.squeeze(at, {1})), 0))
        end
    end
    return ops.stack(list, 0)
end

function EmbeddingBag:compute(input)
    local ids, offsets = input, nil
    if type(input) == 'table' then ids, offsets = input[1], input[2] end
    if not raw.isTensor(ids) or ids._t.ndim ~= (offsets and 1 or 2) then
        base.fail('expected ids (bags, ids), or a vector of ids and where the bags begin')
    end
    local y = parent.compute(self, ids)
    local dim, count = self.weight:size(2), tonumber(torch.numel(ids))
    local bags, n
    if offsets then
        bags, n = bagsOf(offsets, count), tonumber(offsets._t.shape[0])
    else
        n = tonumber(ids._t.shape[0])
        local numbers = ops.unsqueeze(ops.arange(0, 1, n, C.DL_I64), 1)
        bags = ops.reshape(ops.expand(numbers, {n, tonumber(ids._t.shape[1])}), {count})
    end
    local flat = ops.reshape(ids, {count, 1})
    local keep = ops.copy(ops.ne_scalar(flat, self.paddingValue), self.weight._t.type)
    return reduce[self.mode](ops.reshape(y, {count, dim}), keep, bags, n)
end
