-- slips.lua: names that modules and criterions do not have, but that people write: a sentence instead of nil (dlrun/hints.lua).
local base = require 'dlrun.ffi'
local hints = require 'dlrun.hints'

-- The last place in which a missing field is looked up.
local function missing(_, key)
    local hint = hints.module[key]
    if hint then base.fail('%s', hint) end
end
getmetatable(nn.Module).__index = missing
getmetatable(nn.Criterion).__index = missing

-- model:train() calls a boolean, the field train.
local booleans = debug.getmetatable(true) or {}
function booleans.__call(_, self)
    if torch.isTypeOf(self, nn.Module) then base.fail('%s', hints.module.train) end
    error('attempt to call a boolean value', 2)
end
debug.setmetatable(true, booleans)
