-- xor.lua: the smallest network that needs a hidden layer, and how slowly the textbooks' recipe trains it.
--
-- Sigmoid units, 2-3-1, binary cross entropy, plain gradient descent at 0.1: tutorials print a loss of 0.01 after 5,000 epochs.
-- The true one depends on the first weights and lies between 0.1 and ln 2 = 0.69, which is what guessing ½ for everything
-- costs: the gradient through two sigmoids is tiny, and the network sits on that plateau for thousands of epochs.
require 'nn'
require 'optim'

local opt = require 'dlrun.options' {
    'Trains a 2-3-1 network on exclusive or.',
    {'epochs', 5000, 'passes over the four samples'},
    {'seed', 1, 'of the first weights'},
    {'starts', 10, 'first weights to try the textbooks\' recipe from'},
}

local x = torch.Tensor {{0, 0}, {0, 1}, {1, 0}, {1, 1}}
local y = torch.Tensor {{0}, {1}, {1}, {0}}

-- Trains from the seed's first weights. Returns the last loss, the curve as text and what the network then says.
local function train(seed, hidden, method, options)
    torch.manualSeed(seed)
    local model = nn.Sequential(nn.Linear(2, 3), hidden, nn.Linear(3, 1), nn.Sigmoid())
    local criterion = nn.BCECriterion()
    local optimizer = method(model:parameters(), options)
    local curve, loss = {}, nil
    for epoch = 1, opt.epochs do
        loss = criterion(model(x), y)
        optimizer:zeroGrad()
        loss:backward()
        optimizer:step()
        if epoch == 1 or epoch % math.ceil(opt.epochs / 5) == 0 then curve[#curve + 1] = ('%.4f'):format(loss:item()) end
    end
    local answers = {}
    for k = 1, 4 do answers[k] = ('%.2f'):format(model:forward(x)[k][1]) end
    return loss:item(), table.concat(curve, ' '), table.concat(answers, ' ')
end

local function show(title, ...)
    local _, curve, answers = train(opt.seed, ...)
    print(('%-34s loss %s   0^0, 0^1, 1^0, 1^1 = %s'):format(title, curve, answers))
end

print(('Loss after 1 and each fifth of %d epochs; guessing costs %.4f.'):format(opt.epochs, math.log(2)))
show('the textbooks: sigmoid, SGD 0.1', nn.Sigmoid(), optim.SGD, {lr = 0.1})
local losses = {}
for k = 1, opt.starts do losses[k] = train(opt.seed + k - 1, nn.Sigmoid(), optim.SGD, {lr = 0.1}) end
table.sort(losses)
for k = 1, #losses do losses[k] = ('%.2f'):format(losses[k]) end
print(('  its last loss from %d first weights: %s'):format(opt.starts, table.concat(losses, ' ')))
print '\nWhat does reach 0.01:'
show('a larger step: sigmoid, SGD 5', nn.Sigmoid(), optim.SGD, {lr = 5})
show('tanh in the hidden layer, SGD 1', nn.Tanh(), optim.SGD, {lr = 1})
show('Adam 0.05, sigmoid', nn.Sigmoid(), optim.Adam, {lr = 0.05})
