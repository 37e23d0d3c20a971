-- optim's objects: PyTorch's parameters after 20 steps, options, state, schedules.
require 'nn'
require 'optim'
local checks = require 'tests.lua.checks'
local difference = checks.difference
local golden = dofile 'tests/golden/optim.lua'
local problem = golden[1]

local function double(values) return torch.tensor(values, {dtype = 'double'}) end

-- Two parameters and the loss of tests/golden/make_golden.py.
local function start()
    local p, q, a = double(problem.start), double(problem.side), double(problem.a)
    p.requiresGrad, q.requiresGrad = true, true
    return {p, q}, function()
        return torch.cmul(a, torch.pow(p, 4)):sum() + torch.cmul(torch.sin(p), q):sum()
    end
end

local function steps(opt, loss, n)
    for _ = 1, n do
        opt:zeroGrad()
        loss():backward()
        opt:step()
    end
end

describe('optim\'s objects', function()
    it('step as PyTorch\'s', function()
        for k = 2, #golden do
            local row = golden[k]
            local params, loss = start()
            local opt = optim[row.name](params, row.options)
            for mark = 1, 4 do
                steps(opt, loss, 5)
                local d = difference(params, {double(row.after[mark][1]), double(row.after[mark][2])})
                assert(d < 1e-12, ('row %d, %s: off by %g after %d steps'):format(k, row.name, d, 5 * mark))
            end
        end
    end)

    it('take parameters in every form', function()
        local model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
        for _, opt in ipairs {optim.SGD(model:parameters()), optim.SGD(model:parameters(), {lr = 0.5}), optim.SGD(model),
            optim.SGD((model:parameters()), (select(2, model:parameters())), {lr = 0.5})} do
            assert.equal(4, #opt.params)
        end
        local p, g = model:parameters()
        assert.equal(0.5, optim.SGD(p, g, {lr = 0.5}).lr)
        assert.equal(0.25, optim.SGD(p, {learningRate = 0.25}).lr)
        assert.equal(1, #optim.SGD(torch.ones(2)).params)
        assert.equal(1, #optim.SGD({p[1], p[1]}).params)
    end)

    it('name what is wrong', function()
        local p = {torch.ones(2)}
        assert.error_matches(function() optim.Adam(p, {leraningRate = 1}) end, "did you mean 'learningRate'")
        assert.error_matches(function() optim.Adam(p, {weight_decay = 1}) end, "did you mean 'weightDecay'")
        assert.error_matches(function() optim.SGD(p, {lr = '1'}) end, 'lr must be a number')
        assert.error_matches(function() optim.SGD(p, {lr = -1}) end, 'lr must be 0 or more, not %-1')
        assert.error_matches(function() optim.SGD({}) end, 'no parameters')
        assert.error_matches(function() optim.SGD {3} end, 'parameter 1 is no tensor')
        assert.error_matches(function() optim.SGD(nil) end, 'optim.SGD%(model:parameters%(%)')
        assert.error_matches(function() optim.SGD(function() end, p[1]) end, "optim.sgd%(feval, x, state%)")
        assert.error_matches(function() optim.SGD(p, {nesterov = true}) end, 'nesterov needs a momentum')
        local opt = optim.Adam(p)
        assert.error_matches(function() opt:zero_grad() end, 'zeroGrad')
        assert.error_matches(function() return opt.param_groups end, 'opt.lr')
    end)

    it('read and set their options', function()
        local opt = optim.Adam {torch.ones(2)}
        assert.equal(1e-3, opt.lr)
        assert.equal(1e-3, opt.learningRate)
        opt.lr = 0.5
        assert.equal(0.5, opt.lr)
        opt.learningRate = 0.25
        assert.equal(0.25, opt.lr)
        assert.equal(0.999, opt.beta2)
        assert.equal('optim.Adam(1 parameters, {beta1 = 0.9, beta2 = 0.999, eps = 1e-08, epsilonHat = false, lr = 0.25, '
            .. 'weightDecay = 0})', tostring(opt))
    end)

    it('skip parameters without a gradient, and call a closure', function()
        local p, q = torch.ones(2), torch.ones(2)
        local opt = optim.SGD({p, q}, {lr = 0.5})
        local loss = opt:step(function()
            opt:zeroGrad()
            local l = torch.mul(p, 2):sum()
            l:backward()
            return l
        end)
        assert.equal(4, loss:item())
        assert.same({0, 0}, p:totable())
        assert.same({1, 1}, q:totable())
        opt:zeroGrad()
        assert.same({0, 0}, p.grad:totable())
    end)

    it('write a state and go on from it', function()
        for k = 2, #golden do
            local row = golden[k]
            local params, loss = start()
            local opt = optim[row.name](params, row.options)
            steps(opt, loss, 10)
            local others, otherLoss = start()
            torch.noGrad(function() for j = 1, 2 do others[j]:copy(params[j]:detach()) end end)
            local other = optim[row.name](others)
            other:loadStateDict(opt:stateDict())
            assert.same(opt.options, other.options)
            steps(opt, loss, 10)
            steps(other, otherLoss, 10)
            assert.equal(0, difference(params, others))
        end
        local a, b = optim.SGD {torch.ones(2)}, optim.Adam {torch.ones(2)}
        assert.error_matches(function() a:loadStateDict(b:stateDict()) end, 'optim.Adam')
        local two = optim.SGD {torch.ones(2), torch.ones(2)}
        assert.error_matches(function() a:loadStateDict(two:stateDict()) end, '2 parameters')
        assert.error_matches(function() a:loadStateDict {} end, 'state')
    end)

    it('write a state that holds with epsilonHat', function()
        local params, loss = start()
        local opt = optim.Adam(params, {epsilonHat = true, lr = 0.05, eps = 1e-2})
        steps(opt, loss, 10)
        local others, otherLoss = start()
        torch.noGrad(function() for j = 1, 2 do others[j]:copy(params[j]:detach()) end end)
        local other = optim.Adam(others)
        other:loadStateDict(opt:stateDict())
        steps(opt, loss, 5)
        steps(other, otherLoss, 5)
        assert.equal(0, difference(params, others))
    end)
end)

describe('schedules', function()
    it('follow their formulas', function()
        local opt = optim.SGD({torch.ones(1)}, {lr = 0.8})
        local s = optim.StepLR(opt, {stepSize = 2, gamma = 0.5})
        local rates = {}
        for k = 1, 5 do
            s:step()
            rates[k] = opt.lr
        end
        assert.same({0.8, 0.4, 0.4, 0.2, 0.2}, rates)
        opt.lr = 1
        s = optim.ExponentialLR(opt, {gamma = 0.5})
        s:step()
        assert.equal(0.25, s:step())
        opt.lr = 1
        s = optim.CosineAnnealingLR(opt, {epochs = 4, least = 0.2})
        for _ = 1, 2 do s:step() end
        assert.near(0.6, opt.lr, 1e-12)
        for _ = 1, 4 do s:step() end
        assert.near(0.2, opt.lr, 1e-12)
    end)

    it('say what they want', function()
        local opt = optim.SGD {torch.ones(1)}
        assert.error_matches(function() optim.StepLR(opt, {}) end, 'needs the option stepSize')
        assert.error_matches(function() optim.StepLR(opt, {stepsize = 3}) end, "did you mean 'stepSize'")
        assert.error_matches(function() optim.StepLR(0.1, {stepSize = 3}) end, 'wants an optimizer')
    end)
end)
