-- torch.capture: replay repeats a step on the same tensors, bit for bit.
describe('torch.capture', function()
    it('replays calls without Lua', function()
        local x, y = torch.zeros(3), torch.ones(3)
        local runs = 0
        local step = torch.capture(function()
            runs = runs + 1
            x:add(2, y)
            x:mul(2)
        end)
        assert.same({4, 4, 4}, x:totable())
        step()
        assert.same({12, 12, 12}, x:totable())
        y:zero()
        step()
        assert.same({24, 24, 24}, x:totable())
        assert.equal(1, runs)
    end)

    it('returns the results, which a replay computes anew', function()
        local x = torch.Tensor {1, 2}
        local step, y = torch.capture(function() return torch.exp(x) end)
        x:zero()
        step()
        assert.same({1, 1}, y:totable())
    end)

    it('passes errors on and ends recording', function()
        assert.error_matches(function() torch.capture(function() error 'broken' end) end, 'broken')
        local step = torch.capture(function() return torch.ones(2):add(1) end)
        step()
    end)
end)
