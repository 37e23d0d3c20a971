-- cmdline.lua: torch.CmdLine: options of a script, their help text, and logging of output to a file.
local base = require 'dlrun.ffi'
local class = require 'torch.class'

local fail = base.fail
local luaType = type

local M = {functions = {}}
local CmdLine = class.class('torch.CmdLine', nil, M.functions)

-- `order` holds what help() shows; `options` and `arguments` those entries by name and in order.
function CmdLine:__init(separator, keySeparator)
    self.separator, self.keySeparator = separator or ',', keySeparator or '='
    self.options, self.arguments, self.order = {}, {}, {}
end

-- Strips the dashes: '-batchSize' and '--batchSize' are one option.
function CmdLine:strip(key) return (key:gsub('^%-+', '')) end

local function add(self, entry)
    self.order[#self.order + 1] = entry
    return entry
end

function CmdLine:argument(key, help, kind)
    local entry = add(self, {kind = 'argument', key = self:strip(key), help = help or '', type = kind})
    self.arguments[#self.arguments + 1] = entry
end

function CmdLine:option(key, default, help, kind)
    if default == nil then fail('cmd:option(%s): a default value is expected', tostring(key)) end
    local name = self:strip(key)
    self.options[name] = add(self, {kind = 'option', key = name, shown = key, default = default, help = help or '',
        type = kind or luaType(default)})
end

function CmdLine:text(text) add(self, {kind = 'text', help = text or ''}) end

function CmdLine:default()
    local out = {}
    for name, option in pairs(self.options) do out[name] = option.default end
    return out
end

function CmdLine:error(message)
    io.stderr:write(message .. '\n')
    self:help()
    os.exit(1)
end

local convert = {
    number = tonumber,
    boolean = function(text) return ({['true'] = true, ['false'] = false, ['1'] = true, ['0'] = false})[text] end,
    string = function(text) return text end,
}

local function value(self, entry, text)
    local f = convert[entry.type or 'string']
    local v
    if f then v = f(text) else v = text end
    if v == nil then self:error(('invalid value for %s: a %s is expected, not %s'):format(entry.key, entry.type, text)) end
    return v
end

-- Reads arg (or another array) into a table of values; unknown options end the script with the help text.
function CmdLine:parse(words)
    words = words or arg or {}
    local out = self:default()
    local k, placed = 1, 0
    while k <= #words do
        local word = words[k]
        if word == '-help' or word == '--help' or word == '-h' then
            self:help()
            os.exit(0)
        end
        local name, inline = self:strip(word), nil
        if word:match '^%-%-[^=]+=' then name, inline = self:strip(word):match '^([^=]+)=(.*)$' end
        local option = word:match '^%-' and not tonumber(word) and self.options[name]
        if option then
            if inline then
                out[name] = value(self, option, inline)
            elseif option.type == 'boolean' and convert.boolean(words[k + 1] or '') == nil then
                out[name] = not option.default
            else
                k = k + 1
                if words[k] == nil then self:error('a value is missing behind ' .. word) end
                out[name] = value(self, option, words[k])
            end
        else
            placed = placed + 1
            local argument = self.arguments[placed]
            if not argument then self:error('unknown option ' .. word) end
            out[argument.key] = value(self, argument, word)
        end
        k = k + 1
    end
    if placed < #self.arguments then self:error('an argument is missing: ' .. self.arguments[placed + 1].key) end
    return out
end

-- The options that differ from their defaults as a name for files: 'lr=0.1,seed=3' behind the prefix; ignore: {name = true}.
function CmdLine:string(prefix, params, ignore)
    local parts = {}
    for name, v in pairs(params) do
        local option = self.options[name]
        if option and v ~= option.default and not (ignore and ignore[name]) then
            parts[#parts + 1] = name .. self.keySeparator .. tostring(v)
        end
    end
    table.sort(parts)
    local text = table.concat(parts, self.separator)
    if (prefix or '') == '' then return text end
    return text == '' and prefix or prefix .. self.separator .. text
end

function CmdLine:help()
    local names, out = {}, {'Usage: ' .. ((arg and arg[0]) or 'dlrun script.lua') .. ' [options]'}
    for _, argument in ipairs(self.arguments) do names[#names + 1] = '<' .. argument.key .. '>' end
    out[1] = out[1] .. (#names > 0 and ' ' .. table.concat(names, ' ') or '')
    for _, entry in ipairs(self.order) do
        if entry.kind == 'text' then
            out[#out + 1] = entry.help
        elseif entry.kind == 'argument' then
            out[#out + 1] = ('  %-20s %s'):format('<' .. entry.key .. '>', entry.help)
        else
            out[#out + 1] = ('  %-20s %s [%s]'):format(entry.shown, entry.help, tostring(entry.default))
        end
    end
    print(table.concat(out, '\n'))
end

-- From now on everything printed goes to the file too; params are written first.
function CmdLine:log(file, params)
    local out = luaType(file) == 'string' and assert(io.open(file, 'w')) or file
    local show = print
    function print(...) -- luacheck: ignore 121
        show(...)
        local parts = {}
        for k = 1, select('#', ...) do parts[k] = tostring((select(k, ...))) end
        out:write(table.concat(parts, '\t'), '\n')
        out:flush()
    end
    local names = {}
    for name in pairs(params or {}) do names[#names + 1] = name end
    table.sort(names)
    print '[program started]'
    for _, name in ipairs(names) do print(('  %s: %s'):format(name, tostring(params[name]))) end
end

-- Puts the time before every line printed.
function CmdLine:addTime(name, format) -- luacheck: ignore 212
    local show = print
    format = format or '%Y-%m-%d %H:%M:%S'
    function print(...) -- luacheck: ignore 121
        show(('%s[%s]'):format(name and name .. ' ' or '', os.date(format)), ...)
    end
end

return M
