-- oracle.lua: what a call must give, in f64 (integers exactly).
--   an expression        the core's scalar interpreter, element by element
--   CPU under test       plain loops for primitives and what does not compose; for the rest the composition from primitives
--   another backend      the CPU's own float64 kernels
local ffi = require 'ffi'
local base = require 'dlrun.ffi'
local call = require 'dlrun.conformance.call'
local constants = require 'dlrun.constants'
local reference = require 'dlrun.conformance.reference'
local tensors = require 'dlrun.conformance.tensors'
local types = require 'torch.types'
local C = base.C

-- ---- expressions ---------------------------------------------------------------------------------------------------------

-- nil if the shapes do not fit.
local function broadcastShape(inputs)
    local n, shape = 0, {}
    for _, x in ipairs(inputs) do n = math.max(n, #x.shape) end
    for d = 1, n do shape[d] = 1 end
    for _, x in ipairs(inputs) do
        for d, size in ipairs(x.shape) do
            local at = n - #x.shape + d
            if size ~= 1 and shape[at] ~= 1 and shape[at] ~= size then return nil end
            if size ~= 1 then shape[at] = size end
        end
    end
    return shape
end

-- The place in x of the result's element k (from 0).
local function placeIn(x, shape, k)
    local place, stride, lead = 1, 1, #shape - #x.shape
    for d = #shape, 1, -1 do
        local at = k % shape[d]
        k = math.floor(k / shape[d])
        local size = d > lead and x.shape[d - lead] or 1
        if size ~= 1 then place = place + at * stride end
        stride = stride * size
    end
    return place
end

-- Elements that the interpreter refuses (integers divided by zero) are 0, and mayRefuse is set.
local function evaluate(op, type, inputs, attributes)
    local shape = broadcastShape(inputs)
    local values, into = ffi.new('double[?]', #inputs), ffi.new 'double[1]'
    if not shape then return {refused = 'the shapes do not broadcast'} end
    local result = {shape = shape, values = {}}
    if bit.band(op.flags, constants.flag.RANDOM) ~= 0 and type.name == 'int64' then
        attributes = tensors.attributes(tensors.SEED .. ' 0', type.dtype)
    end
    for k = 1, tensors.count(shape) do
        for j, x in ipairs(inputs) do values[j - 1] = x.values[placeIn(x, shape, k - 1)] end
        local status = C.dl_op_evaluate(op.id, type.floating and C.DL_F64 or type.dtype, values,
            attributes.array, attributes.n, k - 1, into)
        local message = status ~= 0 and ffi.string(C.dl_last_error())
        if status ~= 0 and not message:find('division by zero', 1, true) then return {refused = message} end
        if status ~= 0 then result.mayRefuse = true end
        result.values[k] = status == 0 and into[0] or 0
    end
    return {result, mayRefuse = result.mayRefuse}
end

-- ---- other ops -----------------------------------------------------------------------------------------------------------

local function attributeNumbers(attributes)
    local numbers = {}
    for k = 1, attributes.n do numbers[k] = tonumber(attributes.array[k - 1].v.i) end
    return numbers
end

local function plain(x) return {shape = tensors.shape(x), values = tensors.read(x)} end

-- The call on the CPU; `inputs` are plain. wide: floating inputs in float64, but for those whose type is fixed. Returns outputs
-- and, for ops that write inputs, those too.
local function onCpu(op, row, specs, type, inputs, wide, composed)
    local ins = {}
    for k, x in ipairs(inputs) do
        local inputType = specs[k] and tensors.typeOf(specs[k], type)
        if x and wide and inputType.floating and not specs[k].type then inputType = types.byName.float64 end
        ins[k] = x and tensors.host(x.values, inputType, x.shape)
    end
    local dtype = wide and type.floating and C.DL_F64 or type.dtype
    local attributes = tensors.attributes(row.attributes, dtype)
    local old = composed and C.dl_set_primitives_only(1)
    local status, results = call(op, ins, attributes, tensors.cpu)
    if composed then C.dl_set_primitives_only(old) end
    if status == C.DL_UNSUPPORTED then return {unknown = results} end
    if status == C.DL_INVALID then return {refused = results} end
    if status ~= 0 then return {failed = results} end
    local expected = {}
    for k, y in ipairs(results) do expected[k] = plain(y) end
    if row.writes then
        expected.inputs = {}
        for k, x in ipairs(ins) do expected.inputs[k] = x and plain(x) end
    end
    return expected
end

-- What op must give for plain inputs ({values, shape} or false each) that have the values the backend sees: an array of plain
-- outputs; or {refused = message}: it must refuse; or {unknown = why}: nothing independent computes it; or {failed = message}.
return function(op, row, specs, type, inputs, backend)
    local attributes = tensors.attributes(row.attributes, type.dtype)
    if op.pointwise then return evaluate(op, type, inputs, attributes) end
    local wide = #inputs > 0 -- what has no input draws or rounds in the dtype in test
    if backend ~= 'cpu' then return onCpu(op, row, specs, type, inputs, wide, false) end
    local loops = reference[op.name]
    if not loops then return onCpu(op, row, specs, type, inputs, wide, true) end
    local native = onCpu(op, row, specs, type, inputs, wide, false) -- for its refusals, which are the core's
    if native.refused or native.failed then return native end
    return loops(type, inputs, unpack(attributeNumbers(attributes)))
end
