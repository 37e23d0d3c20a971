-- Random fills: reproducible, of the right distribution (means and bounds over many draws), refusing nonsense.
local N = 20000

before_each(function() torch.manualSeed(123) end)

local function within(expected, got, tolerance) assert.near(expected, got, tolerance) end

describe('the generator', function()
    it('repeats from a seed and from a state', function()
        local a = torch.rand(5)
        torch.manualSeed(123)
        assert.same(a:totable(), torch.rand(5):totable())
        local state = torch.getRNGState()
        local b = torch.randn(3)
        torch.setRNGState(state)
        assert.same(b:totable(), torch.randn(3):totable())
        assert.equal(123, torch.initialSeed())
        assert.is_number(torch.seed())
        assert.error_matches(function() torch.setRNGState(torch.Tensor(3)) end, 'getRNGState')
        assert.error_matches(function() torch.manualSeed 'x' end, 'number')
    end)

    it('gives the same elements whatever the memory order', function()
        local a = torch.Tensor(4, 5):uniform()
        torch.manualSeed(123)
        local b = torch.Tensor(5, 4):t():uniform()
        assert.same(a:totable(), b:totable())
    end)
end)

describe('distributions', function()
    it('uniform and normal', function()
        local x = torch.Tensor(N):uniform(2, 4)
        within(3, x:mean(), 0.03)
        assert.is_true(x:min() >= 2 and x:max() < 4)
        local z = torch.Tensor(N):normal(1, 2)
        within(1, z:mean(), 0.06)
        within(2, z:std(), 0.06)
    end)

    it('bernoulli with a number and with a tensor', function()
        within(0.3, torch.Tensor(N):bernoulli(0.3):mean(), 0.02)
        assert.same({0, 1, 0}, torch.Tensor(3):bernoulli(torch.Tensor {0, 1, 0}):totable())
        assert.equal('torch.ByteTensor', torch.ByteTensor(3):bernoulli():type())
    end)

    it('random integers', function()
        local x = torch.LongTensor(N):random(3, 6)
        assert.equal(3, x:min())
        assert.equal(6, x:max())
        within(4.5, x:mean(), 0.05)
        x = torch.Tensor(N):random(2)
        assert.equal(1, x:min())
        assert.equal(2, x:max())
    end)

    it('exponential, geometric, cauchy, logNormal', function()
        within(0.5, torch.Tensor(N):exponential(2):mean(), 0.02)
        local g = torch.LongTensor(N):geometric(0.5)
        assert.equal(1, g:min())
        within(2, g:mean(), 0.06)
        within(0.5, torch.Tensor(N):cauchy(1, 2):gt(1):mean(), 0.02)
        local l = torch.Tensor(N):logNormal(3, 1)
        within(3, l:mean(), 0.06)
        within(1, l:std(), 0.1)
    end)

    it('randperm holds each number once', function()
        local seen = {}
        local p = torch.randperm(100)
        p:apply(function(v) seen[v] = true end)
        for k = 1, 100 do assert.is_true(seen[k]) end
        assert.equal('torch.LongTensor', torch.randperm(torch.LongTensor(), 3):type())
    end)

    it('single draws', function()
        for _ = 1, 50 do
            local r = torch.random(1, 6)
            assert.is_true(r >= 1 and r <= 6 and r % 1 == 0)
            local u = torch.uniform(5, 6)
            assert.is_true(u >= 5 and u < 6)
        end
        assert.is_number(torch.normal(0, 1))
    end)

    it('refuse nonsense', function()
        assert.error_matches(function() torch.Tensor(2):uniform(2, 1) end, 'above')
        assert.error_matches(function() torch.Tensor(2):bernoulli(2) end, '0..1')
        assert.error_matches(function() torch.Tensor(2):normal(0, -1) end, 'negative')
        assert.error_matches(function() torch.Tensor(2):random(5, 1) end, 'empty')
        assert.error_matches(function() torch.Tensor(2):exponential(0) end, 'positive')
        assert.error_matches(function() torch.Tensor(2):geometric(1) end, 'between 0 and 1')
    end)
end)
