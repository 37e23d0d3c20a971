-- tape.lua: the tape segment behind Torch7's forward/updateGradInput/accGradParameters (core/segment.c), for inputs and
-- outputs that are tensors or nested tables of tensors.
local ffi = require 'ffi'
local base = require 'dlrun.ffi'
local ops = require 'torch.ops'
local raw = require 'torch.raw'
local autograd = require 'torch.autograd'
local shapeOf = require 'torch.resize'.fullShape

local C = base.C
local isTensor = raw.isTensor

local M = {}

-- Appends the tensors of a nested table to `list`, in order of keys 1, 2, …; other values are left out.
local function flatten(value, list)
    if isTensor(value) then
        list[#list + 1] = value
    elseif type(value) == 'table' then
        for k = 1, #value do flatten(value[k], list) end
    end
    return list
end
function M.flatten(value) return flatten(value, {}) end

-- The structure of `value` with its tensors replaced, in the same order, by those of `list`.
local function rebuild(value, list, at)
    if isTensor(value) then
        return list[at], at + 1
    elseif type(value) == 'table' then
        local copy = {}
        for k = 1, #value do copy[k], at = rebuild(value[k], list, at) end
        return copy, at
    end
    return value, at
end
function M.rebuild(value, list) return (rebuild(value, list, 1)) end

-- Zeros of x's shape and type, off the tape.
function M.zerosLike(x)
    return ops.into.full(raw.empty(x._t.type, shapeOf(x), C.dl_device_of(x._t)), nil, 0)
end

-- Puts a result into a module's field; a tensor there keeps its identity, as Torch7's reused buffers do.
function M.store(module, field, value)
    local old = rawget(module, field)
    if isTensor(value) and isTensor(old) and old ~= value and old._t.type == value._t.type then
        old:set(value)
        return old
    end
    rawset(module, field, value)
    return value
end

-- May x be overwritten? Not if a recorded call still needs its values (a Tanh before), nor if it is on the user's tape as a
-- leaf.
function M.mayOverwrite(x)
    return C.dl_is_saved(x._t) == 0 and (x._t.var == nil or C.dl_is_recorded(x._t) == 2 or C.dl_grad_enabled() == 0)
end

local recording = 0 -- segments that are open

-- Is a segment being recorded (Torch7's face), rather than the user's tape?
function M.isRecording() return recording > 0 end

local function free(segment) C.dl_segment_free(segment) end

local out = ffi.new 'dl_segment *[1]'

-- Runs f(proxies of input) recorded; returns its result, off the tape, and the segment for later backward runs.
-- params: array of tensors whose gradients accGradParameters will want.
function M.record(f, input, params)
    local inputs = M.flatten(input)
    local proxies, proxyPointers = raw.news(#inputs)
    local inPointers = raw.pointers(inputs)
    local paramPointers = raw.pointers(params)
    local const = ffi.cast('const dl_tensor *const *', inPointers)
    base.check(C.dl_segment_begin(const, proxyPointers, #inputs, paramPointers, #params, out))
    local segment = ffi.gc(out[0], free)
    recording = recording + 1
    local ok, result = pcall(f, M.rebuild(input, proxies))
    recording = recording - 1
    if not ok then
        C.dl_segment_end(segment, nil, 0)
        error(result, 0)
    end
    local outputs = M.flatten(result)
    base.check(C.dl_segment_end(segment, raw.pointers(outputs), #outputs))
    return result, {handle = segment, inputs = #inputs, params = #params, outputs = outputs}
end

local run = ffi.new 'dl_backward_run *[1]'

-- Gradients of the segment's outputs -> those of the inputs and of the params, as arrays (false where there is none; nil if
-- not wanted). `input` and `params` are the present values and replace the saved ones.
function M.backward(segment, input, params, gradOutput, wantInputs, wantParams)
    local inputs, grads = M.flatten(input), M.flatten(gradOutput)
    if #inputs ~= segment.inputs then
        base.fail('backward: the last forward had %d input tensors, now there are %d', segment.inputs, #inputs)
    end
    if #grads ~= #segment.outputs then
        local many = #segment.outputs > 1 and ('a table of %d tensors, one for each output'):format(#segment.outputs)
        base.fail('backward: gradOutput must be %s, got %s', many or 'a tensor', type(gradOutput) == 'table'
            and ('a table of %d'):format(#grads) or gradOutput == nil and 'nil' or 'a ' .. torch.type(gradOutput))
    end
    local want = (wantInputs and C.DL_WANT_INPUTS or 0) + (wantParams and C.DL_WANT_PARAMS or 0)
    local const = 'const dl_tensor *const *'
    local inPointers, paramPointers, gradPointers = raw.pointers(inputs), raw.pointers(params), raw.pointers(grads)
    base.check(C.dl_segment_backward_begin(segment.handle, ffi.cast(const, inPointers), ffi.cast(const, paramPointers),
        ffi.cast(const, gradPointers), want, run))
    local n = (wantInputs and segment.inputs or 0) + (wantParams and segment.params or 0)
    local results = autograd.drive(run[0], n)
    for k = 1, n do
        if raw.isEmpty(results[k]) then results[k] = false end
    end
    local inputGrads, paramGrads
    if wantInputs then
        inputGrads = {}
        for k = 1, segment.inputs do inputGrads[k] = results[k] end
    end
    if wantParams then
        paramGrads = {}
        for k = 1, segment.params do paramGrads[k] = results[n - segment.params + k] end
    end
    return inputGrads, paramGrads
end

return M
