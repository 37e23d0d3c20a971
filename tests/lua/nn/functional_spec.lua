-- nn.functional, nn.init, Dropout: what the faces' spec does not reach.
local checks = require 'tests.lua.checks'
local difference = checks.difference
local F = nn.functional

local function spread(x)
    local mean = x:mean()
    return mean, x:std()
end

describe('nn.functional', function()
    it('is the modules\' computations', function()
        local x = torch.randn(4, 3)
        for name, module in pairs {
            relu = nn.ReLU(), sigmoid = nn.Sigmoid(), tanh = nn.Tanh(), logSigmoid = nn.LogSigmoid(), silu = nn.SiLU(),
            mish = nn.Mish(), gelu = nn.GELU(), elu = nn.ELU(), selu = nn.SELU(), softplus = nn.SoftPlus(),
            softsign = nn.SoftSign(), hardtanh = nn.HardTanh(), hardswish = nn.Hardswish(), leakyRelu = nn.LeakyReLU(),
            relu6 = nn.ReLU6(), softmax = nn.SoftMax(), logSoftmax = nn.LogSoftMax(),
        } do
            assert(difference(F[name](x), module(x)) < 1e-6, name)
        end
        local fc = nn.Linear(3, 2)
        assert.equal(0, difference(F.linear(x, fc.weight, fc.bias), fc(x)))
        assert.near(1, F.softmax(x, 1):sum(1)[1][1], 1e-6)
        assert.error_matches(function() F.softmax(x, 0) end, 'dimensions start at 1')
    end)

    it('has the losses with their options', function()
        local x, y = torch.randn(4, 3), torch.LongTensor {1, 3, 2, 2}
        assert.equal(nn.CrossEntropyCriterion():forward(x, y), F.crossEntropy(x, y):item())
        assert.equal(4, F.crossEntropy(x, y, {reduction = 'none'}):nElement())
        assert.near(2.5, F.mseLoss(torch.Tensor {1, 2}, torch.zeros(2)):item(), 1e-6)
        assert.near(3, F.l1Loss(torch.Tensor {1, 2}, torch.zeros(2), {reduction = 'sum'}):item(), 1e-6)
        assert.same({{0, 1, 0}, {1, 0, 0}}, F.oneHot(torch.LongTensor {2, 1}, 3):totable())
    end)

    it('normalises as the modules do', function()
        local x = torch.randn(4, 6, 3, 3)
        for _, training in ipairs {true, false} do
            local m = nn.BatchNorm2d(6)
            m.weight:uniform(0.5, 2)
            m.running_var:uniform(0.5, 2)
            local mean, var = m.running_mean:clone(), m.running_var:clone()
            if training then m:training() else m:evaluate() end
            local y = F.batchNorm(x, mean, var, {weight = m.weight, bias = m.bias, training = training})
            assert.equal(0, difference(y, m(x)))
            assert.equal(0, difference(mean, m.running_mean))
            assert.equal(0, difference(var, m.running_var))
        end
        local layer, group = nn.LayerNorm({3, 3}), nn.GroupNorm(2, 6)
        layer.weight:uniform(0.5, 2)
        group.bias:uniform(-1, 1)
        assert.equal(0, difference(F.layerNorm(x, {3, 3}, {weight = layer.weight, bias = layer.bias}), layer(x)))
        assert.is_true(difference(F.layerNorm(x, 3), nn.LayerNorm(3)(x)) < 1e-6)
        assert.equal(0, difference(F.groupNorm(x, 2, {weight = group.weight, bias = group.bias}), group(x)))
        assert.equal(0, difference(F.normalize(torch.Tensor {{3, 4}}), torch.Tensor {{0.6, 0.8}}))
        assert.error_matches(function() F.batchNorm(x, nil, nil) end, 'running_mean')
        assert.error_matches(function() F.layerNorm(x, 4) end, 'expected %(…, 4%)')
    end)

    it('looks up rows by ids from 1', function()
        local table_ = nn.Embedding(5, 2)
        local ids = torch.LongTensor {{1, 5}, {2, 2}}
        assert.equal(0, difference(F.embedding(ids, table_.weight), table_(ids)))
        assert.error_matches(function() F.embedding(torch.LongTensor {0}, table_.weight) end, 'ids start at 1')
    end)

    it('drops out only while training', function()
        local x = torch.ones(10000)
        assert.is_true(rawequal(x, F.dropout(x, 0.5, false)))
        torch.manualSeed(1)
        local y = F.dropout(x, 0.25)
        assert.near(1, y:mean(), 0.03)
        assert.near(4 / 3, y:max(), 1e-6)
    end)
end)

describe('nn.Dropout', function()
    it('drops p of the elements and scales the others', function()
        torch.manualSeed(2)
        local drop, x = nn.Dropout(0.3), torch.ones(100, 100)
        local y = drop:forward(x)
        assert.near(0.3, y:eq(0):double():mean(), 0.02)
        assert.near(1 / 0.7, y:max(), 1e-6)
        local g = drop:backward(x, torch.ones(100, 100))
        assert.equal(0, difference(g, y))
        assert.equal(0, difference(drop:evaluate():forward(x), x))
        local v1 = nn.Dropout(0.3, true)
        assert.near(1, v1:forward(x):max(), 1e-6)
        assert.near(0.7, v1:evaluate():forward(x):max(), 1e-6)
    end)

    it('keeps all with p = 0, none with p = 1', function()
        local x = torch.ones(10)
        assert.equal(10, nn.Dropout(0):forward(x):sum())
        assert.equal(0, nn.Dropout(1):forward(x):sum())
        assert.equal(0.4, nn.Dropout({p = 0.4}).p)
    end)
end)

describe('nn.init', function()
    before_each(function() torch.manualSeed(4) end)

    it('fills with what its names say', function()
        local x = torch.Tensor(200, 100)
        assert.is_true(rawequal(x, nn.init.zeros(x)))
        assert.equal(0, x:sum())
        assert.equal(20000, nn.init.ones(x):sum())
        assert.equal(60000, nn.init.constant(x, 3):sum())
        assert.equal(100, nn.init.eye(x):sum())
        local mean, std = spread(nn.init.uniform(x, -1, 3))
        assert.near(1, mean, 0.05)
        assert.near(4 / math.sqrt(12), std, 0.02)
        mean, std = spread(nn.init.normal(x, 2, 0.5))
        assert.near(2, mean, 0.02)
        assert.near(0.5, std, 0.01)
    end)

    it('scales by fans and gains', function()
        local x = torch.Tensor(200, 100)
        local _, std = spread(nn.init.xavierUniform(x))
        assert.near(math.sqrt(2 / 300), std, 2e-3)
        _, std = spread(nn.init.xavierNormal(x, 2))
        assert.near(2 * math.sqrt(2 / 300), std, 4e-3)
        _, std = spread(nn.init.kaimingUniform(x, {nonlinearity = 'relu'}))
        assert.near(math.sqrt(2 / 100), std, 3e-3)
        _, std = spread(nn.init.kaimingNormal(x, {mode = 'fanOut', nonlinearity = 'relu'}))
        assert.near(math.sqrt(2 / 200), std, 3e-3)
        assert.equal(5 / 3, nn.init.calculateGain 'tanh')
        assert.error_matches(function() nn.init.xavierUniform(torch.Tensor(3)) end, 'two or more dimensions')
        assert.error_matches(function() nn.init.calculateGain 'foo' end, "no 'foo'")
    end)

    it('leaves trained parameters leaves', function()
        local fc = nn.Linear(3, 2)
        fc(torch.ones(1, 3))
        nn.init.normal(fc.weight)
        assert.is_true(fc.weight.isLeaf)
        fc(torch.ones(1, 3)):sum():backward()
        assert.equal(6, fc.gradWeight:sum())
        fc:reset()
        assert.is_true(fc.weight.isLeaf)
    end)

    it('resets a layer to LeCun\'s range', function()
        local fc = nn.Linear(100, 50)
        assert.is_true(fc.weight:max() <= 0.1 and fc.weight:min() >= -0.1)
        assert.near(0.1 / math.sqrt(3), fc.weight:std(), 3e-3)
        fc:reset(0.02)
        assert.near(0.02, fc.weight:std(), 1e-3)
    end)
end)
