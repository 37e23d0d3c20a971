-- number.lua: Lua numbers answer :item(), because a full reduction is a number outside the tape and a 0-dim tensor on it.
local base = require 'dlrun.ffi'
local hints = require 'dlrun.hints'

local methods = {item = function(x) return x end}

debug.setmetatable(0, {__index = function(_, key)
    local method = methods[key]
    if method then return method end
    if hints.number[key] then base.fail('%s', hints.number[key]) end
    base.fail("attempt to index a number value (field '%s')", tostring(key))
end})
