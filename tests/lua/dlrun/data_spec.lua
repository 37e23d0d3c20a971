local data = require 'dlrun.data'
local support = require 'tests.lua.support'

-- Seven samples: x[k] = {10 k, 10 k + 1}, y[k] = k % 3 + 1.
local function seven(given)
    local x, y = torch.Tensor(7, 2), torch.LongTensor(7)
    for k = 1, 7 do
        x[k][1], x[k][2], y[k] = 10 * k, 10 * k + 1, k % 3 + 1
    end
    return data.tensors(x, y, given)
end

-- First elements and labels of all batches of a pass.
local function pass(iterator)
    local xs, ys, sizes = {}, {}, {}
    for x, y in iterator do
        sizes[#sizes + 1] = x:size(1)
        for k = 1, x:size(1) do xs[#xs + 1], ys[#ys + 1] = x[k][1], y[k] end
    end
    return xs, ys, sizes
end

local function sorted(t)
    local copy = {unpack(t)}
    table.sort(copy)
    return copy
end

describe('a dataset of tensors', function()
    it('gives its samples', function()
        local ds = seven {classes = {'a', 'b', 'c'}}
        assert.equal(7, ds:size())
        assert.same({30, 31}, ds[3][1]:totable())
        assert.equal(1, ds[3][2])
        assert.equal('a', ds.classes[ds[3][2]])
    end)

    it('transforms single samples', function()
        assert.same({31, 32}, seven {transform = function(x) return x + 1 end}[3][1]:totable())
    end)

    it('refuses numbers that are no sample, and labels of another count', function()
        local ds = seven()
        for _, k in ipairs {0, 8, -1, 1.5} do
            assert.has_error(function() return ds[k] end, ('this dataset has samples 1 to 7; there is no number %s'):format(k))
        end
        local ok, message = pcall(data.tensors, torch.Tensor(3, 2), torch.LongTensor(4))
        assert.is_false(ok)
        assert.matches('3 samples but 4 labels', message)
    end)
end)

describe('a loader', function()
    it('goes through the dataset in batches, the last one short', function()
        local loader = data.loader(seven(), {batchSize = 3})
        assert.equal(3, #loader)
        local xs, ys, sizes = pass(loader())
        assert.same({10, 20, 30, 40, 50, 60, 70}, xs)
        assert.same({2, 3, 1, 2, 3, 1, 2}, ys)
        assert.same({3, 3, 1}, sizes)
        assert.same(xs, (pass(loader())))
    end)

    it('can be the iterator itself, in nested loops too', function()
        local loader = data.loader(seven(), {batchSize = 4})
        assert.same({10, 20, 30, 40, 50, 60, 70}, (pass(loader)))
        local pairsSeen = 0
        for a in loader do
            for b in loader do pairsSeen = pairsSeen + a:size(1) * b:size(1) end
        end
        assert.equal(49, pairsSeen)
    end)

    it('drops the short batch when asked', function()
        local loader = data.loader(seven(), {batchSize = 3, dropLast = true})
        assert.equal(2, #loader)
        assert.same({3, 3}, select(3, pass(loader())))
        assert.equal(0, #data.loader(seven(), {batchSize = 8, dropLast = true}))
        assert.same({}, (pass(data.loader(seven(), {batchSize = 8, dropLast = true})())))
    end)

    it('shuffles by the seed: all samples once, labels beside them, another order in each pass', function()
        local loader = data.loader(seven(), {batchSize = 2, shuffle = true})
        torch.manualSeed(5)
        local first, labels = pass(loader())
        local second = pass(loader())
        assert.same({10, 20, 30, 40, 50, 60, 70}, sorted(first))
        for k, x in ipairs(first) do assert.equal(x / 10 % 3 + 1, labels[k]) end
        assert.same({10, 20, 30, 40, 50, 60, 70}, sorted(second))
        torch.manualSeed(5)
        assert.same(first, (pass(loader())))
        assert.same(second, (pass(loader())))
        assert.not_same(first, second)
    end)

    it('hands out copies', function()
        local ds = seven()
        for x, y in data.loader(ds, {batchSize = 7})() do
            x:zero()
            y:zero()
        end
        assert.equal(10, ds.data[1][1])
        assert.equal(2, ds.labels[1])
    end)

    it('transforms batches, and single samples by the dataset', function()
        local loader = data.loader(seven {transform = function(x) return x * 2 end},
            {batchSize = 4, transform = function(x, y) return x + 1, y end})
        local xs, ys = pass(loader())
        assert.same({21, 41, 61, 81, 101, 121, 141}, xs)
        assert.same({2, 3, 1, 2, 3, 1, 2}, ys)
    end)

    it('collates any dataset with size and samples', function()
        local ds = {size = function() return 3 end, {torch.ones(2), 1}, {torch.ones(2):mul(2), 3}, {torch.zeros(2), 2}}
        local x, y = data.loader(ds, {batchSize = 3})()()
        assert.same({{1, 1}, {2, 2}, {0, 0}}, x:totable())
        assert.same({1, 3, 2}, y:totable())
        assert.equal('torch.LongTensor', y:type())
        ds[1][2] = 1.5
        x, y = data.loader(ds, {batchSize = 2})()()
        assert.equal(2, x:size(1))
        assert.equal('torch.FloatTensor', y:type())
    end)

    it('refuses wrong options', function()
        for _, wrong in ipairs {{batchSize = 0}, {batchSize = 1.5}, {batchSize = 'x'}} do
            assert.has_error(function() data.loader(seven(), wrong) end)
        end
        local ok, message = pcall(data.loader, seven(), {batchsize = 3})
        assert.is_false(ok)
        assert.matches('batchSize', message)
    end)
end)

describe('MNIST', function()
    local idx = require 'dlrun.data.idx'
    local ffi = require 'ffi'

    -- A folder with n images of 2 by 3 and m labels as the test split.
    local function folderOf(folder, n, m, biggest)
        local images, labels = ffi.new('uint8_t[?]', 6 * n), ffi.new('uint8_t[?]', m)
        for k = 0, 6 * n - 1 do images[k] = k * 5 end
        for k = 0, m - 1 do labels[k] = k end
        if biggest then labels[m - 1] = biggest end
        idx.write(folder .. '/t10k-images-idx3-ubyte', {n, 2, 3}, images)
        idx.write(folder .. '/t10k-labels-idx1-ubyte', {m}, labels)
    end

    it('is Float 0..1 of N x 1 x H x W, labels from 1', function()
        support.inFolder(function(folder)
            folderOf(folder, 4, 4)
            local ds = data.mnist {split = 'test', path = folder}
            assert.same({4, 1, 2, 3}, ds.data:size():totable())
            assert.equal('torch.FloatTensor', ds.data:type())
            assert.is_true(math.abs(ds.data[2][1][1][1] - 30 / 255) < 1e-6)
            assert.same({1, 2, 3, 4}, ds.labels:totable())
            assert.equal('torch.LongTensor', ds.labels:type())
            assert.equal('3', ds.classes[ds[4][2]])
        end)
    end)

    it('reads compressed files', function()
        support.inFolder(function(folder)
            folderOf(folder, 4, 4)
            os.execute(('gzip %s/t10k-*'):format(folder))
            assert.equal(4, data.mnist {split = 'test', path = folder}:size())
        end)
    end)

    it('refuses labels of another count by name, with expected and found bytes', function()
        support.inFolder(function(folder)
            folderOf(folder, 4, 3)
            local ok, message = pcall(data.mnist, {split = 'test', path = folder})
            assert.is_false(ok)
            assert.matches('t10k%-labels%-idx1%-ubyte: wrong count: 12 bytes expected .* 11 found', message)
        end)
    end)

    it('refuses labels that are no class, naming the sample', function()
        support.inFolder(function(folder)
            folderOf(folder, 4, 4, 10)
            local ok, message = pcall(data.mnist, {split = 'test', path = folder})
            assert.is_false(ok)
            assert.matches('label 10 of sample 4 is not one of 0 to 9', message)
        end)
    end)

    it('says what is missing in the folder it was given', function()
        support.inFolder(function(folder)
            local ok, message = pcall(data.mnist, {path = folder})
            assert.is_false(ok)
            assert.matches('no train%-images%-idx3%-ubyte', message)
            folderOf(folder, 1, 1)
            os.remove(folder .. '/t10k-labels-idx1-ubyte')
            ok, message = pcall(data.mnist, {split = 'test', path = folder})
            assert.is_false(ok)
            assert.matches('has no t10k%-labels%-idx1%-ubyte', message)
        end)
    end)

    it('refuses other splits and options', function()
        assert.has_error(function() data.mnist {split = 'validation'} end,
            "data.mnist: split is 'train' or 'test', not 'validation'")
        assert.has_error(function() data.mnist {folder = '/'} end)
    end)

    it('is found in $DLRUN_DATA, else in the cache, else generated once, with one line that says so', function()
        support.inFolder(function(folder)
            local script = 'local d = require "dlrun.data".mnist {split = "test"}; print(d:size(), d.data:size(3))'
            local function look(env)
                local _, out, err = support.dlrun({'-e', script}, {env = env})
                return out, err
            end
            local env = ('DLRUN_CACHE=%s/cache DLRUN_DATA=%s/data'):format(folder, folder)
            local out, err = look(env)
            assert.equal('10000\t28\n', out)
            assert.matches('^dlrun: no MNIST files in [^\n]*\n$', err)
            local path = folder .. '/cache/digits-1/t10k-images-idx3-ubyte'
            local before = support.read(path)
            assert.equal(16 + 10000 * 784, #before)
            support.write(path, before:sub(1, -2))
            assert.matches('truncated', select(2, look(env)))
            os.execute(('mkdir -p %s/cache/mnist'):format(folder))
            folderOf(folder .. '/cache/mnist', 3, 3)
            out, err = look(env)
            assert.equal('3\t2\n', out)
            assert.equal('', err)
            os.execute(('mkdir -p %s/data/mnist'):format(folder))
            folderOf(folder .. '/data/mnist', 5, 5)
            assert.equal('5\t2\n', (look(env)))
        end)
    end)

    it('of tensors wants two', function()
        assert.error_matches(function() data.tensors(torch.ones(3, 1)) end, 'wants two tensors')
        assert.error_matches(function() data.tensors(torch.ones(3, 1), torch.ones(2)) end, '3 samples but 2 labels')
    end)

    it('of Fashion-MNIST is never generated', function()
        support.inFolder(function(folder)
            local _, _, err = support.dlrun({'-e', 'require "dlrun.data".fashionMnist()'},
                {env = ('DLRUN_CACHE=%s DLRUN_DATA=%s'):format(folder, folder)})
            assert.matches('no train%-images%-idx3%-ubyte .*fashion%-mnist: put the four files of Fashion%-MNIST .* there', err)
            os.execute(('mkdir %s/fashion-mnist'):format(folder))
            folderOf(folder .. '/fashion-mnist', 2, 2)
            assert.equal('Trouser', data.fashionMnist({split = 'test', path = folder .. '/fashion-mnist'}).classes[2])
        end)
    end)
end)
