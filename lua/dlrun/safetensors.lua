-- safetensors.lua: reads and writes safetensors files, as PyTorch's library does: the bytes of a JSON header as a 64-bit
-- little-endian number, the header (name -> dtype, shape, data_offsets), then the elements, little-endian, without holes.
-- A file is replaced whole or not at all. Nothing in a file is believed before it is checked.
local ffi = require 'ffi'
local cjson = require 'cjson'
local base = require 'dlrun.ffi'
local raw = require 'torch.raw'
local files = require 'dlrun.files'

ffi.cdef 'size_t fread(void *data, size_t size, size_t n, void *stream);'
local C = base.C

local safetensors = {}

local dtypeOf = {
    F64 = C.DL_F64, F32 = C.DL_F32, F16 = C.DL_F16, BF16 = C.DL_BF16, I64 = C.DL_I64, I32 = C.DL_I32, I16 = C.DL_I16,
    I8 = C.DL_I8, U8 = C.DL_U8, BOOL = C.DL_BOOL,
}
local nameOf = {}
for name, dtype in pairs(dtypeOf) do nameOf[dtype] = name end

local mostHeader = 100e6 -- the limit of the reference implementation
local piece = 2 ^ 22

local function checkPath(what, path)
    if type(path) ~= 'string' then base.fail('%s: the name of a file is expected, not a %s', what, type(path)) end
end

-- ---- writing ---------------------------------------------------------------------------------------------------------------

local function shapeOf(x)
    local sizes = {}
    for k = 1, x._t.ndim do sizes[k] = tonumber(x._t.shape[k - 1]) end
    return sizes
end

local function bytesOf(x) return tonumber(C.dl_tensor_count(x._t)) * C.dl_dtype_bytes(x._t.type) end

-- Wider elements first, else as given: so every tensor is aligned to its elements.
local function inOrder(entries)
    local order = {}
    for k, entry in ipairs(entries) do order[k] = {name = entry[1], tensor = entry[2], at = k} end
    table.sort(order, function(a, b)
        local wide, narrow = C.dl_dtype_bytes(a.tensor._t.type), C.dl_dtype_bytes(b.tensor._t.type)
        if wide ~= narrow then return wide > narrow end
        return a.at < b.at
    end)
    return order
end

local function header(order, metadata)
    local rows, offset, seen = {}, 0, {}
    if metadata and next(metadata) then
        local texts = {}
        for key, value in pairs(metadata) do texts[tostring(key)] = tostring(value) end
        rows[1] = '"__metadata__":' .. cjson.encode(texts)
    end
    for _, entry in ipairs(order) do
        local name = entry.name
        if name == '__metadata__' then error("safetensors: no tensor can have the name '__metadata__'", 0) end
        if seen[name] then error(("safetensors: two tensors have the name '%s'"):format(name), 0) end
        seen[name] = true
        local last = offset + bytesOf(entry.tensor)
        rows[#rows + 1] = ('%s:{"dtype":"%s","shape":[%s],"data_offsets":[%.0f,%.0f]}'):format(cjson.encode(name),
            nameOf[entry.tensor._t.type], table.concat(shapeOf(entry.tensor), ','), offset, last)
        offset = last
    end
    local text = '{' .. table.concat(rows, ',') .. '}'
    return text .. (' '):rep(-#text % 8)
end

-- Writes tensors: an array of {name, tensor}, or a table name -> tensor (written in the names' order). metadata: a table of
-- strings.
function safetensors.save(path, tensors, metadata)
    checkPath('save', path)
    local entries = tensors
    if #tensors == 0 and next(tensors) then
        entries = {}
        for name, x in pairs(tensors) do entries[#entries + 1] = {name, x} end
        table.sort(entries, function(a, b) return a[1] < b[1] end)
    end
    local order = inOrder(entries)
    local head = header(order, metadata)
    files.replace(path, function(put)
        put(ffi.new('uint64_t[1]', #head), 8)
        put(head)
        for _, entry in ipairs(order) do
            local bytes = bytesOf(entry.tensor)
            local buffer = ffi.new('uint8_t[?]', math.max(bytes, 1))
            base.check(C.dl_tensor_read(entry.tensor._t, buffer, bytes))
            put(buffer, bytes)
        end
    end)
end

-- ---- reading ---------------------------------------------------------------------------------------------------------------

local function isSize(v) return type(v) == 'number' and v >= 0 and v % 1 == 0 and v < 2 ^ 53 end

-- Two or more sizes or offsets in a plain array of the header.
local function sizeArray(t, refuse, name, field)
    if type(t) ~= 'table' then refuse("'%s' has no %s", name, field) end
    for k, v in pairs(t) do
        if not (isSize(k) and k >= 1 and k <= #t and isSize(v)) then
            refuse("'%s': %s must be an array of whole numbers from 0 up", name, field)
        end
    end
    return t
end

-- One row of the header, checked: {name, dtype, sizes, first, last}.
local function entryOf(name, row, total, refuse)
    if type(row) ~= 'table' then refuse("'%s' is a %s, not an object", name, type(row)) end
    local dtype = dtypeOf[row.dtype]
    if not dtype then refuse("'%s' has the unknown dtype %s", name, tostring(row.dtype)) end
    local sizes = sizeArray(row.shape, refuse, name, 'shape')
    local offsets = sizeArray(row.data_offsets, refuse, name, 'data_offsets')
    if #sizes > C.DL_MAX_DIMS then refuse("'%s' has %d dimensions; at most %d are possible", name, #sizes, C.DL_MAX_DIMS) end
    local bytes = C.dl_dtype_bytes(dtype)
    for _, n in ipairs(sizes) do bytes = bytes * n end
    local first, last = offsets[1], offsets[2]
    if #offsets ~= 2 or first > last or last > total then
        refuse("'%s' lies at [%s], outside the %.0f bytes of data", name, table.concat(offsets, ', '), total)
    elseif last - first ~= bytes then
        refuse("'%s' (%s %s) needs %.0f bytes; its data_offsets hold %.0f", name, row.dtype, table.concat(sizes, 'x'), bytes,
            last - first)
    end
    return {name = name, dtype = dtype, sizes = sizes, first = first, last = last}
end

-- The rows in the order of their data, which must follow each other without holes or overlaps.
local function entriesOf(rows, total, refuse)
    local entries = {}
    for name, row in pairs(rows) do
        if name ~= '__metadata__' then entries[#entries + 1] = entryOf(tostring(name), row, total, refuse) end
    end
    table.sort(entries, function(a, b)
        if a.first ~= b.first then return a.first < b.first end
        if a.last ~= b.last then return a.last < b.last end
        return a.name < b.name
    end)
    local at = 0
    for _, entry in ipairs(entries) do
        if entry.first ~= at then refuse("'%s' starts at byte %.0f of the data, not at %.0f", entry.name, entry.first, at) end
        at = entry.last
    end
    if at ~= total then refuse('the tensors end at byte %.0f of the data, the file at %.0f', at, total) end
    return entries
end

local function readTensor(file, entry)
    local x = raw.empty(entry.dtype, entry.sizes, nil)
    local bytes = entry.last - entry.first
    local buffer, got = ffi.new('uint8_t[?]', math.max(bytes, 1)), 0
    while got < bytes do
        local n = tonumber(ffi.C.fread(buffer + got, 1, math.min(piece, bytes - got), file))
        if n == 0 then error('the file ended while it was read', 0) end
        got = got + n
    end
    if entry.dtype == C.DL_BOOL then -- any other byte is no boolean
        for k = 0, bytes - 1 do buffer[k] = buffer[k] ~= 0 and 1 or 0 end
    end
    base.check(C.dl_tensor_write(x._t, buffer, bytes))
    return x
end

local function parse(path, file)
    local function refuse(format, ...) error(('%s: %s'):format(path, format:format(...)), 0) end
    local size = file:seek 'end'
    file:seek 'set'
    local first = file:read(8)
    if not first and size > 0 then refuse('this is no file, or it cannot be read') end -- a folder opens, and says it is long
    if size < 8 then refuse('no safetensors file: at least 8 bytes expected, %d found', size) end
    local count = ffi.new 'uint64_t[1]'
    ffi.copy(count, first, 8)
    local length = tonumber(count[0])
    if length > size - 8 or length > mostHeader then
        refuse('no safetensors file, or a truncated one: a header of %.0f bytes is announced, %.0f bytes follow', length,
            size - 8)
    end
    local text = length > 0 and file:read(length) or ''
    local ok, rows = pcall(cjson.decode, text)
    if not ok or type(rows) ~= 'table' or text:sub(1, 1) ~= '{' then
        refuse('no safetensors file: its header is not a JSON object')
    end
    local metadata = rows.__metadata__
    if metadata ~= nil and type(metadata) ~= 'table' then refuse('__metadata__ is no object') end
    local tensors, names = {}, {}
    for k, entry in ipairs(entriesOf(rows, size - 8 - length, refuse)) do
        tensors[entry.name] = readTensor(file, entry)
        names[k] = entry.name
    end
    return tensors, names, metadata or {}
end

-- Reads a file: a table name -> tensor, the names in the order of their data, and the metadata.
function safetensors.load(path)
    checkPath('load', path)
    local file, reason = io.open(path, 'rb')
    if not file then error('cannot open ' .. reason, 0) end
    local ok, tensors, names, metadata = pcall(parse, path, file)
    file:close()
    if not ok then error(tensors, 0) end
    return tensors, names, metadata
end

return safetensors
