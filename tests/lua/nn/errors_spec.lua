-- What a script with a mistake is told: which module, as an expression, what it expected and got, and at which of its lines.
require 'nn'
local support = require 'tests.lua.support'

local function messageOf(f, ...)
    local ok, message = pcall(f, ...)
    assert.is_false(ok)
    return message
end

local Block, parent = torch.class('ErrorBlock', 'nn.Module', {})
function Block:__init(n, m)
    parent.__init(self)
    self.fc1 = nn.Linear(n, m)
end
function Block:forward(x) return self.fc1(x) end

local Net = torch.class('ErrorNet', 'nn.Module', {})
function Net:__init()
    parent.__init(self)
    self.blocks = {Block(3, 4), Block(5, 2)}
end
function Net:forward(x) return self.blocks[2](self.blocks[1](x)) end

describe('a wrong size', function()
    local model = nn.Sequential(nn.ReLU(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))
    local wanted = 'model%[2%]: Linear%(784 %-> 256%): expected %(…, 784%), got %(64, 100%)'

    it('is told with the module\'s path, in both faces', function()
        assert.matches(wanted, messageOf(model, torch.ones(64, 100)))
        assert.matches(wanted, messageOf(model.forward, model, torch.ones(64, 100)))
        assert.matches('^[^:]*errors_spec.lua:%d+: model', messageOf(function() model(torch.ones(64, 100)) end))
        assert.matches('flatten it first', messageOf(model, torch.ones(64, 28, 28)))
    end)

    it('inside users\' modules', function()
        local net = Net()
        local path = 'model%.blocks%[2%]%.fc1: Linear%(5 %-> 2%): expected %(…, 5%), got %(7, 4%)'
        assert.matches(path, messageOf(net, torch.ones(7, 3)))
        assert.matches(path, messageOf(net.forward, net, torch.ones(7, 3)))
        local outer = nn.Sequential(nn.Identity(), net)
        assert.matches('model%[2%]%.blocks%[2%]%.fc1: ', messageOf(outer, torch.ones(7, 3)))
        assert.matches('model%[2%]%.blocks%[2%]%.fc1: ', messageOf(outer.forward, outer, torch.ones(7, 3)))
    end)

    it('with the names that add gave', function()
        local named = nn.Sequential():add(nn.Linear(3, 4), 'first'):add(nn.Linear(3, 4), 'second')
        assert.matches('model%.second: Linear', messageOf(named, torch.ones(1, 3)))
    end)

    it('of the gradient', function()
        local fc = nn.Linear(3, 2)
        fc:forward(torch.ones(4, 3))
        assert.matches('model: Linear%(3 %-> 2%): .*4, 2', messageOf(fc.backward, fc, torch.ones(4, 3), torch.ones(4, 3)))
        assert.matches('backward before forward', messageOf(function()
            local other = nn.Linear(3, 2)
            other:backward(torch.ones(4, 3), torch.ones(4, 2))
        end))
    end)

    it('is told of the right module after errors of other kinds', function()
        local Broken = torch.class('ErrorBroken', 'nn.Module', {})
        function Broken:forward(x) return x.missing.field end
        local broken = Broken()
        pcall(broken, torch.ones(1))
        pcall(broken, torch.ones(1))
        assert.matches('model%[2%]: Linear', messageOf(model, torch.ones(64, 100)))
        pcall(broken, torch.ones(1))
        local message = messageOf(function() torch.ones(2):view(3) end)
        assert.is_nil(message:find('ErrorBroken', 1, true))
        local Late = torch.class('ErrorLate', 'nn.Module', {})
        function Late:forward(x) return x:view(self.size) end
        local late = Late()
        pcall(late, torch.ones(2))
        late.size = 2
        assert.is_false(late:forward(torch.ones(2)).requiresGrad)
        assert.is_true(rawequal(late.output, late:forward(torch.ones(2))))
    end)

    it('leaves recording and later calls as they were', function()
        messageOf(model, torch.ones(64, 100))
        messageOf(model.forward, model, torch.ones(64, 100))
        assert.is_true(torch.isGradEnabled())
        assert.same({2, 10}, model(torch.ones(2, 784)):size():totable())
        assert.same({2, 10}, model:forward(torch.ones(2, 784)):size():totable())
        assert.is_false((torch.ones(2) * 2).requiresGrad)
    end)
end)

describe('a wrong argument', function()
    it('of a constructor', function()
        assert.matches('inFeatures must be a whole number from 1 up, not %-1', messageOf(nn.Linear, -1, 3))
        assert.matches('outFeatures must be .* not nil', messageOf(nn.Linear, 3))
        assert.matches('p must lie in 0..1, not 2', messageOf(nn.Dropout, 2))
        assert.matches('dimensions start at 1', messageOf(nn.SoftMax, 0))
        assert.matches('dimensions start at 1', messageOf(nn.Select, 0, 1))
        assert.matches('Bottle wants a module, got nil', messageOf(nn.Bottle))
        assert.matches('nInputDim must be .* not 0', messageOf(nn.Bottle, nn.Linear(2, 3), 0))
        assert.matches('negval must be a number', messageOf(nn.LeakyReLU, 'x'))
        assert.matches('^[^:]*errors_spec.lua:%d+: ', messageOf(function() nn.Linear(-1, 3) end))
    end)

    it('nil or no tensor as input', function()
        local model = nn.Sequential(nn.Linear(3, 2))
        assert.matches('Sequential was called without an input', messageOf(model))
        assert.matches('Sequential was called without an input', messageOf(model.forward, model))
        assert.matches('expected a tensor, got table', messageOf(model, {}))
        assert.matches('model%[1%]: Linear.*expected a tensor, got number', messageOf(model, 3))
        assert.matches('tensor', messageOf(nn.ReLU(), 3))
        assert.matches('type', messageOf(model, torch.ones(1, 3):double()))
    end)
end)

describe('a likely slip', function()
    it('gets its hint', function()
        local model, criterion = nn.Sequential(nn.Linear(3, 2)), nn.MSECriterion()
        assert.matches('use model:training%(%)', messageOf(function() model:train() end))
        assert.is_true(model.train)
        assert.matches('zeroGradParameters', messageOf(function() model:zero_grad() end))
        assert.matches('stateDict', messageOf(function() model:state_dict() end))
        assert.matches('model:load', messageOf(function() model:load_state_dict {} end))
        assert.matches('namedParameters', messageOf(function() model:named_parameters() end))
        assert.matches('zeroGrad', messageOf(function() criterion:zero_grad() end))
        assert.matches('attempt to call', messageOf(function() local b = true; b() end))
        assert.is_nil(model.nothing)
    end)

    it('== with a number is warned about once', function()
        local _, out, err = support.dlrun {'-e', 'local x = torch.ones(1); print(x == 1, 1 == x, x == nil, x == x, x ~= 1)'}
        assert.equal('false\tfalse\tfalse\ttrue\ttrue\n', out)
        assert.equal(1, select(2, err:gsub('x:eq', '')))
    end)

    it('say what backward wants', function()
        local m = nn.Linear(3, 2)
        m:forward(torch.randn(4, 3))
        assert.error_matches(function() m:backward(torch.randn(4, 3)) end, 'gradOutput must be a tensor, got nil')
        assert.error_matches(function() m:backward(torch.randn(4, 3), 3) end, 'gradOutput must be a tensor, got a number')
    end)

    it('is shown by the program with the user\'s line', function()
        local status, _, err = support.dlrun({'-'}, {input = [[
require 'nn'
local model = nn.Sequential(nn.Linear(3, 2))
local function run(x)
    local y = model(x)
    return y
end
run(torch.ones(2, 5))
]]})
        assert.equal(1, status)
        assert.matches('model%[1%]: Linear%(3 %-> 2%): expected %(…, 3%), got %(2, 5%)', err)
        assert.matches('stdin:4', err)
    end)
end)

describe('a pointwise() that is wrong', function()
    local class, base = torch.class('ErrorPointwise', 'nn.Module', {})
    function class:__init(...)
        base.__init(self)
        self.given, self.count = {...}, select('#', ...)
    end
    function class:compute(x) return torch.abs(x) end
    function class:pointwise() return unpack(self.given, 1, self.count) end

    local function run(...) return nn.Sequential(nn.Linear(3, 2), class(...))(torch.ones(1, 3)) end

    it('is told with the layer and what it must return', function()
        for _, row in ipairs {
            {{'abbs'}, "there is no op 'abbs'"},
            {{5}, 'the first is a number'},
            {{'matmul'}, 'matmul is no expression'},
            {{'add'}, 'add takes 2 tensors, not one'},
            {{'leaky_relu', 3}, 'the second is a number'},
            {{'leaky_relu', {'a'}}, 'number 1 is a string'},
            {{'leaky_relu', {0.1, false}}, 'number 2 is a boolean'},
        } do
            local message = messageOf(run, unpack(row[1]))
            assert.matches('errors_spec.lua:%d+: model%[2%]: ErrorPointwise: pointwise%(%) must return '
                .. "an op's name and a table of numbers: " .. row[2] .. '$', message)
        end
    end)

    it('may be nothing', function()
        assert.same({1, 2}, run():size():totable())
        assert.same({1, 2}, run('abs'):size():totable())
        assert.same({1, 2}, run('leaky_relu', {0.1}):size():totable())
    end)
end)
