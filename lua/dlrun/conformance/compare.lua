-- compare.lua: are a backend's results what the oracle says? Integers and bool exactly. Floating dtypes within TOLERANCE times
-- the greatest magnitude in the result, and 2 units of rounding of the greatest magnitude in the inputs: where a sum's terms
-- cancel, their rounding remains.
local tensors = require 'dlrun.conformance.tensors'
local types = require 'torch.types'

local M = {}

-- Half the distance from 1 to the next number.
local UNIT = {float64 = 2 ^ -53, float32 = 2 ^ -24, float16 = 2 ^ -11, bfloat16 = 2 ^ -8}

-- In halves 4 units: compositions round every intermediate. In float32 168, since devices' functions are off by up to 16 and
-- sums are taken in any order.
M.TOLERANCE = {float64 = 1e-12, float32 = 1e-5, float16 = 4 * UNIT.float16, bfloat16 = 4 * UNIT.bfloat16}

local GREATEST = {float16 = 65504}

local function isNan(x) return x ~= x end

local function magnitude(values)
    local most = 0
    for _, v in ipairs(values) do
        if v == v and math.abs(v) < math.huge and math.abs(v) > most then most = math.abs(v) end
    end
    return most
end

-- The greatest magnitude in a call's inputs (plain ones, false where absent).
function M.reach(inputs)
    local most = 0
    for _, x in ipairs(inputs) do
        if x then most = math.max(most, magnitude(x.values)) end
    end
    return most
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

-- nil, or a sentence: got (a tensor) is not expected ({values, shape}). reach: M.reach of the inputs. With spread, where NaN
-- stands does not matter.
function M.result(got, expected, reach, spread)
    local type, shape = types.byDtype[got._t.type], tensors.shape(got)
    if not sameShape(shape, expected.shape) then
        return ('shape (%s), expected (%s)'):format(table.concat(shape, ', '), table.concat(expected.shape, ', '))
    end
    local values = tensors.read(got)
    local tolerance = type.floating
        and M.TOLERANCE[type.name] * magnitude(expected.values) + 2 * UNIT[type.name] * reach or 0
    for k, e in ipairs(expected.values) do
        if differs(type, values[k], e, tolerance, spread) then
            return ('element %d is %.9g, expected %.9g'):format(k - 1, values[k], e)
        end
    end
    if spread and hasNan(expected.values) and not hasNan(values) then return 'NaN is lost' end
    return nil
end

return M
