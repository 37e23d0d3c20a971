-- optim.sgd, adam, rmsprop against the formulas of torch/optim, written out here element by element, and both faces of one
-- training.
require 'nn'
require 'optim'
local difference = require 'tests.lua.checks'.difference

local N = 5
local target = torch.DoubleTensor {0.3, -1.2, 0.8, 2, -0.5}

-- loss = sum((x - target)^4) / 4 and its gradient
local function feval(x)
    local d = x - target
    return torch.pow(d, 4):sum() / 4, torch.pow(d, 3)
end

local function gradient(x)
    local g = {}
    for k = 1, N do g[k] = (x[k] - target[k]) ^ 3 end
    return g
end

-- Twenty steps of optim[name] beside twenty of step(x, g, state, t), which changes the Lua array x.
local function compare(name, config, step)
    local x = torch.DoubleTensor(N):fill(0.1)
    local array, state = {}, {}
    for k = 1, N do array[k] = 0.1 end
    for t = 1, 20 do
        local loss = feval(x)
        local same, losses = optim[name](feval, x, config)
        assert.is_true(rawequal(same, x))
        assert.equal(loss, losses[1])
        step(array, gradient(array), state, t)
        local d = difference(x, torch.DoubleTensor(array))
        assert(d < 1e-12, ('%s: off by %g at step %d'):format(name, d, t))
    end
end

local function sgd(c)
    return function(x, g, s, t)
        local rate = (c.learningRate or 1e-3) / (1 + (t - 1) * (c.learningRateDecay or 0))
        for k = 1, N do
            local d = g[k] + (c.weightDecay or 0) * x[k] + (c.weightDecays and c.weightDecays[k] * x[k] or 0)
            if c.momentum then
                local damping = c.dampening or c.momentum
                s[k] = s[k] and c.momentum * s[k] + (1 - damping) * d or d
                d = c.nesterov and d + c.momentum * s[k] or s[k]
            end
            x[k] = x[k] - rate * (c.learningRates and c.learningRates[k] or 1) * d
        end
    end
end

local function adam(c)
    local b1, b2, eps = c.beta1 or 0.9, c.beta2 or 0.999, c.epsilon or 1e-8
    return function(x, g, s, t)
        local rate = (c.learningRate or 1e-3) / (1 + (t - 1) * (c.learningRateDecay or 0))
        for k = 1, N do
            s[k] = s[k] or {m = 0, v = 0}
            local d = g[k] + (c.weightDecay or 0) * x[k]
            s[k].m = b1 * s[k].m + (1 - b1) * d
            s[k].v = b2 * s[k].v + (1 - b2) * d * d
            local size = rate * math.sqrt(1 - b2 ^ t) / (1 - b1 ^ t)
            x[k] = x[k] - size * s[k].m / (math.sqrt(s[k].v) + eps)
        end
    end
end

local function rmsprop(c)
    local alpha, eps = c.alpha or 0.99, c.epsilon or 1e-8
    return function(x, g, s)
        for k = 1, N do
            local d = g[k] + (c.weightDecay or 0) * x[k]
            s[k] = alpha * (s[k] or c.initialMean or 0) + (1 - alpha) * d * d
            x[k] = x[k] - (c.learningRate or 1e-2) * d / (math.sqrt(s[k]) + eps)
        end
    end
end

local function both(name, formula, configs)
    for _, config in ipairs(configs) do
        local given = {}
        for key, value in pairs(config) do given[key] = value end
        compare(name, config, formula(given))
    end
end

describe('optim in Torch7\'s way', function()
    it('sgd', function()
        local each = torch.DoubleTensor {1, 0.5, 2, 0, 1}
        both('sgd', sgd, {
            {}, {learningRate = 0.05}, {learningRate = 0.05, learningRateDecay = 0.1, weightDecay = 0.2},
            {learningRate = 0.05, momentum = 0.9}, {learningRate = 0.05, momentum = 0.9, dampening = 0},
            {learningRate = 0.05, momentum = 0.9, dampening = 0, nesterov = true, weightDecay = 0.1},
            {learningRate = 0.05, learningRates = each, weightDecays = each, momentum = 0.5},
        })
    end)

    it('adam', function()
        both('adam', adam, {
            {}, {learningRate = 0.1, epsilon = 0.1}, {learningRate = 0.1, beta1 = 0.5, beta2 = 0.9, weightDecay = 0.3},
            {learningRate = 0.1, learningRateDecay = 0.5},
        })
    end)

    it('rmsprop', function()
        both('rmsprop', rmsprop, {
            {}, {learningRate = 0.05, alpha = 0.9, epsilon = 0.01}, {weightDecay = 0.1, initialMean = 0.5},
        })
    end)

    it('keeps its state apart where one is given', function()
        local config, state = {learningRate = 0.1}, {}
        optim.adam(feval, torch.DoubleTensor(N):zero(), config, state)
        assert.same({learningRate = 0.1}, config)
        assert.equal(1, state.t)
    end)

    it('leaves the gradient as it was', function()
        local g = torch.DoubleTensor(N):fill(1)
        local function f() return 0, g end
        local each = torch.DoubleTensor(N):fill(1)
        for _, config in ipairs {{weightDecay = 1, momentum = 0.5}, {weightDecays = each}} do
            optim.sgd(f, torch.DoubleTensor(N):fill(1), config)
        end
        optim.adam(f, torch.DoubleTensor(N):fill(1), {weightDecay = 1})
        optim.rmsprop(f, torch.DoubleTensor(N):fill(1), {weightDecay = 1})
        assert.equal(N, g:sum())
    end)

    it('names the wrong case', function()
        local model = nn.Linear(2, 2)
        assert.error_matches(function() optim.adam(model:parameters()) end, 'optim%.Adam%?')
        assert.error_matches(function() optim.sgd(model:parameters()) end, 'optim%.SGD%?')
        assert.error_matches(function() optim.rmsprop(model:parameters(), {lr = 1}) end, 'optim%.RMSprop%?')
        assert.error_matches(function() optim.adam(feval, {}, {}) end, 'x must be a tensor')
        assert.error_matches(function() optim.adam(feval, torch.ones(N), {lr = 1}) end, "did you mean 'learningRate'")
        assert.error_matches(function() optim.adam(function() return 1 end, torch.ones(N)) end, 'the loss and its gradient')
    end)
end)

-- ---- one training, two faces ---------------------------------------------------------------------------------------------

local function network()
    torch.manualSeed(11)
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 12), nn.Tanh(), nn.Dropout(0.1),
        nn.Linear(12, 4))
end

local function batches()
    torch.manualSeed(12)
    local list = {}
    for k = 1, 20 do list[k] = {torch.randn(10, 8), torch.LongTensor(10):random(1, 4)} end
    torch.manualSeed(13)
    return list
end

-- Trains in Torch7's way with optim[name]; returns the parameters as one vector.
local function torch7Face(name, config)
    local model, criterion = network(), nn.CrossEntropyCriterion()
    local params, grads = model:getParameters()
    for _, batch in ipairs(batches()) do
        optim[name](function()
            grads:zero()
            local loss = criterion:forward(model:forward(batch[1]), batch[2])
            model:backward(batch[1], criterion:backward(model.output, batch[2]))
            return loss, grads
        end, params, config)
    end
    return params
end

local function autogradFace(name, options)
    local model, criterion = network(), nn.CrossEntropyCriterion()
    local opt = optim[name](model:parameters(), options)
    for _, batch in ipairs(batches()) do
        opt:zeroGrad()
        criterion(model(batch[1]), batch[2]):backward()
        opt:step()
    end
    return (model:getParameters())
end

describe('both faces train the same weights, bit for bit', function()
    for _, row in ipairs {
        {'sgd', {learningRate = 0.1}, 'SGD', {lr = 0.1}},
        {'sgd', {learningRate = 0.1, momentum = 0.9, dampening = 0, weightDecay = 0.01}, 'SGD',
            {lr = 0.1, momentum = 0.9, weightDecay = 0.01}},
        {'adam', {learningRate = 0.01, epsilonHat = false}, 'Adam', {lr = 0.01}},
        {'adam', {learningRate = 0.01}, 'Adam', {lr = 0.01, epsilonHat = true}},
        {'rmsprop', {learningRate = 0.01}, 'RMSprop', {lr = 0.01}},
    } do
        it(('%s(%s)'):format(row[3], row[4].momentum and 'momentum' or row[4].epsilonHat and 'epsilonHat' or ''), function()
            local a, b = torch7Face(row[1], row[2]), autogradFace(row[3], row[4])
            assert.equal(0, difference(a, b))
            assert.is_true(difference(a, (network():getParameters())) > 0.01)
        end)
    end
end)
