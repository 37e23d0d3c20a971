-- The plugin ABI as it is recorded in tests/abi/offsets.txt, and the rules by which it may grow.
local layout = require 'tests.abi.layout'
local support = require 'tests.lua.support'

describe('the layout of plugin.h', function()
    local recorded = layout.read 'tests/abi/offsets.txt'

    it('is the recorded one', function()
        local present = layout.of(support.read(os.getenv 'DLRUN_BUILD' .. '/gen/plugin_cdef.h'))
        local broken, appended = layout.compare(recorded, present)
        assert.equal('', table.concat(broken, '\n'), 'plugins in the field would break: append instead')
        assert.equal('', table.concat(appended, '\n'), 'appended: run make abi-record')
    end)

    it('knows every part of the ABI', function()
        local text = '\n' .. table.concat(recorded, '\n') .. '\n'
        for _, line in ipairs {'dl_tensor.byte_offset = 40, 8 bytes, uint64', 'dl_attr.n = 4, 4 bytes, int32', 'DL_OK = 0',
            'dl_host.fail = 8, 8 bytes, int32(int32, int8*, ...)*', 'dl_identity.name = 40, 32 bytes, int8[32]',
            'DL_NO_VALUE = -1', 'DL_KERNEL_EPILOGUE = 1', 'type dl_status = int32'} do
            assert.is_truthy(text:find('\n' .. line .. '\n', 1, true), line)
        end
    end)

    it('may grow at its end, and change in no other way', function()
        local simple = {'struct s = 16 bytes', 's.a = 0, 8 bytes, int64', 's.b = 8, 8 bytes, int64', 'E_COUNT = 2'}
        local function judge(change)
            local lines = {}
            for k, line in ipairs(simple) do lines[k] = line end
            change(lines)
            local broken, appended = layout.compare(simple, lines)
            return #broken, #appended
        end
        local function counts(broken, appended, change) assert.same({broken, appended}, {judge(change)}) end
        counts(0, 0, function() end)
        counts(0, 2, function(l) l[1], l[5] = 'struct s = 24 bytes', 's.c = 16, 8 bytes, int64' end)
        counts(0, 1, function(l) l[4] = 'E_COUNT = 3' end)
        counts(1, 0, function(l) l[4] = 'E_COUNT = 1' end)
        counts(1, 0, function(l) l[1] = 'struct s = 8 bytes' end)
        counts(1, 0, function(l) table.remove(l, 3) end)
        counts(2, 0, function(l) l[2], l[3] = 's.a = 8, 8 bytes, int64', 's.b = 0, 8 bytes, int64' end)
        counts(1, 0, function(l) l[3] = 's.b = 8, 8 bytes, float64' end)
    end)
end)
