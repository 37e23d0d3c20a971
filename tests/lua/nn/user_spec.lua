-- Modules that users write: PyTorch's way (forward), Torch7's way (updateOutput …), their children, parameters and names.
local checks = require 'tests.lua.checks'
local difference = checks.difference

local function x(...)
    local t = torch.DoubleTensor(...)
    return t:uniform(-2, 2)
end

local place = {}
local function class(name, parent) return torch.class(name, parent or 'nn.Module', place) end

-- A residual block and a net of them, in PyTorch's way.
local Block, parent = class 'Block'
function Block:__init(n)
    parent.__init(self)
    self.fc1 = nn.Linear(n, n)
    self.fc2 = nn.Linear(n, n)
end
function Block:forward(input) return input + self.fc2(torch.tanh(self.fc1(input))) end

local Net = class 'Net'
function Net:__init(n, classes)
    parent.__init(self)
    self.first = nn.Linear(3, n)
    self.blocks = {Block(n), Block(n)}
    self.scale = nn.Parameter(torch.ones(1))
    self.last = nn.Linear(n, classes)
end
function Net:forward(input)
    local h = self.first(input)
    for _, block in ipairs(self.blocks) do h = block(h) end
    return torch.cmul(self.last(h), self.scale:expand(h:size(1), self.last.outFeatures))
end

-- y = w x with one weight, in Torch7's way, using the reused buffers as Torch7 does.
local Scale = class 'Scale'
function Scale:__init()
    parent.__init(self)
    self.weight = torch.Tensor(1):fill(3)
    self.gradWeight = torch.Tensor(1):zero()
end
function Scale:updateOutput(input)
    self.output:resizeAs(input):copy(input):mul(self.weight[1])
    return self.output
end
function Scale:updateGradInput(input, gradOutput)
    self.gradInput:resizeAs(input):copy(gradOutput):mul(self.weight[1])
    return self.gradInput
end
function Scale:accGradParameters(input, gradOutput, scale)
    self.gradWeight:add((scale or 1) * torch.cmul(input, gradOutput):sum())
end

-- The gradient uses the output, which the next call overwrites.
local Exp = class 'Exp'
function Exp:updateOutput(input)
    self.output:resizeAs(input):copy(input):exp()
    return self.output
end
function Exp:updateGradInput(input, gradOutput)
    self.gradInput:resizeAs(input):copy(self.output):cmul(gradOutput)
    return self.gradInput
end

local function gradients(model, input, g)
    local leaf = input:clone()
    leaf.requiresGrad = true
    model:zeroGradParameters()
    local out = model(leaf)
    out:backward(g)
    local _, gp = model:parameters()
    return out, leaf.grad, checks.copy(gp or {})
end

local function numeric(model, input, g)
    local function value() return checks.dot(torch.noGrad(model, input), g) end
    local grads = {}
    for k, p in ipairs(model:parameters() or {}) do grads[k] = checks.numericGradient(value, p) end
    return checks.numericGradient(value, input), grads
end

describe('a module in PyTorch\'s way', function()
    before_each(function() torch.manualSeed(7) end)

    it('has the gradients of finite differences, in both faces', function()
        local net, input, g = Net(4, 2):double(), x(5, 3), x(5, 2)
        local gi, gp = numeric(net, input, g)
        local _, leafGrad, grads = gradients(net, input, g)
        assert.is_true(difference(leafGrad, gi) < 1e-7)
        assert.is_true(difference(grads, gp) < 1e-7)
        net:zeroGradParameters()
        local out = net:forward(input)
        assert.is_false(out.requiresGrad)
        assert.is_true(rawequal(out, net.output))
        assert.is_true(difference(net:backward(input, g), gi) < 1e-7)
        local _, now = net:parameters()
        assert.is_true(difference(now, gp) < 1e-7)
    end)

    it('is not decided by the Torch7 face', function()
        local net = Net(4, 2)
        net:forward(torch.ones(1, 3))
        for _, p in net:namedParameters() do assert.is_false(p.requiresGrad) end
        nn.Sequential(net):forward(torch.ones(1, 3))
        for _, p in net:namedParameters() do assert.is_false(p.requiresGrad) end
        net(torch.ones(1, 3))
        for _, p in net:namedParameters() do assert.is_true(p.requiresGrad) end
    end)

    it('works in a Sequential in both faces', function()
        local model = nn.Sequential(nn.Linear(3, 3), Block(3), nn.Tanh()):double()
        local input, g = x(5, 3), x(5, 3)
        local gi, gp = numeric(model, input, g)
        local out, leafGrad, grads = gradients(model, input, g)
        assert.is_true(difference(leafGrad, gi) < 1e-7)
        assert.is_true(difference(grads, gp) < 1e-7)
        model:zeroGradParameters()
        assert.is_true(difference(model:forward(input), out) < 1e-14)
        assert.is_true(difference(model:backward(input, g), gi) < 1e-7)
        local _, now = model:parameters()
        assert.is_true(difference(now, gp) < 1e-7)
    end)

    it('takes and gives several values', function()
        local Two = class 'Two'
        function Two:forward(a, b, flip)
            if flip then a, b = b, a end
            return a - b, torch.cmul(a, b)
        end
        local two = Two()
        local p, q = torch.Tensor {1, 2}, torch.Tensor {3, 5}
        p.requiresGrad = true
        local d, m = two(p, q)
        assert.same({-2, -3}, d:totable())
        assert.same({3, 10}, m:totable())
        assert.same({2, 3}, (two(p, q, true)):totable())
        local total = d + m
        total:sum():backward()
        assert.same({4, 6}, p.grad:totable())
        two:forward(p:detach(), q)
        local grads = two:backward({p:detach(), q}, torch.ones(2))
        assert.same({1, 1}, grads[1]:totable())
        assert.same({-1, -1}, grads[2]:totable())
    end)

    it('may call its parent\'s forward', function()
        local Doubled, above = class('Doubled', 'nn.Linear')
        function Doubled:forward(input) return above.forward(self, input) * 2 end
        local Again, middle = class('Again', Doubled)
        function Again:forward(input) return middle.forward(self, input) + 1 end
        local m, input, g = Again(3, 2):double(), x(4, 3), x(4, 2)
        local gi, gp = numeric(m, input, g)
        local _, leafGrad, grads = gradients(m, input, g)
        assert.is_true(difference(leafGrad, gi) < 1e-7)
        assert.is_true(difference(grads, gp) < 1e-7)
        m:zeroGradParameters()
        m:forward(input)
        assert.is_true(difference(m:backward(input, g), gi) < 1e-7)
    end)

    it('may forget its parent\'s __init', function()
        local Bare = class 'Bare'
        function Bare:__init() self.fc = nn.Linear(2, 1) end
        function Bare:forward(input) return self.fc(input) end
        local bare = Bare()
        assert.same({3, 1}, bare(torch.ones(3, 2)):size():totable())
        assert.same({3, 1}, bare:forward(torch.ones(3, 2)):size():totable())
        bare:evaluate()
        assert.is_false(bare.fc.train)
        assert.equal(2, #bare:parameters())
    end)

    it('without forward, or with both kinds, is an error that says so', function()
        local None = class 'None'
        assert.error_matches(function() None()(torch.ones(1)) end, 'None has no forward')
        local Both = class 'Both'
        function Both:forward(input) return input end
        function Both:updateOutput(input) return input end
        assert.error_matches(function() Both()(torch.ones(1)) end, 'defines both forward .* and updateOutput')
    end)
end)

describe('a module in Torch7\'s way', function()
    before_each(function() torch.manualSeed(7) end)

    it('works in a Sequential and on the tape', function()
        local model = nn.Sequential(nn.Linear(3, 3), Scale(), Exp(), nn.Linear(3, 2)):double()
        model[1].weight:mul(0.3)
        model[2].weight:fill(0.5)
        local input, g = x(5, 3), x(5, 2)
        local gi, gp = numeric(model, input, g)
        local _, leafGrad, grads = gradients(model, input, g)
        assert.is_true(difference(leafGrad, gi) < 1e-7)
        assert.is_true(difference(grads, gp) < 1e-7)
        model:zeroGradParameters()
        model:forward(input)
        assert.is_true(difference(model:backward(input, g), gi) < 1e-7)
        local _, now = model:parameters()
        assert.is_true(difference(now, gp) < 1e-7)
    end)

    it('works in a user\'s module, twice in one call', function()
        local Twice = class 'Twice'
        function Twice:__init()
            parent.__init(self)
            self.exp, self.scale = Exp(), Scale()
        end
        function Twice:forward(input) return self.exp(self.scale(self.exp(self.scale(input)) * 0.1)) end
        local m, input, g = Twice():double(), x(3, 2):mul(0.3), x(3, 2)
        m.scale.weight:fill(0.5)
        local gi, gp = numeric(m, input, g)
        local _, leafGrad, grads = gradients(m, input, g)
        assert.is_true(difference(leafGrad, gi) < 1e-7)
        assert.is_true(difference(grads, gp) < 1e-7)
        m:zeroGradParameters()
        m:forward(input)
        assert.is_true(difference(m:backward(input, g, 2), gi) < 1e-7)
        assert.is_true(difference(m.scale.gradWeight * 0.5, gp[1]) < 1e-7)
    end)

    it('gives torch.grad its gradients without accumulating', function()
        local m = Scale():double()
        m(torch.ones(1):double())
        local g = torch.grad(m(torch.DoubleTensor {2, 5}):sum(), m.weight)
        assert.same({7}, g:totable())
        assert.equal(0, m.gradWeight[1])
    end)

    it('leaves no memory behind', function()
        local m = Exp()
        local registry = setmetatable({}, {__mode = 'k'})
        local input = torch.ones(3)
        input.requiresGrad = true
        registry[m(input)] = true
        for _ = 1, 70 do m(input) end
        collectgarbage()
        collectgarbage()
        m(input)
        collectgarbage()
        collectgarbage()
        assert.is_nil(next(registry))
    end)

    it('may use its parent\'s computation', function()
        local Loud, above = class('Loud', 'nn.Linear')
        function Loud:updateOutput(input)
            self.calls = (self.calls or 0) + 1
            return above.updateOutput(self, input)
        end
        local m, input, g = Loud(3, 2):double(), x(4, 3), x(4, 2)
        local gi, gp = numeric(m, input, g)
        m:zeroGradParameters()
        m:forward(input)
        assert.is_true(difference(m:backward(input, g), gi) < 1e-7)
        local _, leafGrad, grads = gradients(m, input, g)
        assert.is_true(m.calls > 1)
        assert.is_true(difference(leafGrad, gi) < 1e-7)
        assert.is_true(difference(grads, gp) < 1e-7)
    end)
end)

describe('children and names', function()
    it('come in order of assignment, nil removes', function()
        local net = Net(4, 2)
        local names = {}
        for name in net:namedParameters() do names[#names + 1] = name end
        assert.same({'scale', 'first.weight', 'first.bias', 'blocks.0.fc1.weight', 'blocks.0.fc1.bias', 'blocks.0.fc2.weight',
            'blocks.0.fc2.bias', 'blocks.1.fc1.weight', 'blocks.1.fc1.bias', 'blocks.1.fc2.weight', 'blocks.1.fc2.bias',
            'last.weight', 'last.bias'}, names)
        names = {}
        for name in net:children() do names[#names + 1] = name end
        assert.same({'first', 'blocks[1]', 'blocks[2]', 'last'}, names)
        local params, grads = net:parameters()
        assert.equal(13, #params)
        assert.equal(13, #grads)
        net.first = nil
        assert.equal(11, #net:parameters())
        net.first = nn.Linear(3, 4, false)
        assert.equal(12, #net:parameters())
        net.blocks = nil
        assert.equal(4, #net:parameters())
    end)

    it('see an array that grows after its assignment', function()
        local Grown = class 'Grown'
        function Grown:__init()
            parent.__init(self)
            self.layers = {}
            for k = 1, 3 do self.layers[k] = nn.Linear(2, 2) end
        end
        assert.equal(6, #Grown():parameters())
    end)

    it('are read and replaced by number and by name', function()
        local model = nn.Sequential(nn.Linear(3, 4))
        assert.is_true(rawequal(model, model:add(nn.ReLU(), 'act')))
        assert.is_true(rawequal(model[2], model.act))
        assert.is_true(rawequal(model[-1], model:get(2)))
        model[2] = nn.Tanh()
        assert.equal('nn.Tanh', torch.typename(model.act))
        assert.equal('nn.Tanh', torch.typename(model:get(-1)))
        model.act = nn.Sigmoid()
        assert.equal('nn.Sigmoid', torch.typename(model[2]))
        assert.is_nil(model[3])
        assert.error_matches(function() model:get(3) end, 'has 2 modules')
        assert.error_matches(function() model[0] = nn.Tanh() end, 'has 2 modules')
        assert.error_matches(function() model:add(3) end, 'wants a module')
        assert.error_matches(function() nn.Sequential(nn.ReLU(), 'x') end, 'argument 2')
        local names = {}
        model:add(nn.Linear(4, 2), 'out')
        for name in model:namedParameters() do names[#names + 1] = name end
        assert.same({'0.weight', '0.bias', 'out.weight', 'out.bias'}, names)
        model:remove(2)
        assert.is_true(rawequal(model.out, model[2]))
        assert.is_nil(model.act)
        assert.error_matches(function() model:add(nn.ReLU(), 'out') end, 'not free')
        assert.error_matches(function() model:add(nn.ReLU(), 'forward') end, 'not free')
        model:insert(nn.ReLU(), 1)
        assert.is_true(rawequal(model.out, model[3]))
        assert.equal('nn.Linear', torch.typename(model[2]))
    end)

    it('print as Torch7\'s containers and as a user\'s fields', function()
        local model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Sequential(nn.Linear(4, 2, false), nn.Dropout(0.25)))
        assert.equal([[
nn.Sequential {
  [input -> (1) -> (2) -> (3) -> output]
  (1): nn.Linear(3 -> 4)
  (2): nn.ReLU
  (3): nn.Sequential {
    [input -> (1) -> (2) -> output]
    (1): nn.Linear(4 -> 2) without bias
    (2): nn.Dropout(0.250000)
  }
}]], tostring(model))
        assert.equal([[
Block {
  (fc1): nn.Linear(2 -> 2)
  (fc2): nn.Linear(2 -> 2)
}]], tostring(Block(2)))
        assert.equal([[
nn.ConcatTable {
  input
    |`-> (1): nn.Linear(3 -> 4)
    |`-> (2): nn.Sequential {
    |      [input -> (1) -> (2) -> output]
    |      (1): nn.ReLU
    |      (2): nn.Tanh
    |    }
     `-> (3): nn.Tanh
     ... -> output
}]], tostring(nn.ConcatTable(nn.Linear(3, 4), nn.Sequential(nn.ReLU(), nn.Tanh()), nn.Tanh())))
    end)

    it('keep buffers beside parameters in the state', function()
        local Counted = class 'Counted'
        function Counted:__init()
            parent.__init(self)
            self.fc = nn.Linear(2, 1)
            self:registerBuffer('count', torch.zeros(1))
        end
        local m = Counted()
        local names = {}
        for name in m:namedBuffers() do names[#names + 1] = name end
        assert.same({'count'}, names)
        assert.equal(2, #m:parameters())
        local state = m:stateDict()
        assert.is_true(rawequal(state.count, m.count))
        assert.is_true(rawequal(state['fc.weight'], m.fc.weight))
    end)

    it('save and load by name, and say what does not fit', function()
        require 'tests.lua.support'.inFolder(function(folder)
            local net, other = Net(4, 2), Net(4, 2)
            net:save(folder .. '/a.safetensors')
            local keys = require 'dlrun.safetensors'.load(folder .. '/a.safetensors')
            assert.is_truthy(keys['blocks.1.fc1.weight'])
            other:load(folder .. '/a.safetensors')
            assert.is_true(difference(net:parameters(), other:parameters()) == 0)
            local wide = Net(5, 2)
            local before = checks.copy(wide:parameters())
            local ok, message = pcall(wide.load, wide, folder .. '/a.safetensors')
            assert.is_false(ok)
            assert.matches('reshaped first%.weight: the model has %(5, 3%), the file %(4, 3%)', message)
            assert.is_true(difference(wide:parameters(), before) == 0)
            net.blocks[2].fc1, net.blocks[2].fcl = nil, nn.Linear(4, 4)
            ok, message = pcall(net.load, net, folder .. '/a.safetensors')
            assert.is_false(ok)
            assert.matches('missing blocks%.1%.fcl%.weight %(nearest: blocks%.1%.fc1%.weight%)', message)
            assert.matches('unexpected blocks%.1%.fc1%.weight %(nearest: ', message)
            local _, lines = net:load(folder .. '/a.safetensors', {strict = false})
            assert.equal(4, #lines)
        end)
    end)
end)
