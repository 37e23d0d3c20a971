local cjson = require 'cjson'
local ffi = require 'ffi'
local safetensors = require 'dlrun.safetensors'
local support = require 'tests.lua.support'

local function number64(n) return ffi.string(ffi.new('uint64_t[1]', n), 8) end

-- A file's bytes from the header (text or table) and the data.
local function fileOf(head, bytes)
    if type(head) == 'table' then head = cjson.encode(head) end
    return number64(#head) .. head .. (bytes or '')
end

local function loading(bytes)
    local results
    support.inFolder(function(folder)
        support.write(folder .. '/x.safetensors', bytes)
        results = {pcall(safetensors.load, folder .. '/x.safetensors')}
    end)
    return unpack(results)
end

local function refused(bytes, pattern)
    local ok, message = loading(bytes)
    assert.is_false(ok)
    assert.matches('x.safetensors: ', message, 1, true)
    assert.matches(pattern, message)
end

-- Saves and loads.
local function through(tensors, metadata)
    local loaded, names, back, bytes
    support.inFolder(function(folder)
        local path = folder .. '/x.safetensors'
        safetensors.save(path, tensors, metadata)
        loaded, names, back = safetensors.load(path)
        bytes = support.read(path)
    end)
    return loaded, names, back, bytes
end

describe('safetensors', function()
    it('keep values, shapes and types', function()
        local values = {
            Float = {1.5, -2.25}, Double = {1 / 3, -1e300}, Half = {0.5, -65504}, BFloat16 = {0.5, -3}, Byte = {0, 255},
            Char = {-128, 127}, Short = {-32768, 32767}, Int = {-2 ^ 31, 2 ^ 31 - 1}, Long = {-2 ^ 53, 2 ^ 53},
            Bool = {true, false},
        }
        local tensors = {}
        for name, pair in pairs(values) do tensors[name] = torch[name .. 'Tensor'](pair) end
        local loaded = through(tensors)
        for name, pair in pairs(values) do
            assert.equal('torch.' .. name .. 'Tensor', loaded[name]:type())
            assert.same(pair, loaded[name]:totable())
        end
    end)

    it('keep any shape, and views as what they show', function()
        local x = torch.range(1, 6):view(2, 3)
        local loaded = through {{'whole', x}, {'turned', x:t()}, {'column', x:select(2, 2)}, {'deep', x:view(1, 2, 1, 3)}}
        assert.same({{1, 2, 3}, {4, 5, 6}}, loaded.whole:totable())
        assert.same({{1, 4}, {2, 5}, {3, 6}}, loaded.turned:totable())
        assert.same({2, 5}, loaded.column:totable())
        assert.same({1, 2, 1, 3}, loaded.deep:size():totable())
    end)

    it('keep names of any text, their order, and metadata', function()
        local _, names, metadata = through({{'b "x"\n', torch.ones(1)}, {'aäö', torch.ones(2)}}, {format = 'pt', note = 'é'})
        assert.same({'b "x"\n', 'aäö'}, names)
        assert.same({format = 'pt', note = 'é'}, metadata)
    end)

    it('are laid out as the format says: aligned header and elements, no holes', function()
        local _, _, _, bytes = through {{'small', torch.ByteTensor {1, 2, 3}}, {'wide', torch.DoubleTensor {1, 2}},
            {'middle', torch.FloatTensor {7}}}
        local length = tonumber(ffi.cast('uint64_t *', ffi.cast('const char *', bytes))[0])
        assert.equal(0, length % 8)
        local head = cjson.decode(bytes:sub(9, 8 + length))
        assert.same({dtype = 'F64', shape = {2}, data_offsets = {0, 16}}, head.wide)
        assert.same({dtype = 'F32', shape = {1}, data_offsets = {16, 20}}, head.middle)
        assert.same({dtype = 'U8', shape = {3}, data_offsets = {20, 23}}, head.small)
        assert.equal(8 + length + 23, #bytes)
        assert.equal('\1\2\3', bytes:sub(-3))
    end)

    it('have a name, and are no folders', function()
        assert.error_matches(function() safetensors.load '/tmp' end, '^/tmp: this is no file')
        assert.error_matches(function() safetensors.save(nil, {}) end, 'save: the name of a file is expected, not a nil')
        assert.error_matches(function() safetensors.load() end, 'load: the name of a file is expected, not a nil')
    end)

    it('may hold nothing', function()
        assert.same({}, (through {}))
        local ok, tensors = loading(fileOf '{}')
        assert.is_true(ok)
        assert.same({}, tensors)
    end)

    it('are read as another program wrote them', function()
        local ok, tensors, names, metadata = loading(fileOf('{"__metadata__":{"format":"pt"},"b":{"dtype":"I16","shape":[1,2],'
            .. '"data_offsets":[4,8]},"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}   ', '\0\0\192\63\1\0\255\255'))
        assert.is_true(ok)
        assert.equal(1.5, tensors.a:item())
        assert.equal(0, tensors.a:dim())
        assert.same({{1, -1}}, tensors.b:totable())
        assert.same({'a', 'b'}, names)
        assert.equal('pt', metadata.format)
    end)

    it('are refused when broken', function()
        local row = {dtype = 'F32', shape = {2}, data_offsets = {0, 8}}
        local whole = fileOf({a = row}, ('\0'):rep(8))
        assert.is_true((loading(whole)))
        for cut = 0, #whole - 1 do refused(whole:sub(1, cut), 'bytes') end
        refused(whole .. '\0', 'end at byte 8 of the data, the file at 9')
        refused(number64(2 ^ 52) .. '{}', 'header of')
        refused(fileOf 'not json', 'not a JSON object')
        refused(fileOf '[1, 2]', 'not a JSON object')
        refused(fileOf '', 'not a JSON object')
        refused(fileOf(('['):rep(100000)), 'not a JSON object')

        local function with(field, value)
            local changed = {dtype = row.dtype, shape = row.shape, data_offsets = row.data_offsets}
            changed[field] = value
            return fileOf({a = changed}, ('\0'):rep(8))
        end
        refused(with('dtype', 'F33'), 'unknown dtype F33')
        refused(with('dtype', cjson.null), 'unknown dtype')
        refused(with('shape', {3}), "'a' .F32 3. needs 12 bytes; its data_offsets hold 8")
        refused(with('shape', {2 ^ 40, 2 ^ 40}), 'needs')
        refused(with('shape', {-2}), 'shape must be')
        refused(with('shape', {1.5}), 'shape must be')
        refused(with('shape', {'2'}), 'shape must be')
        refused(with('shape', cjson.null), 'no shape')
        refused(with('shape', {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2}), '13 dimensions')
        refused(with('data_offsets', {8, 0}), 'outside')
        refused(with('data_offsets', {0, 16}), 'outside')
        refused(with('data_offsets', {0}), 'outside')
        refused(with('data_offsets', {1, 9}), 'outside')
        refused(fileOf({a = 5}, ''), 'not an object')
        refused(fileOf({a = row, b = row}, ('\0'):rep(8)), "'b' starts at byte 0 of the data, not at 8")
        refused(fileOf({a = {dtype = 'U8', shape = {1}, data_offsets = {1, 2}}}, 'xy'), 'starts at byte 1')
    end)

    it('that are not there are an error with their name', function()
        local ok, message = pcall(safetensors.load, '/nowhere/x')
        assert.is_false(ok)
        assert.matches('/nowhere/x', message, 1, true)
    end)

    it('refuse to be written with two tensors of one name or a reserved one', function()
        support.inFolder(function(folder)
            local x = torch.ones(1)
            assert.has_error(function() safetensors.save(folder .. '/x', {{'a', x}, {'a', x}}) end)
            assert.has_error(function() safetensors.save(folder .. '/x', {{'__metadata__', x}}) end)
        end)
    end)

    it('leave the old file when they cannot be written', function()
        support.inFolder(function(folder)
            local path = folder .. '/x'
            safetensors.save(path, {a = torch.ones(2)})
            os.execute(('ln -s /dev/full %s.%d.tmp'):format(path, ffi.C.getpid()))
            assert.has_error(function() safetensors.save(path, {a = torch.zeros(200000)}) end)
            assert.same({1, 1}, safetensors.load(path).a:totable())
        end)
    end)
end)
