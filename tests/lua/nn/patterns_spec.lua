-- What Torch7 scripts do with modules beyond forward and backward, and where the two faces meet.
local checks = require 'tests.lua.checks'
local difference = checks.difference

local function x(...)
    local t = torch.DoubleTensor(...)
    return t:uniform(-2, 2)
end

local function mlp() return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)):double() end

-- Gradients of `model`'s parameters and of its input for sum(output * weights), by finite differences.
local function numeric(model, input, weights)
    local function value() return checks.dot(model:forward(input), weights) end
    local grads = {checks.numericGradient(value, input)}
    for _, p in ipairs(model:parameters()) do grads[#grads + 1] = checks.numericGradient(value, p) end
    return grads
end

-- The same through backward.
local function classic(model, input, weights)
    model:zeroGradParameters()
    model:forward(input)
    local grads = {model:backward(input, weights):clone()}
    local _, gp = model:parameters()
    for _, g in ipairs(gp) do grads[#grads + 1] = g:clone() end
    return grads
end

-- The same through loss:backward().
local function taped(model, input, weights)
    model:zeroGradParameters()
    local leaf = input:clone()
    leaf.requiresGrad = true
    model(leaf):backward(weights)
    local grads = {leaf.grad:clone()}
    local _, gp = model:parameters()
    for _, g in ipairs(gp) do grads[#grads + 1] = g:clone() end
    return grads
end

local function agree(model, input, outputs)
    local weights = x(unpack(outputs))
    local expected = numeric(model, input, weights)
    assert.is_true(difference(classic(model, input, weights), expected) < 1e-7)
    assert.is_true(difference(taped(model, input, weights), expected) < 1e-7)
    assert.is_true(difference(classic(model, input, weights), expected) < 1e-7)
end

describe('nn patterns', function()
    before_each(function() torch.manualSeed(5) end)

    it('updateGradInput alone leaves the gradients alone', function()
        local model, input, g = mlp(), x(5, 3), x(5, 2)
        model:zeroGradParameters()
        model:forward(input)
        local gradInput = model:updateGradInput(input, g):clone()
        local _, gp = model:parameters()
        for _, t in ipairs(gp) do assert.equal(0, t:norm()) end
        assert.is_true(difference(gradInput, model:backward(input, g)) == 0)
    end)

    it('accUpdateGradParameters is a step of SGD', function()
        local model, input, g = mlp(), x(5, 3), x(5, 2)
        local other = model:clone()
        model:forward(input)
        model:zeroGradParameters()
        model:updateGradInput(input, g)
        model:accUpdateGradParameters(input, g, 0.1)
        local _, gp = model:parameters()
        for _, t in ipairs(gp) do assert.equal(0, t:norm()) end
        other:zeroGradParameters()
        other:forward(input)
        other:backward(input, g)
        other:updateParameters(0.1)
        assert.is_true(difference(model:parameters(), other:parameters()) < 1e-15)
        other:forward(input)
        other:backwardUpdate(input, g, 0.1)
        model:zeroGradParameters()
        model:forward(input)
        model:backward(input, g)
        model:updateParameters(0.1)
        assert.is_true(difference(model:parameters(), other:parameters()) < 1e-15)
    end)

    it('backward twice accumulates, with its scale', function()
        local model, input, g = mlp(), x(5, 3), x(5, 2)
        model:zeroGradParameters()
        model:forward(input)
        model:backward(input, g)
        local _, gp = model:parameters()
        local once = checks.copy(gp)
        model:backward(input, g, 0.5)
        for k, t in ipairs(gp) do assert.is_true(difference(t, once[k] * 1.5) < 1e-14) end
    end)

    it('backward reads the input it is given and the weights as they are', function()
        local model, input = nn.Linear(3, 2):double(), x(5, 3)
        local g = x(5, 2)
        model:forward(input)
        model:zeroGradParameters()
        model.weight:mul(2)
        local other = x(5, 3)
        local gradInput = model:backward(other, g)
        assert.is_true(difference(gradInput, g * model.weight) < 1e-14)
        assert.is_true(difference(model.gradWeight, g:t() * other) < 1e-14)
        assert.error_matches(function() model:backward(x(4, 3), x(4, 2)) end, 'forward again')
    end)

    it('modules in place give right gradients', function()
        local inputs = x(5, 3)
        agree(nn.Sequential(nn.Linear(3, 4), nn.ReLU(true), nn.Linear(4, 2)):double(), inputs, {5, 2})
        agree(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.ReLU(true), nn.Linear(4, 2)):double(), inputs, {5, 2})
        local long = nn.Sequential(nn.Tanh(), nn.ReLU(true), nn.Linear(3, 2), nn.Tanh(), nn.Threshold(0.1, 0, true))
        agree(long:double(), inputs, {5, 2})
        agree(nn.Sequential(nn.Linear(3, 2), nn.ELU(1, true), nn.LeakyReLU(0.2, true), nn.ReLU6(true)):double(), inputs, {5, 2})
        agree(nn.Sequential(nn.Linear(3, 2), nn.MulConstant(3, true), nn.AddConstant(1, true)):double(), inputs, {5, 2})
        for _, before in ipairs {nn.Linear(3, 3), nn.Tanh(), nn.Sigmoid()} do
            local model = nn.Sequential(nn.Linear(3, 3), before, nn.Dropout(0.4, nil, true), nn.Linear(3, 2)):double()
            local weights = x(5, 2)
            local function seeded(f) -- the same mask in every forward
                return function(...)
                    torch.manualSeed(9)
                    return f(...)
                end
            end
            model.forward = seeded(nn.Sequential.forward)
            local expected = numeric(model, inputs, weights)
            assert.is_true(difference(classic(model, inputs, weights), expected) < 1e-7)
            torch.manualSeed(9)
            assert.is_true(difference(taped(model, inputs, weights), expected) < 1e-7)
        end
    end)

    it('a module in place leaves the user\'s input as it was where that is needed', function()
        local model = nn.ReLU(true)
        local input = torch.Tensor {-1, 2}
        input.requiresGrad = true
        model(input):sum():backward()
        assert.same({-1, 2}, input:totable())
        assert.same({0, 1}, input.grad:totable())
    end)

    it('shared clones train the same weights', function()
        local a = nn.Linear(3, 2):double()
        local b = a:clone('weight', 'bias', 'gradWeight', 'gradBias')
        local model = nn.ParallelTable(a, b)
        local p, q = x(4, 3), x(5, 3)
        local gp, gq = x(4, 2), x(5, 2)
        model:zeroGradParameters()
        model:forward {p, q}
        model:backward({p, q}, {gp, gq})
        local expected = gp:t() * p + gq:t() * q
        assert.is_true(difference(a.gradWeight, expected) < 1e-14)
        assert.is_true(difference(b.gradWeight, expected) < 1e-14)
        model:zeroGradParameters()
        local out = model {p, q}
        torch.backward(out, {gp, gq})
        assert.is_true(difference(a.gradWeight, expected) < 1e-14)
        assert.is_true(difference(b.gradWeight, expected) < 1e-14)
        local flat, grad = model:getParameters()
        assert.equal(8, flat:nElement())
        assert.equal(8, grad:nElement())
        assert.is_true(difference(grad:narrow(1, 1, 6):view(2, 3), expected) < 1e-14)
    end)

    it('one module twice in a user\'s module', function()
        local Twice = torch.class('TwiceNet', 'nn.Module', {})
        function Twice:__init()
            nn.Module.__init(self)
            self.fc = nn.Linear(3, 3)
        end
        function Twice:forward(input) return self.fc(torch.tanh(self.fc(input))) end
        agree(Twice():double(), x(5, 3), {5, 3})
    end)

    it('one module twice in a Sequential, on the tape', function()
        local fc = nn.Linear(3, 3)
        local model = nn.Sequential(fc, nn.Tanh(), fc):double()
        local input, weights = x(5, 3), x(5, 3)
        local expected = numeric(model, input, weights)
        local got = taped(model, input, weights)
        assert.is_true(difference(got[1], expected[1]) < 1e-7)
        -- parameters() lists the module twice, as Torch7's does; the gradient is the whole one
        assert.is_true(difference(got[2], expected[2]) < 1e-7)
        assert.equal(12, (model:getParameters()):nElement())
    end)

    it('one module in several places of a container, in Torch7\'s way', function()
        local fc, relu = nn.Linear(3, 3), nn.ReLU()
        local block = nn.Sequential(nn.Linear(3, 3), nn.Sigmoid())
        for _, model in ipairs {
            nn.Sequential(fc, nn.Tanh(), fc), nn.Sequential(nn.Linear(3, 4), relu, nn.Linear(4, 3), relu),
            nn.Sequential(block, nn.Tanh(), block), nn.Sequential(nn.Concat(2, block, block), nn.Linear(6, 3)),
        } do
            model:double()
            local input, weights = x(5, 3), x(5, 3)
            local expected, got = numeric(model, input, weights), classic(model, input, weights)
            for k = 1, #expected do assert.is_true(difference(got[k], expected[k]) < 1e-7) end
            local again = {model:backward(input, weights):clone()}
            assert.is_true(difference(again[1], expected[1]) < 1e-7)
        end
        local pair = nn.ParallelTable(relu, relu)
        pair:forward {torch.Tensor {1, -1}, torch.Tensor {-1, 1, 2}}
        local grads = pair:backward({torch.Tensor {1, -1}, torch.Tensor {-1, 1, 2}}, {torch.ones(2), torch.ones(3)})
        assert.same({1, 0}, grads[1]:totable())
        assert.same({0, 1, 1}, grads[2]:totable())
    end)

    it('several inputs are a table to built-in modules', function()
        local a, b = torch.Tensor {1, 2}, torch.Tensor {3, 5}
        assert.same({4, 7}, nn.CAddTable()(a, b):totable())
        assert.same({4, 7}, nn.Sequential(nn.CAddTable(), nn.Abs())(a, b):totable())
        local p, q = nn.Identity()(a, b)
        assert.is_true(rawequal(p, a) and rawequal(q, b))
        assert.error_matches(function() nn.Linear(2, 1)(a, b) end, 'expected a tensor, got table')
        assert.same({4, 7}, nn.CAddTable():forward({a, b}):totable())
    end)

    it('getParameters: two flat vectors, both seen by the modules', function()
        local model, input, g = mlp(), x(5, 3), x(5, 2)
        local before = checks.copy(model:forward(input))
        local flat, grad = model:getParameters()
        assert.equal(3 * 4 + 4 + 4 * 2 + 2, flat:nElement())
        assert.is_true(difference(model:forward(input), before) == 0)
        flat:zero()
        assert.equal(0, model:forward(input):norm())
        flat:uniform(-1, 1)
        assert.is_true(difference(model[1].weight:view(-1), flat:narrow(1, 1, 12)) == 0)
        grad:zero()
        model:forward(input)
        model:backward(input, g)
        local classicGrad = grad:clone()
        assert.is_true(classicGrad:norm() > 0)
        assert.is_true(difference(model[1].gradWeight:view(-1), grad:narrow(1, 1, 12)) == 0)
        grad:zero()
        model(input):backward(g)
        assert.is_true(difference(grad, classicGrad) < 1e-14)
        assert.equal('number', type(flat:norm()))
        flat:add(-0.1, grad)
        model:zeroGradParameters()
        assert.equal(0, grad:norm())
        -- after the tape: again flat
        local flat2, grad2 = model:getParameters()
        assert.is_true(difference(flat2, flat) == 0)
        model(input):backward(g)
        assert.is_true(grad2:norm() > 0)
    end)

    it('parameters are ordinary tensors until model(x)', function()
        local model = nn.Linear(3, 2)
        local weight = model.weight
        assert.is_false(weight.requiresGrad)
        assert.equal('number', type(weight:norm()))
        weight:mul(2)
        model:forward(torch.ones(1, 3))
        assert.is_false(weight.requiresGrad)
        torch.noGrad(model, torch.ones(1, 3))
        assert.is_false(weight.requiresGrad)
        model(torch.ones(1, 3))
        assert.is_true(weight.requiresGrad)
        assert.is_true(torch.isTensor(weight:norm()))
    end)

    it('an optim object decides too', function()
        require 'optim'
        local model = nn.Linear(3, 2)
        local _ = optim.SGD(model:parameters(), {lr = 1})
        assert.is_true(model.weight.requiresGrad)
        model.weight:sum():backward()
        assert.equal(6, model.gradWeight:sum())
    end)

    it('gradWeight is weight.grad', function()
        local model = nn.Linear(3, 2)
        model:zeroGradParameters()
        model(torch.ones(1, 3)):sum():backward()
        assert.equal(6, model.gradWeight:sum())
        assert.is_true(model.weight.grad:isSetTo(model.gradWeight))
        model.gradWeight:fill(2)
        assert.equal(12, model.weight.grad:sum())
        model.weight.grad:zero()
        assert.equal(0, model.gradWeight:sum())
    end)

    it('requiresGrad = false stays', function()
        local model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
        model[1].weight.requiresGrad = false
        model[1].bias.requiresGrad = false
        local input = torch.ones(5, 3)
        model(input):sum():backward()
        assert.is_false(model[1].weight.requiresGrad)
        assert.equal(0, model[1].gradWeight:norm())
        assert.is_true(model[2].gradWeight:norm() > 0)
        model:double():float()
        model(input)
        assert.is_false(model[1].weight.requiresGrad)
        assert.is_true(model[2].weight.requiresGrad)
        require 'optim'
        local opt = optim.SGD(model:parameters(), {lr = 1})
        assert.equal(2, #opt.params)
    end)

    it('an optimizer stays valid when the model is converted', function()
        require 'optim'
        local model = mlp()
        local opt = optim.SGD(model:parameters(), {lr = 0.5, momentum = 0.9})
        local input, g = x(5, 3), x(5, 2)
        model(input):backward(g)
        opt:step()
        model:float()
        input, g = input:float(), g:float()
        local before = model[1].weight:detach():clone()
        model:zeroGradParameters()
        model(input):backward(g)
        opt:step()
        assert.is_true(difference(before, model[1].weight) > 1e-3)
        model:getParameters()
        before = model[1].weight:detach():clone()
        opt:zeroGrad()
        model(input):backward(g)
        opt:step()
        assert.is_true(difference(before, model[1].weight) > 1e-3)
    end)

    it('one model in both faces by turns', function()
        local model, input, g = mlp(), x(5, 3), x(5, 2)
        local a = classic(model, input, g)
        local b = taped(model, input, g)
        local c = classic(model, input, g)
        assert.is_true(difference(a, b) < 1e-14)
        assert.is_true(difference(a, c) == 0)
        -- a classic forward between a call and its backward does no harm
        model:zeroGradParameters()
        local out = model(input)
        model:forward(x(2, 3))
        out:backward(g)
        assert.is_true(difference(model[1].gradWeight, a[2]) < 1e-14)
    end)

    it('results of forward are not on the tape, and the error says so', function()
        local model = nn.Linear(3, 2)
        model(torch.ones(1, 3))
        local out = model:forward(torch.ones(1, 3))
        assert.is_false(out.requiresGrad)
        assert.error_matches(function() nn.MSECriterion()(out, torch.zeros(1, 2)):backward() end,
            'not on the tape; call model%(x%)')
    end)

    it('output keeps its identity over forwards', function()
        local model = nn.Linear(3, 2)
        local out = model:forward(torch.ones(1, 3))
        assert.is_true(rawequal(out, model:forward(torch.zeros(4, 3))))
        assert.is_true(rawequal(out, model.output))
        assert.same({4, 2}, out:size():totable())
        local fresh = model(torch.ones(1, 3))
        assert.is_false(rawequal(fresh, model(torch.ones(1, 3))))
    end)

    it('replace, findModules, apply, listModules', function()
        local model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(), nn.Sequential(nn.Linear(4, 4), nn.Dropout()))
        local found, holders = model:findModules('nn.Dropout')
        assert.equal(2, #found)
        assert.is_true(rawequal(holders[2], model[3]))
        assert.equal(6, #model:listModules())
        model:replace(function(m) return torch.typename(m) == 'nn.Dropout' and nn.Identity() or m end)
        assert.equal(0, #model:findModules('nn.Dropout'))
        assert.equal('nn.Identity', torch.typename(model[3][2]))
    end)
end)
