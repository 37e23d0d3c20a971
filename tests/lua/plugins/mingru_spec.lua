-- plugins/mingru: the op's values and gradients, the layer in both faces, and the script.
local checks = require 'tests.lua.checks'
local support = require 'tests.lua.support'
local ops = require 'torch.ops'
local built = os.getenv 'DLRUN_BUILD' .. '/plugins'
local plugin = built .. '/mingru.so'
require 'dlrun.plugins'.load(plugin)
require 'mingru'
local scan = ops['mingru::scan']

-- The recurrence by its definition.
local function expected(a, b, reverse)
    local h, steps = torch.DoubleTensor(b:size()):zero(), b:size(2)
    for k = 1, steps do
        local t = reverse and steps + 1 - k or k
        local before = k > 1 and h:select(2, reverse and t + 1 or t - 1) or 0
        h:select(2, t):copy(b:select(2, t):double() + (k > 1 and torch.cmul(a:select(2, t):double(), before) or 0))
    end
    return h
end

local function random(...) return torch.DoubleTensor(...):uniform(-1, 1) end

describe('mingru::scan', function()
    it('is the recurrence, both ways, in every floating dtype and for any strides', function()
        local a, b = random(2, 5, 3), random(2, 5, 3)
        local turned = {random(3, 5, 2):transpose(1, 3), random(2, 3, 5):transpose(2, 3)}
        for _, reverse in ipairs {false, true} do
            for method, bound in pairs {double = 1e-14, float = 1e-6, half = 2e-2} do
                local x, y = a[method](a), b[method](b)
                assert.is_true(checks.difference(scan(x, y, reverse), expected(x, y, reverse)) < bound, method)
            end
            assert.is_true(checks.difference(scan(turned[1], turned[2], reverse),
                expected(turned[1], turned[2], reverse)) < 1e-14)
        end
    end)

    it('takes one step, no step and no sequence', function()
        for _, method in ipairs {'float', 'half'} do
            local b = random(2, 1, 3)
            b = b[method](b)
            assert.equal(0, checks.difference(scan(b, b), b))
            for _, sizes in ipairs {{2, 0, 3}, {0, 4, 3}, {2, 4, 0}} do
                local empty = torch.DoubleTensor(unpack(sizes))
                assert.same(sizes, scan(empty[method](empty), empty[method](empty)):size():totable())
            end
        end
    end)

    it('has the gradients of finite differences, and second ones', function()
        local a, b, weights = random(2, 4, 3), random(2, 4, 3), random(2, 4, 3)
        for _, reverse in ipairs {false, true} do
            local x, y = a:clone(), b:clone()
            x.requiresGrad, y.requiresGrad = true, true
            torch.cmul(scan(x, y, reverse), weights):sum():backward()
            local function f() return torch.cmul(scan(a, b, reverse), weights):sum() end
            assert.is_true(checks.difference(x.grad, checks.numericGradient(f, a)) < 1e-8)
            assert.is_true(checks.difference(y.grad, checks.numericGradient(f, b)) < 1e-8)

            -- d/da of the sum of squares of df/db
            local function squares(p, q)
                local slope = torch.grad(torch.cmul(scan(p, q, reverse), weights):sum(), q, nil, {createGraph = true})
                return torch.pow(slope, 2):sum()
            end
            local function value()
                local q = b:clone()
                q.requiresGrad = true
                return squares(a, q):item()
            end
            squares(x, y):backward()
            x.grad:csub(checks.numericGradient(f, a)) -- what the first backward left
            assert.is_true(checks.difference(x.grad, checks.numericGradient(value, a)) < 1e-7)
        end
    end)

    it('passes the conformance kit: its kernel on the CPU, its composition on a backend without', function()
        for backend, verdict in pairs {cpu = '1 native', plain = '1 composed'} do
            local status, out = support.dlrun {'--plugin=' .. built .. '/plain.so', '--plugin=' .. plugin,
                '--cases=plugins/mingru/cases.def', '--conformance=' .. backend .. '/mingru::scan'}
            assert.equal(0, status, out)
            assert.matches(verdict, out, 1, true)
            assert.matches(' 0 failed', out, 1, true)
        end
    end)

    it('refuses what does not fit', function()
        assert.error_matches(function() scan(random(2, 3), random(2, 3)) end,
            'mingru::scan: expected a and b of shape %(N, T, C%)')
        assert.error_matches(function() scan(random(2, 3, 4), random(2, 4, 4)) end, 'sizes 3 and 4 in dimension 1')
        assert.error_matches(function() scan(torch.LongTensor(2, 3, 4), torch.LongTensor(2, 3, 4)) end, 'one floating dtype')
    end)
end)

describe('nn.MinGRU', function()
    it('does the same in both faces, with the gradients of finite differences', function()
        for _, x in ipairs {random(2, 4, 3), random(4, 3)} do
            local m = nn.MinGRU(3, 2):double()
            local input = x:clone()
            local y = m:forward(input):clone()
            local weights = checks.randomLike(y)
            m:zeroGradParameters()
            local gradInput = m:backward(input, weights):clone()
            local gradWeight, gradBias = m.gradWeight:clone(), m.gradBias:clone()
            local function f() return checks.dot(m:forward(input), weights) end
            assert.is_true(checks.difference(gradInput, checks.numericGradient(f, input)) < 1e-8)
            assert.is_true(checks.difference(gradWeight, checks.numericGradient(f, m.weight)) < 1e-8)
            assert.is_true(checks.difference(gradBias, checks.numericGradient(f, m.bias)) < 1e-8)

            m:zeroGradParameters()
            local leaf = x:clone()
            leaf.requiresGrad = true
            local z = m(leaf)
            assert.equal(0, checks.difference(z, y))
            torch.cmul(z, weights):sum():backward()
            assert.is_true(checks.difference(leaf.grad, gradInput) < 1e-12)
            assert.is_true(checks.difference(m.weight.grad, gradWeight) < 1e-12)
            assert.is_true(checks.difference(m.bias.grad, gradBias) < 1e-12)
        end
    end)

    it('says what it is, and what it expects', function()
        assert.equal('nn.MinGRU(3 -> 2)', tostring(nn.MinGRU(3, 2)))
        assert.error_matches(function() nn.MinGRU(3, 2):forward(torch.randn(2, 4, 5)) end, 'expected %(N, T, 3%) or %(T, 3%)')
        assert.error_matches(function() nn.MinGRU(3, 2):forward(torch.randn(3)) end, 'got %(3%)')
        assert.error_matches(function() nn.MinGRU(0, 2) end, 'inputSize must be a whole number')
    end)

    it('is saved with a model and loaded again', function()
        support.inFolder(function(folder)
            local one, other, x = nn.MinGRU(3, 2), nn.MinGRU(3, 2), torch.randn(2, 4, 3)
            one:save(folder .. '/m.safetensors')
            other:load(folder .. '/m.safetensors')
            assert.equal(0, checks.difference(one:forward(x), other:forward(x)))
        end)
    end)

    it('learns digits in plugins/mingru/train.lua', function()
        local status, out, err = support.dlrun {'--plugin=' .. plugin, 'plugins/mingru/train.lua', '--digits=1500',
            '--epochs=5', '--hidden=48', '--lr=0.01'}
        assert.equal('', err)
        assert.equal(0, status)
        local losses, last = {}, nil
        for loss, accuracy in out:gmatch 'loss (%d%.%d+)  test accuracy (%d+%.%d) %%' do
            losses[#losses + 1], last = tonumber(loss), tonumber(accuracy)
        end
        assert.equal(5, #losses)
        assert.is_true(losses[5] < losses[1] / 2)
        assert.is_true(last > 40)
    end)

    it('computes the same on another backend', function()
        local few = {'plugins/mingru/train.lua', '--digits=128', '--epochs=1', '--hidden=16'}
        local _, here = support.dlrun {'--plugin=' .. plugin, unpack(few)}
        local status, there, err = support.dlrun {'--plugin=' .. built .. '/plain.so', '--plugin=' .. plugin,
            '--backend=plain', unpack(few)}
        assert.equal('', err)
        assert.equal(0, status)
        local a, b = here:match 'loss (%S+)', there:match 'loss (%S+)'
        assert.is_true(math.abs(tonumber(a) - tonumber(b)) < 2e-3)
    end)
end)
