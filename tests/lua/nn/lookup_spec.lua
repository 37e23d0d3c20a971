-- nn.LookupTable and nn.Embedding: rows and gradients in both faces, padding, renormalisation, wrong ids.
local checks = require 'tests.lua.checks'

local function table3x2(class, ...)
    local m = class(3, 2, ...)
    torch.noGrad(function() m.weight:copy(torch.Tensor {{1, 2}, {3, 4}, {5, 6}}) end)
    return m
end

describe('nn.LookupTable', function()
    before_each(function() torch.manualSeed(5) end)

    it('takes ids of any shape and type', function()
        local m = table3x2(nn.LookupTable)
        for _, type in ipairs {'Byte', 'Char', 'Short', 'Int', 'Long', 'Float', 'Double'} do
            local ids = torch[type .. 'Tensor'] {{3, 1, 1}, {2, 3, 1}}
            local expected = {{{5, 6}, {1, 2}, {1, 2}}, {{3, 4}, {5, 6}, {1, 2}}}
            assert.same(expected, m:forward(ids):totable())
            assert.same(expected, m(ids):totable())
        end
        assert.same({{3, 4}}, m:forward(torch.LongTensor {2}):totable())
        assert.same({{{1, 2}, {5, 6}}, {{3, 4}, {3, 4}}}, m:forward(torch.LongTensor {{1, 2}, {3, 2}}:t()):totable())
        assert.same({2, 1, 2, 2}, m(torch.LongTensor(2, 1, 2):fill(1)):size():totable())
    end)

    it('adds gradients up, in both faces the same, without those of the padding', function()
        local ids, grad = torch.LongTensor {{3, 1}, {3, 2}}, torch.Tensor {{{1, 2}, {3, 4}}, {{5, 6}, {7, 8}}}
        for padding, expected in pairs {[0] = {{3, 4}, {7, 8}, {6, 8}}, [3] = {{3, 4}, {7, 8}, {0, 0}}} do
            local m = table3x2(nn.LookupTable, padding)
            m:zeroGradParameters()
            m:forward(ids)
            assert.same({{0, 0}, {0, 0}}, m:backward(ids, grad):totable())
            assert.same(expected, m.gradWeight:totable())
            m:zeroGradParameters()
            m(ids):backward(grad)
            assert.same(expected, m.weight.grad:totable())
            assert.is_true(rawequal(m.gradWeight, m.weight.grad) or m.gradWeight:isSetTo(m.weight.grad))
        end
    end)

    it('has the gradient of finite differences inside a model', function()
        local model = nn.Sequential(nn.LookupTable(5, 3), nn.View(-1, 6), nn.Tanh(), nn.Linear(6, 2)):double()
        local ids = torch.LongTensor {{1, 4}, {4, 4}, {5, 2}}
        local grad = checks.randomLike(model:forward(ids))
        model:zeroGradParameters()
        model:backward(ids, grad)
        local function value() return checks.dot(torch.noGrad(model, ids), grad) end
        local params, grads = model:parameters()
        for k, p in ipairs(params) do
            assert.is_true(checks.difference(checks.numericGradient(value, p), grads[k]) < 1e-7)
        end
    end)

    it('scales the rows used down to maxNorm', function()
        for _, call in ipairs {function(m, x) return m(x) end, function(m, x) return m:forward(x) end} do
            local m = nn.LookupTable(3, 2, 0, 1)
            torch.noGrad(function() m.weight:copy(torch.Tensor {{3, 4}, {0.3, 0.4}, {6, 8}}) end)
            local expected = torch.Tensor {{0.6, 0.8}, {0.3, 0.4}, {0.6, 0.8}}
            assert.is_true(checks.difference(call(m, torch.LongTensor {1, 2, 1}), expected) < 1e-6)
            assert.is_true(checks.difference(m.weight, torch.Tensor {{0.6, 0.8}, {0.3, 0.4}, {6, 8}}) < 1e-6)
        end
        local one = nn.LookupTable(1, 2):setMaxNorm(2):setNormType(1)
        torch.noGrad(function() one.weight:copy(torch.Tensor {{-3, 1}}) end)
        local first, second = one(torch.LongTensor {1}), one(torch.LongTensor {1})
        assert.is_true(checks.difference(first, torch.Tensor {{-1.5, 0.5}}) < 1e-6)
        torch.backward((first + second):sum())
        assert.same({{2, 2}}, one.weight.grad:totable())
    end)

    it('names a wrong id and its sample', function()
        local m = nn.Sequential(nn.LookupTable(3, 2))
        for _, call in ipairs {m, function(x) return m:forward(x) end} do
            local ok, message = pcall(call, torch.LongTensor {{1, 2}, {3, 0}})
            assert.is_false(ok)
            assert.matches('model%[1%]: LookupTable%(3 %-> 2%).*id 0 at sample 2: expected 1%.%.3; ids start', message)
            assert.matches('x:add%(1%)%?', message)
            ok, message = pcall(call, torch.ByteTensor {1, 2, 4})
            assert.is_false(ok)
            assert.matches('id 4 at sample 3: expected 1%.%.3', message)
            assert.is_nil(message:find('x:add', 1, true))
            assert.error_matches(function() call(torch.Tensor {1.5}) end, 'whole numbers')
        end
        assert.error_matches(function() m(3) end, 'expected a tensor of ids, got number')
        assert.error_matches(function() torch.ones(2):index(1, torch.LongTensor {0}) end, 'index 0 at position 1')
        assert.error_matches(function() nn.LookupTable(0, 2) end, 'from 1 up, not 0')
        assert.error_matches(function() nn.LookupTable(3, 2, 4) end, 'from 0 to 3, not 4')
        assert.error_matches(function() nn.LookupTable(3, 2, 0, -1) end, 'maxNorm must be a number above 0')
    end)

    it('prints as its size and trains with an optimizer', function()
        require 'optim'
        local m = nn.LookupTable(3, 2)
        assert.equal('nn.LookupTable(3 -> 2)', tostring(m))
        local opt, before = optim.SGD(m, {lr = 1}), m.weight:detach():clone()
        m(torch.LongTensor {2}):sum():backward()
        opt:step()
        assert.is_true(checks.difference(before - m.weight:detach(), torch.Tensor {{0, 0}, {1, 1}, {0, 0}}) < 1e-6)
    end)
end)

describe('nn.Embedding', function()
    it('takes options and zeroes the padding row', function()
        local m = nn.Embedding(4, 2, {paddingIndex = 2, maxNorm = 0.5})
        assert.same({0, 0}, m.weight[2]:totable())
        local y = m(torch.LongTensor {1, 2, 3})
        assert.is_true(y[1]:norm() <= 0.5 + 1e-6)
        y:sum():backward()
        assert.same({{1, 1}, {0, 0}, {1, 1}, {0, 0}}, m.weight.grad:totable())
        assert.error_matches(function() nn.Embedding(4, 2, {padding = 1}) end, "did you mean 'paddingIndex'")
    end)
end)
