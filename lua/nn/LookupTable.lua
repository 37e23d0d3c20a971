-- LookupTable.lua: a row of weights for every id.
local base = require 'dlrun.ffi'
local ops = require 'torch.ops'
local raw = require 'torch.raw'
local shapeOf = require 'torch.resize'.fullShape
local take = require 'torch.options'.take
local types = require 'torch.types'

local C = base.C

--- nn.LookupTable(nIndex, nOutput [, paddingValue = 0 [, maxNorm [, normType = 2]]]): the rows of weight that ids name.
-- Input: ids 1..nIndex of any shape; output: that shape with nOutput behind it. weight (nIndex, nOutput), at first N(0, 1).
-- The row paddingValue gets no gradient. With maxNorm, rows used are scaled in place to a normType-norm of at most maxNorm.
local LookupTable, parent = torch.class('nn.LookupTable', 'nn.Module')

local function whole(self, what, value, least, most)
    if type(value) ~= 'number' or value % 1 ~= 0 or value < least or value > most then
        base.fail('%s: %s must be a whole number from %d%s, not %s', torch.typename(self), what, least,
            most < math.huge and (' to %d'):format(most) or ' up', tostring(value))
    end
    return value
end

local function positive(self, what, value)
    if type(value) ~= 'number' or value ~= value or value <= 0 then
        base.fail('%s: %s must be a number above 0, not %s', torch.typename(self), what, tostring(value))
    end
    return value
end

function LookupTable:__init(nIndex, nOutput, paddingValue, maxNorm, normType)
    parent.__init(self)
    whole(self, 'the number of rows', nIndex, 1, math.huge)
    whole(self, 'the size of a row', nOutput, 1, math.huge)
    self.paddingValue = whole(self, 'the padding id', paddingValue or 0, 0, nIndex)
    self.maxNorm = maxNorm and positive(self, 'maxNorm', maxNorm)
    self.normType = positive(self, 'normType', normType or 2)
    self.weight = torch.Tensor(nIndex, nOutput)
    self.gradWeight = torch.Tensor(nIndex, nOutput):zero()
    self:reset()
end

--- lookup:reset([stdv = 1]): new weights from N(0, stdv²).
function LookupTable:reset(stdv)
    torch.noGrad(function() self.weight:normal(0, stdv or 1) end)
    return self
end

function LookupTable:setPadding(paddingValue)
    self.paddingValue = whole(self, 'the padding id', paddingValue, 0, self.weight:size(1))
    return self
end

function LookupTable:setMaxNorm(maxNorm)
    self.maxNorm = maxNorm and positive(self, 'maxNorm', maxNorm)
    return self
end

function LookupTable:setNormType(normType)
    self.normType = positive(self, 'normType', normType)
    return self
end

-- The ids as a vector of the library's numbers, from 0. Torch7's scripts keep ids in floating tensors too.
local function indices(x)
    if not raw.isTensor(x) then base.fail('expected a tensor of ids, got %s', torch.type(x)) end
    local ids = ops.copy(raw.detach(x), C.DL_I64)
    if types.byDtype[x._t.type].floating and not raw.capturing and ops.any(ops.ne(raw.detach(x), ids)):item() then
        base.fail('ids must be whole numbers: convert with x:long()')
    end
    return ops.sub_scalar(ops.reshape(ids, {-1}), 1)
end

-- Ids in one sample of the lookup that runs; nil while none does. Every error of the op passes through base.reword.
local perSample

table.insert(base.reword, function(message)
    if not perSample then return message end
    local size = perSample
    perSample = nil
    return (message:gsub('index (%-?%d+) at position (%d+): expected (%d+%.%.%d+).*', function(id, position, range)
        local sample = math.floor((position - 1) / size) + 1
        local hint = id == '0' and '; ids start at 1; x:add(1)?' or ''
        return ('id %s at sample %d: expected %s%s'):format(id, sample, range, hint)
    end))
end)

local function rows(weight, ids, x)
    perSample = x._t.ndim > 1 and tonumber(torch.numel(x)) / math.max(tonumber(x._t.shape[0]), 1) or 1
    local result = ops.index_select(weight, 0, ids)
    perSample = nil
    return result
end

-- Scales the rows used down to maxNorm, in place. An id that comes twice writes the same row twice.
local function renormalise(self, ids, x)
    torch.noGrad(function()
        local used = rows(self.weight, ids, x)
        local norms = ops.norm(used, self.normType, {1}, true)
        local scale = ops.div(ops.full({}, self.maxNorm, norms._t.type), ops.add_scalar(norms, 1e-7))
        local scaled = ops.where(ops.gt_scalar(norms, self.maxNorm), ops.mul(used, scale), used)
        ops.into.copy(self.weight, ops.index_copy(self.weight, 0, ids, scaled))
    end)
end

function LookupTable:compute(x)
    local ids = indices(x)
    if self.maxNorm then renormalise(self, ids, x) end
    local y = rows(self.weight, ids, x)
    if self.paddingValue ~= 0 then
        local padding = ops.unsqueeze(ops.eq_scalar(ids, self.paddingValue - 1), 1)
        y = ops.where(padding, raw.detach(y), y)
    end
    local shape = shapeOf(x)
    shape[#shape + 1] = self.weight:size(2)
    return ops.reshape(y, shape)
end

function LookupTable:__tostring__()
    return ('%s(%d -> %d)'):format(torch.typename(self), self.weight:size(1), self.weight:size(2))
end

--- nn.Embedding(numEmbeddings, dim [, {paddingIndex=, maxNorm=, normType=}]): as nn.LookupTable; the padding row is zero.
local Embedding = torch.class('nn.Embedding', 'nn.LookupTable')

function Embedding:__init(numEmbeddings, dim, options)
    options = take('nn.Embedding', options, {'paddingIndex', 'maxNorm', 'normType'})
    LookupTable.__init(self, numEmbeddings, dim, options.paddingIndex, options.maxNorm, options.normType)
end

function Embedding:reset(stdv)
    LookupTable.reset(self, stdv)
    if self.paddingValue ~= 0 then torch.noGrad(function() self.weight[self.paddingValue]:zero() end) end
    return self
end

return LookupTable
