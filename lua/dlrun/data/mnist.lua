-- mnist.lua: the MNIST and Fashion-MNIST datasets from their IDX files, wherever they are; without MNIST, generated digits.
local base = require 'dlrun.ffi'
local raw = require 'torch.raw'
local digits = require 'dlrun.data.digits'
local files = require 'dlrun.files'
local idx = require 'dlrun.data.idx'
local tensors = require 'dlrun.data.tensors'
local C = base.C

-- A split's files, and how many digits are generated for it from which seed.
local splits = {
    train = {images = 'train-images-idx3-ubyte', labels = 'train-labels-idx1-ubyte', count = 60000, seed = 1},
    test = {images = 't10k-images-idx3-ubyte', labels = 't10k-labels-idx1-ubyte', count = 10000, seed = 2},
}

local collections = {
    mnist = {folder = 'mnist', classes = {'0', '1', '2', '3', '4', '5', '6', '7', '8', '9'}, generated = true},
    fashionMnist = {
        folder = 'fashion-mnist',
        origin = 'Fashion-MNIST (github.com/zalandoresearch/fashion-mnist)',
        classes = {'T-shirt/top', 'Trouser', 'Pullover', 'Dress', 'Coat', 'Sandal', 'Shirt', 'Sneaker', 'Bag', 'Ankle boot'},
    },
}

local function findFile(folder, name)
    for _, suffix in ipairs {'', '.gz'} do
        local path = ('%s/%s%s'):format(folder, name, suffix)
        if files.exists(path) then return path end
    end
end

local noticed = {}
local function notice(format, ...)
    local text = format:format(...)
    if not noticed[text] then io.stderr:write(text, '\n') end
    noticed[text] = true
end

-- Generated digits live in the cache; the number in the folder's name changes with what digits.lua draws.
local function generated(split, looked)
    local folder = files.cache() .. '/digits-1'
    notice('dlrun: no MNIST files in %s: these are digits that dlrun drew itself (%s)', table.concat(looked, ' or '), folder)
    local paths = {images = folder .. '/' .. split.images, labels = folder .. '/' .. split.labels}
    if files.exists(paths.images) and files.exists(paths.labels) then return paths end
    local images, labels = digits.generate(split.count, split.seed)
    files.makeFolder(folder)
    idx.write(paths.images, {split.count, digits.side, digits.side}, images)
    idx.write(paths.labels, {split.count}, labels)
    return paths
end

-- The split's two files: {images = path, labels = path}.
local function locate(collection, split, path)
    local looked = path and path ~= '' and {path} or nil
    local asked = looked ~= nil
    if not looked then
        looked = {files.cache() .. '/' .. collection.folder}
        local data = os.getenv 'DLRUN_DATA'
        if data and data ~= '' then table.insert(looked, 1, data .. '/' .. collection.folder) end
    end
    for _, folder in ipairs(looked) do
        local images, labels = findFile(folder, split.images), findFile(folder, split.labels)
        if images and labels then return {images = images, labels = labels} end
        if images or labels then
            error(('%s has no %s (nor .gz)'):format(folder, images and split.labels or split.images), 0)
        end
    end
    if collection.generated and not asked then return generated(split, looked) end
    local text = ('no %s (or .gz) in %s'):format(split.images, table.concat(looked, ' or '))
    if collection.origin then
        text = ('%s: put the four files of %s there, or name their folder'):format(text, collection.origin)
    end
    error(text, 0)
end

local function byteTensor(file)
    local x = raw.empty(C.DL_U8, file.sizes, nil)
    base.check(C.dl_tensor_write(x._t, file.data, file.count))
    return x
end

local function read(paths, classes)
    local images, labels = idx.read(paths.images, 3), idx.read(paths.labels, 1)
    if labels.count ~= images.sizes[1] then
        error(('%s: wrong count: %d bytes expected (%d labels, as many as images in %s), %d found'):format(paths.labels,
            8 + images.sizes[1], images.sizes[1], paths.images, 8 + labels.count), 0)
    end
    for k = 0, labels.count - 1 do
        if labels.data[k] >= #classes then
            error(('%s: label %d of sample %d is not one of 0 to %d'):format(paths.labels, labels.data[k], k + 1,
                #classes - 1), 0)
        end
    end
    table.insert(images.sizes, 2, 1)
    return byteTensor(images):float():div(255), byteTensor(labels):long():add(1)
end

-- data.mnist{split = 'train' or 'test', path = folder, transform = function of one image}
return function(name)
    local collection = collections[name]
    return function(given)
        given = require 'torch.options'.take('data.' .. name, given, {'split', 'path', 'transform'})
        local split = splits[given.split or 'train']
        if not split then error(("data.%s: split is 'train' or 'test', not '%s'"):format(name, tostring(given.split)), 2) end
        local x, y = read(locate(collection, split, given.path), collection.classes)
        return tensors(x, y, {classes = collection.classes, transform = given.transform})
    end
end
