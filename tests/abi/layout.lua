-- layout.lua: the layout of the plugin ABI as lines of text, read off the headers by LuaJIT's own C parser, and its comparison
-- with a recorded one. A line is "name = facts": a struct's size, a field's offset, size and type, an enum's value, a type.
local bit = require 'bit'
local ffi = require 'ffi'

local layout = {}

-- Kinds of LuaJIT's types (lj_ctype.h): the upper four bits of what ffi.typeinfo calls info; the lower 16 are a related type.
local NUM, STRUCT, PTR, ARRAY, VOID, ENUM, FUNC, TYPEDEF, ATTRIB, FIELD, CONSTANT = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11
local FLOATING, UNSIGNED, VARIADIC = 0x04000000, 0x00800000, 0x00800000

local function kind(t) return bit.rshift(t.info, 28) end
local function child(t) return bit.band(t.info, 0xffff) end
local function has(t, flag) return bit.band(t.info, flag) ~= 0 end

-- The headers are declared under other names, since dlrun itself has declared some of theirs.
local function disguise(text) return (text:gsub('%f[%w_]dl_', 'recorded_'):gsub('%f[%w_]DL_', 'RECORDED_')) end
local function undisguise(text) return (text:gsub('%f[%w_]recorded_', 'dl_'):gsub('%f[%w_]RECORDED_', 'DL_')) end

local describe

-- The members of a list that starts at type `id`: fields of a struct, parameters of a function, values of an enum.
local function members(id)
    return function()
        if not id then return nil end
        local t = ffi.typeinfo(id)
        id = t.sib
        return t
    end
end

local forms = {
    [NUM] = function(t)
        return (has(t, FLOATING) and 'float' or has(t, UNSIGNED) and 'uint' or 'int') .. 8 * t.size
    end,
    [STRUCT] = function(t) return t.name or 'struct of ' .. t.size end,
    [PTR] = function(t) return describe(child(t)) .. '*' end,
    [ARRAY] = function(t) return ('%s[%d]'):format(describe(child(t)), t.size and t.size / layout.size(child(t)) or 0) end,
    [VOID] = function() return 'void' end,
    [ENUM] = function() return 'enum' end,
    [FUNC] = function(t)
        local parameters = {}
        for p in members(t.sib) do parameters[#parameters + 1] = describe(child(p)) end
        if has(t, VARIADIC) then parameters[#parameters + 1] = '...' end
        return ('%s(%s)'):format(describe(child(t)), table.concat(parameters, ', '))
    end,
    [TYPEDEF] = function(t) return describe(child(t)) end,
    [ATTRIB] = function(t) return describe(child(t)) end,
}

function describe(id)
    local t = ffi.typeinfo(id)
    return forms[kind(t)](t)
end

-- Bytes of a type.
function layout.size(id)
    local t = ffi.typeinfo(id)
    while kind(t) == TYPEDEF or kind(t) == ATTRIB do t = ffi.typeinfo(child(t)) end
    return t.size
end

local function addStruct(lines, t)
    lines[#lines + 1] = ('struct %s = %d bytes'):format(t.name, t.size)
    for f in members(t.sib) do
        if kind(f) == FIELD then
            lines[#lines + 1] = ('%s.%s = %d, %d bytes, %s'):format(t.name, f.name, f.size, layout.size(child(f)),
                describe(child(f)))
        end
    end
end

-- The lines of a preprocessed header's text.
function layout.of(text)
    ffi.cdef(disguise(text))
    local lines, id, t = {}, 1, ffi.typeinfo(1)
    while t do
        local name = t.name or ''
        if kind(t) == STRUCT and t.size and name:find '^recorded_' then
            addStruct(lines, t)
        elseif kind(t) == CONSTANT and name:find '^RECORDED_' then
            lines[#lines + 1] = ('%s = %d'):format(name, t.size and bit.tobit(t.size) or -1)
        elseif kind(t) == TYPEDEF and name:find '^recorded_' and kind(ffi.typeinfo(child(t))) ~= STRUCT then
            lines[#lines + 1] = ('type %s = %s'):format(name, describe(child(t)))
        end
        id = id + 1
        t = ffi.typeinfo(id)
    end
    for k, line in ipairs(lines) do lines[k] = undisguise(line) end
    return lines
end

-- ---- the record --------------------------------------------------------------------------------------------------------

local function byName(lines)
    local facts = {}
    for _, line in ipairs(lines) do
        local name, fact = line:match '^(.-) = (.*)$'
        facts[name] = fact
    end
    return facts
end

-- What may grow: the size of a struct, and the number of values of an enum.
local function mayGrow(name, old, new)
    if not (name:find '^struct ' or name:find '_COUNT$') then return false end
    return tonumber(new:match '^%d+') > tonumber(old:match '^%d+')
end

-- Two lists of sentences: what of the recorded lines no longer holds, and what the present ones have beyond them.
function layout.compare(recorded, present)
    local broken, appended, old, new = {}, {}, byName(recorded), byName(present)
    for _, line in ipairs(recorded) do
        local name = line:match '^(.-) ='
        if not new[name] then
            broken[#broken + 1] = ('%s is gone (%s)'):format(name, old[name])
        elseif new[name] ~= old[name] then
            local list = mayGrow(name, old[name], new[name]) and appended or broken
            list[#list + 1] = ('%s was %s, is %s'):format(name, old[name], new[name])
        end
    end
    for _, line in ipairs(present) do
        if not old[line:match '^(.-) ='] then appended[#appended + 1] = line end
    end
    return broken, appended
end

-- The lines of a record's file; those that begin with # are comments.
function layout.read(path)
    local lines = {}
    for line in io.lines(path) do
        if not line:find '^#' then lines[#lines + 1] = line end
    end
    return lines
end

return layout
