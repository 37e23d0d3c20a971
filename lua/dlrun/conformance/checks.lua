-- checks.lua: one case of an op at one dtype on one device: in every memory layout, with no elements, with NaN.
local base = require 'dlrun.ffi'
local call = require 'dlrun.conformance.call'
local cases = require 'dlrun.conformance.cases'
local compare = require 'dlrun.conformance.compare'
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

-- The same case with other inputs: change(host, k) gives each one's replacement.
local function varied(case, change)
    local other = setmetatable({hosts = {}, inputs = {}}, {__index = case})
    for k, x in ipairs(case.hosts) do other.hosts[k] = x and change(x, k) end
    return other
end

local function expectation(case, backend)
    for k, x in ipairs(case.hosts) do
        case.inputs[k] = x and {shape = tensors.shape(x), values = tensors.read(x)}
    end
    return oracle(case.op, case.row, case.specs, case.type, case.inputs, backend)
end

-- ---- one call -----------------------------------------------------------------------------------------------------------

-- What became of a call: 'ok', 'missing', 'refused', 'unknown', or 'wrong' with a sentence.
local function verdict(case, expected, device, inputs, outs, spread)
    local status, results = call(case.op, inputs, case.attributes, device, outs)
    if status == C.DL_UNSUPPORTED then return 'missing', results end
    if expected.unknown then return 'unknown', expected.unknown end
    if expected.refused then
        if status == 0 then return 'wrong', 'it gives a result where the reference refuses: ' .. expected.refused end
        return 'refused', results
    end
    if status ~= 0 then
        if expected.mayRefuse and status == C.DL_INVALID then return 'ok' end
        return 'wrong', results
    end
    for k, y in ipairs(results) do
        local why = compare.result(y, expected[k], spread)
        if why then return 'wrong', ('output %d: %s'):format(k - 1, why) end
    end
    for k, x in pairs(outs and outs.between or {}) do
        for _, v in ipairs(tensors.read(x)) do
            if v ~= 1 then return 'wrong', ('output %d: it wrote between the elements of a given tensor'):format(k - 1) end
        end
    end
    for k, x in ipairs(expected.inputs or {}) do
        local why = x and compare.result(inputs[k], x, spread)
        if why then return 'wrong', ('input %d afterwards: %s'):format(k - 1, why) end
    end
    return 'ok'
end

local function onDevice(case, how, device)
    local inputs = {}
    for k, x in ipairs(case.hosts) do
        local turned = x and case.specs[k].transposed and how == 'contiguous' and not BY_STRIDES[case.op.name]
        local laidOut = turned and 'transposed' or how
        inputs[k] = x and (tensors.laid(x, laidOut, device) or tensors.laid(x, 'contiguous', device))
    end
    return inputs
end

-- ---- the variants --------------------------------------------------------------------------------------------------------

local function expandedInputs(case, device)
    local inputs = {}
    for k, x in ipairs(case.hosts) do inputs[k] = x and tensors.expanded(tensors.laid(x, 'contiguous', device)) end
    return inputs
end

-- Given outputs with other elements between theirs (outs.between); nil for ops that take none.
local function givenOutputs(case, expected, device)
    if bit.band(case.op.flags, bit.bor(cases.VIEW, cases.SYNC)) ~= 0 or case.op.outputs == 0 then return nil end
    local status, results = call(case.op, onDevice(case, 'contiguous', device), case.attributes, device)
    if status ~= 0 or expected.refused then return nil end
    local outs = {between = {}}
    for k, y in ipairs(results) do outs[k], outs.between[k] = tensors.spaced(y) end
    return outs
end

-- An output that shares memory with the first input, one element further; nil where their types or sizes do not allow it.
local function overlapping(case, expected, device)
    local x, y = case.hosts[1], expected[1]
    if not x or case.op.outputs ~= 1 or bit.band(case.op.flags, bit.bor(cases.VIEW, cases.SYNC)) ~= 0 then return nil end
    local n = y and tensors.count(y.shape)
    if not n or n == 0 or n ~= #case.inputs[1].values then return nil end
    local status, results = call(case.op, onDevice(case, 'contiguous', device), case.attributes, device)
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

-- Runs every variant. note(variant, verdict, sentence) hears of each; a verdict other than 'ok' of the plain call ends it.
-- `quick`: the plain call alone.
function M.run(op, row, type, device, backend, quick, note)
    local case = prepare(op, row, type)
    local expected = expectation(case, backend)
    local function try(variant, e, inputs, outs, spread)
        local what, why = verdict(case, e, device, inputs, outs, spread)
        note(variant, what, why)
        return what
    end
    if try('contiguous', expected, onDevice(case, 'contiguous', device)) ~= 'ok' or quick or #case.hosts == 0 then return end
    if not BY_STRIDES[op.name] then
        for _, how in ipairs {'strided', 'transposed', 'offset'} do try(how, expected, onDevice(case, how, device)) end
        local outs = givenOutputs(case, expected, device)
        if outs then try('given output', expected, onDevice(case, 'strided', device), outs) end
        local inputs, out = overlapping(case, expected, device)
        if inputs then try('overlapping', expected, inputs, out) end
        if not row.writes then
            local repeated = varied(case, tensors.expanded)
            try('expanded', expectation(repeated, backend), expandedInputs(case, device))
        end
        if not op.pointwise or oneShape(case) then
            local empty = varied(case, withoutElements)
            try('no elements', expectation(empty, backend), onDevice(empty, 'contiguous', device))
        end
    end
    if type.floating and not row.writes then
        local invalid = varied(case, withNan)
        try('NaN', expectation(invalid, backend), onDevice(invalid, 'contiguous', device), nil, row.nanSpreads)
    end
end

return M
