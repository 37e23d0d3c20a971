local ffi = require 'ffi'
local idx = require 'dlrun.data.idx'
local support = require 'tests.lua.support'

local function be(n)
    return string.char(math.floor(n / 2 ^ 24), math.floor(n / 2 ^ 16) % 256, math.floor(n / 2 ^ 8) % 256, n % 256)
end

local small = '\0\0\8\2' .. be(2) .. be(3) .. '\1\2\3\4\5\255'

-- Reads a file of these bytes; returns pcall's results.
local function reading(bytes, rank, name)
    local ok, result
    support.inFolder(function(folder)
        local path = folder .. '/' .. (name or 'file-idx')
        support.write(path, bytes)
        ok, result = pcall(idx.read, path, rank)
    end)
    return ok, result
end

local function bytesOf(file)
    local out = {}
    for k = 0, file.count - 1 do out[k + 1] = file.data[k] end
    return out
end

describe('IDX files', function()
    it('are read', function()
        local ok, file = reading(small, 2)
        assert.is_true(ok)
        assert.same({2, 3}, file.sizes)
        assert.equal(6, file.count)
        assert.same({1, 2, 3, 4, 5, 255}, bytesOf(file))
    end)

    it('are read when compressed, under any name', function()
        support.inFolder(function(folder)
            support.write(folder .. '/x', small)
            assert.equal(0, os.execute(('gzip %s/x'):format(folder)))
            assert.same({1, 2, 3, 4, 5, 255}, bytesOf(idx.read(folder .. '/x.gz', 2)))
        end)
    end)

    it('may hold wider elements, which are big-endian', function()
        local ok, file = reading('\0\0\11\1' .. be(2) .. '\1\2\255\254')
        assert.is_true(ok)
        local values = ffi.cast('int16_t *', file.data)
        assert.equal(258, values[0])
        assert.equal(-2, values[1])
        ok, file = reading('\0\0\13\1' .. be(1) .. '\63\192\0\0')
        assert.is_true(ok)
        assert.equal(1.5, ffi.cast('float *', file.data)[0])
    end)

    it('are written and read back', function()
        support.inFolder(function(folder)
            local data = ffi.new('uint8_t[6]', {9, 8, 7, 6, 5, 4})
            idx.write(folder .. '/x', {3, 2}, data)
            local file = idx.read(folder .. '/x', 2)
            assert.same({3, 2}, file.sizes)
            assert.same({9, 8, 7, 6, 5, 4}, bytesOf(file))
        end)
    end)

    it('are refused with a wrong magic number', function()
        local ok, message = reading('\0\0\8\1' .. be(1) .. 'x', 3, 'train-images')
        assert.is_false(ok)
        assert.matches('train%-images: wrong magic number: 0x00000803 expected.*0x00000801 found', message)
        ok, message = reading '\1\2\3\4'
        assert.is_false(ok)
        assert.matches('0x01020304 found', message)
    end)

    it('are refused when truncated, with expected and found bytes', function()
        for cut = 0, #small - 1 do
            local ok, message = reading(small:sub(1, cut), 2, 'cut')
            assert.is_false(ok)
            assert.matches('cut: truncated', message)
        end
        local _, message = reading(small:sub(1, -3), 2)
        assert.matches('18 bytes expected .*2x3.* 16 found', message)
    end)

    it('are refused when truncated inside the compression', function()
        support.inFolder(function(folder)
            support.write(folder .. '/x', small:sub(1, 8) .. be(40000) .. ('noise'):rep(8000))
            os.execute(('gzip %s/x'):format(folder))
            local whole = support.read(folder .. '/x.gz')
            support.write(folder .. '/x.gz', whole:sub(1, -20))
            local ok, message = pcall(idx.read, folder .. '/x.gz', 2)
            assert.is_false(ok)
            assert.matches('x.gz: truncated: 80012 bytes expected', message)
        end)
    end)

    it('are refused when longer than they say', function()
        local ok, message = reading(small .. '\0', 2)
        assert.is_false(ok)
        assert.matches('18 bytes expected .* more found', message)
    end)

    it('cost no memory for sizes they only promise', function()
        local ok, message = reading('\0\0\8\3' .. be(2 ^ 32 - 1) .. be(2 ^ 32 - 1) .. be(2 ^ 20) .. 'abc', 3)
        assert.is_false(ok)
        assert.matches('truncated', message)
    end)

    it('that are not there are an error with their name', function()
        local ok, message = pcall(idx.read, '/nowhere/file')
        assert.is_false(ok)
        assert.matches('/nowhere/file', message)
    end)
end)
