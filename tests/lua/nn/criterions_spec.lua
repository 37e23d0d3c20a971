-- Losses: PyTorch's values and gradients in both faces, and what goes wrong.
local checks = require 'tests.lua.checks'
local difference = checks.difference
local golden = dofile 'tests/golden/losses.lua'

local function double(value) return type(value) == 'table' and torch.tensor(value, {dtype = 'double'}) or value end

-- A criterion of a golden row. Without options the constructor gets none.
local function make(row)
    local options = {}
    for key, value in pairs(row.options) do options[key] = key == 'weight' and double(value) or value end
    return nn[row.criterion](next(options) and options or nil)
end

local function label(k, row)
    local words = {}
    for key, value in pairs(row.options) do words[#words + 1] = key .. '=' .. tostring(value) end
    table.sort(words)
    return ('row %d, %s{%s}'):format(k, row.criterion, table.concat(words, ', '))
end

local function close(a, b, what)
    local scale = 1 + (torch.isTensor(b) and b:clone():abs():max() or math.abs(b))
    local d = torch.isTensor(b) and difference(a, b) or math.abs(a - b)
    -- PyTorch bounds x (1 - x) in BCE's gradient by a float32 constant: gradients of 1e11 agree to eight digits
    assert(d <= (scale > 1e6 and 1e-8 or 1e-12) * scale, ('%s: off by %g'):format(what, d))
end

describe('criterions against PyTorch', function()
    it('on the tape', function()
        for k, row in ipairs(golden) do
            local input, target, what = double(row.input), double(row.target), label(k, row)
            input.requiresGrad = true
            local loss = make(row)(input, target)
            assert.is_true(torch.isTensor(loss))
            if type(row.loss) == 'number' then
                assert.equal(0, loss:dim())
                close(loss:item(), row.loss, what)
                loss:backward()
            else
                close(loss, double(row.loss), what)
                loss:sum():backward()
            end
            close(input.grad, double(row.grad), what .. ' gradient')
        end
    end)

    it('in Torch7\'s way', function()
        for k, row in ipairs(golden) do
            if type(row.loss) == 'number' then
                local input, target, what = double(row.input), double(row.target), label(k, row)
                local criterion = make(row)
                local value = criterion:forward(input, target)
                assert.equal('number', type(value))
                assert.equal(value, criterion.output)
                close(value, row.loss, what)
                local grad = criterion:backward(input, target)
                assert.is_true(rawequal(grad, criterion.gradInput))
                close(grad, double(row.grad), what .. ' gradient')
                close(criterion:updateGradInput(input, target), double(row.grad), what .. ' gradient')
            end
        end
    end)

    it('in single precision', function()
        for k, row in ipairs(golden) do
            if type(row.loss) == 'number' then
                local input, target = double(row.input):float(), double(row.target)
                local value = make(row):float():forward(input, target)
                assert(math.abs(value - row.loss) < 1e-5 * (1 + math.abs(row.loss)), label(k, row))
            end
        end
    end)
end)

describe('a criterion', function()
    local logits = torch.Tensor {{1, 2, 3}, {0, 1, -1}}
    local labels = torch.LongTensor {3, 1}

    it('called is a 0-dim tensor, also under noGrad', function()
        local c = nn.CrossEntropyCriterion()
        for _, loss in ipairs {c(logits, labels), torch.noGrad(c, logits, labels)} do
            assert.is_true(torch.isTensor(loss))
            assert.equal(0, loss:dim())
            assert.equal(1, loss:nElement())
        end
        assert.equal('number', type(c:forward(logits, labels)))
        assert.near((c(logits, labels)):item(), c:forward(logits, labels), 1e-6)
    end)

    it('names a label that is no whole number', function()
        local c = nn.CrossEntropyCriterion()
        assert.error_matches(function() c(logits, torch.Tensor {3, 1.5}) end,
            'label 1.5 at sample 2: expected a whole number 1..', 1, true)
        assert.error_matches(function() c(logits, torch.Tensor {0 / 0, 1}) end, 'label nan at sample 1', 1, true)
    end)

    it('takes labels of any integer type, whole floats, and a number', function()
        local c = nn.CrossEntropyCriterion()
        local expected = c:forward(logits, labels)
        for _, type in ipairs {'Byte', 'Char', 'Short', 'Int', 'Long', 'Float', 'Double'} do
            assert.equal(expected, c:forward(logits, torch[type .. 'Tensor'] {3, 1}))
        end
        assert.equal(expected, c:forward(logits, torch.LongTensor {{3}, {1}}))
        local nll = nn.ClassNLLCriterion()
        assert.near(2, nll:forward(torch.Tensor {-1, -2, -3}, 2), 1e-6)
        assert.near(2, nll:forward(torch.Tensor {-1, -2, -3}, torch.Tensor {2}), 1e-6)
    end)

    it('of probabilities names the first element that is none', function()
        local c, y = nn.BCECriterion(), torch.ones(2, 2)
        assert.equal(0, c:forward(torch.ones(2, 2), y))
        local message = 'element %(2, 1%) is 1.5: expected probabilities, 0..1; nn.Sigmoid'
        assert.error_matches(function() c(torch.Tensor {{0, 1}, {1.5, -1}}, y) end, message)
        assert.error_matches(function() c:forward(torch.Tensor {{0, 1}, {1.5, -1}}, y) end, message)
        assert.error_matches(function() c(torch.Tensor {0 / 0}, torch.ones(1)) end, 'element %(1%) is %-?nan')
    end)

    it('names the sample with a wrong label', function()
        for _, name in ipairs {'CrossEntropyCriterion', 'ClassNLLCriterion'} do
            local c = nn[name]()
            local ok, message = pcall(c, logits, torch.LongTensor {3, 0})
            assert.is_false(ok)
            assert.matches('label 0 at sample 2: expected 1%.%.3', message)
            assert.matches('labels start at 1; y:add%(1%)%?', message)
            ok, message = pcall(c.forward, c, logits, torch.LongTensor {4, 1})
            assert.is_false(ok)
            assert.matches('label 4 at sample 1: expected 1%.%.3', message)
            assert.is_nil(message:find('y:add', 1, true))
            assert.is_false((pcall(c, logits, torch.ByteTensor {3, 0})))
        end
        assert.error_matches(function() nn.CrossEntropyCriterion()(logits, torch.Tensor {1.5, 1}) end, 'whole')
    end)

    it('says what it wants', function()
        local c = nn.CrossEntropyCriterion()
        assert.error_matches(function() c(logits) end, 'wants %(input, target%)')
        assert.error_matches(function() c:forward(nil, labels) end, 'wants %(input, target%)')
        assert.error_matches(function() c(logits, torch.LongTensor {1, 2, 3}) end, '2.*3')
        assert.error_matches(function() nn.CrossEntropyCriterion {smoothing = 0.1} end, "did you mean 'labelSmoothing'")
        assert.error_matches(function() nn.MSECriterion {reduction = 'avg'} end, 'reduction must be none, mean or sum')
        assert.error_matches(function() nn.MSECriterion {size = true} end, 'no option')
        assert.error_matches(function() nn.MSECriterion()(torch.ones(2, 3), torch.ones(2, 2)) end, '2, 3.*2, 2')
        local out = nn.Linear(3, 3):forward(torch.ones(2, 3))
        assert.error_matches(function() c(out, labels):backward() end, 'not on the tape; call model%(x%)')
        assert.error_matches(function() c:forward(logits, labels):backward() end, 'not on the tape; call model%(x%)')
    end)

    it('averages or sums as sizeAverage says, also afterwards', function()
        local input, target = torch.Tensor {1, 2, 4}, torch.zeros(3)
        assert.near(7, nn.MSECriterion():forward(input, target), 1e-6)
        assert.near(21, nn.MSECriterion(false):forward(input, target), 1e-6)
        local c = nn.MSECriterion()
        c.sizeAverage = false
        assert.near(21, c:forward(input, target), 1e-6)
        local w = nn.ClassNLLCriterion(torch.Tensor {1, 0, 3}, false)
        assert.near(3 * 3 + 1 * 0, w:forward(torch.Tensor {{-1, -2, -3}, {0, -1, -1}}, labels), 1e-6)
        w = nn.ClassNLLCriterion(torch.Tensor {1, 0, 3})
        assert.near(9 / 4, w:forward(torch.Tensor {{-1, -2, -3}, {0, -1, -1}}, labels), 1e-6)
    end)

    it('converts its weights with itself, and is cloned', function()
        local c = nn.CrossEntropyCriterion(torch.Tensor {1, 2, 3}):double()
        local value = c:forward(logits:double(), labels)
        assert.near(value, c:clone():forward(logits:double(), labels), 1e-15)
        assert.equal('torch.DoubleTensor', c:backward(logits:double(), labels):type())
    end)

    it('backward without forward, or of another target', function()
        local c, other = nn.MSECriterion(), nn.MSECriterion()
        local input, a, b = torch.Tensor {1, 2}, torch.zeros(2), torch.ones(2)
        assert.same({1, 2}, c:backward(input, a):totable())
        c:forward(input, a)
        assert.same({0, 1}, c:backward(input, b):totable())
        other:forward(input, b)
        b:zero()
        assert.same({1, 2}, other:backward(input, b):totable())
    end)

    it('warns once about probabilities before cross entropy', function()
        local support = require 'tests.lua.support'
        local status, _, err = support.dlrun({'-'}, {input = [[
            require 'nn'
            local c = nn.CrossEntropyCriterion()
            local p = torch.Tensor {{0.2, 0.3, 0.5}, {1, 0, 0}}
            for _ = 1, 3 do c(p, torch.LongTensor {1, 2}) end
        ]]})
        assert.equal(0, status)
        assert.equal(1, select(2, err:gsub('rows that? sum to 1', '')) + select(2, err:gsub('rows sum to 1', '')))
        _, _, err = support.dlrun({'-'}, {input = [[
            require 'nn'
            local c = nn.CrossEntropyCriterion()
            for _ = 1, 30 do c(torch.randn(4, 3), torch.LongTensor {1, 2, 3, 1}) end
        ]]})
        assert.equal('', err)
        _, _, err = support.dlrun({'-'}, {input = [[
            require 'nn'
            local model = nn.Sequential(nn.Linear(4, 3), nn.SoftMax())
            local c = nn.CrossEntropyCriterion()
            c(torch.randn(4, 3), torch.LongTensor {1, 2, 3, 1})
            for _ = 1, 30 do c(model(torch.randn(4, 4)), torch.LongTensor {1, 2, 3, 1}) end
        ]]})
        assert.equal(1, select(2, err:gsub('sum to 1', '')))
    end)

    it('of a user, in Torch7\'s way and on the tape', function()
        local Sum, parent = torch.class('SumCriterion', 'nn.Criterion', {})
        function Sum:__init() parent.__init(self) end
        function Sum:updateOutput(input, target)
            self.output = (input - target):sum()
            return self.output
        end
        function Sum:updateGradInput(input)
            self.gradInput:resizeAs(input):fill(1)
            return self.gradInput
        end
        local c, input = Sum(), torch.Tensor {1, 2}
        assert.equal(2, c:forward(input, torch.Tensor {0, 1}))
        assert.same({1, 1}, c:backward(input, torch.zeros(2)):totable())
        input.requiresGrad = true
        local loss = c(torch.mul(input, 3), torch.Tensor {0, 1})
        assert.equal(8, loss:item());
        (loss * 2):backward()
        assert.same({6, 6}, input.grad:totable())
    end)

    it('of a user may be written as forward(input, target) of ops', function()
        local Cubic, parent = torch.class('CubicCriterion', 'nn.Criterion')
        function Cubic:__init() parent.__init(self) end
        function Cubic:forward(input, target) return torch.pow(input - target, 3):sum() end -- luacheck: ignore 212
        local x = torch.Tensor {2}
        x.requiresGrad = true
        local loss = Cubic()(x, torch.Tensor {1})
        loss:backward()
        assert.are.equal(1, loss:item())
        assert.are.equal(3, x.grad[1])
    end)
end)
