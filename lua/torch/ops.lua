-- ops.lua: the library's ops as Lua functions, written from the op table's signatures the first time each is used.
--
--   ops.matmul(a, b)              new tensors, one for each output
--   ops.into.matmul(out, a, b)    writes the tensors given first, returns the first
--   ops.fused.linear(chain, n, x, weight, bias)      new tensors, with a chain of n dl_epilogue on the first
--
-- Semantics are the library's: dimensions from 0, PyTorch's broadcasting and promotion. Arguments stand in the signature's
-- order: tensors (nil where optional), Lua arrays of tensors, numbers, booleans, strings, Lua arrays of integers, dtype
-- numbers; nil takes the default. The generated code fills arrays allocated once: a call makes no garbage but its results.
local ffi = require 'ffi'
local base = require 'dlrun.ffi'
local raw = require 'torch.raw'

local C = base.C
local newTensor, isTensor = raw.new, raw.isTensor

local MAX_ATTRIBUTES, LIST_CAPACITY = 32, 32

-- Views of one dl_attr array: one plain index each, where attr[k].v.f takes three.
local attr = ffi.new('dl_attr[?]', MAX_ATTRIBUTES)
local scratch = {
    attr = attr,
    kind = ffi.cast('int32_t *', attr),    -- [4k] kind, [4k + 1] n
    int = ffi.cast('int64_t *', attr),     -- [2k + 1]
    float = ffi.cast('double *', attr),    -- [2k + 1]
    list = ffi.cast('void **', attr),      -- [2k + 1]
    outs = ffi.new('dl_tensor *[8]'),
    ins = nil, -- grows
    capacity = 0,
    lists = {},
}
assert(ffi.sizeof 'dl_attr' == 16)
for k = 0, MAX_ATTRIBUTES - 1 do scratch.lists[k] = ffi.new('int64_t[?]', LIST_CAPACITY) end

-- Room for n input tensors.
local function reserve(n)
    if n > scratch.capacity then
        scratch.capacity = 2 * n
        scratch.ins = ffi.new('const dl_tensor *[?]', scratch.capacity)
    end
    return scratch.ins
end
reserve(64)

-- ---- what generated code calls -----------------------------------------------------------------------------------------

-- A Scalar attribute: whole numbers count as integers in type promotion, int64 cdata keep all their bits.
local function setScalar(slot, value)
    if type(value) == 'number' and (value % 1 ~= 0 or value * 0 ~= 0 or (value == 0 and 1 / value < 0)
        or value >= 2 ^ 63 or value < -2 ^ 63) then
        scratch.kind[4 * slot] = C.DL_ATTR_FLOAT
        scratch.float[2 * slot + 1] = value
    else
        scratch.kind[4 * slot] = C.DL_ATTR_INT
        scratch.int[2 * slot + 1] = value
    end
end

local function setInts(slot, values)
    local array = scratch.lists[slot]
    local n = values and #values or 0
    if n > LIST_CAPACITY then base.fail('a list of at most %d numbers, not %d', LIST_CAPACITY, n) end
    for k = 1, n do
        if type(values[k]) ~= 'number' then base.fail('element %d of a list of numbers is a %s', k, type(values[k])) end
        if values[k] % 1 ~= 0 then base.fail('element %d of a list of whole numbers is %s', k, tostring(values[k])) end
        array[k - 1] = values[k]
    end
    scratch.kind[4 * slot] = C.DL_ATTR_INTS
    scratch.kind[4 * slot + 1] = n
    scratch.list[2 * slot + 1] = array
end

-- The caller's argument keeps the string's bytes alive during the call.
local function setString(slot, value)
    if type(value) ~= 'string' then base.fail('expected a string, not a %s', type(value)) end
    scratch.kind[4 * slot] = C.DL_ATTR_STRING
    ffi.cast('const char **', attr)[2 * slot + 1] = value
end

local function describe(value)
    if isTensor(value) then return 'a tensor' end
    return value == nil and 'nothing' or 'a ' .. type(value)
end

local function badTensor(op, name, value) base.fail('%s: %s must be a tensor, not %s', op, name, describe(value)) end

-- int64 cdata count as numbers.
local function isNumber(value)
    return type(value) == 'number' or type(value) == 'cdata' and (ffi.istype('int64_t', value) or ffi.istype('uint64_t', value))
end

local function badNumber(op, name, value, kind)
    local got = type(value) == 'number' and tostring(value) or describe(value)
    base.fail('%s: %s must be a %snumber, not %s', op, name, kind or '', got)
end

scratch.setScalar, scratch.setInts, scratch.setString = setScalar, setInts, setString
scratch.isNumber, scratch.badNumber = isNumber, badNumber

local retrying = false

-- A call failed. Out of memory: collects and calls once more.
local function failed(status, call, ...)
    if status ~= C.DL_NOMEM or retrying then base.check(status) end
    raw.relieve()
    retrying = true
    local results = {pcall(call, ...)}
    retrying = false
    if not results[1] then error(results[2], 0) end
    return unpack(results, 2)
end

-- ---- signatures --------------------------------------------------------------------------------------------------------

-- {name, inputs = {{name, var, kind}}, attributes = {{name, var, kind}}, variables, outputs}. kind of an input: one,
-- optional, list; var is its variable in the generated code, prefixed to keep clear of Lua's words; variables has them all, in
-- order.
local function parse(info)
    local signature = ffi.string(info.signature)
    local arguments = signature:match '%((.*)%)' or ''
    local parsed = {name = ffi.string(info.name), inputs = {}, attributes = {}, variables = {}, outputs = info.n_outputs}
    for argument in arguments:gmatch '[^,]+' do
        local kind, name = argument:match '^%s*(%S+)%s+([%w_]+)'
        if kind:sub(1, 6) == 'Tensor' then
            local form = kind:find('[]', 1, true) and 'list' or kind:find('?', 1, true) and 'optional' or 'one'
            table.insert(parsed.inputs, {name = name, var = 'v_' .. name, kind = form})
        else
            table.insert(parsed.attributes, {name = name, var = 'v_' .. name, kind = kind})
        end
        table.insert(parsed.variables, 'v_' .. name)
    end
    return parsed
end

-- ---- code --------------------------------------------------------------------------------------------------------------

-- How a value of each attribute type gets into its slot: VAR its variable, AT and KIND places in the views of attr.
local setters = {
    int = 'int[AT] = isNumber(VAR) and VAR % 1 == 0 and VAR or badNumber(NAME, "ARG", VAR, "whole "); kind[KIND] = INT',
    float = 'float[AT] = isNumber(VAR) and VAR or badNumber(NAME, "ARG", VAR); kind[KIND] = FLOAT',
    bool = 'int[AT] = (VAR and VAR ~= 0) and 1 or 0; kind[KIND] = INT',
    Scalar = 'setScalar(SLOT, isNumber(VAR) and VAR or badNumber(NAME, "ARG", VAR))',
    string = 'setString(SLOT, VAR)',
}
setters.dtype = setters.int

local function attributeCode(slot, attribute)
    if attribute.kind == 'int[]' then return ('setInts(%d, %s)\n'):format(slot, attribute.var) end
    local set = 'if VAR == nil then kind[KIND] = NONE else ' .. setters[attribute.kind] .. ' end\n'
    local places = {VAR = attribute.var, ARG = attribute.name, SLOT = slot, AT = 2 * slot + 1, KIND = 4 * slot}
    return (set:gsub('%u+', places))
end

-- Statements that put the inputs into ins[]; their number as an expression.
local function inputCode(op)
    local code, single, lists = {}, 0, {}
    for _, input in ipairs(op.inputs) do
        if input.kind == 'list' then lists[#lists + 1] = '#' .. input.var end
    end
    if #lists > 0 then
        code[1] = ('local ins, n = reserve(%d + %s), 0\n'):format(#op.inputs, table.concat(lists, ' + '))
    end
    for _, input in ipairs(op.inputs) do
        local var = input.var
        if input.kind == 'list' then
            code[#code + 1] = ('for k = 1, #%s do\nlocal x = %s[k]\n'):format(var, var)
            code[#code + 1] = ('if not isTensor(x) then badTensor(NAME, "%s[" .. k .. "]", x) end\n'):format(input.name)
            code[#code + 1] = 'ins[n] = x._t; n = n + 1\nend\n'
        else
            local at = #lists > 0 and 'n' or tostring(single)
            local set = ('if not isTensor(%s) then badTensor(NAME, "%s", %s) end; ins[%s] = %s._t')
                :format(var, input.name, var, at, var)
            if input.kind == 'optional' then set = ('if %s == nil then ins[%s] = nil else %s end'):format(var, at, set) end
            code[#code + 1] = set .. (#lists > 0 and '; n = n + 1\n' or '\n')
            single = single + 1
        end
    end
    return table.concat(code), #lists > 0 and 'n' or tostring(single)
end

-- The parameter list: what stands ahead, then the arguments in the signature's order.
local function parameters(op, ahead)
    local list = {unpack(ahead)}
    for _, variable in ipairs(op.variables) do list[#list + 1] = variable end
    return table.concat(list, ', ')
end

local prologue = [[
local NAME, ID, C, call, callFused, new, isTensor, badTensor, failed, pressed, reserve, s = ...
local setScalar, setInts, setString, isNumber, badNumber = s.setScalar, s.setInts, s.setString, s.isNumber, s.badNumber
local NONE, INT, FLOAT = C.DL_ATTR_NONE, C.DL_ATTR_INT, C.DL_ATTR_FLOAT
local attr, kind, int, float, outs, ins, bell = s.attr, s.kind, s.int, s.float, s.outs, s.ins, C.dl_memory_pressure()
local self
self = function(%s)
]]

-- The three forms of an op's function: what stands before its arguments, and how it calls the library.
local forms = {
    new = {ahead = {}, call = 'call(ID, ins, %s, outs, %d, attr, %d)'},
    into = {call = 'call(ID, ins, %s, outs, %d, attr, %d)'}, -- ahead: the results
    fused = {ahead = {'chain', 'links'}, call = 'callFused(ID, ins, %s, outs, %d, attr, %d, chain, links)'},
}

-- Source of the function.
local function source(op, form)
    local results, body, into = {}, {}, form == forms.into
    for k = 1, op.outputs do results[k] = 'r' .. k end
    for k = 1, op.outputs do
        if not into then body[#body + 1] = ('local r%d = new()\n'):format(k) end
        if into then body[#body + 1] = ('if not isTensor(r%d) then badTensor(NAME, "result %d", r%d) end\n'):format(k, k, k) end
    end
    local inputs, n = inputCode(op)
    body[#body + 1] = inputs
    for k = 1, op.outputs do body[#body + 1] = ('outs[%d] = r%d._t\n'):format(k - 1, k) end
    for k, attribute in ipairs(op.attributes) do body[#body + 1] = attributeCode(k - 1, attribute) end
    local list = parameters(op, form.ahead or results)
    body[#body + 1] = ('local status = ' .. form.call .. '\n'):format(n, op.outputs, #op.attributes)
    body[#body + 1] = ('if status ~= 0 then return failed(status, self%s) end\n'):format(list == '' and '' or ', ' .. list)
    body[#body + 1] = 'if bell[0] ~= 0 then pressed() end\n'
    body[#body + 1] = ('return %s\n'):format(into and (results[1] or '') or table.concat(results, ', '))
    return prologue:format(list) .. table.concat(body) .. 'end\nreturn self'
end

local call, callFused = C.dl_call, C.dl_call_fused

local function build(name, form)
    local id = C.dl_op_find(name)
    if id < 0 then return nil end
    local info = ffi.new 'dl_op_info'
    base.check(C.dl_op_get(id, info))
    local op = parse(info)
    local chunk = assert(loadstring(source(op, form), '=dlrun:' .. name))
    return chunk(name, id, C, call, callFused, newTensor, isTensor, badTensor, failed, raw.pressed, reserve,
        scratch)
end

local function lazy(form)
    return setmetatable({}, {__index = function(t, name)
        local f = build(name, form)
        if not f then base.fail("there is no op '%s'", tostring(name)) end
        rawset(t, name, f)
        return f
    end})
end

local M = lazy(forms.new)
M.into = lazy(forms.into)
M.fused = lazy(forms.fused)
return M
