-- plugins/snake: an op that is one expression has everything that built-in ones have.
local checks = require 'tests.lua.checks'
local support = require 'tests.lua.support'
local ops = require 'torch.ops'
require 'dlrun.plugins'.load(os.getenv 'DLRUN_BUILD' .. '/plugins/snake.so')
local snake = ops['snake::snake']

local function value(x, alpha) return x + math.sin(alpha * x) ^ 2 / alpha end

describe('snake::snake', function()
    local x = torch.DoubleTensor(3, 5):uniform(-3, 3)

    it('has the values of its formula, whatever the dtype and the strides', function()
        for _, t in ipairs {x, x:t(), x:float(), x:half()} do
            local y = snake(t, 0.7)
            assert.equal(t:type(), y:type())
            for i = 1, t:size(1) do
                for j = 1, t:size(2) do
                    local bound = t:type() == 'torch.HalfTensor' and 4e-3 or 1e-6
                    assert.is_true(math.abs(y[i][j] - value(t[i][j], 0.7)) < bound)
                end
            end
        end
        assert.equal('torch.FloatTensor', snake(torch.LongTensor {1, 2}):type())
        assert.is_true(math.abs(snake(torch.LongTensor {2})[1] - value(2, 1)) < 1e-6)
        assert.equal(0, snake(torch.Tensor(0, 3)):nElement())
    end)

    it('has a gradient, and a gradient of that', function()
        local leaf = x:clone()
        leaf.requiresGrad = true
        snake(leaf, 0.7):sum():backward()
        local numeric = checks.numericGradient(function() return snake(x, 0.7):sum() end, x)
        assert.is_true(checks.difference(leaf.grad, numeric) < 1e-8)
        local slope = torch.grad(snake(leaf, 0.7):sum(), leaf, nil, {createGraph = true})
        local second = torch.grad(slope:sum(), leaf)
        local exact = torch.mul(torch.cos(x * 1.4), 1.4) -- d/dx (1 + sin(2 alpha x))
        assert.is_true(checks.difference(second, exact) < 1e-10)
    end)

    it('passes the conformance kit on every backend', function()
        local folder = os.getenv 'DLRUN_BUILD' .. '/plugins'
        for _, backend in ipairs {'cpu', 'plain'} do
            local status, out = support.dlrun {'--plugin=' .. folder .. '/plain.so', '--plugin=' .. folder .. '/snake.so',
                '--conformance=' .. backend .. '/snake::snake'}
            assert.equal(0, status, out)
            assert.matches('1 generated', out, 1, true)
            assert.matches(' 0 failed', out, 1, true)
        end
    end)

    it('is fused behind a layer where a module offers it', function()
        local Snake, parent = torch.class('TestSnake', 'nn.Module')
        function Snake:__init(alpha)
            parent.__init(self)
            self.alpha = alpha
        end
        function Snake:pointwise() return 'snake::snake', {self.alpha} end
        function Snake:compute(input) return snake(input, self.alpha) end
        local model, single = nn.Sequential(nn.Linear(5, 4), Snake(2)), nn.Linear(5, 4)
        single.weight, single.bias = model[1].weight, model[1].bias
        local C, ffi = require 'dlrun.ffi'.C, require 'ffi'
        local stats = ffi.new 'dl_call_stats'
        local input = x:float()
        local before, fused
        C.dl_calls(stats)
        before = stats.calls
        local y = torch.noGrad(model, input)
        C.dl_calls(stats)
        fused = tonumber(stats.calls - before)
        assert.equal(1, fused)
        assert.is_true(checks.difference(y, snake(single(input), 2)) < 1e-6)
    end)
end)
