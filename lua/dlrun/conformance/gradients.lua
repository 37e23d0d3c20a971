-- gradients.lua: gradients on a device against central differences of the reference, in float64, or float32 where the device
-- has no other. What is differentiated is the sum of all floating outputs, each element times a fixed weight.
local ffi = require 'ffi'
local base = require 'dlrun.ffi'
local call = require 'dlrun.conformance.call'
local raw = require 'torch.raw'
local tensors = require 'dlrun.conformance.tensors'
local types = require 'torch.types'
local C = base.C

local TOLERANCE = {float64 = 2e-6, float32 = 5e-3}
local STEP = 1e-4

local float64 = types.byName.float64

-- In -1..1, of element n of output k.
local function weight(k, n) return ((k * 7919 + n * 104729) % 2003) / 1001.5 - 1 end

local function weights(y, k, device)
    local values = {}
    for n = 1, tonumber(C.dl_tensor_count(y._t)) do values[n] = weight(k, n) end
    return raw.to(tensors.host(values, types.byDtype[y._t.type], tensors.shape(y)), device, nil)
end

local function weighted(results)
    local sum = 0
    for k, y in ipairs(results) do
        if types.byDtype[y._t.type].floating then
            for n, v in ipairs(tensors.read(y)) do sum = sum + weight(k, n) * v end
        end
    end
    return sum
end

-- Gradients by input number (false: none), or nil and a message.
local function differentiate(op, inputs, active, attributes, device)
    for k in pairs(active) do base.check(C.dl_requires_grad(inputs[k]._t, 1)) end
    local status, results = call(op, inputs, attributes, device)
    if status ~= 0 then return nil, results, status end
    local roots, seeds, targets, outs, n, m = {}, {}, {}, {}, 0, 0
    local order = {}
    for k, y in ipairs(results) do
        if types.byDtype[y._t.type].floating and C.dl_is_recorded(y._t) ~= 0 then
            n = n + 1
            roots[n], seeds[n] = y, weights(y, k, device)
        end
    end
    for k in pairs(active) do
        m = m + 1
        targets[m], outs[m], order[m] = inputs[k], raw.new(), k
    end
    if n == 0 then return {} end
    local inputPointers = 'const dl_tensor *[?]'
    local function pointers(kind, list, length)
        local array = ffi.new(kind, length)
        for k = 1, length do array[k - 1] = list[k]._t end
        return array
    end
    status = C.dl_backward(pointers(inputPointers, roots, n), pointers(inputPointers, seeds, n), n,
        pointers(inputPointers, targets, m), pointers('dl_tensor *[?]', outs, m), m, 0)
    if status ~= 0 then return nil, ffi.string(C.dl_last_error()), status end
    local gradients = {}
    for j = 1, m do gradients[order[j]] = outs[j]._t.storage ~= nil and tensors.read(outs[j]) or false end
    return gradients
end

-- The slope of the weighted sum along each element of input k: fourth-order central differences on the CPU.
local function slopes(op, values, specs, k, attributes)
    local inputs, slope = {}, {}
    for j, spec in ipairs(specs) do
        inputs[j] = spec and tensors.host(values[j], spec.type and not spec.type.floating and spec.type or float64, spec.shape)
    end
    local function at(n, x)
        local kept = values[k][n]
        values[k][n] = x
        inputs[k] = tensors.host(values[k], float64, specs[k].shape)
        values[k][n] = kept
        local status, results = call(op, inputs, attributes, tensors.cpu)
        if status ~= 0 then error(results, 0) end
        return weighted(results)
    end
    for n, x in ipairs(values[k]) do
        slope[n] = (at(n, x - 2 * STEP) - 8 * at(n, x - STEP) + 8 * at(n, x + STEP) - at(n, x + 2 * STEP)) / (12 * STEP)
    end
    return slope
end

-- 'ok', 'none' (nothing to differentiate), 'missing' or 'wrong', with a sentence.
return function(op, row, device, type)
    local specs, values, inputs, active = tensors.inputs(row.inputs), {}, {}, {}
    for k, spec in ipairs(specs) do
        if spec then
            local inputType = spec.type and not spec.type.floating and spec.type or tensors.typeOf(spec, type)
            local host = tensors.host(tensors.values(spec, inputType, 29 * k), inputType, spec.shape)
            values[k] = tensors.read(host)
            inputs[k] = tensors.laid(host, 'contiguous', device)
            if inputType.floating and not spec.constant then active[k] = true end
        else
            inputs[k] = false
        end
    end
    if not next(active) then return 'none' end
    local attributes = tensors.attributes(row.attributes, type.dtype)
    local got, message, status = differentiate(op, inputs, active, attributes, device)
    if not got then return status == C.DL_UNSUPPORTED and 'missing' or 'wrong', message end
    for k in pairs(active) do
        local ok, expected = pcall(slopes, op, values, specs, k, attributes)
        if not ok then return 'wrong', expected end
        for n, e in ipairs(expected) do
            local g = got[k] and got[k][n] or 0
            local close = math.abs(g - e) <= TOLERANCE[type.name] * (1 + math.abs(e)) -- false for NaN
            if not close then
                return 'wrong', ('gradient of input %d, element %d is %.9g, expected %.9g'):format(k - 1, n - 1, g, e)
            end
        end
    end
    return 'ok'
end
