-- timer.lua: torch.Timer, torch.tic and torch.toc: real, user and system seconds.
local ffi = require 'ffi'
local class = require 'torch.class'

ffi.cdef [[
struct dl_timespec { long seconds, nanoseconds; };
struct dl_rusage { long user_s, user_us, system_s, system_us, other[14]; };
int clock_gettime(int clock, struct dl_timespec *out);
int getrusage(int who, struct dl_rusage *out);
]]

local CLOCK_MONOTONIC, RUSAGE_SELF = 1, 0
local clock, usage = ffi.new 'struct dl_timespec', ffi.new 'struct dl_rusage'

local function real()
    ffi.C.clock_gettime(CLOCK_MONOTONIC, clock)
    return tonumber(clock.seconds) + tonumber(clock.nanoseconds) * 1e-9
end

local function now()
    ffi.C.getrusage(RUSAGE_SELF, usage)
    return {
        real = real(),
        user = tonumber(usage.user_s) + tonumber(usage.user_us) * 1e-6,
        sys = tonumber(usage.system_s) + tonumber(usage.system_us) * 1e-6,
    }
end

local M = {functions = {}, real = real}
local Timer = class.class('torch.Timer', nil, M.functions)

-- Starts at once. `gathered` is what earlier runs add up to, `started` nil while stopped.
function Timer:__init() self:reset() end

function Timer:reset()
    self.gathered = {real = 0, user = 0, sys = 0}
    self.started = now()
    return self
end

function Timer:time()
    local total = {}
    local t = self.started and now()
    for key, seconds in pairs(self.gathered) do total[key] = seconds + (t and t[key] - self.started[key] or 0) end
    return total
end

function Timer:stop()
    self.gathered = self:time()
    self.started = nil
    return self
end

function Timer:resume()
    self.started = self.started or now()
    return self
end

local tic = real()

-- Starts the stopwatch; returns a handle for toc.
function M.functions.tic()
    tic = real()
    return tic
end

-- Seconds since tic (the last, or the one that returned the handle).
function M.functions.toc(handle) return real() - (handle or tic) end

return M
