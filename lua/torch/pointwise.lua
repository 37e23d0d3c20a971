-- pointwise.lua: elementwise functions. x:f(…) works in place, torch.f(…) is new, torch.f(res, …) and x:f(source, …) put the
-- result into a tensor of the caller's. Integer tensors stay integer; scalars are truncated for them, as in Torch7.
local base = require 'dlrun.ffi'
local class = require 'torch.class'
local ops = require 'torch.ops'
local raw = require 'torch.raw'
local resize = require 'torch.resize'
local tensor = require 'torch.tensor'

local C = base.C
local fail = base.fail
local into = ops.into
local luaType = type
local isTensor = raw.isTensor
local Tensor = tensor.Tensor
local paired, number = resize.paired, tensor.number

local M = {}
local F = {}
M.functions = F

-- res as an output for a pointwise call on x: x's size if res is another tensor.
local function target(res, x)
    raw.descriptor(res)
    raw.descriptor(x)
    if res ~= x then resize.to(res, resize.fullShape(x)) end
    return res
end

-- ---- one tensor --------------------------------------------------------------------------------------------------------

-- Torch7's name -> the op, where they differ.
local unary = {
    abs = 'abs', acos = 'acos', asin = 'asin', atan = 'atan', ceil = 'ceil', cos = 'cos', cosh = 'cosh', exp = 'exp',
    floor = 'floor', frac = 'frac', log = 'log', log1p = 'log1p', neg = 'neg', round = 'round_away', rsqrt = 'rsqrt',
    sigmoid = 'sigmoid', sign = 'sign', sin = 'sin', sinh = 'sinh', sqrt = 'sqrt', tan = 'tan', tanh = 'tanh', trunc = 'trunc',
    cinv = 'reciprocal',
}

-- x:name([source]), torch.name([res,] x), for an op of one tensor; further arguments are the op's attributes. (At most three:
-- with `...` in their place LuaJIT would not compile the calls.)
local function defineUnary(name, op)
    local function run(res, x, a, b, c)
        if not isTensor(x) then return into[op](tensor.expect(res, name, 1), res, x, a, b) end
        return into[op](target(res, x), x, a, b, c)
    end
    Tensor[name] = run
    F[name] = function(x, second, a, b, c)
        if isTensor(second) then return run(x, second, a, b, c) end
        return ops[op](tensor.expect(x, name, 1), second, a, b)
    end
end
for name, op in pairs(unary) do defineUnary(name, op) end

-- Every other op of one tensor that is an expression is here under its own name, in camelCase; found when first used.
local function snake(name) return (name:gsub('%u', function(c) return '_' .. c:lower() end)) end

local function defineOnDemand(name)
    if luaType(name) ~= 'string' or not name:find '^[%a]' then return false end
    local id = C.dl_op_find(snake(name))
    if id < 0 then return false end
    local info = base.ffi.new 'dl_op_info'
    base.check(C.dl_op_get(id, info))
    local _, tensors = base.ffi.string(info.signature):gsub('Tensor[^,]* %a', '')
    if bit.band(info.flags, 32) == 0 or tensors ~= 1 or name:find '_' then return false end
    defineUnary(name, snake(name))
    return true
end

-- torch[name] for such an op, or nil; its method comes with it.
function M.find(name) return defineOnDemand(name) and F[name] or nil end

setmetatable(Tensor, {__index = function(_, name) return defineOnDemand(name) and rawget(Tensor, name) or nil end})

-- ---- tensor and operand ------------------------------------------------------------------------------------------------

-- x (op) operand: a number or a tensor. integer: the op's name for two integer tensors.
local binary = {
    mul = {op = 'mul'}, cmul = {op = 'mul'},
    div = {op = 'div', integer = 'idiv'}, cdiv = {op = 'div', integer = 'idiv'},
    pow = {op = 'pow'}, cpow = {op = 'pow'},
    fmod = {op = 'fmod'}, mod = {op = 'fmod'}, cfmod = {op = 'fmod'}, cmod = {op = 'fmod'},
    remainder = {op = 'remainder'}, cremainder = {op = 'remainder'},
    cmax = {op = 'maximum'}, cmin = {op = 'minimum'},
    lshift = {op = 'shift_left'}, clshift = {op = 'shift_left'},
    rshift = {op = 'shift_right'}, crshift = {op = 'shift_right'},
    bitand = {op = 'bit_and'}, cbitand = {op = 'bit_and'},
    bitor = {op = 'bit_or'}, cbitor = {op = 'bit_or'},
    bitxor = {op = 'bit_xor'}, cbitxor = {op = 'bit_xor'},
    atan2 = {op = 'atan2', tensorOnly = true},
}

local function isInteger(x)
    local t = x._t.type
    return t >= C.DL_U8 and t <= C.DL_I64
end

-- The op's name for these operands.
local function choose(row, x, y)
    if row.integer and isInteger(x) and (not isTensor(y) or isInteger(y)) then return row.integer end
    return row.op
end

-- New: x (op) y.
local function combine(row, name, x, y)
    if isTensor(y) then return ops[choose(row, x, y)](x, paired(y, x)) end
    if row.tensorOnly then fail('%s: a tensor is expected, not a %s', name, class.type(y)) end
    return ops[row.scalar[choose(row, x, y)]](x, number(y, x, name))
end

local function combineInto(row, name, res, x, y)
    target(res, x)
    if isTensor(y) then return into[choose(row, x, y)](res, x, paired(y, x)) end
    if row.tensorOnly then fail('%s: a tensor is expected, not a %s', name, class.type(y)) end
    return into[row.scalar[choose(row, x, y)]](res, x, number(y, x, name))
end

for name, row in pairs(binary) do
    row.scalar = {[row.op] = row.op .. '_scalar'}
    if row.integer then row.scalar[row.integer] = row.integer .. '_scalar' end
    Tensor[name] = function(res, x, y)
        if y == nil then return combineInto(row, name, res, res, x) end
        return combineInto(row, name, res, tensor.expect(x, name, 2), y)
    end
    F[name] = function(res, x, y)
        if y == nil then return combine(row, name, tensor.expect(res, name, 1), x) end
        return combineInto(row, name, tensor.expect(res, name, 1), tensor.expect(x, name, 2), y)
    end
end

-- torch.pow(number, x): the number to the powers x.
local pow = F.pow
function F.pow(a, b, c)
    if luaType(a) == 'number' then return ops.rpow_scalar(tensor.expect(b, 'pow', 2), a) end
    if luaType(b) == 'number' and isTensor(c) then return into.rpow_scalar(target(a, c), c, b) end
    return pow(a, b, c)
end

local tensorPow = Tensor.pow
function Tensor.pow(x, a, b)
    if b ~= nil and luaType(a) == 'number' then return into.rpow_scalar(target(x, b), b, a) end
    return tensorPow(x, a, b)
end

-- ---- add and csub: x + value, x + y, x + value * y ---------------------------------------------------------------------

-- res (nil: new) = x + v, or x + v * y
local function sum(sign, res, x, v, y)
    local op, scalarOp = sign > 0 and 'add' or 'sub', sign > 0 and 'add_scalar' or 'sub_scalar'
    if y == nil and isTensor(v) then v, y = nil, v end
    if y == nil then
        v = number(v, x, op)
        if not res then return ops[scalarOp](x, v) end
        return into[scalarOp](target(res, x), x, v)
    end
    y = paired(tensor.expect(y, op, 3), x)
    if v ~= nil then v = number(v, x, op) end
    if not res then return ops[op](x, y, v) end
    return into[op](target(res, x), x, y, v)
end

-- (x, v), (x, y), (x, v, y), (res, x, v), (res, x, y), (res, x, v, y)
local function additive(name, sign)
    F[name] = function(a, b, c, d)
        tensor.expect(a, name, 1)
        if c == nil then return sum(sign, nil, a, b) end
        if d ~= nil then return sum(sign, a, tensor.expect(b, name, 2), c, d) end
        if isTensor(b) then return sum(sign, a, b, c) end
        return sum(sign, nil, a, b, c)
    end
    Tensor[name] = function(x, a, b, c)
        if b == nil then return sum(sign, x, x, a) end
        if c ~= nil then return sum(sign, x, tensor.expect(a, name, 2), b, c) end
        if isTensor(a) then return sum(sign, x, a, b) end
        return sum(sign, x, x, a, b)
    end
end
additive('add', 1)
additive('csub', -1)
F.sub = F.csub

-- ---- three tensors -----------------------------------------------------------------------------------------------------

-- x + value * a (op) b: ([res,] x, [value,] a, b)
local function accumulate(name)
    local function parse(...)
        local list = {...}
        local b, a = table.remove(list), table.remove(list)
        local value = 1
        if luaType(list[#list]) == 'number' then value = table.remove(list) end
        tensor.expect(a, name, 2)
        tensor.expect(b, name, 3)
        local x = tensor.expect(table.remove(list), name, 1)
        return list[1], x, number(value, x, name), paired(a, x), paired(b, x)
    end
    F[name] = function(...)
        local res, x, value, a, b = parse(...)
        if res then return into[name](target(res, x), x, a, b, value) end
        return ops[name](x, a, b, value)
    end
    Tensor[name] = function(self, ...)
        local _, x, value, a, b = parse(self, ...)
        return into[name](target(self, x), x, a, b, value)
    end
end
accumulate 'addcmul'
accumulate 'addcdiv'

-- a + weight * (b - a)
local function lerp(res, a, b, weight)
    local op = isTensor(weight) and 'lerp_tensor' or 'lerp'
    b = paired(tensor.expect(b, 'lerp', 2), a)
    if res then return into[op](target(res, a), a, b, weight) end
    return ops[op](a, b, weight)
end
function F.lerp(a, b, c, d)
    if d ~= nil then return lerp(a, b, c, d) end
    return lerp(nil, tensor.expect(a, 'lerp', 1), b, c)
end
function Tensor.lerp(x, a, b, c)
    if c ~= nil then return lerp(x, a, b, c) end
    return lerp(x, x, a, b)
end

-- ---- clamp -------------------------------------------------------------------------------------------------------------

-- Either bound may be nil.
local function clamp(res, x, low, high)
    local bound = number(low or high, x, 'clamp')
    local op = (low and high) and 'clamp' or low and 'clamp_min' or 'clamp_max'
    local second = (low and high) and number(high, x, 'clamp') or nil
    if res then return into[op](target(res, x), x, bound, second) end
    return ops[op](x, bound, second)
end
function F.clamp(a, b, c, d)
    tensor.expect(a, 'clamp', 1)
    if isTensor(b) then return clamp(a, b, c, d) end
    return clamp(nil, a, b, c)
end
function Tensor.clamp(x, a, b, c)
    if isTensor(a) then return clamp(x, a, b, c) end
    return clamp(x, x, a, b)
end

-- ---- comparisons: always new, torch.ByteTensor (Bool where x is Bool) ---------------------------------------------------

-- A fresh Bool tensor under Byte's name: the same bytes.
local function asByte(y)
    y._t.type = C.DL_U8
    y._t.element.code, y._t.element.bits = 1, 8
    return y
end

for _, name in ipairs {'eq', 'ne', 'lt', 'le', 'gt', 'ge'} do
    local scalarOp = name .. '_scalar'
    local function compare(x, y)
        tensor.expect(x, name, 1)
        local r
        if isTensor(y) then
            r = ops[name](x, paired(y, x))
        elseif luaType(y) == 'boolean' then
            r = ops[scalarOp](x, y and 1 or 0)
        else
            r = ops[scalarOp](x, number(y, nil, name))
        end
        return x._t.type == C.DL_BOOL and r or asByte(r)
    end
    local function run(a, b, c)
        if c == nil then return compare(a, b) end
        return into.copy(target(a, b), compare(b, c))
    end
    F[name], Tensor[name] = run, run
end

for _, name in ipairs {'isnan', 'isinf', 'isfinite'} do
    local function run(x) return asByte(ops[name](tensor.expect(x, name, 1))) end
    F[name], Tensor[name] = run, run
end

-- ---- operators ---------------------------------------------------------------------------------------------------------

local operators = tensor.operators

local function isNumber(v) return luaType(v) == 'number' end

function operators.add(a, b)
    if isNumber(a) then a, b = b, a end
    return sum(1, nil, tensor.expect(a, '+', 1), b)
end

function operators.sub(a, b)
    if isNumber(a) then return ops.rsub_scalar(b, number(a, b, '-')) end
    return sum(-1, nil, tensor.expect(a, '-', 1), b)
end

-- Scale, dot product, matrix product; a 0-dim tensor scales.
function operators.mul(a, b)
    if isNumber(a) then a, b = b, a end
    if isNumber(b) then return combine(binary.mul, '*', a, b) end
    tensor.expect(a, '*', 1)
    tensor.expect(b, '*', 2)
    if a._t.ndim == 0 or b._t.ndim == 0 then return ops.mul(a, b) end
    local product = ops.matmul(a, b)
    return product._t.ndim == 0 and tensor.scalar(product) or product
end

function operators.div(a, b)
    if not isNumber(a) then return combine(binary.div, '/', tensor.expect(a, '/', 1), b) end
    if isInteger(b) then return ops.idiv(raw.empty(b._t.type, {}, raw.device(b)):fill(a), b) end
    return ops.rdiv_scalar(b, a)
end

function operators.pow(a, b)
    if isNumber(a) then return ops.rpow_scalar(b, number(a, b, '^')) end
    return combine(binary.pow, '^', tensor.expect(a, '^', 1), b)
end

function operators.mod(a, b)
    if isNumber(a) then a = raw.empty(b._t.type, {}, raw.device(b)):fill(a) end
    return combine(binary.remainder, '%', tensor.expect(a, '%', 1), b)
end

function operators.unm(a) return ops.neg(a) end

-- A 0-dim tensor stands for a Lua number (a loss, on the tape or not) and has its order.
local function ordered(v)
    if isNumber(v) then return v end
    if isTensor(v) and v._t.ndim == 0 then return tensor.item(v) end
    fail('tensors have no order; :lt(), :le(), :gt(), :ge() compare element by element')
end

function operators.lt(a, b) return ordered(a) < ordered(b) end
function operators.le(a, b) return ordered(a) <= ordered(b) end

return M
