-- checks.lua: one case of an op at one dtype on one device: in every memory layout, with no elements, with NaN, with integers
-- of the whole range, with indices that are out of range.
local ffi = require 'ffi'
local base = require 'dlrun.ffi'
local call = require 'dlrun.conformance.call'
local compare = require 'dlrun.conformance.compare'
local flag = require('dlrun.constants').flag
local oracle = require 'dlrun.conformance.oracle'
local raw = require 'torch.raw'
local ops = require 'torch.ops'
local tensors = require 'dlrun.conformance.tensors'
local types = require 'torch.types'
local C = base.C

local M = {}

-- Ops whose meaning is the strides of what they are given.
local BY_STRIDES = {as_strided = true, view = true}

-- A case at a dtype: specs of the inputs, their values rounded to their types (CPU tensors `hosts`, plain `inputs`).
local function prepare(op, row, type)
    local case = {op = op, row = row, type = type, specs = tensors.inputs(row.inputs), hosts = {}, inputs = {}}
    for k, spec in ipairs(case.specs) do
        local inputType = spec and tensors.typeOf(spec, type)
        case.hosts[k] = spec and tensors.host(tensors.values(spec, inputType, 29 * k), inputType, spec.shape)
    end
    case.attributes = tensors.attributes(row.attributes, type.dtype)
    return case
end

-- The same case with other inputs: change(host, k) gives each one's replacement, or x itself. nil if it changes none.
local function varied(case, change)
    local other, changed = setmetatable({hosts = {}, inputs = {}}, {__index = case}), false
    for k, x in ipairs(case.hosts) do
        other.hosts[k] = x and change(x, k)
        changed = changed or other.hosts[k] ~= x
    end
    return changed and other or nil
end

local function expectation(case, backend)
    for k, x in ipairs(case.hosts) do
        case.inputs[k] = x and {shape = tensors.shape(x), values = tensors.read(x)}
    end
    local expected = oracle(case.op, case.row, case.specs, case.type, case.inputs, backend)
    expected.reach = compare.reach(case.inputs)
    return expected
end

-- ---- one call -----------------------------------------------------------------------------------------------------------

-- nil, or how results (and what lies between the elements of given outputs, and the inputs afterwards) differ from what is
-- expected.
local function difference(expected, results, inputs, outs, spread)
    for k, y in ipairs(results) do
        local why = compare.result(y, expected[k], expected.reach, spread)
        if why then return ('output %d: %s'):format(k - 1, why) end
    end
    for k, x in pairs(outs and outs.between or {}) do
        for _, v in ipairs(tensors.read(x)) do
            if v ~= 1 then return ('output %d: it wrote between the elements of a given tensor'):format(k - 1) end
        end
    end
    for k, x in ipairs(expected.inputs or {}) do
        local why = x and compare.result(inputs[k], x, expected.reach, spread)
        if why then return ('input %d afterwards: %s'):format(k - 1, why) end
    end
    return nil
end

-- What became of a call: 'ok', 'missing', 'refused', 'unknown', or 'wrong' with a sentence; if 'ok', the results too.
local function verdict(case, expected, device, inputs, outs, spread)
    local status, results = call(case.op, inputs, case.attributes, device, outs)
    if status ~= 0 and status ~= C.DL_INVALID and status ~= C.DL_UNSUPPORTED then
        return 'wrong', ('it ends with "%s": %s'):format(ffi.string(C.dl_status_text(status)), results)
    end
    if expected.failed then return 'wrong', 'the reference fails: ' .. expected.failed end
    if expected.refused then
        if status == 0 then return 'wrong', 'it gives a result where the reference refuses: ' .. expected.refused end
        return 'refused', results
    end
    if status == C.DL_UNSUPPORTED then return 'missing', results end
    if expected.unknown then return 'unknown', expected.unknown end
    if status ~= 0 then
        if expected.mayRefuse then return 'ok', nil, {} end
        return 'wrong', results
    end
    local why = difference(expected, results, inputs, outs, spread)
    if why then return 'wrong', why end
    return 'ok', nil, results
end

-- The inputs in a layout, or contiguous where they have no such; and whether one of them has it.
local function onDevice(case, how, device)
    local inputs, some = {}, false
    for k, x in ipairs(case.hosts) do
        local turned = x and case.specs[k].transposed and how == 'contiguous' and not BY_STRIDES[case.op.name]
        local laid = x and tensors.laid(x, turned and 'transposed' or how, device)
        some = some or laid
        inputs[k] = laid or x and tensors.laid(x, 'contiguous', device)
    end
    return inputs, some
end

-- ---- the variants --------------------------------------------------------------------------------------------------------

local function expandedInputs(case, device)
    local inputs = {}
    for k, x in ipairs(case.hosts) do inputs[k] = x and tensors.expanded(tensors.laid(x, 'contiguous', device)) end
    return inputs
end

-- Given outputs with other elements between theirs (outs.between); nil for ops that take none.
local function givenOutputs(case, expected, device)
    if bit.band(case.op.flags, bit.bor(flag.VIEW, flag.SYNC)) ~= 0 or case.op.outputs == 0 then return nil end
    local status, results = call(case.op, (onDevice(case, 'contiguous', device)), case.attributes, device)
    if status ~= 0 or expected.refused then return nil end
    local outs = {between = {}}
    for k, y in ipairs(results) do outs[k], outs.between[k] = tensors.spaced(y) end
    return outs
end

-- An output that shares memory with the first input, one element further; nil where their types or sizes do not allow it.
local function overlapping(case, expected, device)
    local x, y = case.hosts[1], expected[1]
    if not x or case.op.outputs ~= 1 or bit.band(case.op.flags, bit.bor(flag.VIEW, flag.SYNC)) ~= 0 then return nil end
    local n = y and tensors.count(y.shape)
    if not n or n == 0 or n ~= #case.inputs[1].values then return nil end
    local status, results = call(case.op, (onDevice(case, 'contiguous', device)), case.attributes, device)
    if status ~= 0 or results[1]._t.type ~= x._t.type then return nil end
    local both = raw.empty(x._t.type, {n + 1}, device)
    local inputs = onDevice(case, 'contiguous', device)
    inputs[1] = ops.view(ops.slice(both, 0, 0, n), tensors.shape(x))
    ops.into.copy(inputs[1], raw.to(x, device, nil))
    return inputs, {ops.view(ops.slice(both, 0, 1, n), y.shape)}
end

local function withoutElements(x)
    local shape = tensors.shape(x)
    if #shape == 0 then return x end
    shape[1] = 0
    return raw.empty(x._t.type, shape, tensors.cpu)
end

-- Do all inputs have the shape of the first?
local function oneShape(case)
    local first = table.concat(tensors.shape(case.hosts[1]), ',')
    for _, x in ipairs(case.hosts) do
        if table.concat(tensors.shape(x), ',') ~= first then return false end
    end
    return true
end

-- NaN in every floating input, at different places; infinity in the first.
local function withNan(x, k)
    if not types.byDtype[x._t.type].floating then return x end
    local values = tensors.read(x)
    if #values == 0 then return x end
    if k == 1 then values[#values] = math.huge end
    values[(k - 1) % #values + 1] = 0 / 0
    return tensors.host(values, types.byDtype[x._t.type], tensors.shape(x))
end

-- Integers of the whole range, if what the op gave for small ones (results) is whole too: a float's tolerance would be as wide.
local function withExtremes(case, results)
    for _, y in ipairs(results) do
        if types.byDtype[y._t.type].floating then return nil end
    end
    return varied(case, function(x, k)
        local type = types.byDtype[x._t.type]
        local values = tensors.extremes(case.specs[k], type, k)
        return values and tensors.host(values, type, tensors.shape(x)) or x
    end)
end

local function tryLayouts(case, expected, device, try)
    for _, how in ipairs {'strided', 'transposed', 'offset'} do
        local inputs, some = onDevice(case, how, device)
        if some then try(how, expected, inputs) end
    end
    local outs = givenOutputs(case, expected, device)
    if outs then try('given output', expected, (onDevice(case, 'strided', device)), outs) end
    local inputs, out = overlapping(case, expected, device)
    if inputs then try('overlapping', expected, inputs, out) end
end

local function tryValues(case, results, device, backend, try)
    local function with(variant, other, spread)
        if other then try(variant, expectation(other, backend), (onDevice(other, 'contiguous', device)), nil, spread) end
    end
    local op, row = case.op, case.row
    if not BY_STRIDES[op.name] then
        local repeated = not row.writes and varied(case, tensors.expanded)
        if repeated then try('expanded', expectation(repeated, backend), expandedInputs(case, device)) end
        if not op.pointwise or oneShape(case) then with('no elements', varied(case, withoutElements)) end
    end
    if case.type.floating and not row.writes then with('NaN', varied(case, withNan), row.nanSpreads) end
    with('wide values', withExtremes(case, results))
end

-- ---- indices that are out of range ---------------------------------------------------------------------------------------

-- Behind the end, in front of the start, and one that is 0 in 32 bits.
local function badIndices(limit) return {limit, -1 - limit, 4294967296} end

-- The first status other than DL_OK of the call and of reading its results, and the message.
local function statusOf(case, device, inputs)
    local status, results = call(case.op, inputs, case.attributes, device)
    if status ~= 0 then return status, results end
    for _, y in ipairs(results) do
        status = C.dl_tensor_to(raw.new()._t, y._t, tensors.cpu, y._t.type)
        if status ~= 0 then return status, ffi.string(C.dl_last_error()) end
    end
    return 0
end

-- The index in the last place of input k must be refused, by the call or, on a device with a queue, when its result is read.
local function tryIndex(case, k, index, device, note)
    local bad = varied(case, function(x, j)
        if j ~= k then return x end
        local values = tensors.read(x)
        values[#values] = index
        return tensors.host(values, types.byName.int64, tensors.shape(x))
    end)
    local status, message = statusOf(case, device, (onDevice(bad, 'contiguous', device)))
    if status == C.DL_INVALID then return note('bad index', 'ok') end
    note('bad index', 'wrong', status ~= 0 and message or
        ('input %d has the index %.0f of %d elements, and it gives a result'):format(k - 1, index, case.specs[k].limit))
end

local function tryIndices(case, device, note)
    for k, spec in ipairs(case.specs) do
        local indices = spec and spec.limit and badIndices(spec.limit) or {}
        for _, index in ipairs(indices) do tryIndex(case, k, index, device, note) end
    end
end

-- Runs every variant. note(variant, verdict, sentence) hears of each; a verdict other than 'ok' of the plain call ends it.
-- `quick`: the plain call alone.
function M.run(op, row, type, device, backend, quick, note)
    local case = prepare(op, row, type)
    local expected = expectation(case, backend)
    local function try(variant, e, inputs, outs, spread)
        local what, why, results = verdict(case, e, device, inputs, outs, spread)
        if what == 'missing' and variant ~= 'contiguous' then
            what, why = 'wrong', 'it computes contiguous tensors and refuses these: ' .. why
        end
        note(variant, what, why)
        return what, results
    end
    local what, results = try('contiguous', expected, (onDevice(case, 'contiguous', device)))
    if what ~= 'ok' or quick or #case.hosts == 0 then return end
    if not BY_STRIDES[op.name] then tryLayouts(case, expected, device, try) end
    tryValues(case, results, device, backend, try)
    tryIndices(case, device, note)
end

return M
