-- xor.lua: the smallest network that needs a hidden layer, and how slowly the textbooks' recipe trains it.
--
-- Sigmoid units, 2-3-1, binary cross entropy, plain gradient descent at 0.1: tutorials print a loss of 0.01 after 5,000
-- epochs. It is near 0.68: the gradient through two sigmoids is tiny, and guessing ½ for everything costs ln 2 = 0.693.
require 'nn'
require 'optim'

local opt = require 'dlrun.options' {
    'Trains a 2-3-1 network on exclusive or.',
    {'epochs', 5000, 'passes over the four samples'},
    {'seed', 1, 'of the first weights'},
}

local x = torch.Tensor {{0, 0}, {0, 1}, {1, 0}, {1, 1}}
local y = torch.Tensor {{0}, {1}, {1}, {0}}

-- Trains from the same first weights; prints the curve and what the network then says.
local function train(title, hidden, method, options)
    torch.manualSeed(opt.seed)
    local model = nn.Sequential(nn.Linear(2, 3), hidden, nn.Linear(3, 1), nn.Sigmoid())
    local criterion = nn.BCECriterion()
    local optimizer = method(model:parameters(), options)
    local curve = {}
    for epoch = 1, opt.epochs do
        local loss = criterion(model(x), y)
        optimizer:zeroGrad()
        loss:backward()
        optimizer:step()
        if epoch == 1 or epoch % math.ceil(opt.epochs / 5) == 0 then curve[#curve + 1] = ('%.4f'):format(loss:item()) end
    end
    local answers = {}
    for k = 1, 4 do answers[k] = ('%.2f'):format(model:forward(x)[k][1]) end
    print(('%-34s loss %s   0^0, 0^1, 1^0, 1^1 = %s'):format(title, table.concat(curve, ' '), table.concat(answers, ' ')))
end

print(('Loss after 1 and each fifth of %d epochs; guessing costs %.4f.'):format(opt.epochs, math.log(2)))
train('the textbooks: sigmoid, SGD 0.1', nn.Sigmoid(), optim.SGD, {lr = 0.1})
print '\nWhat does reach 0.01:'
train('a larger step: sigmoid, SGD 5', nn.Sigmoid(), optim.SGD, {lr = 5})
train('tanh in the hidden layer, SGD 1', nn.Tanh(), optim.SGD, {lr = 1})
train('Adam 0.05, sigmoid', nn.Sigmoid(), optim.Adam, {lr = 0.05})
