-- nn.Linear(nil, n): the input size comes with the first batch.
local checks = require 'tests.lua.checks'
require 'optim'

local function model() return nn.Sequential(nn.Linear(nil, 4), nn.ReLU(), nn.Linear(nil, 2, false)) end

-- The same model with its sizes given, and the same weights.
local function twin(lazy)
    local m = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2, false)):type(lazy:type())
    local from = lazy:parameters()
    torch.noGrad(function() for k, p in ipairs((m:parameters())) do p:copy(from[k]) end end)
    return m
end

describe('a Linear without an input size', function()
    local x, grad = torch.randn(5, 3), torch.randn(5, 2)
    before_each(function() torch.manualSeed(2) end)

    it('prints a question mark, then the size', function()
        local m = nn.Linear(nil, 128)
        assert.equal('nn.Linear(? -> 128)', tostring(m))
        assert.equal('nn.Linear(? -> 2) without bias', tostring(nn.Linear(nil, 2, false)))
        assert.equal('nn.Linear(? -> 2) without bias', tostring(nn.Linear(nil, 2):noBias()))
        m(x)
        assert.equal('nn.Linear(3 -> 128)', tostring(m))
        assert.is_true(m.weight:max() <= 1 / math.sqrt(3) and m.weight:min() >= -1 / math.sqrt(3))
    end)

    it('has no size yet after an input that it cannot compute', function()
        local wrong, right = torch.randn(2, 5, 1, 1), torch.randn(2, 4, 8, 8)
        for _, face in ipairs {function(m, input) return m:forward(input) end, function(m, input) return m(input) end} do
            local m = nn.Conv2d(nil, 6, 3)
            assert.error_matches(function() face(m, wrong) end, 'the kernel does not fit')
            assert.is_nil(m.weight)
            assert.is_nil((m.nInputPlane))
            assert.same({2, 6, 6, 6}, face(m, right):size():totable())
            m = nn.Linear(nil, 6)
            assert.error_matches(function() face(m, torch.LongTensor(2, 5):fill(1)) end, 'dtypes differ')
            assert.equal(6, face(m, x):size(2))
            m = nn.BatchNorm2d()
            assert.error_matches(function() face(m, x) end, 'expected %(N, features, height, width%)')
            assert.equal(4, face(m, right):size(2))
        end
    end)

    it('is named in errors of both faces', function()
        local m = nn.Sequential(nn.Conv2d(nil, 6, 3))
        assert.error_matches(function() m(x) end, 'model%[1%]: Conv2d%(%? %-> 6')
        assert.error_matches(function() m:forward(x) end, 'model%[1%]: Conv2d%(%? %-> 6')
    end)

    it('gives gradients from the first call on, in both faces', function()
        local onTape, torch7 = model(), model()
        local y = onTape(x)
        y:backward(grad)
        local same = twin(onTape)
        assert.equal(0, checks.difference(y, same(x)))
        same(x):backward(grad)
        for k, p in ipairs((onTape:parameters())) do
            assert.equal(0, checks.difference(p.grad, (same:parameters())[k].grad))
        end

        local out = checks.copy(torch7:forward(x))
        local gradInput = torch7:backward(x, grad)
        same = twin(torch7)
        assert.equal(0, checks.difference(out, same:forward(x)))
        same:zeroGradParameters()
        assert.equal(0, checks.difference(gradInput, same:backward(x, grad)))
        local _, expected = same:parameters()
        local _, found = torch7:parameters()
        assert.equal(0, checks.difference(found, expected))
    end)

    it('works in a module with forward, in both faces', function()
        local Net, parent = torch.class('LazyNet', 'nn.Module', {})
        function Net:__init()
            parent.__init(self)
            self.fc = nn.Linear(nil, 2)
        end
        function Net:forward(v) return self.fc(v) end
        for _, first in ipairs {function(n) n:forward(x) end, function(n) n(x) end} do
            local net = Net()
            first(net)
            net:zeroGradParameters()
            net:forward(x)
            net:backward(x, grad)
            assert.is_true(checks.difference(net.fc.gradWeight, grad:t() * x) < 1e-5)
        end
    end)

    it('follows the type the module was given', function()
        local m = model():double()
        assert.equal('torch.DoubleTensor', m:forward(x:double()):type())
        assert.equal('torch.DoubleTensor', m[1].gradWeight:type())
    end)

    it('refuses to show parameters before that', function()
        local wanted = 'Linear%(%? %-> 4%): .*run one batch first'
        for _, f in ipairs {
            function(m) optim.SGD(m, {lr = 1}) end, function(m) optim.SGD(m:parameters(), {lr = 1}) end,
            function(m) m:getParameters() end, function(m) m:stateDict() end, function(m) m:zeroGradParameters() end,
        } do
            local m = model()
            assert.error_matches(function() f(m) end, wanted)
            m(x)
            f(m)
        end
        assert.error_matches(function() nn.Linear(nil, 2)(torch.tensor(1)) end, 'without dimensions')
        local m = model()
        assert.error_matches(function() torch.capture(function() m(x) end) end, 'run one batch before torch.capture')
        assert.error_matches(function() model()(3) end, 'expected a tensor, got number')
    end)

    it('trains with an optimizer made after the first batch', function()
        local m = model()
        m(x)
        local opt, before = optim.SGD(m, {lr = 0.1}), checks.copy((m:parameters()))
        m(x):backward(grad)
        local grads = {}
        for k, p in ipairs((m:parameters())) do grads[k] = p.grad:clone() end
        opt:step()
        for k, p in ipairs((m:parameters())) do
            assert.is_true(checks.difference(before[k] - grads[k] * 0.1, p) < 1e-6)
        end
    end)
end)
