-- repl.lua: the REPL. Reads Lua from the terminal, statement or expression, over several lines where one is not complete;
-- prints what expressions give. Line editing comes from libedit where that is installed.
local ffi = require 'ffi'
local host = require 'dlrun.host'

ffi.cdef [[
char *readline(const char *prompt);
int add_history(const char *line);
void free(void *);
int (*rl_getc_function)(void *);
]]

-- A function prompt -> line, nil at the end of input.
local function lineReader()
    local found, edit = pcall(ffi.load, 'libedit.so.2')
    if not (found and host.isatty(1)) then
        return function(prompt)
            io.write(prompt)
            io.flush()
            return io.read()
        end
    end
    edit.rl_getc_function = ffi.cast('int (*)(void *)', host.readByte) -- Ctrl-C ends readline, not only a read
    return function(prompt)
        io.flush()
        local text = edit.readline(prompt)
        if text == nil then return nil end
        local line = ffi.string(text)
        ffi.C.free(text)
        if line:find '%S' then edit.add_history(line) end
        return line
    end
end

local function compile(text)
    text = text:gsub('^%s*=', 'return ')
    return loadstring('return ' .. text, '=stdin') or loadstring(text, '=stdin')
end

-- Reads lines until they compile or cannot. Returns the chunk, or nil and the message; nothing at the end of input.
local function readChunk(read)
    local text = read '> '
    while text do
        local chunk = compile(text)
        if chunk then return chunk end
        local _, message = loadstring(text, '=stdin')
        if not message:find "near '<eof>'$" then return nil, message end
        local more = read '>> '
        if not more then return nil, message end
        text = text .. '\n' .. more
    end
end

local function printResults(ok, ...)
    if ok and select('#', ...) > 0 then print(...) end
    return ok, ...
end

-- Reads a chunk and runs it. Returns whether the input ended, and the message of an error.
local function turn(read, describe)
    local chunk, message = readChunk(read)
    if not chunk and not message then return true end
    if chunk then
        local ok, text = printResults(xpcall(chunk, describe))
        message = not ok and text
    end
    io.flush()
    return false, message
end

-- Runs until the end of input; returns the exit status.
return function(describe)
    print(('dlrun %s, %s. help() helps, Ctrl-D ends.'):format(host.version, jit.version))
    local read = lineReader()
    while true do
        local _, ended, message = pcall(turn, read, describe) -- false only on Ctrl-C at the prompt
        if host.takeInterrupt() then
            print '\ninterrupted'
        elseif ended then
            break
        elseif message then
            io.stderr:write(message, message:sub(-1) == '\n' and '' or '\n')
        end
    end
    print()
    return 0
end
