-- dlrun.progress: the pass it makes, and the bar on a terminal.
local data = require 'dlrun.data'
local host = require 'dlrun.host'
local progress = require 'dlrun.progress'

local loader = data.loader(data.tensors(torch.range(1, 10):view(10, 1), torch.range(1, 10):long()), {batchSize = 3})

-- The sums of y in a pass, and what was written.
local function run(isTerminal, wait)
    local text, sums = {}, {}
    local isatty, stderr = host.isatty, io.stderr
    host.isatty = function() return isTerminal end
    io.stderr = {write = function(_, part) text[#text + 1] = part end, flush = function() end} -- luacheck: ignore 122
    local ok, message = pcall(function()
        for _, y in progress(loader, 'epoch 7') do
            sums[#sums + 1] = y:sum()
            local timer = torch.Timer()
            while timer:time().real < wait do end
        end
    end)
    host.isatty, io.stderr = isatty, stderr -- luacheck: ignore 122
    assert(ok, message)
    return sums, table.concat(text)
end

describe('progress', function()
    it('hands on every batch and writes nothing where there is no terminal', function()
        local sums, text = run(false, 0)
        assert.same({6, 15, 24, 10}, sums)
        assert.equal('', text)
    end)

    it('draws how far the pass is, and wipes it', function()
        local sums, text = run(true, 0.11)
        assert.same({6, 15, 24, 10}, sums)
        assert.matches('\repoch 7 %[====================                    %] 2/4', text)
        assert.equal('\r\27[K', text:sub(-4))
    end)
end)
