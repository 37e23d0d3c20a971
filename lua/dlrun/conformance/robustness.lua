-- robustness.lua: what a backend must survive beside right results: failing allocations, being opened again and again, two
-- threads at once.
local ffi = require 'ffi'
local base = require 'dlrun.ffi'
local call = require 'dlrun.conformance.call'
local compare = require 'dlrun.conformance.compare'
local tensors = require 'dlrun.conformance.tensors'
local C = base.C

local M = {}

local MOST_TRIES = 400
local OPENINGS = 100

local function live(device)
    local stats = ffi.new 'dl_memory_stats'
    base.check(C.dl_memory(device, stats))
    return tonumber(stats.live_bytes)
end

local function plain(x) return {shape = tensors.shape(x), values = tensors.read(x)} end

local function makeInputs(row, type, device)
    local inputs = {}
    for k, spec in ipairs(tensors.inputs(row.inputs)) do
        local inputType = spec and tensors.typeOf(spec, type)
        inputs[k] = spec and tensors.laid(tensors.host(tensors.values(spec, inputType, 29 * k), inputType, spec.shape),
            'contiguous', device)
    end
    return inputs
end

local function clear(results)
    for _, y in ipairs(results) do C.dl_tensor_clear(y._t) end
end

-- Lets the 1st, 2nd, ... allocation of a call fail until it succeeds; with growth, from allocation n on to one that is more
-- than n * growth further. nil, or a sentence: each failure must be DL_NOMEM, leave no memory behind and no damage.
function M.allocation(op, row, type, device, growth)
    local inputs = makeInputs(row, type, device)
    local attributes = tensors.attributes(row.attributes, type.dtype)
    local status, results = call(op, inputs, attributes, device)
    if status ~= 0 then return nil end -- not computed here: nothing to break
    local expected = {}
    for k, y in ipairs(results) do expected[k] = plain(y) end
    clear(results)
    local n = 0
    for _ = 1, MOST_TRIES do
        n = n + 1 + math.floor(n * growth)
        if row.writes then inputs = makeInputs(row, type, device) end
        collectgarbage()
        collectgarbage()
        local before = live(device)
        C.dl_fail_allocation(n)
        status, results = call(op, inputs, attributes, device)
        C.dl_fail_allocation(0)
        if status == 0 then
            for k, y in ipairs(results) do
                local why = compare.result(y, expected[k], 0)
                if why then return ('after failed allocations, output %d: %s'):format(k - 1, why) end
            end
            clear(results)
            return nil
        end
        if status ~= C.DL_NOMEM then return ('allocation %d failed, and the call said: %s'):format(n, results) end
        if live(device) ~= before then
            return ('allocation %d failed, and %d bytes stayed behind'):format(n, live(device) - before)
        end
    end
    return ('it still fails when allocation %d does'):format(n)
end

-- nil, or a sentence.
function M.openings(backend, index)
    if C.dl_backend_exercise(backend, index, OPENINGS) ~= 0 then return ffi.string(C.dl_last_error()) end
    return nil
end

-- Runs the plain calls of all ops in two threads at once. nil, or a sentence.
function M.threads(spec, extra)
    local host = package.loaded['dlrun.host']
    if not (host and host.thread) then return 'threads need the dlrun program' end
    local quoted = {}
    for k, path in ipairs(extra or {}) do quoted[k] = ('%q'):format(path) end
    local code = ('return require("dlrun.conformance").plainCalls(%q, {%s})'):format(spec, table.concat(quoted, ', '))
    local first, second = host.thread(code), host.thread(code)
    for _, handle in ipairs {first, second} do
        local ok, text = host.join(handle)
        if not ok then return 'a thread ended with: ' .. text end
        if text ~= '' then return text end
    end
    return nil
end

return M
