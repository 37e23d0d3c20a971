-- report.lua: the matrix of ops and dtypes, the failures, the counts; or all of it as JSON.
local types = require 'torch.types'

local M = {}

local COVERAGE = {[0] = 'missing', 'composed', 'generated', 'native'}
local LETTER = {missing = '-', composed = 'c', generated = 'g', native = 'n'}
local SHORT = {float32 = 'f32', float64 = 'f64', float16 = 'f16', bfloat16 = 'bf16', uint8 = 'u8', int8 = 'i8', int16 = 'i16',
    int32 = 'i32', int64 = 'i64', bool = 'bool'}

function M.coverageName(number) return COVERAGE[number] end

local function cell(op, result)
    if not result or result.applies == false then return '' end
    if result.failed > 0 then return '!' end
    if result.missing then return '-' end
    return LETTER[COVERAGE[op.coverage]] .. (result.unknown and '?' or '')
end

-- The last column: gradients.
local function gradientCell(op)
    if not op.gradient or op.gradient == 'none' then return '' end
    return op.gradient == 'wrong' and '!' or op.gradient == 'missing' and '-' or 'ok'
end

function M.matrix(ops)
    local header = {('%-32s'):format 'op'}
    for _, type in ipairs(types.list) do header[#header + 1] = ('%4s'):format(SHORT[type.name]) end
    local lines = {table.concat(header, ' ') .. ' grad'}
    for _, op in ipairs(ops) do
        local line = {('%-32s'):format(op.name)}
        for _, type in ipairs(types.list) do line[#line + 1] = ('%4s'):format(cell(op, op.results[type.name])) end
        lines[#lines + 1] = ((table.concat(line, ' ') .. ' ' .. gradientCell(op)):gsub('%s+$', ''))
    end
    lines[#lines + 1] = 'n native, g generated, c composed, - missing, ! wrong, ? no reference; blank: the op has no such dtype'
    return table.concat(lines, '\n')
end

function M.failures(ops, general)
    local lines = {}
    for _, op in ipairs(ops) do
        for _, failure in ipairs(op.failures) do
            lines[#lines + 1] = ('%s(%s | %s) %s, %s: %s'):format(op.name, failure.inputs, failure.attributes, failure.type,
                failure.variant, failure.message)
        end
        if op.untold > 0 then lines[#lines + 1] = ('%s: and %d more'):format(op.name, op.untold) end
    end
    for _, failure in ipairs(general) do lines[#lines + 1] = ('%s: %s'):format(failure.check, failure.message) end
    return table.concat(lines, '\n')
end

function M.summary(backend, counts)
    return ('%s: %d ops: %d native, %d generated, %d composed, %d missing, %d dtypes of others missing; '
        .. '%d checks passed, %d failed%s'):format(backend,
        counts.ops, counts.native, counts.generated, counts.composed, counts.missing, counts.missingTypes, counts.passed,
        counts.failed, counts.unknown > 0 and (', %d without a reference'):format(counts.unknown) or '')
end

-- The whole as JSON text. An empty list is left out: cjson would call it an object.
function M.json(report) return require 'cjson'.encode(report) end

return M
