-- help(x): what it says of classes, functions, ops and names, and that the REPL has it.
require 'nn'
require 'optim'
local help = require 'dlrun.help'.of

describe('help', function()
    it('shows a class\'s comment with shapes and formula, for its objects too', function()
        for _, text in ipairs {help(nn.Linear), help 'nn.Linear', help 'Linear', help(nn.Linear(2, 3))} do
            assert.matches('^nn%.Linear%(inFeatures, outFeatures', text)
            assert.matches('y = x weightᵀ %+ bias', text)
            assert.matches('Input %(N, inFeatures%)', text)
            assert.is_nil(text:find('--', 1, true))
        end
        assert.matches('^nn%.ReLU%(%): max%(x, 0%)', help(nn.ReLU))
        assert.matches('labels 1%.%.C', help(nn.CrossEntropyLoss))
        assert.matches('^optim%.Adam%(params, {lr = 1e%-3', help(optim.Adam))
        assert.matches('CSubTable', help(nn.CSubTable))
    end)

    it('has something to say of every class', function()
        for _, package in ipairs {nn, optim} do
            for name, class in pairs(package) do
                if type(class) == 'table' and rawget(class, '__typename') then
                    local text = help(class)
                    assert(not text:find '^nothing is written', name)
                    assert(text:find(class.__typename:match '[^.]*$', 1, true), name .. ': ' .. text)
                end
            end
        end
    end)

    it('shows functions and ops', function()
        assert.matches('^op softmax%(Tensor x, int dim%) %-> Tensor\n', help(torch.softmax))
        assert.matches('^op matmul%(Tensor a, Tensor b%) %-> Tensor\nPyTorch', help 'matmul')
        assert.matches('^op log_softmax', help 'log_softmax')
        assert.matches('Without gradient', help 'argmax')
        assert.matches('output = module:forward%(input%)', help(nn.Module.forward))
        assert.matches('optim%.adam%(feval, x, config', help(optim.adam))
        assert.matches('tape%.lua', help(torch.noGrad))
    end)

    it('names the nearest of an unknown name', function()
        assert.equal("there is no 'Lineer'; did you mean 'Linear'?", help 'Lineer')
        assert.equal('nothing is written about this number', help(3))
        assert.equal('nothing is written about this nil', help(nil))
    end)

    it('without an argument tells what there is', function()
        assert.matches('nn%.Linear', help())
        assert.matches('optim%.Adam', help())
        for line in help():gmatch '[^\n]+' do assert.is_true(#line <= 128) end
    end)

    it('shows of a name both the function and the op', function()
        assert.matches('x:expand(sizes)', help 'expand', 1, true)
        assert.matches("\n\nrequire('torch.ops').expand(Tensor x, int[] shape) -> Tensor\n", help 'expand', 1, true)
        assert.matches('^op expand%(Tensor x', help(require 'torch.ops'.expand))
        assert.is_nil(help 'softmax':find('torch.ops', 1, true)) -- where the op's text is the function's
    end)

    it('lists the ops in columns', function()
        local x = torch.ones(2)
        x.requiresGrad = true
        torch.pow(x, 3):sum():backward()
        local text = help 'ops'
        assert.is_nil(text:find '%.d%d') -- no derived gradients
        assert.equal(text, help(require 'torch.ops'))
        for _, name in ipairs {'add', 'convolution', 'where', 'scatter_add'} do
            assert.matches('%s' .. name .. '%f[%s%z]', text)
        end
        local lines = 0
        for line in text:gmatch '[^\n]+' do
            assert.is_true(#line <= 128)
            lines = lines + 1
        end
        assert.is_true(lines < 80)
    end)

    it('is a global everywhere', function()
        local support = require 'tests.lua.support'
        local _, out = support.dlrun({'-i'}, {input = "require 'nn'\nhelp(nn.Linear)\n"})
        assert.matches('inFeatures, outFeatures', out)
        _, out = support.dlrun {'-e', "help 'pad'"}
        assert.matches('^op pad%(Tensor x', out)
        _, out = support.dlrun({'-'}, {input = "help 'pad'"})
        assert.matches('^op pad%(Tensor x', out)
    end)
end)
