-- Long loops without collectgarbage hold their memory: the resident set, and what the library counts as live.
require 'nn'
require 'optim'
local ffi = require 'ffi'
local base = require 'dlrun.ffi'

local PAGE, LIMIT = 4096, 16 * 2 ^ 20
local sanitized = os.getenv 'DLRUN_BUILD' ~= nil and os.getenv('DLRUN_BUILD'):find '[at]san' ~= nil -- quarantines freed memory

local function resident()
    local file = assert(io.open '/proc/self/statm')
    local pages = file:read '*a':match '^%d+ (%d+)'
    file:close()
    return tonumber(pages) * PAGE
end

local function live()
    local stats = ffi.new 'dl_memory_stats'
    base.check(base.C.dl_memory(nil, stats))
    return tonumber(stats.live_bytes)
end

-- Growth between step 2,000 and step 20,000, in bytes.
local function growth(step)
    for _ = 1, 2000 do step() end
    local pages, bytes = resident(), live()
    for _ = 2001, 20000 do step() end
    return resident() - pages, live() - bytes
end

local function network() return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 4)) end

local function check(step)
    if sanitized then return pending 'sanitizers keep freed memory' end
    local pages, bytes = growth(step)
    assert(pages < LIMIT, ('the resident set grew by %d bytes'):format(pages))
    assert(bytes < LIMIT, ('live tensors grew by %d bytes'):format(bytes))
end

describe('20,000 steps hold their memory', function()
    local x, y = torch.randn(16, 8), torch.LongTensor(16):random(1, 4)

    it('define-by-run', function()
        local model, criterion = network(), nn.CrossEntropyCriterion()
        local opt = optim.Adam(model:parameters(), {lr = 1e-3})
        check(function()
            opt:zeroGrad()
            local loss = criterion(model(x), y)
            loss:backward()
            opt:step()
        end)
    end)

    it('in Torch7\'s way', function()
        local model, criterion = network(), nn.CrossEntropyCriterion()
        local params, grads = model:getParameters()
        local config = {learningRate = 1e-3}
        local function feval()
            grads:zero()
            local loss = criterion:forward(model:forward(x), y)
            model:backward(x, criterion:backward(model.output, y))
            return loss, grads
        end
        check(function() optim.adam(feval, params, config) end)
    end)

    it('through a module in Torch7\'s way on the tape', function()
        local Half = torch.class('HalfOfMemorySpec', 'nn.Module', {})
        function Half:updateOutput(input) return self.output:resizeAs(input):copy(input):mul(0.5) end
        function Half:updateGradInput(input, g) return self.gradInput:resizeAs(input):copy(g):mul(0.5) end
        local model, criterion = nn.Sequential(nn.Linear(8, 4), Half()), nn.CrossEntropyCriterion()
        check(function() criterion(model(x), y):backward() end)
    end)
end)
