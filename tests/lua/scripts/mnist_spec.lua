local safetensors = require 'dlrun.safetensors'
local support = require 'tests.lua.support'

-- Runs the script on the folder's data; returns its status, output, errors and the saved weights' file.
local function train(folder, name, ...)
    local weights = ('%s/%s.safetensors'):format(folder, name)
    local status, out, err = support.dlrun {'scripts/mnist.lua', '--data', folder, '--save', weights, ...}
    return status, out, err, weights
end

describe('scripts/mnist.lua', function()
    it('learns, saves its best weights, and does the same with both faces', function()
        support.inFolder(function(folder)
            support.writeDigits(folder, 2000, 500)
            local status, out, err, first = train(folder, 'autograd', '--epochs', '3')
            assert.equal('', err)
            assert.equal(0, status)
            local losses = {}
            for loss in out:gmatch 'epoch %d  loss (%d%.%d+)  test accuracy %d+%.%d+ %%' do
                losses[#losses + 1] = tonumber(loss)
            end
            assert.equal(3, #losses)
            assert.is_true(losses[3] < losses[1] / 2)
            assert.is_true(tonumber(out:match '\ntest accuracy (%d+%.%d+) %%, weights in [^\n]+\n$') > 60)
            local _, _, _, second = train(folder, 'torch7', '--epochs', '3', '--face=torch7')
            assert.equal(support.read(first), support.read(second))
            local sizes = {}
            for key, x in pairs(safetensors.load(first)) do sizes[key] = table.concat(x:size():totable(), 'x') end
            assert.same({['1.weight'] = '256x784', ['1.bias'] = '256', ['4.weight'] = '128x256', ['4.bias'] = '128',
                ['7.weight'] = '10x128', ['7.bias'] = '10'}, sizes)
        end)
    end)

    it('has a convolutional model, which does the same with both faces', function()
        support.inFolder(function(folder)
            support.writeDigits(folder, 192, 100)
            local status, out, err, first = train(folder, 'autograd', '--epochs=1', '--model=cnn')
            assert.equal('', err)
            assert.equal(0, status)
            assert.matches('epoch 1  loss %d%.%d+  test accuracy', out)
            local _, _, _, second = train(folder, 'torch7', '--epochs=1', '--model=cnn', '--face=torch7')
            assert.equal(support.read(first), support.read(second))
            local sizes = {}
            for key, x in pairs(safetensors.load(first)) do sizes[key] = table.concat(x:size():totable(), 'x') end
            assert.same({['0.weight'] = '32x1x3x3', ['0.bias'] = '32', ['2.weight'] = '64x32x3x3', ['2.bias'] = '64',
                ['7.weight'] = '128x9216', ['7.bias'] = '128', ['10.weight'] = '10x128', ['10.bias'] = '10'}, sizes)
        end)
    end)

    it('depends on the seed', function()
        support.inFolder(function(folder)
            support.writeDigits(folder, 128, 64)
            local _, _, _, first = train(folder, 'one', '--epochs=1', '--seed=1')
            local _, _, _, again = train(folder, 'again', '--epochs=1', '--seed=1')
            local _, _, _, other = train(folder, 'other', '--epochs=1', '--seed=2')
            assert.equal(support.read(first), support.read(again))
            assert.not_equal(support.read(first), support.read(other))
        end)
    end)

    it('explains its options and refuses others', function()
        local status, out = support.dlrun {'scripts/mnist.lua', '--help'}
        assert.equal(0, status)
        for _, option in ipairs {'model', 'epochs', 'batch', 'lr', 'seed', 'data', 'face'} do
            assert.matches('--' .. option, out, 1, true)
        end
        for _, wrong in ipairs {'--epochs=many', '--face=keras', '--nonsense'} do
            local err
            status, out, err = support.dlrun {'scripts/mnist.lua', wrong}
            assert.equal(1, status)
            assert.equal('', out)
            assert.matches('Usage: dlrun mnist.lua', err, 1, true)
        end
    end)

    it('refuses broken files by name', function()
        support.inFolder(function(folder)
            support.writeDigits(folder, 10, 10)
            local path = folder .. '/train-images-idx3-ubyte'
            support.write(path, support.read(path):sub(1, 1000))
            local status, _, err = train(folder, 'x')
            assert.equal(1, status)
            assert.matches(path .. ': truncated: 7856 bytes expected', err, 1, true)
            assert.matches('1000 found', err)
        end)
    end)
end)
