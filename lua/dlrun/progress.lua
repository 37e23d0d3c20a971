-- progress.lua: a pass over a loader with a bar on the terminal.
--
--     for x, y in progress(loader, 'epoch 1') do … end
--
-- The bar goes to standard error and is wiped at the end of the pass; where that is no terminal, nothing is written.
local host = require 'dlrun.host'

local WIDTH, SECONDS = 40, 0.1 -- of the bar; between two drawings

local function draw(label, done, total)
    local filled = math.floor(WIDTH * done / total)
    io.stderr:write(('\r%s [%s%s] %d/%d'):format(label, ('='):rep(filled), (' '):rep(WIDTH - filled), done, total))
    io.stderr:flush()
end

return function(loader, label)
    local pass = loader()
    if not host.isatty(2) then return pass end
    local done, total, timer, drawn = 0, #loader, torch.Timer(), 0
    return function()
        local x, y = pass()
        local now = timer:time().real
        if x == nil then
            io.stderr:write('\r\27[K')
        elseif now - drawn >= SECONDS then
            draw(label, done, total)
            drawn = now
        end
        done = done + 1
        return x, y
    end
end
