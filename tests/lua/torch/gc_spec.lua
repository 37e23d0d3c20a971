-- Memory: loops that make garbage stay bounded, without collectgarbage() in the script.
local function residentBytes()
    local file = assert(io.open '/proc/self/statm')
    local pages = tonumber(file:read '*a':match '%d+ (%d+)')
    file:close()
    return pages * 4096
end

-- Under a sanitizer, where a step takes 50 times as long, fewer show as much: the bell rings every hundred or so.
local steps = os.getenv 'DLRUN_SANITIZE' and 1000 or 20000

describe('20,000 steps', function()
    it('of define-by-run keep memory within the bell\'s bound', function()
        local w = torch.tensor({0.5}, {requiresGrad = true})
        local x = torch.ones(100 * 1024)
        local function step()
            local loss = torch.relu(x * 1):mul(1):mean() * w:sum()
            loss:backward()
        end
        for _ = 1, 200 do step() end
        collectgarbage()
        local before = residentBytes()
        for _ = 1, steps do step() end
        local grown = residentBytes() - before
        assert.is_true(grown < 200e6, ('resident memory grew by %.0f MB'):format(grown / 1e6))
        assert.is_true(torch.memory().peakBytes < 300e6)
        assert.near(steps + 200, w.grad[1], 1)
    end)

    it('of custom functions release what they keep', function()
        local f = torch.customFunction {
            forward = function(ctx, x)
                ctx:save(x)
                return x * 2
            end,
            backward = function(_, g) return g * 2 end,
        }
        local x = torch.tensor({1, 2}, {requiresGrad = true})
        local function run(n)
            for _ = 1, n do f(x) end
            collectgarbage()
            for _ = 1, 64 do f(x) end -- recording drops what was collected
            collectgarbage()
        end
        run(5000)
        local before = collectgarbage 'count'
        run(steps)
        assert.is_true(collectgarbage 'count' - before < 1000)
    end)
end)

describe('finalised tensors', function()
    it('give their memory back', function()
        collectgarbage()
        collectgarbage()
        local before = torch.memory().liveBytes
        do
            local keep = {}
            for k = 1, 10 do keep[k] = torch.Tensor(1000, 100) end
            assert.equal(10, #keep)
            assert.is_true(torch.memory().liveBytes >= before + 10 * 400000)
        end
        collectgarbage()
        collectgarbage()
        assert.is_true(torch.memory().liveBytes < before + 400000)
    end)

    it('a view keeps its storage alive', function()
        local view = torch.ones(1000):narrow(1, 5, 3)
        collectgarbage()
        collectgarbage()
        assert.same({1, 1, 1}, view:totable())
    end)
end)
