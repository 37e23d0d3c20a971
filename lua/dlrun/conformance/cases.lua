-- cases.lua: which calls the kit makes of each op. Ops that are expressions have generated calls; core/cases.def has those of
-- all others, and of expressions that want attributes or inputs from their domain; a plugin's author adds a file of the same
-- form (--cases).
local ffi = require 'ffi'
local base = require 'dlrun.ffi'
local constants = require 'dlrun.constants'
local C = base.C

local M = {}

local FLAGS = {DL_CASE_NO_GRADIENT = 'noGradient', DL_CASE_LONG = 'long', DL_CASE_WRITES = 'writes',
    DL_CASE_NAN_SPREADS = 'nanSpreads'}

local function readFile(path)
    local file = io.open(path, 'r')
    if not file then return nil end
    local text = file:read '*a'
    file:close()
    return text
end

-- Rows of a text of DL_CASE lines, by op.
local function addRows(byOp, text, path)
    text = text:gsub('/%*.-%*/', '')
    local _, written = text:gsub('DL_CASE%(', '')
    for op, inputs, attributes, flags in text:gmatch 'DL_CASE%("([^"]*)", "([^"]*)", "([^"]*)", ([^)]*)%)' do
        local row = {op = op, inputs = inputs, attributes = attributes}
        for name in flags:gmatch '[%w_]+' do
            if FLAGS[name] then row[FLAGS[name]] = true end
        end
        byOp[op] = byOp[op] or {}
        table.insert(byOp[op], row)
        written = written - 1
    end
    if written ~= 0 then
        error(('%s: %d malformed: expected DL_CASE("op", "inputs", "attributes", flags)'):format(path, written), 0)
    end
end

local function addBuiltin(byOp)
    for _, path in ipairs {base.root .. '../cases.def', base.root .. '../core/cases.def'} do
        local text = readFile(path)
        if text then return addRows(byOp, text, path) end
    end
    error('cases.def is not beside the Lua files: this installation of dlrun is incomplete', 0)
end

local SHAPES = {'2,3', '3', '2,1', '()', '1,3', '2,3', '2,3', '2,3'}

-- Calls of an expression: shapes that broadcast, and one shape for all.
local function expressionRows(op)
    local rows, broadcast, equal, attributes = {}, {}, {}, {}
    local arguments = op.signature:match '%((.*)%)' or ''
    for argument in arguments:gmatch '[^,]+' do
        local kind, rest = argument:match '^%s*(%S+)%s+(%S+)'
        if kind:sub(1, 6) == 'Tensor' then
            local fixed = kind:match ':(%w+)'
            local letter = fixed == 'bool' and 'b:' or fixed == 'int64' and 'i:' or ''
            table.insert(broadcast, letter .. (SHAPES[#broadcast + 1] or '2,3'))
            table.insert(equal, letter .. '3,5')
        elseif not rest:find '=' then
            table.insert(attributes, '1')
        end
    end
    local text = table.concat(attributes, ' ')
    rows[1] = {op = op.name, inputs = table.concat(broadcast, ' '), attributes = text}
    -- more values, of which some lie so near a jump that differences would reach over it
    rows[2] = {op = op.name, inputs = table.concat(equal, ' '), attributes = text, noGradient = true}
    return rows
end

-- Every op that is registered, by name: {id, name, signature, flags, outputs, differentiable, pointwise, rows}. Rows may be
-- empty. extra: paths of further case files.
function M.ops(extra)
    local byOp, list, info = {}, {}, ffi.new 'dl_op_info'
    addBuiltin(byOp)
    for _, path in ipairs(extra or {}) do
        addRows(byOp, readFile(path) or error(path .. ' cannot be read', 0), path)
    end
    for name in pairs(byOp) do
        if C.dl_op_find(name) < 0 then error(("a case names '%s', which is no op"):format(name), 0) end
    end
    for id = 0, C.dl_op_count() - 1 do
        base.check(C.dl_op_get(id, info))
        local op = {id = id, name = ffi.string(info.name), signature = ffi.string(info.signature), flags = info.flags,
            outputs = info.n_outputs, differentiable = info.differentiable ~= 0}
        op.pointwise = bit.band(op.flags, constants.flag.POINTWISE) ~= 0
        op.rows = byOp[op.name] or op.pointwise and expressionRows(op) or {}
        -- the gradient of an expression is an op too, but is called through its expression
        if not op.name:find '%.d%d+$' then table.insert(list, op) end
    end
    table.sort(list, function(a, b) return a.name < b.name end)
    return list
end

return M
