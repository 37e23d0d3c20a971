-- reference.lua: the primitive ops, and those that do not compose, in plain loops over doubles. What the CPU backend is checked
-- against, whose own float64 kernels are the oracle of every other backend.
--
-- A tensor here is {values, shape}: a Lua array in logical order. Each function gets the inputs and the attributes and returns
-- its outputs.
local ffi = require 'ffi'
local opcode = require('dlrun.constants').opcode

local M = {}

local function product(shape, from, to)
    local n = 1
    for d = from, to do n = n * shape[d] end
    return n
end

local function isNan(x) return x ~= x end

-- A shape seen as outer, size, inner around dimension dim (from 0).
local function around(shape, dim)
    local d = dim % math.max(#shape, 1) + 1
    return product(shape, 1, d - 1), shape[d] or 1, product(shape, d + 1, #shape), d
end

local combine = {
    [opcode.ADD] = function(a, b) return a + b end,
    [opcode.MUL] = function(a, b) return a * b end,
    [opcode.MAX] = function(a, b) return (isNan(a) or a >= b) and a or b end,
    [opcode.MIN] = function(a, b) return (isNan(a) or a <= b) and a or b end,
}
local neutral = {[opcode.ADD] = 0, [opcode.MUL] = 1, [opcode.MAX] = -math.huge, [opcode.MIN] = math.huge}

-- Sums and products of integers: in 64 bits, where they wrap.
local function exact(type, x) return type.floating and x or x + 0LL end

-- Such a sum as a value of the type: narrower integers wrap too, bool is 0 or 1.
local function fit(type, x)
    if type.floating then return x end
    if type.kind == 'bool' then return x ~= 0 and 1 or 0 end
    return tonumber(ffi.cast(type.name .. '_t', x))
end

function M.reduce(type, inputs, count, by)
    local x = inputs[1]
    local kept = #x.shape - count
    local n, out = product(x.shape, kept + 1, #x.shape), {shape = {unpack(x.shape, 1, kept)}, values = {}}
    for k = 1, product(x.shape, 1, kept) do
        local total = n > 0 and exact(type, x.values[(k - 1) * n + 1]) or neutral[by]
        for j = 2, n do total = combine[by](total, exact(type, x.values[(k - 1) * n + j])) end
        out.values[k] = fit(type, total)
    end
    return {out}
end

function M.gemm(type, inputs)
    local a, b = unpack(inputs)
    local batch, n, k = unpack(a.shape)
    local m, values = b.shape[3], {}
    for s = 0, batch - 1 do
        for i = 0, n - 1 do
            for j = 0, m - 1 do
                local sum = exact(type, 0)
                for l = 0, k - 1 do
                    sum = sum + exact(type, a.values[(s * n + i) * k + l + 1]) * exact(type, b.values[(s * k + l) * m + j + 1])
                end
                values[#values + 1] = fit(type, sum)
            end
        end
    end
    return {{shape = {batch, n, m}, values = values}}
end

function M.copy(_, inputs) return {inputs[1]} end

-- Calls visit(position in index, position in x) for every element of an index tensor along dim.
local function visit(x, index, dim, f)
    local at = {}
    local strides, stride = {}, 1
    for d = #x.shape, 1, -1 do
        strides[d] = stride
        stride = stride * x.shape[d]
    end
    local d0 = dim % math.max(#x.shape, 1) + 1
    for k = 1, #index.values do
        local rest, place = k - 1, 1
        for d = #index.shape, 1, -1 do
            at[d] = rest % index.shape[d]
            rest = math.floor(rest / index.shape[d])
        end
        at[d0] = index.values[k]
        for d = 1, #x.shape do place = place + at[d] * strides[d] end
        f(k, place)
    end
end

function M.gather(_, inputs, dim)
    local x, index = unpack(inputs)
    local values = {}
    visit(x, index, dim, function(k, place) values[k] = x.values[place] end)
    return {{shape = index.shape, values = values}}
end

function M.scatter_add(type, inputs, dim)
    local x, index, src = unpack(inputs)
    local values = {unpack(x.values)}
    local single = #src.shape == 0
    -- src may be larger than index: its elements at index's places count
    local strides, stride = {}, 1
    for d = #src.shape, 1, -1 do
        strides[d] = stride
        stride = stride * src.shape[d]
    end
    visit(x, index, dim, function(k, place)
        local rest, from = k - 1, 1
        for d = #index.shape, 1, -1 do
            if not single then from = from + rest % index.shape[d] * strides[d] end
            rest = math.floor(rest / index.shape[d])
        end
        values[place] = exact(type, values[place]) + src.values[from]
    end)
    for k, v in ipairs(values) do values[k] = fit(type, v) end
    return {{shape = x.shape, values = values}}
end

-- ---- sorting: NaN above every number, stable -------------------------------------------------------------------------------

local function below(a, b)
    if isNan(a) or isNan(b) then return isNan(b) and not isNan(a) end
    return a < b
end

-- Places of a line's elements (from 0) in sorted order.
local function order(line, descending)
    local places = {}
    for k = 1, #line do places[k] = k - 1 end
    table.sort(places, function(i, j)
        local a, b = line[i + 1], line[j + 1]
        if below(a, b) then return not descending end
        if below(b, a) then return descending == true end
        return i < j
    end)
    return places
end

-- Applies choose(line) -> values, places to every line along dim; both results have `size` elements (nil: dim disappears).
local function byLine(x, dim, size, keep, choose)
    local outer, n, inner, d = around(x.shape, dim)
    local shape = {unpack(x.shape)}
    if size then
        shape[d] = #shape > 0 and size or nil
    elseif keep then
        shape[d] = #shape > 0 and 1 or nil
    elseif #shape > 0 then
        table.remove(shape, d)
    end
    local m = size or 1
    local values, places = {}, {}
    for o = 0, outer - 1 do
        for i = 0, inner - 1 do
            local line = {}
            for k = 0, n - 1 do line[k + 1] = x.values[(o * n + k) * inner + i + 1] end
            local v, p = choose(line)
            for k = 0, m - 1 do
                values[(o * m + k) * inner + i + 1], places[(o * m + k) * inner + i + 1] = v[k + 1], p[k + 1]
            end
        end
    end
    return {{shape = shape, values = values}, {shape = shape, values = places}}
end

local function pick(line, places, from, to)
    local v, p = {}, {}
    for k = from, to do
        v[#v + 1], p[#p + 1] = line[places[k] + 1], places[k]
    end
    return v, p
end

function M.sort(_, inputs, dim, descending)
    local x = inputs[1]
    local _, n = around(x.shape, dim)
    return byLine(x, dim, n, true, function(line) return pick(line, order(line, descending == 1), 1, #line) end)
end

function M.topk(_, inputs, k, dim, largest)
    return byLine(inputs[1], dim, k, true, function(line) return pick(line, order(line, largest ~= 0), 1, k) end)
end

function M.kthvalue(_, inputs, k, dim, keep)
    return byLine(inputs[1], dim, nil, keep == 1, function(line) return pick(line, order(line), k, k) end)
end

-- Where there is a NaN, the first of them.
function M.median(_, inputs, dim, keep)
    return byLine(inputs[1], dim, nil, keep == 1, function(line)
        for k, v in ipairs(line) do
            if isNan(v) then return {v}, {k - 1} end
        end
        local middle = math.floor((#line + 1) / 2)
        return pick(line, order(line), middle, middle)
    end)
end

function M.mode(_, inputs, dim, keep)
    return byLine(inputs[1], dim, nil, keep == 1, function(line)
        local places, best, bestCount, k = order(line), 1, 0, 1
        while k <= #places do
            local last = k
            while last < #places and not below(line[places[k] + 1], line[places[last + 1] + 1]) do last = last + 1 end
            if last - k + 1 > bestCount then best, bestCount = last, last - k + 1 end
            k = last + 1
        end
        return pick(line, places, best, best)
    end)
end

return M
