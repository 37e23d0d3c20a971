-- help.lua: the global help(x): what the sources say of a class, a function, an op.
--
-- Classes and functions are documented by the comment above them, ops by their row of the op table; nothing is written twice.
-- Where a function has no comment of its own, the op of its name speaks for it.
local ffi = require 'ffi'
local base = require 'dlrun.ffi'
local nearest = require 'torch.options'.nearest

local C = base.C
local M = {}
local WIDTH = 118 -- of columns

local overview = [[
help(nn.Linear)        a class        help(torch.softmax)    a function
help 'matmul'          an op          help 'nn.Linear'       anything, by name
help 'ops'             all ops' names, those of plugins too
Packages: torch, nn and optim (after require), dlrun.data, dlrun.options. Classes of nn and optim:]]

-- ---- comments -----------------------------------------------------------------------------------------------------------

local files = {} -- path -> array of lines

local function linesOf(source)
    local path = source:match '^@(.*)'
    if not path then return nil end
    if not files[path] then
        local file, lines = io.open(path), {}
        if not file then return nil end
        for line in file:lines() do lines[#lines + 1] = line end
        file:close()
        files[path] = lines
    end
    return files[path]
end

-- The comment that starts at a line, as text.
local function commentFrom(lines, first)
    local text = {}
    for k = first, #lines do
        local line = lines[k]:match '^%s*%-%-%-? ?(.*)'
        if not line or k > first and lines[k]:find '^%s*%-%-%-' then break end
        text[#text + 1] = line
    end
    return table.concat(text, '\n')
end

-- The comment that ends right above a line, or nil.
local function commentAbove(lines, line)
    local first = line
    while first > 1 and lines[first - 1]:find '^%s*%-%-' and not lines[first]:find '^%s*%-%-%-' do first = first - 1 end
    if first == line or lines[first]:find '^%-%- %-%-%-' then return nil end
    return commentFrom(lines, first)
end

-- The first --- comment whose opening line names what is looked for.
local function commentNaming(lines, name)
    local pattern = '%f[%w]' .. name:gsub('%p', '%%%0') .. '%f[^%w]'
    for k, line in ipairs(lines) do
        if line:find '^%-%-%- ' and line:find(pattern) then return commentFrom(lines, k) end
    end
end

-- ---- ops ----------------------------------------------------------------------------------------------------------------

-- logSoftmax -> log_softmax
local function snake(name) return (name:gsub('%u', function(letter) return '_' .. letter:lower() end)) end

local function opText(name)
    local id = C.dl_op_find(name)
    if id < 0 then return nil end
    local info = ffi.new 'dl_op_info'
    base.check(C.dl_op_get(id, info))
    local signature = ffi.string(info.signature)
    local gradient = info.differentiable ~= 0 and '' or ' Without gradient.'
    local head = signature:find '^[%w_:.]+%(' and signature or name .. ': ' .. signature
    return ('op %s\n%s%s'):format(head, ffi.string(info.doc), gradient)
end

-- All ops but the gradients that the core derives from expressions ("hypot.d0").
local function opNames()
    local names, info = {}, ffi.new 'dl_op_info'
    for id = 0, C.dl_op_count() - 1 do
        base.check(C.dl_op_get(id, info))
        local name = ffi.string(info.name)
        if not name:find '%.d%d+$' then names[#names + 1] = name end
    end
    return names
end

-- Names in columns, sorted downwards.
local function columns(names)
    local width, lines = 0, {}
    for _, name in ipairs(names) do width = math.max(width, #name + 2) end
    local rows = math.ceil(#names / math.max(1, math.floor(WIDTH / width)))
    for row = 1, rows do
        local line = {}
        for k = row, #names, rows do line[#line + 1] = names[k] .. (' '):rep(width - #names[k]) end
        lines[row] = '  ' .. table.concat(line):gsub(' +$', '')
    end
    return table.concat(lines, '\n')
end

local function opList()
    local names = opNames()
    table.sort(names)
    return "Ops, of require('torch.ops'); help 'NAME' shows one:\n" .. columns(names)
end

-- ---- classes and functions ----------------------------------------------------------------------------------------------

local function anyFunction(class)
    for _, name in ipairs {'__init', 'compute', 'updateOutput', 'forward', 'step', 'update'} do
        local f = rawget(class, name)
        if type(f) == 'function' then return f end
    end
end

local function classText(class)
    local name = class.__typename
    if rawget(class, '__doc') then return class.__doc end
    local f = anyFunction(class)
    local lines = f and linesOf(debug.getinfo(f, 'S').source)
    if not lines then return nil end
    return commentNaming(lines, name) or commentNaming(lines, name:match '[^.]*$')
end

-- Where a function is found: its package and name there.
local function nameOf(f)
    for _, package in ipairs {'torch', 'nn', 'optim'} do
        local content = rawget(_G, package)
        for key, value in pairs(type(content) == 'table' and content or {}) do
            if value == f and type(key) == 'string' then return package, key end
        end
    end
end

-- A function's comment, else that of its name in its file, else its op's text, else its place.
local function functionText(f)
    local package, name = nameOf(f)
    local info = debug.getinfo(f, 'S')
    local op = info.source:match '^=dlrun:(.*)' or name and snake(name)
    local lines = linesOf(info.source)
    local comment = lines and (commentAbove(lines, info.linedefined) or name and commentNaming(lines, package .. '.' .. name))
    if name and comment and not comment:find(name, 1, true) then comment = ('%s.%s: %s'):format(package, name, comment) end
    return comment or op and opText(op) or lines and ('see %s:%d'):format(info.source:sub(2), info.linedefined)
end

-- ---- names --------------------------------------------------------------------------------------------------------------

-- The value of 'nn.Linear', or of 'Linear' in one of the packages.
local function valueOf(name)
    local value = _G
    for part in name:gmatch '[^.]+' do
        value = type(value) == 'table' and rawget(value, part) or nil
    end
    for _, package in ipairs {'nn', 'optim', 'torch'} do
        local content = rawget(_G, package)
        if value == nil and type(content) == 'table' then value = rawget(content, name) end
    end
    return value
end

local function knownNames()
    local names = opNames()
    for _, package in ipairs {'torch', 'nn', 'optim'} do
        for key, value in pairs(rawget(_G, package) or {}) do
            local documented = type(value) == 'function' or type(value) == 'table'
            if type(key) == 'string' and documented then names[#names + 1] = key end
        end
    end
    table.sort(names)
    return names
end

local function classNames()
    local list = {}
    for _, package in ipairs {'nn', 'optim'} do
        local names = {}
        for key, value in pairs(rawget(_G, package) or {}) do
            if type(value) == 'table' and rawget(value, '__typename') then names[#names + 1] = package .. '.' .. key end
        end
        table.sort(names)
        for _, name in ipairs(names) do list[#list + 1] = name end
    end
    local text, line = {}, ''
    for _, name in ipairs(list) do
        if #line + #name > 110 then
            text[#text + 1] = line
            line = ''
        end
        line = line .. '  ' .. name
    end
    text[#text + 1] = line
    return table.concat(text, '\n')
end

-- A name that is no value's: an op's, or a slip.
local function unknownText(name)
    return opText(name) or ("there is no '%s'; did you mean '%s'?"):format(name, nearest(name, knownNames()))
end

-- A function of torch and the op of its name, whose arguments often differ (dimensions from 1, from 0).
local function bothTexts(function_, op)
    if not function_ or function_ == op then return op end
    return op and ("%s\n\nrequire('torch.ops').%s"):format(function_, op:sub(4)) or function_
end

--- text = help.of([value or name]): what help prints.
function M.of(...)
    if select('#', ...) == 0 then return overview .. '\n' .. classNames() end
    local value = (...)
    if value == 'ops' or rawequal(value, require 'torch.ops') then return opList() end
    if type(value) == 'string' then
        local found = valueOf(value)
        if found == nil then return unknownText(value) end
        if type(found) == 'function' then return bothTexts(functionText(found), opText(value)) end
        value = found
    end
    local class = type(value) == 'table' and (rawget(value, '__typename') and value or getmetatable(value)) or nil
    local text
    if type(class) == 'table' and class.__typename then
        text = classText(class)
    elseif type(value) == 'function' then
        text = functionText(value)
    end
    return text or ('nothing is written about this %s'):format(torch.type(value))
end

--- help(x): prints what the sources say of a class, an object, a function, an op's name; help() tells what there is,
-- help 'ops' lists the ops.
function M.help(...) print(M.of(...)) end

return M
