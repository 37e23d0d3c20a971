-- compare.lua: are a backend's results what the oracle says? Integers and bool exactly; floating dtypes within TOLERANCE times
-- 1 + the greatest magnitude in the result (halves: compositions round every intermediate).
local tensors = require 'dlrun.conformance.tensors'
local types = require 'torch.types'

local M = {}

M.TOLERANCE = {float64 = 1e-9, float32 = 1e-4, float16 = 1e-2, bfloat16 = 8e-2}

local GREATEST = {float16 = 65504}

local function isNan(x) return x ~= x end

local function scale(values)
    local most = 0
    for _, v in ipairs(values) do
        if v == v and math.abs(v) < math.huge and math.abs(v) > most then most = math.abs(v) end
    end
    return 1 + most
end

local function sameShape(a, b)
    if #a ~= #b then return false end
    for d = 1, #a do
        if a[d] ~= b[d] then return false end
    end
    return true
end

-- Where the expected value leaves a narrower type's range, infinity is right.
local function overflows(type, expected) return GREATEST[type.name] and math.abs(expected) > GREATEST[type.name] end

-- spread: NaN may stand elsewhere (0 times NaN in a composition, or the reference's), which result() makes up for.
local function differs(type, got, expected, tolerance, spread)
    if isNan(expected) or isNan(got) then return not spread and isNan(expected) ~= isNan(got) end
    if not type.floating then return got ~= expected end
    if got == expected or math.abs(got - expected) <= tolerance then return false end
    return not (overflows(type, expected) and math.abs(got) == math.huge and got * expected > 0)
end

local function hasNan(values)
    for _, v in ipairs(values) do
        if isNan(v) then return true end
    end
    return false
end

-- nil, or a sentence: got (a tensor) is not expected ({values, shape}). With spread, where NaN stands does not matter.
function M.result(got, expected, spread)
    local type, shape = types.byDtype[got._t.type], tensors.shape(got)
    if not sameShape(shape, expected.shape) then
        return ('shape (%s), expected (%s)'):format(table.concat(shape, ', '), table.concat(expected.shape, ', '))
    end
    local values = tensors.read(got)
    local tolerance = type.floating and M.TOLERANCE[type.name] * scale(expected.values) or 0
    for k, e in ipairs(expected.values) do
        if differs(type, values[k], e, tolerance, spread) then
            return ('element %d is %.9g, expected %.9g'):format(k - 1, values[k], e)
        end
    end
    if spread and hasNan(expected.values) and not hasNan(values) then return 'NaN is lost' end
    return nil
end

return M
