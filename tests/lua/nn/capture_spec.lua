-- A whole training step, captured: replays give the same bits as the steps themselves.
require 'nn'
require 'optim'

local function make()
    torch.manualSeed(3)
    local model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Dropout(0.3), nn.Linear(8, 3))
    local criterion, optimizer = nn.CrossEntropyCriterion(), optim.Adam(model:parameters(), {lr = 0.01})
    local x, y = torch.randn(10, 6), torch.LongTensor(10):random(1, 3)
    local function step()
        local loss = criterion(model(x), y)
        optimizer:zeroGrad()
        loss:backward()
        optimizer:step()
        return loss
    end
    step() -- buffers that are made at first use are there before the capture
    return model, step
end

describe('a captured training step', function()
    it('replays bit for bit, dropout included', function()
        local plain, step = make()
        local losses = {}
        for k = 1, 5 do losses[k] = step():item() end
        local captured, again = make()
        local replay, loss = torch.capture(again) -- the first of the five
        assert.are.equal(losses[1], loss:item())
        for k = 2, 5 do
            replay()
            assert.are.equal(losses[k], loss:item())
        end
        local expected, got = plain:parameters(), captured:parameters()
        for k = 1, #expected do assert.are.equal(0, (expected[k]:detach() - got[k]:detach()):abs():max()) end
    end)

    it('that reads a number is refused', function()
        assert.has_error(function() torch.capture(function() return torch.ones(3):sum() end) end)
    end)
end)
