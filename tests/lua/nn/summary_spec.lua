-- model:summary: what it counts and prints, and that it leaves the model as it was.
local checks = require 'tests.lua.checks'

-- facts, printed lines = model:summary(given)
local function summary(model, given)
    local lines, old = {}, print
    _G.print = function(line) lines[#lines + 1] = line end
    local ok, facts = pcall(model.summary, model, given)
    _G.print = old
    if not ok then error(facts, 0) end
    return facts, lines
end

local function fieldsOf(model)
    local list = {}
    for k, module in ipairs(model:listModules()) do
        list[k] = {}
        for key, value in pairs(module) do list[k][key] = value end
    end
    return list
end

local function cnn()
    return nn.Sequential(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3, {groups = 2, bias = false}), nn.BatchNorm2d(64),
        nn.Dropout(), nn.Flatten(), nn.Linear(36864, 10))
end

describe('model:summary', function()
    it('counts parameters, bytes and products, and shows shapes', function()
        local model = cnn()
        model[1].bias.requiresGrad = false
        local facts, lines = summary(model, {input = {1, 28, 28}})
        local weights = 32 * 9 + 32 + 64 * 16 * 9 + 2 * 64 + 36864 * 10 + 10
        assert.equal(weights, facts.parameters)
        assert.equal(weights - 32, facts.trainable)
        assert.equal(4 * (weights + 2 * 64), facts.bytes)
        assert.equal(32 * 26 * 26 * 9 + 64 * 24 * 24 * 16 * 9 + 36864 * 10, facts.multiplyAdds)
        assert.equal(8, #facts.layers)
        local first = facts.layers[2]
        assert.same({path = 'model[1]', description = 'Conv2d(1 -> 32, 3x3)', output = '(1, 32, 26, 26)', parameters = 320,
            trainable = 288, multiplyAdds = 32 * 26 * 26 * 9}, first)
        assert.equal('(1, 10)', facts.layers[1].output)
        assert.matches('^model%[1%]  Conv2d%(1 %-> 32, 3x3%) +%(1, 32, 26, 26%) +320  partly$', lines[3])
        assert.matches('^model%[3%]  Conv2d%(32 %-> 64, 3x3, .*…  %(1, 64, 24, 24%) +9,216  yes$', lines[5])
        assert.matches('^378,314 parameters, 378,282 of them trainable; 1.5 MB', lines[#lines - 1])
    end)

    it('fits 80 columns', function()
        local model = nn.Sequential()
        local inner = nn.Sequential():add(nn.Linear(3, 3), 'aVeryLongNameThatIsHardToFit')
        model:add(inner, 'anotherNameThatIsMuchTooLong')
        model:add(nn.ConcatTable(nn.Identity(), nn.Identity(), nn.Identity(), nn.Identity(), nn.Identity()))
        local _, lines = summary(model, {input = torch.randn(100, 200, 300, 3)})
        local shortened = 0
        for _, line in ipairs(lines) do
            assert.is_true(select(2, line:gsub('[^\128-\191]', '')) <= 80, line)
            shortened = shortened + select(2, line:gsub('…', ''))
        end
        assert.is_true(shortened > 2)
    end)

    it('leaves fields, buffers, flags, outputs and the random stream', function()
        local Counter, parent = torch.class('SummaryCounter', 'nn.Module', {})
        function Counter:__init()
            parent.__init(self)
            self:registerBuffer('calls', torch.zeros(1))
            self.norm = nn.BatchNorm1d(3)
        end
        function Counter:forward(x)
            self.calls:add(1)
            self.last = x
            return self.norm(x) + torch.randn(3)
        end
        local Classic = torch.class('SummaryClassic', 'nn.Module', {})
        function Classic:updateOutput(x)
            self.output:resizeAs(x):copy(x)
            return self.output
        end
        function Classic:updateGradInput(_, g)
            self.gradInput = g
            return g
        end
        local model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Dropout(), Counter(), Classic())
        model[3]:evaluate()
        model:forward(torch.randn(4, 3))
        local before, output = fieldsOf(model), checks.copy(model.output)
        local buffers = {}
        for name, x in model:namedBuffers() do buffers[name] = x:clone() end
        local state = torch.getRNGState()
        local facts = summary(model, {input = {3}})
        assert.equal('(1, 3)', facts.layers[#facts.layers].output)
        assert.same(before, fieldsOf(model))
        assert.equal(0, checks.difference(model.output, output))
        for name, x in model:namedBuffers() do assert.equal(0, checks.difference(buffers[name], x)) end
        assert.equal(0, checks.difference(state:double(), torch.getRNGState():double()))
        model:backward(torch.randn(4, 3), torch.randn(4, 3))
    end)

    it('leaves them after an error, which names the module', function()
        local model = cnn()
        local before = fieldsOf(model)
        assert.error_matches(function() summary(model, {input = {2, 28, 28}}) end,
            'model%[1%]: Conv2d%(1 %-> 32, 3x3%): expected %(N, 1, H, W%), got %(1, 2, 28, 28%)')
        assert.same(before, fieldsOf(model))
    end)

    it('decides lazy sizes, once', function()
        local model = nn.Sequential(nn.Conv2d(nil, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(nil, 2))
        local facts = summary(model, {input = {3, 5, 5}})
        assert.equal(4 * 27 + 4 + 36 * 2 + 2, facts.parameters)
        assert.is_true(model[1].train)
        assert.is_nil(rawget(model[1], 'compute'))
        assert.is_nil(rawget(model[4], 'fusedInputs'))
        local weight = model[4].weight
        summary(model, {input = {3, 5, 5}})
        assert.is_true(rawequal(weight, model[4].weight))
        model(torch.randn(2, 3, 5, 5)):sum():backward()
        assert.is_true(weight.grad:norm() > 0)
    end)

    it('takes several inputs, tensors, indices, and none', function()
        local model = nn.Sequential(nn.ParallelTable(nn.Linear(3, 4), nn.Identity()), nn.CAddTable())
        local facts = summary(model, {input = {{3}, torch.randn(2, 4)}})
        assert.equal('{(1, 4), (2, 4)}', facts.layers[2].output)
        assert.equal('(2, 4)', facts.layers[1].output)
        facts = summary(nn.Sequential(nn.LookupTable(10, 3), nn.TemporalConvolution(3, 4, 2)):double(), {input = {7}})
        assert.equal('(1, 6, 4)', facts.layers[1].output)
        facts = summary(model)
        assert.equal(16, facts.parameters)
        assert.is_nil(facts.layers[1].output)
        assert.is_nil(facts.multiplyAdds)
    end)

    it('counts what is shared once', function()
        local linear = nn.Linear(3, 3)
        local tied = nn.Linear(3, 3)
        tied.weight = linear.weight
        local facts = summary(nn.Sequential(linear, nn.Tanh(), linear, tied), {input = {3}})
        assert.equal(12 + 3, facts.parameters)
        assert.equal(3 * 9, facts.multiplyAdds)
        assert.is_true(facts.layers[4].shared)
    end)

    it('refuses what is no input', function()
        for _, wrong in ipairs {3, {}, 'x'} do
            assert.error_matches(function() summary(cnn(), {input = wrong}) end, 'the sizes of one sample, such as {1, 28, 28}')
        end
        assert.error_matches(function() summary(cnn(), {input = {{1, 28, 28}, 'x'}}) end, 'input 2 is neither a tensor nor')
        assert.error_matches(function() summary(cnn(), {inputs = {1}}) end, "did you mean 'input'")
    end)
end)
