-- sums.lua: criterions that are weighted sums of others.
local base = require 'dlrun.ffi'
local ops = require 'torch.ops'

local parent = nn.Criterion

-- A class whose add(criterion [, weight = 1]) collects; pair(self, k, input, target) gives what criterion k gets.
local function define(name, pair)
    local class = torch.class('nn.' .. name, 'nn.Criterion')

    function class:__init(repeatTarget)
        parent.__init(self)
        self.criterions, self.weights = {}, {}
        self.repeatTarget = repeatTarget == true
    end

    function class:add(criterion, weight)
        if not torch.isTypeOf(criterion, 'nn.Criterion') then
            base.fail('nn.%s: add wants a criterion, got %s', name, torch.type(criterion))
        end
        self.criterions[#self.criterions + 1] = criterion
        self.weights[#self.criterions] = weight or 1
        return self
    end

    function class:compute(input, target)
        local total
        for k, criterion in ipairs(self.criterions) do
            local loss = ops.mul_scalar(criterion(pair(self, k, input, target)), self.weights[k])
            total = total and ops.add(total, loss) or loss
        end
        return total or base.fail('nn.%s has no criterions: add some', name)
    end
end

--- nn.MultiCriterion(): the sum of the criterions given by add(criterion [, weight = 1]), all of the same input and target.
define('MultiCriterion', function(_, _, input, target) return input, target end)

--- nn.ParallelCriterion([repeatTarget]): as nn.MultiCriterion, criterion k of input[k] and target[k], or of the one target with
-- repeatTarget = true.
define('ParallelCriterion', function(self, k, input, target)
    local y = target
    if not self.repeatTarget then y = type(target) == 'table' and target[k] or nil end
    if type(input) ~= 'table' or input[k] == nil or y == nil then
        base.fail('nn.ParallelCriterion: criterion %d has no input or no target: both are tables with an entry for each', k)
    end
    return input[k], y
end)
