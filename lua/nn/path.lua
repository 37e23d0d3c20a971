-- path.lua: which module is running, for error messages: "model.blocks[2].fc1: Linear(784 -> 256): …".
--
-- Every call of a module notes itself at a depth and restores the depth when it returns. An error skips the restoring, which
-- does no harm: the next call at a lower depth starts from there.
local base = require 'dlrun.ffi'
local children = require 'nn.children'

local M = {}
local stack, depth = {}, 0

function M.enter(module)
    depth = depth + 1
    stack[depth] = module
    return depth
end

-- Restores the depth and hands its results on.
function M.leave(d, ...)
    depth = d - 1
    return ...
end

-- The expression that leads from the outermost running module to the innermost.
local function expression()
    local text = 'model'
    for d = 2, depth do
        local step
        for key, child in children.each(stack[d - 1]) do
            if child == stack[d] then
                step = key
                break
            end
        end
        if step then text = text .. (type(step) == 'number' and ('[%d]'):format(step) or (step:match '^%[' and step or '.' .. step)) end
    end
    return text
end

-- Called when an error is raised: describes the innermost module and forgets the stack.
function base.where()
    if depth == 0 then return nil end
    local ok, text = pcall(function() return ('%s: %s'):format(expression(), stack[depth]:describe()) end)
    depth = 0
    return ok and text or nil
end

return M
