-- summary.lua: model:summary: a table of a model's modules, their output shapes and parameters, from one trial run that leaves
-- the model as it was.
local base = require 'dlrun.ffi'
local ops = require 'torch.ops'
local raw = require 'torch.raw'
local types = require 'torch.types'
local shapeOf = require 'torch.resize'.fullShape
local children = require 'nn.children'
local take = require 'torch.options'.take

local C = base.C
local isTensor = raw.isTensor

-- ---- the modules -------------------------------------------------------------------------------------------------------

local function bytesOf(x) return tonumber(torch.numel(x)) * types.byDtype[x._t.type].bytes end

-- Adds the row of a module and those below it. A module or a tensor that is met again counts nothing.
local function collect(module, path, facts, seen)
    local row = {path = path, module = module, parameters = 0, trainable = 0, shared = seen[module]}
    table.insert(facts.layers, row)
    if seen[module] then return end
    seen[module] = true
    for _, name in ipairs(children.parameterNames(module)) do
        local p = rawget(module, name)
        if not seen[p] then
            seen[p] = true
            local n = tonumber(torch.numel(p))
            row.parameters = row.parameters + n
            row.trainable = row.trainable + (raw.isFrozen(p) and 0 or n)
            facts.bytes = facts.bytes + bytesOf(p)
        end
    end
    for _, name in ipairs(module.buffers or {}) do
        local x = rawget(module, name)
        if isTensor(x) and not seen[x] then
            seen[x] = true
            facts.bytes = facts.bytes + bytesOf(x)
        end
    end
    facts.parameters = facts.parameters + row.parameters
    facts.trainable = facts.trainable + row.trainable
    for key, child in children.each(module) do
        collect(child, path .. (type(key) == 'number' and ('[%d]'):format(key) or '.' .. key), facts, seen)
    end
end

-- ---- the trial run -----------------------------------------------------------------------------------------------------

local function firstParameter(model)
    for _, module in ipairs(model:listModules()) do
        local name = children.parameterNames(module)[1]
        if name then return rawget(module, name)._t end
    end
end

-- Inputs of which only sizes are given are ones, which are labels and indices too, in the model's type, as one sample.
local function ones(model, sizes)
    local like = firstParameter(model)
    local dtype = like and like.type or types.byName[model:type()].dtype
    local x = raw.empty(dtype, {1, unpack(sizes)}, like and C.dl_device_of(like))
    return ops.into.full(x, nil, 1)
end

local function isSizes(value)
    if type(value) ~= 'table' or #value == 0 then return false end
    for _, n in ipairs(value) do
        if type(n) ~= 'number' then return false end
    end
    return true
end

-- The inputs as an array: from a tensor, the sizes of one sample, or a list of these.
local function inputsFrom(model, given)
    local list = (isTensor(given) or isSizes(given)) and {given} or given
    if type(list) ~= 'table' or #list == 0 then
        base.fail('model:summary: input is a tensor, the sizes of one sample, such as {1, 28, 28}, or a list of these')
    end
    local inputs = {}
    for k, one in ipairs(list) do
        if not isTensor(one) and not isSizes(one) then
            base.fail('model:summary: input %d is neither a tensor nor a list of sizes, but a %s', k, torch.type(one))
        end
        inputs[k] = isTensor(one) and one or ones(model, one)
    end
    return inputs
end

-- Text of what a module returned: "(1, 10)", "{(1, 2), (1, 3)}".
local function shapeText(value)
    if isTensor(value) then return '(' .. table.concat(shapeOf(value), ', ') .. ')' end
    if type(value) ~= 'table' then return type(value) end
    local parts = {}
    for k = 1, #value do parts[k] = shapeText(value[k]) end
    return '{' .. table.concat(parts, ', ') .. '}'
end

-- The functions in which a module's computation may be written (nn/kinds.lua).
local methods = {'compute', '__forward', 'updateOutput'}

-- Shadows them on the module with ones that note outputs and products in `found`.
local function watch(module, found)
    local running = false
    local function noting(f)
        local function note(input, ...)
            running = false
            local texts = {}
            for k = 1, select('#', ...) do texts[k] = shapeText((select(k, ...))) end
            local entry = found[module] or {multiplyAdds = 0}
            entry.output = table.concat(texts, ', ')
            if module.multiplyAdds then entry.multiplyAdds = entry.multiplyAdds + module:multiplyAdds(input, (...)) end
            found[module] = entry
            return ...
        end
        return function(self, ...)
            if running then return f(self, ...) end
            running = true
            return note((...), f(self, ...))
        end
    end
    for _, name in ipairs(methods) do
        if module[name] then rawset(module, name, noting(module[name])) end
    end
    rawset(module, 'fusedInputs', false) -- neighbours that are joined would not run by themselves
end

-- What a run may change in a module: its fields and the elements of its buffers.
local function snapshot(module)
    local kept = {module = module, incomplete = module:incomplete(), fields = {}, buffers = {}}
    for key, value in pairs(module) do kept.fields[key] = value end
    for _, name in ipairs(module.buffers or {}) do
        local x = rawget(module, name)
        if isTensor(x) then kept.buffers[x] = x:clone() end
    end
    rawset(module, 'output', torch.Tensor())
    rawset(module, 'gradInput', torch.Tensor())
    return kept
end

-- The fields that a run sets; what else is new in a module that had no parameters is theirs, and stays.
local transient = {'train', 'output', 'gradInput', '_segment', '_uses', '_call', 'fusedInputs', unpack(methods)}

local function restore(kept)
    local module, fields = kept.module, kept.fields
    if kept.incomplete and not module:incomplete() then
        for _, key in ipairs(transient) do rawset(module, key, fields[key]) end
        return true
    end
    for key in pairs(module) do
        if fields[key] == nil then rawset(module, key, nil) end
    end
    for key, value in pairs(fields) do rawset(module, key, value) end
    for x, values in pairs(kept.buffers) do
        if ops.any(ops.ne(x, values), {}):item() ~= 0 then ops.into.copy(x, values) end
    end
    return false
end

-- Runs the model once, evaluating and unrecorded. Returns module -> {output = text, multiplyAdds = number}. The random stream
-- goes on only where it made parameters.
local function trial(model, inputs)
    local kept, found = {}, {}
    local state = torch.getRNGState()
    local ok, message = torch.noGrad(function()
        for _, module in ipairs(model:listModules()) do
            if not kept[module] then
                kept[module] = true
                table.insert(kept, snapshot(module))
            end
        end
        for _, entry in ipairs(kept) do watch(entry.module, found) end
        model:evaluate()
        local ok, message = pcall(model, unpack(inputs))
        local drawn = false
        for _, entry in ipairs(kept) do drawn = restore(entry) or drawn end
        if not drawn then torch.setRNGState(state) end
        return ok, message
    end)
    if not ok then error(message, 0) end
    return found
end

-- ---- text --------------------------------------------------------------------------------------------------------------

local WIDTH = 80

-- 1199882 -> "1,199,882"
local function grouped(n)
    local text = ('%.0f'):format(n)
    while true do
        local longer, changed = text:gsub('^(%d+)(%d%d%d)', '%1,%2')
        if changed == 0 then return text end
        text = longer
    end
end

-- Characters of UTF-8 text.
local function length(text) return select(2, text:gsub('[^\128-\191]', '')) end

-- The text in exactly n columns.
local function fit(text, n)
    local have = length(text)
    if have <= n then return text .. (' '):rep(n - have) end
    local at = 0
    for k in text:gmatch '()[^\128-\191]' do
        at = at + 1
        if at == n then return text:sub(1, k - 1) .. '…' end
    end
end

local function trainableText(row)
    if row.shared then return 'shared' end
    if row.parameters == 0 then return '' end
    return row.trainable == row.parameters and 'yes' or row.trainable == 0 and 'no' or 'partly'
end

local function widest(rows, column)
    local n = 0
    for _, row in ipairs(rows) do n = math.max(n, length(row[column])) end
    return n
end

-- Lines of WIDTH columns: paths and shapes get what they need up to a limit, descriptions the rest.
local function tableText(rows)
    local widths = {math.min(widest(rows, 1), 24), 0, math.min(widest(rows, 3), 24), widest(rows, 4), widest(rows, 5)}
    widths[2] = math.min(widest(rows, 2), WIDTH - 8 - widths[1] - widths[3] - widths[4] - widths[5])
    local lines = {}
    for k, row in ipairs(rows) do
        local cells = {}
        for column = 1, 5 do
            local text = fit(row[column], widths[column])
            cells[column] = column == 4 and (' '):rep(widths[4] - length(row[4])) .. row[4] or text
        end
        lines[k] = table.concat(cells, '  '):gsub('%s+$', '')
    end
    return lines
end

local function sizeText(bytes)
    if bytes < 1e6 then return ('%.1f kB'):format(bytes / 1e3) end
    return ('%.1f MB'):format(bytes / 1e6)
end

local function show(facts)
    local rows = {{'module', '', 'output', 'parameters', 'trainable'}}
    for _, row in ipairs(facts.layers) do
        rows[#rows + 1] = {row.path, row.description, row.output or '', row.parameters > 0 and grouped(row.parameters) or '',
            trainableText(row)}
    end
    for _, line in ipairs(tableText(rows)) do print(line) end
    print(('%s parameters, %s of them trainable; %s with buffers'):format(grouped(facts.parameters), grouped(facts.trainable),
        sizeText(facts.bytes)))
    if facts.multiplyAdds then
        print(('%s multiply-adds in linear and convolution modules'):format(grouped(facts.multiplyAdds)))
    end
end

--- facts = model:summary{input = {1, 28, 28}}: prints a table of the model's modules and returns its facts. input: the sizes of
-- one sample, a tensor (a batch), or a list of these for a model of several inputs; it decides lazy sizes. Nothing else of the
-- model changes, the random stream included. facts: layers (path, description, output, parameters, trainable, multiplyAdds),
-- parameters, trainable, bytes, multiplyAdds.
function nn.Module:summary(given)
    given = take('model:summary', given, {'input'})
    local found = given.input ~= nil and trial(self, inputsFrom(self, given.input))
    local facts = {layers = {}, parameters = 0, trainable = 0, bytes = 0, multiplyAdds = found and 0 or nil}
    collect(self, 'model', facts, {})
    for _, row in ipairs(facts.layers) do
        local entry = found and found[row.module] or {}
        row.description, row.output, row.multiplyAdds = row.module:describe(), entry.output, entry.multiplyAdds
        if found and not row.shared then facts.multiplyAdds = facts.multiplyAdds + (entry.multiplyAdds or 0) end
        row.module = nil
    end
    show(facts)
    return facts
end
