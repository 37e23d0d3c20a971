-- autocast.lua: torch.autocast, products in a half type (core/autocast.def lists the ops).
local base = require 'dlrun.ffi'
local class = require 'torch.class'
local types = require 'torch.types'

local C = base.C
local M = {}
local F = {}
M.functions = F

local function finish(old, ok, ...)
    base.check(C.dl_set_autocast(old))
    if not ok then error((...), 0) end
    return ...
end

--- results = torch.autocast([type = 'bfloat16',] fn, …): runs fn(…) with matrix products and convolutions computed in
-- bfloat16 (or 'float16', or false: as they come), and losses, sums and normalisation in float32. Parameters stay float32,
-- and so do their gradients. Run the forward pass in it; backward follows by itself.
function F.autocast(first, ...)
    if type(first) == 'function' or (type(first) == 'table' and getmetatable(first)) then
        return F.autocast('bfloat16', first, ...)
    end
    local wanted = first and types.byName[first]
    if first and not wanted then base.fail("torch.autocast: 'bfloat16' or 'float16' is expected, not %s", tostring(first)) end
    local f = ...
    if type(f) ~= 'function' and type(f) ~= 'table' then
        base.fail('torch.autocast(type, f, …) runs f now; a %s was given', class.type(f))
    end
    local old = C.dl_autocast()
    base.check(C.dl_set_autocast(wanted and wanted.dtype or -1))
    return finish(old, pcall(...))
end

--- torch.isAutocastEnabled()
function F.isAutocastEnabled() return C.dl_autocast() >= 0 end

return M
