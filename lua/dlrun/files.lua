-- files.lua: what Lua's io does not do with files: folders, files that appear whole or not at all, gzip, where the cache is.
local ffi = require 'ffi'

ffi.cdef [[
int fileno(void *stream);
int fsync(int descriptor);
size_t fwrite(const void *data, size_t size, size_t n, void *stream);
int mkdir(const char *path, unsigned mode);
int getpid(void);
char *realpath(const char *path, char *resolved);
void *gzopen(const char *path, const char *mode);
int gzread(void *file, void *data, unsigned bytes);
int gzclose(void *file);
]]
local C = ffi.C

local files = {}

function files.exists(path)
    local file = io.open(path)
    if file then file:close() end
    return file ~= nil
end

-- Makes a folder and those above it. A failure shows when a file is to be written there.
function files.makeFolder(path)
    for at in path:gmatch '()/' do
        if at > 1 then C.mkdir(path:sub(1, at - 1), 511) end -- 0777, less the user's mask
    end
    C.mkdir(path, 511)
end

-- A device or a pipe: it cannot be synchronised, and taking its name away would break it.
local function isSpecial(path)
    local file = io.open(path, 'r+b')
    local special = file and C.fsync(C.fileno(file)) ~= 0
    if file then file:close() end
    return special
end

-- The file that a symbolic link stands for.
local function resolved(path)
    local buffer = ffi.new 'char[4096]' -- PATH_MAX
    return C.realpath(path, buffer) ~= nil and ffi.string(buffer) or path
end

-- Calls write(put), where put(data, bytes) appends a string or C memory. The file has its new content after that, or on any
-- error what it had before: the content goes to a file beside it, to the disk, and takes the name last. Devices are written to.
function files.replace(path, write)
    local target, special = resolved(path), isSpecial(path)
    local temporary = special and path or ('%s.%d.tmp'):format(target, C.getpid())
    local file, reason = io.open(temporary, 'wb')
    if not file then error(('cannot write %s: %s'):format(path, reason:gsub('^.*: ', '')), 0) end
    local ok, message = pcall(write, function(data, bytes)
        bytes = bytes or #data
        if C.fwrite(data, 1, bytes, file) ~= bytes then error(('cannot write %s: is the disk full?'):format(path), 0) end
    end)
    if ok and not (file:flush() and (special or C.fsync(C.fileno(file)) == 0)) then
        ok, message = false, ('cannot write %s: is the disk full?'):format(path)
    end
    file:close()
    if ok and not special then
        ok, message = os.rename(temporary, target)
        message = not ok and ('cannot write %s: %s'):format(path, message:gsub('^.*: ', ''))
    end
    if not ok then
        if not special then os.remove(temporary) end
        error(message, 0)
    end
end

local zlib -- false: not on this machine

local function openZlib()
    if zlib == nil then
        local found, library = pcall(ffi.load, 'libz.so.1')
        zlib = found and library
    end
    return zlib
end

-- Opens a file, plain or gzip'd, for reading. Returns read(buffer, bytes) -> bytes read (fewer at the end of the file, or where
-- a compressed file is broken), and a function that closes it; or nil and a message.
function files.open(path)
    local plain, reason = io.open(path, 'rb')
    if not plain then return nil, reason end
    local magic = plain:read(2)
    if magic ~= '\31\139' then
        plain:seek 'set'
        return function(buffer, bytes)
            local text = plain:read(bytes) or ''
            ffi.copy(buffer, text, #text)
            return #text
        end, function() plain:close() end
    end
    plain:close()
    if not openZlib() then return nil, path .. ': this file is compressed, and zlib (libz.so.1) is not installed' end
    local file = zlib.gzopen(path, 'rb')
    if file == nil then return nil, path .. ': cannot open' end
    return function(buffer, bytes) return math.max(zlib.gzread(file, buffer, bytes), 0) end,
        function() zlib.gzclose(file) end
end

-- dlrun's folder for what can be made again: $DLRUN_CACHE, else $XDG_CACHE_HOME/dlrun, else ~/.cache/dlrun.
function files.cache()
    local function set(name)
        local value = os.getenv(name)
        return value ~= '' and value or nil
    end
    return set 'DLRUN_CACHE' or set 'XDG_CACHE_HOME' and set 'XDG_CACHE_HOME' .. '/dlrun'
        or (set 'HOME' or '.') .. '/.cache/dlrun'
end

return files
