-- idx.lua: the IDX file format of the MNIST database (yann.lecun.com/exdb/mnist): a magic number 0 0 type rank, the sizes as
-- big-endian 32-bit numbers, then the elements, big-endian, last dimension fastest. Reads plain and gzip'd files, writes plain
-- ones.
local bit = require 'bit'
local ffi = require 'ffi'
local files = require 'dlrun.files'

local idx = {}

-- Type byte -> element type and its bytes.
local types = {
    [0x08] = {'uint8_t', 1}, [0x09] = {'int8_t', 1}, [0x0B] = {'int16_t', 2}, [0x0C] = {'int32_t', 4},
    [0x0D] = {'float', 4}, [0x0E] = {'double', 8},
}
local chunk = 4 * 2 ^ 20

local function bigEndian(bytes, at)
    return ((bytes[at] * 256 + bytes[at + 1]) * 256 + bytes[at + 2]) * 256 + bytes[at + 3]
end

-- Reads up to `wanted` bytes in chunks, so that a header's empty promise costs no memory. Returns a buffer and the bytes read.
local function readSome(read, wanted)
    local capacity = math.min(wanted, chunk)
    local buffer, have = ffi.new('uint8_t[?]', math.max(capacity, 1)), 0
    while have < wanted do
        if have == capacity then
            capacity = math.min(wanted, 2 * capacity)
            local larger = ffi.new('uint8_t[?]', capacity)
            ffi.copy(larger, buffer, have)
            buffer = larger
        end
        local n = read(buffer + have, math.min(capacity - have, chunk))
        if n == 0 then break end
        have = have + n
    end
    return buffer, have
end

local function reverseBytes(buffer, count, bytes)
    for k = 0, count - 1 do
        local low, high = k * bytes, (k + 1) * bytes - 1
        while low < high do
            buffer[low], buffer[high] = buffer[high], buffer[low]
            low, high = low + 1, high - 1
        end
    end
end

local function parse(path, read, rank)
    local function refuse(format, ...) error(('%s: %s'):format(path, format:format(...)), 0) end
    local head, got = readSome(read, 4)
    if got < 4 then refuse('truncated: an IDX file starts with 4 bytes, here are %d', got) end
    local magic = bigEndian(head, 0)
    local element = types[head[2]]
    if rank and magic ~= 0x800 + rank then
        refuse('wrong magic number: 0x%08x expected (unsigned bytes, %d dimensions), 0x%08x found', 0x800 + rank, rank, magic)
    elseif head[0] ~= 0 or head[1] ~= 0 or not element or head[3] == 0 then
        refuse('wrong magic number: 0x00000801 to 0x00000eff expected, 0x%08x found; is this an IDX file?', magic)
    end
    rank = head[3]
    local dims
    dims, got = readSome(read, 4 * rank)
    if got < 4 * rank then refuse('truncated: a header of %d bytes expected, %d found', 4 + 4 * rank, 4 + got) end
    local sizes, count = {}, 1
    for k = 1, rank do
        sizes[k] = bigEndian(dims, 4 * (k - 1))
        count = count * sizes[k]
    end
    local bytes = count * element[2]
    local header = 4 + 4 * rank
    local data
    data, got = readSome(read, bytes)
    if got < bytes then
        refuse('truncated: %.0f bytes expected (header and %s elements), %.0f found', header + bytes, table.concat(sizes, 'x'),
            header + got)
    end
    local rest = read(ffi.new 'uint8_t[1]', 1)
    if rest > 0 then refuse('wrong count: %.0f bytes expected (header and %s elements), more found', header + bytes,
        table.concat(sizes, 'x')) end
    if ffi.abi 'le' then reverseBytes(data, element[2] > 1 and count or 0, element[2]) end
    return {sizes = sizes, count = count, type = element[1], data = data}
end

-- Reads a file: {sizes = {…}, count =, type = C type of the elements, data = uint8_t array}. rank, if given: the file must hold
-- unsigned bytes in so many dimensions. Errors name the file, with the expected and the found bytes.
function idx.read(path, rank)
    local read, close = files.open(path)
    if not read then error(close, 0) end
    local ok, result = pcall(parse, path, read, rank)
    close()
    if not ok then error(result, 0) end
    return result
end

-- Writes unsigned bytes under the sizes, atomically.
function idx.write(path, sizes, data)
    files.replace(path, function(put)
        local count = 1
        put(string.char(0, 0, 8, #sizes))
        for _, n in ipairs(sizes) do
            for shift = 24, 0, -8 do put(string.char(bit.band(bit.rshift(n, shift), 255))) end
            count = count * n
        end
        put(data, count)
    end)
end

return idx
