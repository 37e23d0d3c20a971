-- system.lua: threads, devices and memory, the generator object, and odds and ends of Torch7's torch table.
local ffi = require 'ffi'
local base = require 'dlrun.ffi'
local class = require 'torch.class'
local raw = require 'torch.raw'
local storage = require 'torch.storage'

local C = base.C
local fail = base.fail
local luaType = type

local M = {}
local F = {}
M.functions = F

-- ---- threads -----------------------------------------------------------------------------------------------------------

function F.getnumthreads() return C.dl_threads(0) end

function F.setnumthreads(n)
    if luaType(n) ~= 'number' or n < 1 then fail('torch.setnumthreads: at least 1 is expected, not %s', tostring(n)) end
    C.dl_threads(n)
end

function F.getnumcores()
    local n = 0
    local file = io.open '/proc/cpuinfo'
    if not file then return 1 end
    for line in file:lines() do
        if line:find '^processor' then n = n + 1 end
    end
    file:close()
    return math.max(n, 1)
end

-- ---- devices and memory ------------------------------------------------------------------------------------------------

-- Sets the device new tensors of the default type are made on; returns the one in force.
function F.device(name)
    if name then
        local out = ffi.new 'dl_device *[1]'
        base.check(C.dl_device_open(name, out))
        base.check(C.dl_set_default_device(out[0]))
    end
    return ffi.string(C.dl_device_name(C.dl_default_device()))
end

-- Waits for all work on the device of x, or on the default device.
function F.synchronize(x)
    base.check(C.dl_synchronize(x and raw.device(x) or C.dl_default_device()))
end

-- What the caching allocators hold, in bytes and blocks: liveBytes, cachedBytes, peakBytes, allocations …
function F.memory()
    local stats = ffi.new 'dl_memory_stats'
    base.check(C.dl_memory(nil, stats))
    return {
        liveBytes = tonumber(stats.live_bytes), liveBlocks = tonumber(stats.live_blocks),
        cachedBytes = tonumber(stats.cached_bytes), cachedBlocks = tonumber(stats.cached_blocks),
        peakBytes = tonumber(stats.peak_bytes),
        allocations = tonumber(stats.allocations), backendAllocations = tonumber(stats.backend_allocations),
    }
end

-- ---- odds and ends -----------------------------------------------------------------------------------------------------

-- There is one generator for each thread; the object exists so that Torch7's calls with one in front work.
local Generator = class.class('torch.Generator', nil, F)
function Generator:__tostring__() return 'torch.Generator' end

-- A number that differs for different objects.
function F.pointer(x)
    if raw.isTensor(x) then return tonumber(ffi.cast('uintptr_t', ffi.cast('void *', x._t))) end
    if storage.isStorage(x) then return tonumber(ffi.cast('uintptr_t', ffi.cast('void *', storage.elements(x)))) end
    return tonumber((tostring(x):match '0x(%x+)'), 16)
end

function F.getenv(f) return getfenv(f) end
function F.setenv(f, env) return setfenv(f, env) end

-- The folder of the calling script (or of a file named from it).
function F.packageLuaPath(name)
    for template in package.path:gmatch '[^;]+' do
        local file = template:gsub('%?', ((name or ''):gsub('%.', '/')))
        local found = io.open(file)
        if found then
            found:close()
            return file:match '(.*)/' or '.'
        end
    end
end

function F.include(name)
    local folder = debug.getinfo(2, 'S').source:match '^@(.*)/[^/]*$' or '.'
    return dofile(folder .. '/' .. name)
end

-- Is the output a terminal's?
ffi.cdef 'int isatty(int); int fileno(void *);'
function F.isatty(file) return ffi.C.isatty(ffi.C.fileno(file)) ~= 0 end

-- Torch7 told Lua's collector of memory it does not see; here the allocator's bell always does (raw.lua).
function F.setheaptracking() end

return M
