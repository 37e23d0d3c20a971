-- checks.lua: what constructors and inputs of several families of modules are checked for.
local base = require 'dlrun.ffi'
local raw = require 'torch.raw'

local M = {}

-- A finite number from 0 up; nil: otherwise.
function M.number(value, otherwise, what)
    if value == nil then return otherwise end
    if type(value) ~= 'number' or not (value >= 0 and value < math.huge) then
        base.fail('%s must be 0 or more, not %s', what, tostring(value))
    end
    return value
end

function M.tensor(x)
    if not raw.isTensor(x) then base.fail('expected a tensor, got %s', torch.type(x)) end
    return x
end

return M
