local support = require 'tests.lua.support'

describe('scripts/xor.lua', function()
    it('shows the true curve of the recipe, and what reaches 0.01', function()
        local status, out, err = support.dlrun {'scripts/xor.lua', '--epochs', '1500', '--starts', '1'}
        assert.equal('', err)
        assert.equal(0, status)
        local last = {}
        for line in out:gmatch '[^\n]+' do
            local loss, answers = line:match ' loss .* (%d%.%d+)   0%^0, 0%^1, 1%^0, 1%^1 = (.*)$'
            if loss then last[#last + 1] = {tonumber(loss), answers} end
        end
        assert.equal(4, #last)
        assert.is_true(last[1][1] > 0.1)
        for k = 2, 4 do
            assert.is_true(last[k][1] < 0.01, k)
            local a, b, c, d = last[k][2]:match '(%S+) (%S+) (%S+) (%S+)'
            assert.is_true(tonumber(a) < .1 and tonumber(b) > .9 and tonumber(c) > .9 and tonumber(d) < .1)
        end
    end)
end)
