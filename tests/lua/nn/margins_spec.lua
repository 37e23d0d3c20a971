-- Losses of signs and sums of criterions: values by hand, gradients of both faces against finite differences, mistakes.
local checks = require 'tests.lua.checks'

-- criterion:forward is `value`, and all gradients agree.
local function agrees(criterion, input, target, value)
    assert.near(value, criterion:forward(input, target), 1e-9)
    local leaves = checks.copy(input)
    for _, leaf in ipairs(checks.flatten(leaves)) do leaf.requiresGrad = true end
    local loss = criterion(leaves, target)
    assert.equal(0, loss:dim())
    loss:backward()
    local grads = checks.flatten(checks.copy(criterion:backward(input, target)))
    local function f() return criterion:forward(input, target) end
    for k, t in ipairs(checks.flatten(input)) do
        assert.is_true(checks.difference(grads[k], checks.flatten(leaves)[k].grad) < 1e-12)
        assert.is_true(checks.difference(grads[k], checks.numericGradient(f, t)) < 1e-7)
    end
end

local function summed(criterion)
    criterion.sizeAverage = false
    return criterion
end

local D = torch.DoubleTensor

describe('a loss of signs', function()
    local x, y = D {0.5, 2, -1.5, 0.25}, D {1, 1, -1, -1}

    it('has its value and gradient', function()
        agrees(nn.MarginCriterion(), x, y, 1.75 / 4)
        agrees(summed(nn.MarginCriterion(0.75)), x, torch.LongTensor {1, 1, -1, -1}, 1.25)
        agrees(nn.HingeEmbeddingCriterion(), x, y, (0.5 + 2 + 2.5 + 0.75) / 4)
        agrees(summed(nn.HingeEmbeddingCriterion(0.1)), D {0.5}, -1, 0)
        local a, b = D {{3, 4}, {1, 0}, {0, 2}}, D {{4, 3}, {1, 1}, {1, -1}}
        local r = math.sqrt(0.5)
        agrees(nn.CosineEmbeddingCriterion(), {a, b}, D {1, -1, -1}, (0.04 + r) / 3)
        agrees(summed(nn.CosineEmbeddingCriterion(0.2)), {a, b}, D {-1, 1, 1}, 0.76 + (1 - r) + (1 + r))
        agrees(nn.CosineEmbeddingCriterion(), {D {3, 4}, D {4, 3}}, 1, 0.04)
    end)

    it('is finite for a zero vector', function()
        assert.equal(1, nn.CosineEmbeddingCriterion():forward({torch.zeros(2), torch.ones(2)}, 1))
    end)

    it('names a target that is no sign', function()
        for _, name in ipairs {'MarginCriterion', 'HingeEmbeddingCriterion'} do
            assert.error_matches(function() nn[name]()(x, D {1, -1, 0, 1}) end,
                name .. ': target 0 at sample 3: expected 1 or %-1')
            assert.error_matches(function() nn[name]():forward(x, D {1, -1}) end, 'for each of 4, got a tensor %(2%)')
        end
        assert.error_matches(function() nn.CosineEmbeddingCriterion()(x, 1) end, 'a table of two tensors')
        assert.error_matches(function() nn.MarginCriterion('x') end, 'margin must be a number, not x')
    end)
end)

describe('a sum of criterions', function()
    local x, y = D {1, 2}, D {3, 5}

    it('has its value and gradient', function()
        local multi = nn.MultiCriterion():add(nn.MSECriterion()):add(nn.AbsCriterion(), 0.5)
        agrees(multi, x, y, 6.5 + 0.5 * 2.5)
        local parallel = nn.ParallelCriterion():add(nn.MSECriterion(), 2):add(nn.AbsCriterion())
        agrees(parallel, {x, D {1, 1, 4}}, {y, D {2, 2, 2}}, 13 + 4 / 3)
        agrees(nn.ParallelCriterion(true):add(nn.MSECriterion()):add(multi, 2), {D {3, 4}, x}, y, 0.5 + 2 * 7.75)
    end)

    it('says what it misses', function()
        assert.error_matches(function() nn.MultiCriterion()(x, y) end, 'has no criterions')
        assert.error_matches(function() nn.MultiCriterion():add(nn.Identity()) end, 'wants a criterion, got nn.Identity')
        local parallel = nn.ParallelCriterion():add(nn.MSECriterion()):add(nn.AbsCriterion())
        assert.error_matches(function() parallel({x}, {y}) end, 'criterion 2 has no input or no target')
        assert.error_matches(function() parallel({x, x}, y) end, 'criterion 1 has no input or no target')
    end)
end)
