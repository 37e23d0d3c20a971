-- spans.lua: the numbers that say how a window moves over n spatial dimensions, as users give them: one for all, or a list.
local base = require 'dlrun.ffi'
local weighted = require 'nn.weighted'

local M = {}

-- The letters of n spatial dimensions' axes, in memory's order: Torch7's fields end in them (kW, dH, padT).
M.axes = {{'W'}, {'H', 'W'}, {'T', 'H', 'W'}}

-- A list of n numbers; value: one of them for all, a list, or nil for `default`. `what` names them in errors.
function M.list(value, n, what, least, default)
    if value == nil then value = default end
    local list = {}
    for k = 1, n do list[k] = type(value) == 'table' and value[k] or value end
    if type(value) == 'table' and #value ~= n then
        base.fail('%s: a number or a list of %d of them, not of %d', what, n, #value)
    end
    for k = 1, n do weighted.count(list[k], what, least) end
    return list
end

-- Padding as a number, a list, 'valid' (none) or 'same' (the result is as large as the input; strides must be 1). Returns a
-- list, and, where a side needs one more than the other, both sides as ops.pad takes them: (before, after) of each dimension,
-- the last first.
function M.padding(value, kernel, stride, dilation, what)
    local n = #kernel
    if value == 'valid' then value = 0 end
    if value ~= 'same' then return M.list(value, n, what .. ': padding', 0, 0) end
    local before, pads, uneven = {}, {}, false
    for k = 1, n do
        if stride[k] ~= 1 then base.fail("%s: padding = 'same' wants stride 1", what) end
        local total = dilation[k] * (kernel[k] - 1)
        before[k] = math.floor(total / 2)
        pads[2 * (n - k) + 1], pads[2 * (n - k) + 2] = before[k], total - before[k]
        uneven = uneven or total % 2 == 1
    end
    return before, uneven and pads or nil
end

-- The same number of places on both sides, as ops.pad takes them.
function M.bothSides(list)
    local pads = {}
    for k = #list, 1, -1 do
        pads[#pads + 1] = list[k]
        pads[#pads + 1] = list[k]
    end
    return pads
end

return M
