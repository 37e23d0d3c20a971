-- mnist.lua: teaches a network to read handwritten digits: one of two hidden layers (--model mlp), which takes seconds, or a
-- convolutional one (--model cnn), which takes minutes and is right in more than 99 of 100.
--
--     make mnist                          or: dlrun scripts/mnist.lua --help
--
-- The same training is written twice, in PyTorch's manner (autograd) and in Torch7's (forward and backward); --face chooses.
require 'nn'
require 'optim'
local data = require 'dlrun.data'
local progress = require 'dlrun.progress'

local opt = require 'dlrun.options' {
    'Trains a network on MNIST.',
    {'model', {'mlp', 'cnn'}, 'two hidden layers, or convolutions'},
    {'epochs', 3, 'passes over the training images'},
    {'batch', 64, 'images in a step'},
    {'lr', 1e-3, 'learning rate of Adam in the first epoch; it falls towards 0 along a cosine'},
    {'seed', 1, 'of the weights, the dropout and the order of the images'},
    {'data', '', 'folder of the four IDX files'},
    {'face', {'autograd', 'torch7'}, 'which API trains'},
    {'save', 'mnist.safetensors', 'file for the best weights'},
}
assert(opt.epochs >= 1, '--epochs must be at least 1')
torch.manualSeed(opt.seed)

local train = data.mnist {split = 'train', path = opt.data}
local test = data.mnist {split = 'test', path = opt.data}

local models = {}

function models.mlp()
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(784, 256), nn.ReLU(), nn.Dropout(0.2),
        nn.Linear(256, 128), nn.ReLU(), nn.Dropout(0.2),
        nn.Linear(128, 10))
end

-- Images 1x28x28 become 32x26x26, 64x24x24 and, by the maximum of each 2x2, 64x12x12.
function models.cnn()
    return nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(),
        nn.Conv2d(32, 64, 3), nn.ReLU(),
        nn.MaxPool2d(2), nn.Dropout(0.25), nn.Flatten(),
        nn.Linear(64 * 12 * 12, 128), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(128, 10))
end

local model = models[opt.model]()
local criterion = nn.CrossEntropyCriterion()

-- Each face gives a function that takes one training step at a learning rate and returns the loss.
local faces = {}

function faces.autograd()
    local optimizer = optim.Adam(model:parameters(), {lr = opt.lr})
    return function(x, y, rate)
        optimizer.lr = rate
        local loss = criterion(model(x), y)
        optimizer:zeroGrad()
        loss:backward()
        optimizer:step()
        return loss:item()
    end
end

function faces.torch7()
    local params, gradParams = model:getParameters()
    local state = {epsilonHat = false} -- as optim.Adam, so that both faces agree
    return function(x, y, rate)
        state.learningRate = rate
        local function feval()
            gradParams:zero()
            local loss = criterion:forward(model:forward(x), y)
            model:backward(x, criterion:backward(model.output, y))
            return loss, gradParams
        end
        local _, losses = optim.adam(feval, params, state)
        return losses[1]
    end
end

local function accuracy(dataset)
    model:evaluate()
    local right = 0
    torch.noGrad(function()
        for x, y in data.loader(dataset, {batchSize = 1000})() do
            right = right + model(x):argmax(2):eq(y):sum()
        end
    end)
    model:training()
    return 100 * right / dataset:size()
end

local step = faces[opt.face]()
local loader = data.loader(train, {batchSize = opt.batch, shuffle = true})
local best = 0
for epoch = 1, opt.epochs do
    local timer, total = torch.Timer(), 0
    local rate = opt.lr * (1 + math.cos(math.pi * (epoch - 1) / opt.epochs)) / 2
    for x, y in progress(loader, ('epoch %d'):format(epoch)) do total = total + step(x, y, rate) * y:size(1) end
    local percent = accuracy(test)
    print(('epoch %d  loss %.4f  test accuracy %.2f %%  %.1f s'):format(epoch, total / train:size(), percent,
        timer:time().real))
    if percent > best then
        best = percent
        model:save(opt.save)
    end
end
print(('test accuracy %.2f %%, weights in %s'):format(best, opt.save))
