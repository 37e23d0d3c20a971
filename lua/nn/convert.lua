-- convert.lua: changes every tensor that an object holds, keeping the tensor objects: those of other types are replaced in
-- place.
local base = require 'dlrun.ffi'
local raw = require 'torch.raw'
local types = require 'torch.types'
local ops = require 'torch.ops'

local C = base.C

-- The tensor object x with the elements of y.
local function become(x, y)
    if x == y then return x end
    C.dl_tensor_clear(x._t)
    base.check(C.dl_tensor_detach(x._t, y._t))
    return x
end

-- What a forward left holds tensors of the old type.
local tapes = {_segment = true, _uses = true, _call = true}

local function convert(object, change, seen)
    if raw.isTensor(object) then
        if seen[object] then return object end
        seen[object] = true
        local reserved = object._t.reserved
        local result = become(object, change(object))
        result._t.reserved = reserved
        return result
    end
    if type(object) ~= 'table' or seen[object] then return object end
    seen[object] = true
    for key, value in pairs(object) do
        if tapes[key] then rawset(object, key, nil) else convert(value, change, seen) end
    end
    return object
end

-- to: a Torch7 type name (floating tensors become it; integer ones stay) or a function from tensor to tensor.
return function(object, to)
    local change = to
    if type(to) == 'string' then
        local target = types.byName[to]
        if not target then base.fail("there is no tensor type '%s'", to) end
        change = function(x)
            if not types.byDtype[x._t.type].floating or raw.isEmpty(x) or x._t.type == target.dtype then return x end
            return ops.copy(raw.detach(x), target.dtype)
        end
    end
    return convert(object, change, {})
end
