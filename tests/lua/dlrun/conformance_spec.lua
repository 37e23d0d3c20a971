-- The conformance kit: passes what is right, finds what is wrong (tests/core/plugins/liar.c and crooked.c), prints a matrix or
-- JSON; tests/conformance/run.
local constants = require 'dlrun.constants'
local support = require 'tests.lua.support'
local dlrun = support.dlrun

local CASES = [[
DL_CASE("liar::blind", "f:3,4", "", DL_CASE_NO_GRADIENT)
DL_CASE("liar::promises", "f:3,4", "", DL_CASE_NO_GRADIENT)
DL_CASE("liar::honest", "f:3,4", "", DL_CASE_NO_GRADIENT)
DL_CASE("liar::faint", "f:6", "", DL_CASE_NO_GRADIENT)
DL_CASE("liar::harsh", "3,4", "", DL_CASE_NO_GRADIENT)
]]

local function crooked(op, ...)
    return dlrun {'--plugin=' .. os.getenv 'DLRUN_TEST_PLUGINS' .. '/crooked.so', '--conformance=crooked/' .. op, ...}
end

-- tests/conformance/run with a dlrun of that text: its status and what it prints.
local function runner(script, backends)
    local status, out
    support.inFolder(function(folder)
        os.execute('mkdir ' .. folder .. '/bin')
        support.write(folder .. '/bin/dlrun', '#!/bin/sh\n' .. script)
        local command = 'chmod +x %s/bin/dlrun; BUILD=%s sh tests/conformance/run %s >%s/out 2>&1; echo $? >%s/status'
        os.execute(command:format(folder, folder, backends, folder, folder))
        status, out = tonumber(support.read(folder .. '/status')), support.read(folder .. '/out')
    end)
    return status, out
end

-- A dlrun that prints sums as the kit does: `ops` in each of two parts.
local function sums(ops, missing, dtypes, passed, failed)
    local line = 'echo "b: $1 ops: $1 native, 0 generated, 0 composed, %d missing, %d dtypes of others missing; '
    line = (line .. '$2 checks passed, %d failed"'):format(missing, dtypes, failed)
    return ('set -- "$2"; case $1 in */device) set -- 0 2 ;; *) set -- %d %d ;; esac; %s'):format(ops, passed, line)
end

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

    it('finds results that are small and wrong', function()
        local status, out = liar 'liar::faint'
        assert.equal(1, status)
        assert.matches('liar::faint%(f:6 | %) float32, contiguous: output 0: element 0 is 0, expected [%d.]+e%-05', out)
    end)

    it('takes a defect for no refusal', function()
        local status, out = liar 'liar::harsh'
        assert.equal(1, status)
        assert.matches('int8, contiguous: it ends with "a defect in dlrun or in a plugin": liar::harsh: never thought', out)
    end)

    it('finds dtypes and layouts that are missing', function()
        local status, out = crooked('gather', '--json')
        assert.equal(1, status)
        local result = require 'cjson'.decode(out)
        assert.equal(1, result.counts.missingTypes)
        assert.equal(0, result.counts.missing)
        assert.truthy(result.ops[1].dtypes.int64.missing)
        assert.is_nil(result.ops[1].dtypes.int32.missing)
        assert.matches('float64, strided: it computes contiguous tensors and refuses these: ', (select(2, crooked 'gather')))
    end)

    it('finds int64 that is narrower', function()
        local status, out = crooked 'copy'
        assert.equal(1, status)
        assert.matches('copy%([^)]*%) int64, wide values: output 0: element 0 is 1, expected %-9.007', out)
        assert.is_nil(out:find('int64, contiguous', 1, true))
    end)

    it('finds a kernel that does not look at indices', function()
        local status, out = crooked 'scatter_add'
        assert.equal(1, status)
        assert.matches('float32, bad index: input 1 has the index 3 of 3 elements, and it gives a result', out)
        assert.matches('input 1 has the index %-4 of 3 elements', out)
        assert.is_nil(out:find('@0:3 2,4 | -1) float32, contiguous', 1, true))
    end)

    it('finds a product that is right when it is short', function()
        local status, out = crooked 'gemm'
        assert.equal(1, status)
        assert.matches('gemm%(1,2,520 1,520,3 | %) float32, contiguous: output 0: element 0 is', out)
        assert.is_nil(out:find('gemm(2,3,4 2,4,5 | ) float32', 1, true))
    end)

    it('finds a compiler whose kernels do not run', function()
        local status, out = crooked 'device'
        assert.equal(1, status)
        assert.matches("open and close 100 times: backend 'crooked': a kernel that adds 1 to some bytes gave others", out)
    end)

    it('does not count a layout that the inputs have not', function()
        local function passed(shape)
            local out
            support.inFolder(function(folder)
                support.write(folder .. '/cases.def', ('DL_CASE("hypot", "f:%s f:%s", "", 0)'):format(shape, shape))
                out = select(2, dlrun {'--cases=' .. folder .. '/cases.def', '--conformance=cpu/hypot', '--json'})
            end)
            return require 'cjson'.decode(out).ops[1].dtypes.int8.passed
        end
        -- 'transposed' needs two dimensions, 'strided' and 'no elements' one, 'expanded' a first one of two elements
        local scalar, vector, matrix = passed '()', passed '3', passed '2,3'
        assert.equal(3, vector - scalar)
        assert.equal(1, matrix - vector)
    end)

    it('numbers flags and opcodes as plugin.h does', function()
        local header, opcodes = support.read 'core/include/dlrun/plugin.h', support.read 'core/include/dlrun/opcode.def'
        for name, number in pairs(constants.flag) do
            assert.matches(('DL_OP_%s = %d,'):format(name, number), header)
        end
        for name, number in pairs(constants.opcode) do
            assert.matches(('DL_OPCODE%%(%s, %d,'):format(name, number), opcodes)
        end
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
        local function with(text, op)
            local status, out, err
            support.inFolder(function(folder)
                support.write(folder .. '/cases.def', text)
                status, out, err = dlrun {'--cases=' .. folder .. '/cases.def', '--conformance=cpu/' .. (op or 'softmax')}
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
        status, text = with('DL_CASE("gather", "3 x:2", "0", 0)\n', 'gather')
        assert.equal(1, status)
        assert.matches('index input "x:2" has no range', text)
        status, text = with('DL_CASE("mul", "2,3 2", "", 0)\n', 'mul')
        assert.equal(1, status)
        assert.matches('mul%(2,3 2 | %) float32, contiguous: refused in every dtype: ', text)
    end)

    it('says that an op has no case', function()
        local plugin = os.getenv 'DLRUN_TEST_PLUGINS' .. '/liar.so'
        local status, out = dlrun {'--plugin=' .. plugin, '--conformance=cpu/liar::honest', '--json'}
        assert.equal(0, status)
        assert.matches('no case', out)
    end)

    it('tells five failures of a kind, and how many more there are', function()
        local _, out = liar 'liar::harsh'
        local _, alike = out:gsub(', contiguous: ', '')
        assert.equal(5, alike)
        assert.matches('liar::harsh: and 5 more', out)
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

    it('is run by parts, whose sums must be there and whole', function()
        assert.equal(0, (runner(sums(130, 0, 0, 13000, 0), 'cpu opencl')))
        for message, script in pairs {
            ['0 of 3 parts ended with a sum'] = 'echo nothing',
            ['200 ops were checked, and there are %d+'] = sums(100, 0, 0, 13000, 0),
            ['only 4 checks passed'] = sums(130, 0, 0, 1, 0),
            ['3 ops are missing, expected 0'] = sums(130, 1, 0, 13000, 0),
            ['3 dtypes are missing'] = sums(130, 0, 1, 13000, 0),
            ['3 checks failed'] = sums(130, 0, 0, 13000, 1),
            ['FAILED: status 9'] = sums(130, 0, 0, 13000, 0) .. '; exit 9',
        } do
            local status, out = runner(script, 'cpu')
            assert.equal(1, status, message)
            assert.matches(message, out)
        end
    end)

    it('shows the reports of a backend that fails, and of no other', function()
        local good = sums(130, 0, 0, 13000, 0)
        local status, out = runner('case $2 in cpu/*) exit 9 ;; esac; echo report of $2;' .. good, 'cpu opencl')
        assert.equal(1, status)
        assert.matches('FAILED: status 9', out)
        assert.is_nil(out:find('report of', 1, true))
    end)

    it('refuses what it does not know', function()
        local status, _, err = dlrun {'--conformance', 'nowhere'}
        assert.equal(1, status)
        assert.matches("there is no backend 'nowhere'", err)
        status, _, err = dlrun {'--conformance', 'cpu/nothing'}
        assert.equal(1, status)
        assert.matches("there is no op 'nothing'", err)
        status, _, err = dlrun {'--conformance', 'cpu/add['}
        assert.equal(1, status)
        assert.matches("'add[' is no op, and no Lua pattern of names either", err, 1, true)
        status, _, err = dlrun {'--conformance', 'cpu', 'add'}
        assert.equal(1, status)
        assert.matches('--conformance runs no script; for some ops write --conformance=cpu/add', err, 1, true)
        for _, option in ipairs {'--json', '--cases=/dev/null'} do
            status, _, err = dlrun {option, '-e', 'print(1)'}
            assert.equal(1, status)
            assert.matches(option:match '[^=]*' .. ' goes with --conformance=BACKEND', err, 1, true)
        end
    end)
end)
