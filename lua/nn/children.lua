-- children.lua: what a module holds: child modules, parameters, arrays of modules, in order of assignment.
local raw = require 'torch.raw'

local M = {}
local isTensor = raw.isTensor

function M.isModule(x)
    local class = type(x) == 'table' and getmetatable(x)
    return class and type(class) == 'table' and class.__isModule == true
end

local function isModuleArray(x)
    return type(x) == 'table' and getmetatable(x) == nil and M.isModule(x[1])
end

-- nn.Module's __newindex__: notes the order in which fields first appear.
function M.note(module, key, value)
    if type(key) == 'string' and value ~= nil and (isTensor(value) or M.isModule(value) or type(value) == 'table') then
        local order = rawget(module, '_order')
        if not order then
            order = {}
            rawset(module, '_order', order)
        end
        if not order[key] then
            order[#order + 1] = key
            order[key] = true
        end
    end
    return false
end

-- Iterates name, child over the modules held: fields in order of assignment, arrays as "blocks[2]", a container's own by
-- number.
function M.each(module)
    local list = {}
    local own = rawget(module, 'modules')
    if type(own) == 'table' then
        local names = rawget(module, '_names') or {}
        for k = 1, #own do list[#list + 1] = {names[k] or k, own[k]} end
    end
    for _, key in ipairs(rawget(module, '_order') or {}) do
        local value = rawget(module, key)
        if key ~= 'modules' and key ~= 'output' and key ~= 'gradInput' then
            if M.isModule(value) then
                list[#list + 1] = {key, value}
            elseif isModuleArray(value) then
                for k = 1, #value do list[#list + 1] = {('%s[%d]'):format(key, k), value[k]} end
            end
        end
    end
    local k = 0
    return function()
        k = k + 1
        if list[k] then return list[k][1], list[k][2] end
    end
end

-- "weight" -> "gradWeight"
function M.gradName(name) return 'grad' .. name:sub(1, 1):upper() .. name:sub(2) end

-- The names of the module's own parameters: weight and bias first, as Torch7 returns them, then what was marked.
function M.parameterNames(module)
    local names = {}
    for _, name in ipairs {'weight', 'bias'} do
        if isTensor(rawget(module, name)) then names[#names + 1] = name end
    end
    for _, key in ipairs(rawget(module, '_order') or {}) do
        local x = rawget(module, key)
        if key ~= 'weight' and key ~= 'bias' and isTensor(x) and raw.isParameter(x) then names[#names + 1] = key end
    end
    return names
end

return M
