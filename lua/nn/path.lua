-- path.lua: which module is running, for error messages: "model.blocks[2].fc1: Linear(784 -> 256): …".
--
-- Every call of a module notes itself at a depth and restores the depth when it returns. An error skips the restoring: what it
-- left is told from what runs by a look at Lua's own stack, which only errors and calls of parents need.
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

local folder = '@' .. base.root .. 'nn/'

-- Is a function of this folder active, from the caller's caller's caller upwards?
local function isActive()
    for level = 4, math.huge do
        local info = debug.getinfo(level, 'S')
        if not info then return false end
        if info.source:sub(1, #folder) == folder then return true end
    end
end

-- Is this the innermost module that runs, so that the call of the asking function comes from its own code?
function M.isRunning(module) return stack[depth] == module and isActive() end

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

-- Called when an error is raised: describes the innermost module and forgets the stack.
function base.where()
    if depth == 0 or not isActive() then return nil end
    local ok, text = pcall(function() return ('%s: %s'):format(expression(), stack[depth]:describe()) end)
    depth = 0
    return ok and text or nil
end

return M
