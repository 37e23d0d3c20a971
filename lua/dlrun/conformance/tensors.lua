-- tensors.lua: a case's text as values, and values as tensors of any device, dtype and memory layout.
local ffi = require 'ffi'
local base = require 'dlrun.ffi'
local host = require 'torch.host'
local raw = require 'torch.raw'
local types = require 'torch.types'
local ops = require 'torch.ops'
local C = base.C

local M = {}

M.SEED = 11 -- of random ops: a call draws the same numbers every time

local LETTERS = {d = 'float64', f = 'float32', h = 'float16', i = 'int64', x = 'int64', n = 'int32', u = 'uint8', b = 'bool'}

-- ---- values --------------------------------------------------------------------------------------------------------------

-- A linear congruential generator (Knuth's MMIX multiplier, reduced to what doubles hold exactly): enough for test values.
local function generator(seed)
    local state = seed % 2147483647 + 1
    return function()
        state = state * 16807 % 2147483647
        return state / 2147483647
    end
end

-- Keeps away from whole and half numbers, where functions jump.
local function real(draw, lo, hi)
    local x
    repeat
        x = lo + (hi - lo) * draw()
        local twice = 2 * x
    until math.abs(twice - math.floor(twice + 0.5)) >= 0.04
    return x
end

local function whole(draw, lo, hi, type)
    if type.kind == 'bool' then return draw() < 0.5 and 0 or 1 end
    lo, hi = math.ceil(lo), math.floor(hi)
    if type.name == 'uint8' and lo < 0 then lo = 0 end
    if hi < lo then hi = lo end
    return lo + math.floor(draw() * (hi - lo + 1))
end

local function count(shape)
    local n = 1
    for _, size in ipairs(shape) do n = n * size end
    return n
end
M.count = count

-- One word of a case's inputs: {shape, type (nil: the one in test), wide (no half), lo, hi, limit (of indices: how many
-- elements they choose from), constant, transposed}.
local function parseInput(word)
    if word == '-' then return false end
    local letter, rest = word:match '^(%a):(.*)$'
    local fixed = LETTERS[letter] and types.byName[LETTERS[letter]]
    local spec = {constant = letter == 'c', wide = letter == 'w', type = fixed, shape = {}}
    local sizes, lo, hi = (rest or word):match '^([^@]*)@?([^:]*):?(.*)$'
    sizes, spec.transposed = sizes:gsub('%^', '')
    spec.transposed = spec.transposed > 0
    for size in sizes:gmatch '%d+' do table.insert(spec.shape, tonumber(size)) end
    spec.lo, spec.hi = tonumber(lo), tonumber(hi)
    if letter == 'x' then spec.limit = spec.hi or error(('index input "%s" has no range'):format(word), 0) end
    return spec
end

function M.inputs(text)
    local specs = {}
    for word in text:gmatch '%S+' do table.insert(specs, parseInput(word)) end
    return specs
end

-- The type of an input where `type` is in test.
function M.typeOf(spec, type)
    if spec.type then return spec.type end
    return spec.wide and type.packed and types.byName.float32 or type
end

-- Values of an input as a Lua array in logical order, for the type. As text has it, an integer's range excludes its end.
function M.values(spec, type, seed)
    local draw, values = generator(seed), {}
    local fixed = spec.type and not spec.type.floating
    local lo, hi = spec.lo or (fixed and 0 or -2), spec.hi or 2
    if fixed then hi = hi - 1 end
    for k = 1, count(spec.shape) do
        values[k] = type.floating and real(draw, lo, hi) or whole(draw, lo, hi, type)
    end
    return values
end

-- Values at the ends of each integer dtype and between them; of int64 those that a double holds, since references are in
-- doubles. No 0, by which a division may refuse the whole call.
local EXTREMES = {
    uint8 = {255, 3, 128, 1, 127, 200, 64},
    int8 = {-128, 127, 3, -1, 100, 1, -65},
    int16 = {-32768, 32767, 3, -1, 256, 1, -257},
    int32 = {-2147483648, 2147483647, 3, -1, 65537, 1, -16777217},
    int64 = {-9007199254740991, 9007199254740991, 3, -1, 1099511627777, 1, -4294967296},
}

-- Values for input number k as M.values gives them, of the whole range of an integer type; nil where the case fixes a type or
-- a range, or the type is none of these.
function M.extremes(spec, type, k)
    local list = EXTREMES[type.name]
    if not list or spec.type or spec.hi then return nil end
    local values = {}
    for n = 1, count(spec.shape) do values[n] = list[(n * k - 1) % #list + 1] end
    return values
end

-- ---- attributes ------------------------------------------------------------------------------------------------------------

-- A case's attributes for a dtype: {array (of dl_attr), n, keep (what the array points to)}.
function M.attributes(text, dtype)
    local words, keep = {}, {}
    for word in text:gmatch "%S+" do table.insert(words, word) end
    local attr = ffi.new('dl_attr[?]', math.max(#words, 1))
    for k, word in ipairs(words) do
        local a = attr[k - 1]
        if word == 'T' then
            a.kind, a.v.i = C.DL_ATTR_INT, dtype
        elseif word:sub(1, 1) == "'" then
            keep[k] = word:sub(2, -2)
            a.kind, a.v.s = C.DL_ATTR_STRING, keep[k]
        elseif word:sub(1, 1) == '[' then
            local numbers = {}
            for number in word:gmatch '-?%d+' do table.insert(numbers, tonumber(number)) end
            keep[k] = ffi.new('int64_t[?]', math.max(#numbers, 1), numbers)
            a.kind, a.n, a.v.iv = C.DL_ATTR_INTS, #numbers, keep[k]
        elseif word ~= '_' then
            local x = tonumber(word) or word == 'inf' and math.huge
            if word:find '[.ein]' then
                a.kind, a.v.f = C.DL_ATTR_FLOAT, x
            else
                a.kind, a.v.i = C.DL_ATTR_INT, x
            end
        end
    end
    return {array = attr, n = #words, keep = keep}
end

-- ---- tensors ---------------------------------------------------------------------------------------------------------------

local cpu = ffi.new 'dl_device *[1]'
base.check(C.dl_device_open('cpu', cpu))
M.cpu = cpu[0]

-- A contiguous tensor on the CPU.
function M.host(values, type, shape)
    local wide = raw.empty(C.DL_F64, shape, M.cpu)
    local n = #values
    if n > 0 then base.check(C.dl_tensor_write(wide._t, ffi.new('double[?]', n, values), n * 8)) end
    return type.dtype == C.DL_F64 and wide or raw.to(wide, M.cpu, type.dtype)
end

-- A tensor's elements as a Lua array of numbers, in logical order.
function M.read(x)
    local data, n = host.read(raw.to(raw.to(x, M.cpu, nil), M.cpu, C.DL_F64))
    local values = {}
    for k = 1, n do values[k] = data[k - 1] end
    return values
end

function M.shape(x)
    local shape = {}
    for d = 1, x._t.ndim do shape[d] = tonumber(x._t.shape[d - 1]) end
    return shape
end

local function withLast(shape, size)
    local other = {unpack(shape)}
    other[#other] = size
    return other
end

-- Uninitialised tensors of a shape, laid in other ways; nil where a shape has no such layout.
local layouts = {}

function layouts.contiguous(dtype, shape, device) return raw.empty(dtype, shape, device) end

-- From the second element on, every other one.
function layouts.strided(dtype, shape, device)
    if #shape == 0 then return nil end
    local last = shape[#shape]
    return ops.slice(raw.empty(dtype, withLast(shape, 2 * last + 1), device), -1, 1, last, 2)
end

function layouts.transposed(dtype, shape, device)
    if #shape < 2 then return nil end
    local turned = {unpack(shape)}
    turned[1], turned[#turned] = turned[#turned], turned[1]
    return ops.transpose(raw.empty(dtype, turned, device), 0, -1)
end

-- Contiguous, three elements into its storage.
function layouts.offset(dtype, shape, device)
    local flat = ops.slice(raw.empty(dtype, {count(shape) + 5}, device), 0, 3, count(shape))
    return ops.view(flat, shape)
end

-- A copy of a CPU tensor on a device in a layout.
function M.laid(x, how, device)
    local y = layouts[how](x._t.type, M.shape(x), device)
    if not y then return nil end
    ops.into.copy(y, raw.to(x, device, nil))
    return y
end

-- A tensor like x that is every other element along the last dimension of a longer one, and a view of what lies between: ones.
-- A 0-dim x has nothing between: nil.
function M.spaced(x)
    local shape, device, ones = M.shape(x), C.dl_device_of(x._t), {}
    if #shape == 0 then return raw.empty(x._t.type, shape, device), nil end
    local last = shape[#shape]
    local longer = withLast(shape, 2 * last + 1)
    for k = 1, count(longer) do ones[k] = 1 end
    local all = raw.to(M.host(ones, types.byDtype[x._t.type], longer), device, nil)
    return ops.slice(all, -1, 1, last, 2), ops.slice(all, -1, 0, last + 1, 2)
end

-- The first slice, seen as often as x has slices.
function M.expanded(x)
    local shape = M.shape(x)
    if #shape == 0 or shape[1] < 2 then return x end
    return ops.expand(ops.slice(x, 0, 0, 1), shape)
end

return M
