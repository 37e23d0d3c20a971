-- kinds.lua: which of three ways a module's class is written in:
--   compute   built in: the computation in differentiable ops
--   forward   a user's, in PyTorch's way
--   classic   a user's, in Torch7's way: updateOutput, updateGradInput, accGradParameters
local base = require 'dlrun.ffi'

local M = {}
local known = setmetatable({}, {__mode = 'k'}) -- class -> its kind

local function torch7Method(class)
    for _, name in ipairs {'updateOutput', 'updateGradInput', 'accGradParameters'} do
        if rawget(class, name) then return name end
    end
end

local function find(class)
    local at = class
    while at and at ~= nn.Module do
        local forward, torch7 = rawget(at, 'forward'), torch7Method(at)
        if rawget(at, 'compute') then return 'compute' end
        if forward and torch7 then
            base.fail("%s defines both forward (PyTorch's way) and %s (Torch7's way): keep one", class.__typename, torch7)
        end
        if forward then return 'forward' end
        if torch7 then return 'classic' end
        at = (getmetatable(at) or {}).__index
    end
    base.fail('%s has no forward: define %s:forward(x)', class.__typename, class.__typename)
end

-- The kind of a module.
function M.of(module)
    local class = getmetatable(module)
    local kind = known[class]
    if not kind then
        kind = find(class)
        known[class] = kind
    end
    return kind
end

return M
