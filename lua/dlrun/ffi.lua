-- ffi.lua: the declarations of dlrun.h, the library's symbols, and how a failed status becomes an error at the user's line.
--
-- The declarations are the header's own text, preprocessed by the build; nothing is declared twice. The dlrun program's
-- package.loaded['dlrun.host'].cdef names that file; plain luajit finds it beside the Lua files (installed) or in the build
-- folder.
local ffi = require 'ffi'

local root = debug.getinfo(1, 'S').source:match '^@(.*)dlrun/ffi%.lua$' or 'lua/'

local function firstFile(paths)
    for _, path in ipairs(paths) do
        local file = io.open(path, 'r')
        if file then return file end
    end
    error('dlrun: no cdef.h (run make first); looked at ' .. table.concat(paths, ', '), 0)
end

local function declare()
    local paths = {root .. '../cdef.h', root .. '../build/gen/cdef.h'}
    local host = package.loaded['dlrun.host']
    if host then table.insert(paths, 1, host.cdef) end
    local file = firstFile(paths)
    ffi.cdef(file:read '*a')
    file:close()
end

-- The dlrun program exports the library's symbols; elsewhere the library is opened by path.
local function library()
    if pcall(function() return ffi.C.dl_init end) then return ffi.C end
    local file = io.open(root .. '../build/lib/libdlrun.so', 'r')
    if file then
        file:close()
        return ffi.load(root .. '../build/lib/libdlrun.so')
    end
    return ffi.load 'dlrun'
end

declare()
local C = library()
local M = {ffi = ffi, C = C, root = root}

-- Is this function one of ours (its source lies under lua/, or it was generated)? Errors are raised above such frames.
local function isInternal(info)
    return info.what == 'C' or info.source:sub(1, #root + 1) == '@' .. root or info.source:sub(1, 7) == '=dlrun:'
end

-- Front-end parts that improve messages: functions from message to message (labels counted from 1, as the script counts).
M.reword = {}

-- Set by nn: the path and text of the module that is running, or nil.
function M.where() return nil end

-- Raises message at the innermost line outside the Lua front end.
function M.raise(message)
    for _, f in ipairs(M.reword) do message = f(message) end
    local where = M.where()
    if where then message = where .. ': ' .. message end
    local level = 2
    local info = debug.getinfo(level, 'S')
    while info and isInternal(info) do
        level = level + 1
        info = debug.getinfo(level, 'S')
    end
    error(message, info and level or 0)
end

-- error() with a format, at the user's line.
function M.fail(format, ...) M.raise(format:format(...)) end

-- Raises the library's message unless status is DL_OK.
function M.check(status)
    if status ~= 0 then M.raise(ffi.string(C.dl_last_error())) end
end

M.check(C.dl_init())
return M
