-- path.lua: which module is running, for error messages: "model.blocks[2].fc1: Linear(784 -> 256): …".
--
-- Every call of a module notes itself at a depth and restores the depth when it returns. An error skips the restoring,
-- which does no harm: the next call at a lower depth starts from there.
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

-- The innermost module that is running, or nil.
function M.running() return stack[depth] end

-- The name under which `holder` has the module, as an index of an expression; nil if it has not.
local function step(holder, module)
    for key, child in children.each(holder) do
        if child == module then
            if type(key) == 'number' then return ('[%d]'):format(key) end
            return '.' .. key
        end
    end
end

-- The expression that leads from the outermost module to the innermost. A module that is not held by the one below it on
-- the stack is where the expression starts: what lies below was left there by an error.
local function expression()
    local text = ''
    for d = depth, 2, -1 do
        local part = step(stack[d - 1], stack[d])
        if not part then break end
        text = part .. text
    end
    return 'model' .. text
end

-- Forgets what an error has left.
function M.reset() depth = 0 end

-- Called when an error is raised: describes the innermost module and forgets the stack.
function base.where()
    if depth == 0 then return nil end
    local ok, text = pcall(function() return ('%s: %s'):format(expression(), stack[depth]:describe()) end)
    depth = 0
    return ok and text or nil
end

return M
