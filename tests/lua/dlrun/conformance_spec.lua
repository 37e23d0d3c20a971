-- The conformance kit: passes what is right, finds what is wrong (tests/core/plugins/liar.c), prints a matrix or JSON.
local support = require 'tests.lua.support'
local dlrun = support.dlrun

local CASES = [[
DL_CASE("liar::blind", "f:3,4", "", DL_CASE_NO_GRADIENT)
DL_CASE("liar::promises", "f:3,4", "", DL_CASE_NO_GRADIENT)
DL_CASE("liar::honest", "f:3,4", "", DL_CASE_NO_GRADIENT)
]]

local function liar(op, ...)
    local arguments, status, out = {...}, nil, nil
    support.inFolder(function(folder)
        support.write(folder .. '/cases.def', CASES)
        status, out = dlrun {'--plugin=' .. os.getenv 'DLRUN_TEST_PLUGINS' .. '/liar.so', '--cases=' .. folder .. '/cases.def',
            '--conformance=cpu/' .. op, unpack(arguments)}
    end)
    return status, out
end

describe('the conformance kit', function()
    it('passes ops that are right', function()
        for op, letter in pairs {relu = 'g', softmax = 'n', scatter_add = 'n', mean = 'n', dropout = 'n', sort = 'n'} do
            local status, out = dlrun {'--conformance', 'cpu/' .. op}
            assert.equal(0, status, out)
            assert.matches('\n' .. op .. ' +' .. letter, out)
            assert.matches('cpu: 1 ops: .* checks passed, 0 failed', out)
        end
    end)

    it('passes a composition', function()
        local status, out = liar 'liar::honest'
        assert.equal(0, status, out)
        assert.matches('liar::honest +c', out)
    end)

    it('finds a kernel that takes every tensor for contiguous', function()
        local status, out = liar 'liar::blind'
        assert.equal(1, status)
        assert.matches('liar::blind%(f:3,4 | %) float32, strided: output 0: element 1 is', out)
        assert.matches('transposed: output 0', out)
        assert.is_nil(out:find('contiguous: output', 1, true))
        assert.is_nil(out:find('offset: output', 1, true))
    end)

    it('finds a kernel that prepares and then does not run', function()
        local status, out = liar 'liar::promises'
        assert.equal(1, status)
        assert.matches('its kernel made a plan and then refused to run it %(after all not%): prepare must refuse', out)
    end)

    it('takes some ops by a pattern, and the device alone', function()
        local status, out = dlrun {'--conformance', 'cpu/log_?softmax.*'}
        assert.equal(0, status, out)
        assert.matches('\nlog_softmax +n', out)
        assert.matches('\nlog_softmax_backward +n', out)
        assert.matches('cpu: 2 ops: ', out)
        status, out = dlrun {'--conformance', 'cpu/device'}
        assert.equal(0, status, out)
        assert.matches('cpu: 0 ops: .* 2 checks passed, 0 failed', out)
    end)

    it('refuses case files that check nothing', function()
        local function with(text)
            local status, out, err
            support.inFolder(function(folder)
                support.write(folder .. '/cases.def', text)
                status, out, err = dlrun {'--cases=' .. folder .. '/cases.def', '--conformance=cpu/softmax'}
            end)
            return status, out .. err
        end
        local status, text = with 'DL_CASE("relu", "2,3", "")\n'
        assert.equal(1, status)
        assert.matches('1 malformed: expected DL_CASE', text)
        status, text = with 'DL_CASE("no_such_op", "2,3", "", 0)\n'
        assert.equal(1, status)
        assert.matches("a case names 'no_such_op', which is no op", text)
        status, text = with 'DL_CASE("softmax", "2,3", "7", 0)\n'
        assert.equal(1, status)
        assert.matches('softmax%(2,3 | 7%) float32, contiguous: refused in every dtype: softmax: dimension 7 is out', text)
    end)

    it('says that an op has no case', function()
        local plugin = os.getenv 'DLRUN_TEST_PLUGINS' .. '/liar.so'
        local status, out = dlrun {'--plugin=' .. plugin, '--conformance=cpu/liar::honest', '--json'}
        assert.equal(0, status)
        assert.matches('no case', out)
    end)

    it('speaks JSON', function()
        local status, out = liar('liar::blind', '--json')
        assert.equal(1, status)
        local result = require 'cjson'.decode(out)
        assert.equal('cpu', result.backend)
        assert.equal(1, result.counts.native)
        assert.equal('liar::blind', result.ops[1].name)
        assert.equal('native', result.ops[1].status)
        assert.is_true(result.ops[1].dtypes.float32.failed > 0)
        assert.equal('strided', result.ops[1].failures[1].variant)
    end)

    it('refuses what it does not know', function()
        local status, _, err = dlrun {'--conformance', 'nowhere'}
        assert.equal(1, status)
        assert.matches("there is no backend 'nowhere'", err)
        status, _, err = dlrun {'--conformance', 'cpu/nothing'}
        assert.equal(1, status)
        assert.matches("there is no op 'nothing'", err)
    end)
end)
