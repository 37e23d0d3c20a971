-- bench_train.lua: what a training loop costs through the whole stack: milliseconds a step and GFLOP/s, and nanoseconds a call.
require 'nn'
require 'optim'

-- The best of several rounds, in seconds a call: what the machine can do when nothing else runs.
local function best(rounds, calls, f)
    local least = math.huge
    for _ = 1, rounds do
        local timer = torch.Timer()
        for _ = 1, calls do f() end
        least = math.min(least, timer:time().real / calls)
    end
    return least
end

local function mlp()
    torch.manualSeed(1)
    return nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Dropout(0.2), nn.Linear(256, 128), nn.ReLU(), nn.Dropout(0.2),
        nn.Linear(128, 10))
end

local faces = {}

function faces.autograd(model, criterion, x, y)
    local optimizer = optim.Adam(model:parameters())
    return function()
        local loss = criterion(model(x), y)
        optimizer:zeroGrad()
        loss:backward()
        optimizer:step()
    end
end

function faces.torch7(model, criterion, x, y)
    local params, grads = model:getParameters()
    local config = {}
    local function feval()
        grads:zero()
        local loss = criterion:forward(model:forward(x), y)
        model:backward(x, criterion:backward(model.output, y))
        return loss, grads
    end
    return function() optim.adam(feval, params, config) end
end

function faces.captured(model, criterion, x, y)
    local step = faces.autograd(model, criterion, x, y)
    step()
    return (torch.capture(step))
end

-- Multiply-adds of the three layers at batch 64: forward, and backward towards weights and (but for the first) inputs.
local flops = 2 * 64 * (3 * (784 * 256 + 256 * 128 + 128 * 10) - 784 * 256)
local x, y = torch.randn(64, 784), torch.LongTensor(64):random(1, 10)
print(('MLP 784-256-128-10, batch 64, Adam (%.1f MFLOP in products)'):format(flops / 1e6))
for _, face in ipairs {'autograd', 'torch7', 'captured'} do
    local step = faces[face](mlp(), nn.CrossEntropyCriterion(), x, y)
    for _ = 1, 50 do step() end
    local seconds = best(10, 50, step)
    print(('  %-10s %7.3f ms a step  %7.1f GFLOP/s'):format(face, seconds * 1e3, flops / seconds / 1e9))
end

local function xor()
    local inputs, targets = torch.Tensor {{0, 0}, {0, 1}, {1, 0}, {1, 1}}, torch.Tensor {{0}, {1}, {1}, {0}}
    local model, criterion = nn.Sequential(nn.Linear(2, 3), nn.Sigmoid(), nn.Linear(3, 1), nn.Sigmoid()), nn.BCECriterion()
    local optimizer = optim.SGD(model:parameters(), {lr = 0.1})
    for _ = 1, 5000 do
        local loss = criterion(model(inputs), targets)
        optimizer:zeroGrad()
        loss:backward()
        optimizer:step()
    end
end
print(('XOR 2-3-1, 5,000 epochs: %.3f s'):format(best(3, 1, xor)))

local a, b = torch.ones(4), torch.ones(4)
print(('add on 4 elements: in place %.0f ns, returning new %.0f ns'):format(
    best(10, 1e5, function() a:cmul(b) end) * 1e9, best(10, 1e5, function() return torch.cmul(a, b) end) * 1e9))
