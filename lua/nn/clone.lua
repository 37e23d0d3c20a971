-- clone.lua: deep copies of modules and criterions.
local raw = require 'torch.raw'
local ops = require 'torch.ops'

-- The tape and its decisions belong to the original.
local own = {_segment = true, _uses = true, _call = true, _bound = true}

-- Tensors that share memory in the original share it in the copy: by object here, by storage through share().
local function copy(value, seen)
    if seen[value] then return seen[value] end
    if raw.isTensor(value) then
        local result = raw.isEmpty(value) and raw.new() or ops.copy(raw.detach(value))
        result._t.reserved = value._t.reserved
        seen[value] = result
        return result
    end
    if type(value) ~= 'table' then return value end
    local result = setmetatable({}, getmetatable(value))
    seen[value] = result
    for key, item in pairs(value) do
        if not own[key] then rawset(result, key, copy(item, seen)) end
    end
    return result
end

--- copy = module:clone([field, …]): a deep copy; the named fields ('weight', 'bias', 'gradWeight', …) see the original's
-- memory.
function nn.Module:clone(...)
    local result
    torch.noGrad(function() result = copy(self, {}) end)
    if select('#', ...) > 0 then result:share(self, ...) end
    return result
end

function nn.Module:new() return self:clone() end

return function(object)
    return torch.noGrad(copy, object, {})
end
