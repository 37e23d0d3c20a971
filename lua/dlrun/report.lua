-- report.lua: what an uncaught error looks like: the message, the user's own line, and the calls that led there, without the
-- frames inside our packages. DLRUN_TRACEBACK=full shows those too.
local host = require 'dlrun.host'

local report = {}

local full = os.getenv 'DLRUN_TRACEBACK' == 'full'
local color = host.isatty(2) and (os.getenv 'NO_COLOR' or '') == '' and os.getenv 'TERM' ~= 'dumb'

local function paint(code, text) return color and ('\27[%sm%s\27[0m'):format(code, text) or text end

local function isOurs(source)
    return source:sub(1, #host.lua + 2) == '@' .. host.lua .. '/' or source:sub(1, 7) == '=dlrun:'
end

-- Line `number` of a file, trimmed; nil if it cannot be read.
local function sourceLine(path, number)
    local file = io.open(path)
    if not file then return nil end
    local k = 0
    for line in file:lines() do
        k = k + 1
        if k == number then
            file:close()
            return (line:gsub('^%s+', ''))
        end
    end
    file:close()
end

local function frameName(info)
    if info.what == 'main' then return 'main chunk' end
    if info.name then return ("function '%s'"):format(info.name) end
    return ('function at line %d'):format(info.linedefined)
end

-- The user's frames from the one that raised the error outwards: Lua functions outside our folder, or all of them if `full`.
local function userFrames()
    local frames = {}
    for level = 3, 1000 do
        local info = debug.getinfo(level, 'Snl')
        if not info then break end
        local hidden = info.what == 'C' or info.source:sub(1, 1) == '@' and isOurs(info.source)
        if full or not hidden then frames[#frames + 1] = info end
    end
    return frames
end

-- Does Lua put this before a message? A file, or the name of code that is none; not any text with a number behind it.
local function isChunk(name)
    local file = io.open(name)
    if file then file:close() end
    return file or name == 'stdin' or name == '(command line)'
end

-- The message without the "file:line:" that Lua put before it, if it did.
local function splitPlace(message)
    local name, line, rest = message:match '^([^\n:]+):(%d+): (.*)$'
    if name and isChunk(name) then return rest, name .. ':' .. line end
    return message, nil
end

-- A message handler for xpcall: the whole text to print.
function report.describe(value)
    local plain = type(value) == 'string' or type(value) == 'number'
    local mt = not plain and getmetatable(value)
    if not plain and not (type(mt) == 'table' and mt.__tostring) then
        value = ('error object is a %s value'):format(type(value))
    end
    local message, place = splitPlace(tostring(value))
    local frames = userFrames()
    local first = frames[1]
    -- Lua's own place is the best one unless it lies in our files; then the user's frame is.
    if not place or not full and isOurs('@' .. place) then
        place = first and ('%s:%d'):format(first.short_src, first.currentline)
    end
    local out = {('%s %s\n'):format(paint('1;31', 'dlrun:'), message)}
    if place then
        local path, number = place:match '^(.*):(%d+)$'
        local line = sourceLine(path, tonumber(number))
        out[#out + 1] = line and ('  %s: %s\n'):format(place, paint('1', line)) or ('  %s\n'):format(place)
    end
    for _, info in ipairs(#frames > 1 and frames or {}) do
        out[#out + 1] = ('    in %s (%s:%d)\n'):format(frameName(info), info.short_src, info.currentline)
    end
    return table.concat(out)
end

return report
