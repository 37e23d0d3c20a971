local safetensors = require 'dlrun.safetensors'
local support = require 'tests.lua.support'

local function train(folder, ...)
    return support.dlrun({'scripts/fashion.lua', ...}, {env = ('DLRUN_CACHE=%s DLRUN_DATA=%s'):format(folder, folder)})
end

describe('scripts/fashion.lua', function()
    it('prints its model, learns, and saves its weights with their statistics', function()
        support.inFolder(function(folder)
            support.writeDigits(folder, 640, 100)
            local weights = folder .. '/fashion.safetensors'
            local status, out, err = train(folder, '--epochs=2', '--data', folder, '--save', weights)
            assert.equal('', err)
            assert.equal(0, status)
            assert.matches('model%[1%] +Conv2d%(1 %-> 32, 3x3, .* %(1, 32, 28, 28%) +288  yes\n', out)
            local first, second = out:match 'epoch 1  loss (%S+) .*\nepoch 2  loss (%S+)  test accuracy %d+%.%d+ %%'
            assert.is_true(tonumber(second) < tonumber(first) / 1.5)
            assert.matches('\nT%-shirt/top +%d+%.%d %%\n', out)
            assert.matches('\ntest accuracy %d+%.%d+ %%, weights in [^\n]+\n$', out)
            local state = safetensors.load(weights)
            assert.same({32, 1, 3, 3}, state['0.weight']:size():totable())
            assert.is_true(state['1.running_mean']:norm() > 0)
        end)
    end)

    it('says what is missing and where it belongs', function()
        support.inFolder(function(folder)
            local status, out, err = train(folder)
            assert.equal(1, status)
            assert.equal('', out)
            assert.matches('no train-images-idx3-ubyte (or .gz) in ' .. folder .. '/fashion-mnist', err, 1, true)
            assert.matches('put the four files of Fashion-MNIST (github.com/zalandoresearch/fashion-mnist) there', err, 1, true)
        end)
    end)
end)
