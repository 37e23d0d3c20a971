-- Errors: at the user's line, saying what was expected; hints for likely slips; nothing crashes.
describe('errors', function()
    it('are raised at the user\'s line', function()
        local line = debug.getinfo(1, 'l').currentline + 1
        local ok, message = pcall(function() torch.mm(torch.ones(2, 2), torch.ones(3, 3)); return 1 end)
        assert.is_false(ok)
        assert.truthy(message:find('errors_spec.lua:' .. line .. ':', 1, true), message)
        ok, message = pcall(function() torch.Tensor(2):add(torch.Tensor(3, 3)); return 1 end)
        assert.is_false(ok)
        assert.truthy(message:find('errors_spec.lua:' .. line + 3 .. ':', 1, true), message)
    end)

    it('refuse numbers that are not whole where whole ones are meant', function()
        local ops = require 'torch.ops'
        local x = torch.randn(2, 3)
        assert.error_matches(function() ops.select(x, 0, 0.5) end, 'select: index must be a whole number, not 0.5')
        assert.error_matches(function() ops.select(x, 0, 0 / 0) end, 'must be a whole number')
        assert.error_matches(function() ops.reshape(x, {3, 2.5}) end, 'element 2 of a list of whole numbers is 2.5')
        assert.error_matches(function() ops.mul_scalar(3, 2) end, 'mul_scalar: x must be a tensor, not a number')
    end)

    it('name the argument', function()
        assert.error_matches(function() torch.exp(5) end, 'exp: argument 1 must be a tensor, not a number')
        assert.error_matches(function() torch.exp() end, 'must be a tensor, not nil')
        assert.error_matches(function() torch.Tensor(2):add({}) end, 'number is expected')
        assert.error_matches(function() torch.cat() end, 'cat: argument 1')
        assert.error_matches(function() torch.Tensor(2):fill('x') end, 'number')
    end)

    it('hint at likely slips', function()
        local x = torch.Tensor(2)
        assert.error_matches(function() return x.shape end, 'x:size()', 1, true)
        assert.error_matches(function() x:add_(1) end, 'in place')
        assert.error_matches(function() torch.no_grad() end, 'torch.noGrad', 1, true)
        assert.error_matches(function() torch.zeros_like(x) end, 'zerosLike')
        assert.error_matches(function() x.foo = 1 end, "no field 'foo'")
    end)

    it('memory that is not there is an error, not an abort', function()
        assert.error_matches(function() return tostring(torch.ones(1):expand(2 ^ 40)) end, 'too many')
        assert.has_error(function() torch.Tensor(2 ^ 40, 2 ^ 10) end)
        assert.has_error(function() torch.Tensor(2 ^ 62, 4) end)
        assert.equal(3, torch.ones(3):sum())
    end)

    it('count indices and positions from 1', function()
        local x = torch.ones(2, 3)
        assert.error_matches(function() x:index(1, torch.LongTensor {1, 3}) end, 'index 3 at position 2: expected 1..2', 1,
            true)
        assert.error_matches(function() x:index(1, torch.LongTensor {0}) end,
            'index 0 at position 1: expected 1..2; indices start at 1', 1, true)
        assert.error_matches(function() x:gather(2, torch.LongTensor {{4}, {1}}) end, 'index 4 at position 1: expected 1..3', 1,
            true)
    end)

    it('do not leave half-made results', function()
        local r = torch.ones(2)
        pcall(torch.mm, r, torch.ones(2, 2), torch.ones(3, 3))
        assert.same({1, 1}, r:totable())
    end)
end)
