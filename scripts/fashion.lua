-- fashion.lua: teaches a small convolutional network with batch normalisation to tell ten kinds of clothes apart
-- (Fashion-MNIST, Xiao et al. 2017).
--
--     dlrun scripts/fashion.lua           its options: dlrun scripts/fashion.lua --help
require 'nn'
require 'optim'
local data = require 'dlrun.data'
local progress = require 'dlrun.progress'

local opt = require 'dlrun.options' {
    'Trains a convolutional network on Fashion-MNIST.',
    {'epochs', 5, 'passes over the training images'},
    {'batch', 64, 'images in a step'},
    {'lr', 2e-3, 'learning rate of Adam in the first epoch; it falls to 0 along a cosine'},
    {'seed', 1, 'of the weights, the dropout and the order of the images'},
    {'data', '', 'folder of the four IDX files'},
    {'save', 'fashion.safetensors', 'file for the weights'},
}
assert(opt.epochs >= 1, '--epochs must be at least 1')
torch.manualSeed(opt.seed)

local train = data.fashionMnist {split = 'train', path = opt.data}
local test = data.fashionMnist {split = 'test', path = opt.data}

-- Twice: convolve, normalise, halve. Batch normalisation has an offset of its own, so the convolutions need none.
local model = nn.Sequential(
    nn.Conv2d(1, 32, 3, {padding = 'same', bias = false}), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
    nn.Conv2d(32, 64, 3, {padding = 'same', bias = false}), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2),
    nn.Flatten(), nn.Dropout(0.3),
    nn.Linear(64 * 7 * 7, 128), nn.ReLU(), nn.Linear(128, 10))
local criterion = nn.CrossEntropyCriterion()
local optimizer = optim.Adam(model:parameters(), {lr = opt.lr})
local schedule = optim.CosineAnnealingLR(optimizer, {epochs = opt.epochs})

-- How many of each class were recognised, and how many there are.
local function evaluate()
    local right, all = torch.zeros(#test.classes), torch.zeros(#test.classes)
    model:evaluate()
    torch.noGrad(function()
        for x, y in data.loader(test, {batchSize = 1000})() do
            local hit = model(x):argmax(2):eq(y):float()
            right:indexAdd(1, y, hit)
            all:indexAdd(1, y, hit:clone():fill(1))
        end
    end)
    model:training()
    return right, all
end

model:summary {input = {1, 28, 28}}
local loader = data.loader(train, {batchSize = opt.batch, shuffle = true})
local right, all
for epoch = 1, opt.epochs do
    local timer, total = torch.Timer(), 0
    for x, y in progress(loader, ('epoch %d'):format(epoch)) do
        local loss = criterion(model(x), y)
        optimizer:zeroGrad()
        loss:backward()
        optimizer:step()
        total = total + loss:item() * y:size(1)
    end
    schedule:step()
    right, all = evaluate()
    print(('epoch %d  loss %.4f  test accuracy %.2f %%  %.1f s'):format(epoch, total / train:size(),
        100 * right:sum() / all:sum(), timer:time().real))
end

for k, name in ipairs(test.classes) do
    if all[k] > 0 then print(('%-12s %5.1f %%'):format(name, 100 * right[k] / all[k])) end
end
model:save(opt.save)
print(('test accuracy %.2f %%, weights in %s'):format(100 * right:sum() / all:sum(), opt.save))
