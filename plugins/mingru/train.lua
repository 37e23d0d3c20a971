-- train.lua: reads handwritten digits as sequences, one row of the image after another, with the plugin's nn.MinGRU.
--
--     dlrun --plugin=build/plugins/mingru.so plugins/mingru/train.lua        (--help shows its options)
require 'nn'
require 'optim'
require 'mingru'
local data = require 'dlrun.data'
local digits = require 'dlrun.data.digits'

local opt = require 'dlrun.options' {
    'Trains a minimal gated recurrent network to read digits row by row.',
    {'digits', 4000, 'images to draw for training'},
    {'epochs', 10, 'passes over them'},
    {'hidden', 64, 'channels of the recurrent layer'},
    {'batch', 64, 'images in a step'},
    {'lr', 5e-3, 'learning rate of Adam'},
    {'seed', 1, 'of the weights and the order of the images'},
}
torch.manualSeed(opt.seed)

-- The digits that dlrun draws itself, as sequences of 28 rows of 28 points.
local function draw(count, seed)
    local images, labels = digits.generate(count, seed)
    local x, y = torch.ByteTensor(count, digits.side, digits.side), torch.ByteTensor(count)
    require 'ffi'.copy(x:data(), images, x:nElement())
    require 'ffi'.copy(y:data(), labels, count)
    return data.tensors(x:float():div(255), y:long():add(1))
end

local train, test = draw(opt.digits, 1), draw(1000, 2)
local model = nn.Sequential(nn.MinGRU(digits.side, opt.hidden), nn.MinGRU(opt.hidden, opt.hidden),
    nn.Select(2, -1), nn.Linear(opt.hidden, 10))
local criterion = nn.CrossEntropyCriterion()
local optimizer = optim.Adam(model:parameters(), {lr = opt.lr})

local function accuracy()
    local right = 0
    torch.noGrad(function()
        for x, y in data.loader(test, {batchSize = 500})() do right = right + model(x):argmax(2):eq(y):float():sum() end
    end)
    return right / test:size()
end

local loader = data.loader(train, {batchSize = opt.batch, shuffle = true})
for epoch = 1, opt.epochs do
    local total = 0
    for x, y in loader() do
        local loss = criterion(model(x), y)
        optimizer:zeroGrad()
        loss:backward()
        optimizer:step()
        total = total + loss:item() * y:size(1)
    end
    print(('epoch %d  loss %.4f  test accuracy %.1f %%'):format(epoch, total / train:size(), 100 * accuracy()))
end
