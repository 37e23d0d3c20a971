-- state.lua: parameters and buffers by name, and weights in safetensors files. Names in files are PyTorch's: dots, numbers
-- from 0.
local base = require 'dlrun.ffi'
local ops = require 'torch.ops'
local raw = require 'torch.raw'
local shapeOf = require 'torch.resize'.fullShape
local children = require 'nn.children'
local nearest = require 'torch.options'.nearest

local Module = nn.Module

-- "blocks[2]" -> "blocks.1"; 3 -> "2"
local function fileKey(key)
    if type(key) == 'number' then return tostring(key - 1) end
    return (key:gsub('%[(%d+)%]', function(k) return '.' .. (tonumber(k) - 1) end))
end

-- Calls visit(name, tensor, isParameter) for everything a module and those below it hold; a tensor met twice is visited
-- once.
local function walk(module, prefix, visit, seen)
    module:_requireComplete()
    local parameter = {}
    local function see(name, isParameter)
        local x = rawget(module, name)
        if not seen[x] then
            seen[x] = true
            visit(prefix .. name, x, isParameter)
        end
    end
    for _, name in ipairs(children.parameterNames(module)) do
        parameter[name] = true
        see(name, true)
    end
    for _, name in ipairs(module.buffers or {}) do
        if not parameter[name] and raw.isTensor(rawget(module, name)) then see(name, false) end
    end
    for key, child in children.each(module) do walk(child, prefix .. fileKey(key) .. '.', visit, seen) end
end

-- Tensors as table keys are compared by identity: the same Lua object.
local function collect(module, wanted)
    local list = {}
    walk(module, '', function(name, x, isParameter)
        if wanted(isParameter) then list[#list + 1] = {name, x} end
    end, {})
    return list
end

local function iterate(list)
    local k = 0
    return function()
        k = k + 1
        if list[k] then return list[k][1], list[k][2] end
    end
end

--- for name, p in model:namedParameters() do … end: in order of assignment; a shared parameter comes once.
function Module:namedParameters()
    return iterate(collect(self, function(isParameter) return isParameter end))
end

--- for name, x in model:namedBuffers() do … end: what is saved with the weights but not trained.
function Module:namedBuffers()
    return iterate(collect(self, function(isParameter) return not isParameter end))
end

--- model:registerBuffer(name, tensor): the tensor is saved with the weights, not trained.
function Module:registerBuffer(name, x)
    local list = {unpack(self.buffers or {})}
    list[#list + 1] = name
    rawset(self, 'buffers', list)
    self[name] = x
end

--- state = model:stateDict(): name -> tensor (the tensors themselves, not copies).
function Module:stateDict()
    local state = {}
    for _, entry in ipairs(collect(self, function() return true end)) do state[entry[1]] = entry[2] end
    return state
end

-- The name most like this one among a table's keys, as text for a message.
local function nearestOf(name, state)
    local names = {}
    for key in pairs(state) do names[#names + 1] = key end
    table.sort(names)
    local near = nearest(name, names)
    return near and (' (nearest: %s)'):format(near) or ''
end

local function sizes(x) return '(' .. table.concat(shapeOf(x), ', ') .. ')' end

-- PyTorch's batch normalisation saves how many batches it has seen; the modules here do without.
local function countsBatches(name, have)
    local prefix = name:match '^(.*)num_batches_tracked$'
    return prefix and have[prefix .. 'running_mean'] ~= nil
end

local function problems(wanted, state)
    local lines, have = {}, {}
    for _, entry in ipairs(wanted) do have[entry[1]] = entry[2] end
    for _, entry in ipairs(wanted) do
        local name, x = entry[1], entry[2]
        local given = state[name]
        if not given then
            lines[#lines + 1] = ('missing %s%s'):format(name, nearestOf(name, state))
        elseif sizes(given) ~= sizes(x) then
            lines[#lines + 1] = ('reshaped %s: the model has %s, the file %s'):format(name, sizes(x), sizes(given))
        end
    end
    local extra = {}
    for name in pairs(state) do
        if not have[name] and not countsBatches(name, have) then extra[#extra + 1] = name end
    end
    table.sort(extra)
    for _, name in ipairs(extra) do
        lines[#lines + 1] = ('unexpected %s%s'):format(name, nearestOf(name, have))
    end
    return lines
end

--- model:loadStateDict(state [, {strict = true}]): copies values in. Missing, unexpected and reshaped names are an error
-- that lists them; with strict = false only reshaped ones are, and what fits is loaded. Nothing is changed when it fails.
function Module:loadStateDict(state, options)
    local strict = not options or options.strict ~= false
    local wanted = collect(self, function() return true end)
    local lines = problems(wanted, state)
    local fatal = {}
    for _, line in ipairs(lines) do
        if strict or line:match '^reshaped' then fatal[#fatal + 1] = line end
    end
    if #fatal > 0 then base.fail('the weights do not fit the model:\n  %s', table.concat(fatal, '\n  ')) end
    torch.noGrad(function()
        for _, entry in ipairs(wanted) do
            if state[entry[1]] then ops.into.copy(entry[2], state[entry[1]]) end
        end
    end)
    return self, lines
end

--- model:save(path): the weights, as a safetensors file with PyTorch's names; written whole or not at all.
function Module:save(path)
    require 'dlrun.safetensors'.save(path, collect(self, function() return true end))
    return self
end

--- model:load(path [, {strict = true}]): weights saved by model:save or by PyTorch's safetensors.
function Module:load(path, options)
    local tensors = require 'dlrun.safetensors'.load(path)
    return self:loadStateDict(tensors, options)
end
