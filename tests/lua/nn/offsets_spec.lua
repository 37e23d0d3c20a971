-- nn.Add, nn.Mul, nn.CAdd, nn.CMul, nn.PReLU: values by hand, text, wrong sizes. Gradients: faces_spec.lua.
require 'nn'

local function fill(m, field, values)
    torch.noGrad(function() m[field]:copy(torch.Tensor(values)) end)
    return m
end

describe('learned offsets and factors', function()
    local x = torch.Tensor {{1, 2}, {-3, 4}}

    it('have known values', function()
        assert.same({{11, 22}, {7, 24}}, fill(nn.Add(2), 'bias', {10, 20})(x):totable())
        assert.same({{6, 7}, {2, 9}}, fill(nn.Add(2, true), 'bias', {5})(x):totable())
        assert.same({{2, 4}, {-6, 8}}, fill(nn.Mul(), 'weight', {2})(x):totable())
        assert.same({{2, 3}, {-1, 6}}, fill(nn.CAdd(2, 1), 'bias', {{1}, {2}})(x):totable())
        assert.same({{1, 4}, {-9, 16}}, fill(nn.CMul(2, 2), 'weight', {{1, 2}, {3, 4}})(x):totable())
        assert.same({{1, 2}, {-0.75, 4}}, nn.PReLU()(x):totable())
        assert.same({{1, 2}, {-6, 4}}, fill(nn.PReLU(2), 'weight', {2, 3})(x):totable())
    end)

    it('refuse what does not fit', function()
        assert.error_matches(function() nn.CMul(3)(x) end, 'CMul%(3%): expected %(3%), .*got %(2, 2%)')
        assert.error_matches(function() nn.PReLU(3)(x) end, 'expected 3 channels in dimension 2, got %(2, 2%)')
        assert.error_matches(function() nn.CAdd() end, 'wants sizes')
        assert.error_matches(function() nn.Add(0) end, 'from 1 up, not 0')
        assert.error_matches(function() nn.PReLU(-1) end, 'from 0 up, not %-1')
        assert.error_matches(function() nn.Mul()(2) end, 'expected a tensor, got number')
    end)

    it('print as their sizes', function()
        assert.equal('nn.CMul(2x3)', tostring(nn.CMul(2, 3)))
        assert.equal('nn.PReLU(4)', tostring(nn.PReLU(4)))
    end)
end)
