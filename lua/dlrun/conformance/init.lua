-- conformance: is a backend right? `dlrun --conformance NAME`, made from the op table: every op, dtype and memory layout
-- against a float64 reference, gradients against finite differences, failing memory, reopening, two threads.
local ffi = require 'ffi'
local base = require 'dlrun.ffi'
local cases = require 'dlrun.conformance.cases'
local checks = require 'dlrun.conformance.checks'
local gradients = require 'dlrun.conformance.gradients'
local report = require 'dlrun.conformance.report'
local robustness = require 'dlrun.conformance.robustness'
local types = require 'torch.types'
local C = base.C

local M = {}

local MOST_FAILURES, MOST_ALIKE = 10, 5 -- of one op, and of one variant of it, that are told

local function openDevice(spec)
    local device = ffi.new 'dl_device *[1]'
    base.check(C.dl_device_open(spec, device))
    return device[0]
end

local function backendOf(spec) return (spec:match '^[^:]+') end

local function indexOf(device) return tonumber(ffi.string(C.dl_device_name(device)):match ':(%d+)$') or 0 end

local function addFailure(op, row, type, variant, message)
    local alike = 0
    for _, failure in ipairs(op.failures) do alike = alike + (failure.variant == variant and 1 or 0) end
    if #op.failures == MOST_FAILURES or alike == MOST_ALIKE then
        op.untold = op.untold + 1
    else
        table.insert(op.failures, {inputs = row.inputs, attributes = row.attributes, type = type.name, variant = variant,
            message = message})
    end
end

-- ---- one op ----------------------------------------------------------------------------------------------------------------

-- All rows of an op at one dtype: fills op.results[dtype].
local function checkType(op, type, device, backend, quick)
    local result = {passed = 0, failed = 0, applies = false}
    for _, row in ipairs(op.rows) do
        checks.run(op, row, type, device, backend, quick, function(variant, verdict, message)
            if verdict == 'refused' then
                row.refusal = row.refusal or message
                if variant ~= 'contiguous' then result.passed = result.passed + 1 end
                return -- the dtype is none of the op's
            end
            result.applies, row.called = true, true
            if verdict == 'ok' then
                result.passed = result.passed + 1
            elseif verdict == 'wrong' then
                result.failed = result.failed + 1
                addFailure(op, row, type, variant, message)
            else
                result[verdict] = message or true
            end
        end)
    end
    op.results[type.name] = result
end

local function hasFloat64(device)
    local x = require 'torch.raw'.new()
    local shape = ffi.new('int64_t[1]', 1)
    local y = ffi.new 'dl_tensor *[1]'
    if C.dl_tensor_new(x._t, C.DL_F64, 1, shape, device) ~= 0 then return false end
    local result = require 'torch.raw'.new()
    y[0] = result._t
    return C.dl_call(C.dl_op_find 'neg', ffi.new('const dl_tensor *[1]', {x._t}), 1, y, 1, nil, 0) == 0
end

local function checkGradients(op, device, type, counts)
    if not op.differentiable then return end
    op.gradient = 'none'
    for _, row in ipairs(op.rows) do
        if not (row.noGradient or row.long) then
            local verdict, message = gradients(op, row, device, type)
            if verdict == 'wrong' then
                counts.failed = counts.failed + 1
                addFailure(op, row, type, 'gradient', message)
            elseif verdict == 'ok' then
                counts.passed = counts.passed + 1
            end
            if verdict == 'wrong' or op.gradient == 'none' then op.gradient = verdict end
        end
    end
end

-- At the first dtype that computes: each allocation of the first row's call, some of the other rows'.
local function checkAllocation(op, device, counts)
    local type
    for _, candidate in ipairs(types.list) do
        local result = op.results[candidate.name]
        if not type and result.applies and not result.missing then type = candidate end
    end
    for k, row in ipairs(type and op.rows or {}) do
        local growth = k > 1 and 1 / 4 or 0
        local message = not row.long and robustness.allocation(op, row, type, device, growth)
        if message then
            counts.failed = counts.failed + 1
            addFailure(op, row, type, 'failing memory', message)
        elseif not row.long then
            counts.passed = counts.passed + 1
        end
    end
end

-- ---- a backend -----------------------------------------------------------------------------------------------------------

-- Does any dtype of the op compute?
local function computes(op)
    for _, result in pairs(op.results) do
        if result.applies and not result.missing then return true end
    end
    return false
end

local function count(op, counts)
    counts.ops = counts.ops + 1
    local name = report.coverageName(op.coverage)
    if #op.rows > 0 and not computes(op) then name = 'missing' end
    op.status = name
    counts[name] = counts[name] + 1
    for _, result in pairs(op.results) do
        counts.passed, counts.failed = counts.passed + result.passed, counts.failed + result.failed
        if result.unknown then counts.unknown = counts.unknown + 1 end
        if result.missing and name ~= 'missing' then counts.missingTypes = counts.missingTypes + 1 end
    end
    if #op.rows == 0 then
        counts.unknown = counts.unknown + 1
        op.note = 'no case: add a row to a case file (--cases)'
    end
end

-- A row that no dtype could be called with checks nothing: its text is wrong.
local function checkRefused(op, counts)
    for _, row in ipairs(op.rows) do
        if not row.called then
            counts.failed = counts.failed + 1
            addFailure(op, row, types.list[1], 'contiguous', 'refused in every dtype: ' .. tostring(row.refusal))
        end
    end
end

local function checkOp(op, device, backend, counts, float64)
    op.results, op.failures, op.untold, op.coverage = {}, {}, 0, C.dl_op_coverage(op.id, backend)
    for _, type in ipairs(types.list) do checkType(op, type, device, backend) end
    checkRefused(op, counts)
    checkGradients(op, device, float64 and types.byName.float64 or types.byName.float32, counts)
    checkAllocation(op, device, counts)
    count(op, counts)
end

local function general(counts, failures, check, message)
    if message then
        counts.failed = counts.failed + 1
        table.insert(failures, {check = check, message = message})
    else
        counts.passed = counts.passed + 1
    end
end

local DEVICE = 'device' -- in the place of an op's name: the checks of the device itself

-- The op of that name, or those whose whole name the Lua pattern matches; none for DEVICE.
local function selected(all, only)
    if not only then return all end
    local some = {}
    for _, op in ipairs(all) do
        if op.name == only then return {op} end
        local sound, found = pcall(string.find, op.name, '^' .. only .. '$')
        if not sound then error(("--conformance: '%s' is no op, and no Lua pattern of names either"):format(only), 0) end
        if found then table.insert(some, op) end
    end
    if #some == 0 and only ~= DEVICE then error(("there is no op '%s'"):format(only), 0) end
    return some
end

--- conformance.check(spec, options): checks a backend, "cpu" or "opencl:1". options: only (an op's name, a Lua
--- pattern of names, or "device"), extra (paths of case files), progress(op, k, n). Returns a table {backend, ops, general,
--- counts}; see dlrun/conformance/report.lua.
function M.check(spec, options)
    options = options or {}
    local device, backend = openDevice(spec), backendOf(spec)
    local ops = selected(cases.ops(options.extra), options.only)
    local counts = {ops = 0, native = 0, generated = 0, composed = 0, missing = 0, missingTypes = 0, passed = 0, failed = 0,
        unknown = 0}
    local failures, float64 = {}, hasFloat64(device)
    for k, op in ipairs(ops) do
        if options.progress then options.progress(op.name, k, #ops) end
        checkOp(op, device, backend, counts, float64)
    end
    if not options.only or options.only == DEVICE then
        general(counts, failures, 'open and close 100 times', robustness.openings(backend, indexOf(device)))
        general(counts, failures, 'two threads', robustness.threads(spec, options.extra))
    end
    return {backend = spec, ops = ops, general = failures, counts = counts}
end

-- The plain float32 calls of all ops; '' or the first failure. What each of two threads does (robustness.lua).
function M.plainCalls(spec, extra)
    require 'torch'
    local device, backend = openDevice(spec), backendOf(spec)
    for _, op in ipairs(cases.ops(extra)) do
        op.results, op.failures, op.untold = {}, {}, 0
        checkType(op, types.byName.float32, device, backend, true)
        if op.failures[1] then return ('%s: %s'):format(op.name, op.failures[1].message) end
    end
    return ''
end

local function unlessEmpty(list) return next(list) and list or nil end

-- Ops as JSON has them.
local function plainOps(ops)
    local list = {}
    for k, op in ipairs(ops) do
        list[k] = {name = op.name, status = op.status, dtypes = op.results, gradient = op.gradient, note = op.note,
            failures = unlessEmpty(op.failures)}
    end
    return list
end

local function progressOn(stream)
    return function(name, k, n) stream:write(('\r\27[K%d/%d %s'):format(k, n, name)):flush() end
end

-- `dlrun --conformance what`: prints the matrix, the failures and the counts. Returns the exit status.
function M.main(what, json, extra)
    local spec, only = what:match '^(.*)/([^/]*)$' -- a device's name may have a slash
    spec = spec or what
    if spec == '' then error('--conformance wants a backend, or BACKEND/OP', 0) end
    local host = package.loaded['dlrun.host']
    local terminal = host and host.isatty(2)
    local result = M.check(spec, {only = only, extra = extra,
        progress = terminal and progressOn(io.stderr) or nil})
    if terminal then io.stderr:write '\r\27[K' end
    if json then
        print(report.json {backend = spec, counts = result.counts, ops = plainOps(result.ops),
            general = unlessEmpty(result.general)})
    else
        print(report.matrix(result.ops))
        local text = report.failures(result.ops, result.general)
        if text ~= '' then print(text) end
        print(report.summary(spec, result.counts))
    end
    return result.counts.failed == 0 and 0 or 1
end

return M
