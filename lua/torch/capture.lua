-- capture.lua: torch.capture: one run of a function recorded as a list of calls and replayed without Lua.
local ffi = require 'ffi'
local base = require 'dlrun.ffi'
local raw = require 'torch.raw'

local C = base.C

local M = {}
local F = {}
M.functions = F

local function free(capture) C.dl_capture_free(capture) end

-- Runs f(…) once and returns a function that repeats its calls on the same tensors, and f's results:
--     local step, loss = torch.capture(function() … return loss end)
--     for k = 2, n do x:copy(batch[k]); step() end
-- Lua code in f, and reading numbers out of tensors, is not repeated.
function F.capture(f, ...)
    base.check(C.dl_capture_begin())
    raw.capturing = true
    local results = {pcall(f, ...)}
    raw.capturing = false
    local out = ffi.new 'dl_capture *[1]'
    local status = C.dl_capture_end(out)
    if not results[1] then
        if status == 0 then C.dl_capture_free(out[0]) end
        error(results[2], 0)
    end
    base.check(status)
    local capture = ffi.gc(out[0], free)
    local function replay()
        base.check(C.dl_capture_replay(capture))
        raw.pressed()
    end
    return replay, unpack(results, 2, table.maxn(results))
end

return M
