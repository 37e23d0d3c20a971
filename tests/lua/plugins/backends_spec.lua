-- plugins/plain, a whole backend of six kernels, plugins/null, which computes nothing, and scripts on OpenCL. Known answers,
-- memory and messages are in tests/core/test_plain_backend.c.
local conformance = require 'dlrun.conformance'
local support = require 'tests.lua.support'

local folder = os.getenv 'DLRUN_BUILD' .. '/plugins/'
require 'dlrun.plugins'.load(folder .. 'plain.so')

-- Runs dlrun with a backend of plugins/, or one of dlrun's own; returns status, output and errors.
local function dlrun(backend, ...)
    if backend == 'cpu' or backend == 'opencl' then return support.dlrun {'--backend=' .. backend, ...} end
    return support.dlrun {'--plugin=' .. folder .. backend .. '.so', '--backend=' .. backend, ...}
end

-- One epoch of scripts/mnist.lua on drawn digits gives the CPU's loss, and accuracy within one image.
local function trainsAsTheCpu(backend)
    support.inFolder(function(data)
        support.writeDigits(data, 128, 32)
        local arguments = {'scripts/mnist.lua', '--data', data, '--save', data .. '/x', '--epochs=1'}
        for _, more in ipairs {'--model=mlp', '--model=cnn', '--face=torch7'} do
            arguments[7] = more
            local losses, accuracies = {}, {}
            for k, where in ipairs {backend, 'cpu'} do
                local status, out, err = dlrun(where, unpack(arguments))
                assert.equal('', err)
                assert.equal(0, status)
                local loss, accuracy = out:match 'epoch 1  loss (%d%.%d+)  test accuracy ([%d.]+)'
                losses[k], accuracies[k] = tonumber(loss), tonumber(accuracy)
            end
            assert.is_true(math.abs(losses[1] - losses[2]) <= 1e-3, ('%s: %g and %g'):format(more, losses[1], losses[2]))
            assert.is_true(math.abs(accuracies[1] - accuracies[2]) <= 100 / 32 + 0.01, more)
        end
    end)
end

describe('plugins/plain', function()
    -- The kernels, and of the ops that are expressions those whose opcodes are easily wrong.
    for _, op in ipairs {'copy', 'reduce', 'gather', 'scatter_add', 'gemm', 'add', 'where', 'idiv', 'remainder', 'pow', 'exp',
        'maximum', 'digamma', 'lgamma', 'round', 'shift_right', 'bit_not', 'isnan', 'ramp', 'philox64'} do
        it('computes ' .. op .. ' in every dtype and layout', function()
            local result = conformance.check('plain', {only = op})
            local failure = result.ops[1].failures[1]
            assert.equal(nil, failure and ('%s | %s %s %s: %s'):format(failure.inputs, failure.attributes, failure.type,
                failure.variant, failure.message))
            assert.equal(0, result.counts.failed + result.counts.missing)
            assert.is_true(result.counts.passed > 0)
        end)
    end

    it('trains the networks of scripts/mnist.lua as the CPU does', function() trainsAsTheCpu 'plain' end)

    it('is listed, and says what it lacks', function()
        local _, out = dlrun('plain', '--list-backends')
        assert.matches('\n  plain:0  plain C, one thread, [%d.]+ GiB free of [%d.]+ GiB\n', out)
        local status, _, err = dlrun('plain', '-e', 'torch.Tensor {2, 1}:sort(1)')
        assert.equal(1, status)
        assert.matches('backend plain has no kernel for sort on float32, and no composition covers it; '
            .. '--fallback=cpu would run it on the CPU', err, 1, true)
        status, out = dlrun('plain', '--fallback=cpu', '-e', 'print(torch.Tensor {2, 1}:sort(1))')
        assert.equal(0, status)
        assert.matches('1\n 2\n[torch.FloatTensor of size 2 on plain]', out, 1, true)
        status, _, err = dlrun('plain', '-e', 'print(torch.Tensor(2):storage()[1])')
        assert.equal(1, status)
        assert.matches("this storage is not on the CPU; copy the tensor with :to('cpu') first", err, 1, true)
    end)
end)

describe('the OpenCL backend', function()
    it('trains the networks of scripts/mnist.lua as the CPU does', function()
        local _, out = dlrun('cpu', '--list-backends')
        if not out:find('\n  opencl:0 ', 1, true) then return pending 'there is no OpenCL device here' end
        trainsAsTheCpu 'opencl'
    end)

    it('stops on Ctrl-C while it waits for the device', function()
        local _, list = dlrun('cpu', '--list-backends')
        if not list:find('\n  opencl:0 ', 1, true) then return pending 'there is no OpenCL device here' end
        local code = "local ffi = require 'ffi'; ffi.cdef 'int getpid(void);'\n"
            .. "local x = torch.randn(1500, 1500)\nfor k = 1, 100 do x = torch.mm(x, x) end\n"
            .. "os.execute(('(sleep 0.2; kill -INT %d) &'):format(ffi.C.getpid()))\nprint(x:sum())"
        local status, out, err = support.dlrun({'--backend=opencl', '-e', code}, {before = 'timeout -k 5 60'})
        assert.equal(130, status)
        assert.equal('', out)
        assert.matches('interrupted', err)
    end)
end)

describe('plugins/null', function()
    it('takes every step of a training, and nothing comes of it', function()
        support.inFolder(function(data)
            support.writeDigits(data, 128, 32)
            for _, model in ipairs {'mlp', 'cnn'} do
                local status, out, err = dlrun('null', 'scripts/mnist.lua', '--model', model, '--epochs=1', '--data', data,
                    '--save', data .. '/x')
                assert.equal('', err)
                assert.equal(0, status)
                assert.matches('epoch 1  loss 0.0000  test accuracy 0.00 %', out, 1, true)
            end
        end)
    end)
end)
