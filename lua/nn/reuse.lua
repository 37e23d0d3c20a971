-- reuse.lua: one module in several places of a container. A module keeps the segment and the output of its last forward
-- only; for one that stands in several places the container keeps those of each, and puts them back before it goes backward.
local children = require 'nn.children'
local raw = require 'torch.raw'
local tape = require 'nn.tape'

local M = {}

local seen = {} -- scratch

-- Does a module stand in this array twice?
local function hasTwice(modules)
    local twice = false
    for k = 1, #modules do
        twice = twice or seen[modules[k]] ~= nil
        seen[modules[k]] = k
    end
    for k = 1, #modules do seen[modules[k]] = nil end
    return twice
end

-- A new value with the tensors of this one, which the next forward will not change.
local function kept(value)
    local list = tape.flatten(value)
    for k = 1, #list do list[k] = raw.detach(list[k]) end
    return tape.rebuild(value, list)
end

local function snapshot(module, list)
    list[#list + 1] = {module = module, segment = rawget(module, '_segment'), output = kept(rawget(module, 'output'))}
    for _, child in children.each(module) do snapshot(child, list) end
    return list
end

-- To be called before the children of a container go forward.
function M.begin(container) rawset(container, '_uses', hasTwice(container.modules) and {} or nil) end

-- Child k has gone forward.
function M.note(container, k)
    local uses = rawget(container, '_uses')
    if uses then uses[k] = snapshot(container.modules[k], {}) end
end

-- The output of child k in this forward.
function M.output(container, k)
    local uses = rawget(container, '_uses')
    return uses and uses[k] and uses[k][1].output or container.modules[k].output
end

-- The gradient that a child gave, which its next backward will not change.
function M.gradient(container, gradInput)
    return rawget(container, '_uses') and kept(gradInput) or gradInput
end

-- Child k is about to go backward.
function M.restore(container, k)
    local uses = rawget(container, '_uses')
    for _, use in ipairs(uses and uses[k] or {}) do
        rawset(use.module, '_segment', use.segment)
        rawset(use.module, 'output', use.output)
    end
end

return M
