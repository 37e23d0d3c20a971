-- training.lua: the rows of rows.lua that train a network, in dlrun; as families.lua.
local support = require 'support'

local families = {}

-- One training step, and the first loss without dropout from weights that PyTorch's network gets too.
local function trained(model, criterion, optimizer, x, y)
    support.setWeights(model)
    local first = torch.noGrad(function() return criterion(model:evaluate()(x), y):item() end)
    model:training()
    return function()
        local loss = criterion(model(x), y)
        optimizer:zeroGrad()
        loss:backward()
        optimizer:step()
    end, function() return first end
end

function families.xor(epochs)
    local x, y = torch.Tensor {{0, 0}, {0, 1}, {1, 0}, {1, 1}}, torch.Tensor {{0}, {1}, {1}, {0}}
    local model = nn.Sequential(nn.Linear(2, 3), nn.Sigmoid(), nn.Linear(3, 1), nn.Sigmoid())
    local criterion = nn.BCECriterion()
    local step = trained(model, criterion, optim.SGD(model:parameters(), {lr = 0.1}), x, y)
    return function()
        for _ = 1, epochs do step() end
    end, function()
        support.setWeights(model)
        for _ = 1, 100 do step() end
        return criterion(model(x), y):item()
    end
end

function families.mlp(batch)
    local model = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Dropout(0.2), nn.Linear(256, 128), nn.ReLU(),
        nn.Dropout(0.2), nn.Linear(128, 10))
    return trained(model, nn.CrossEntropyCriterion(), optim.Adam(model:parameters(), {lr = 1e-3}),
        support.filled(batch, 784), support.labels(batch, 10))
end

function families.cnn(batch)
    local model = nn.Sequential(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Dropout(0.25), nn.Flatten(), nn.Linear(9216, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10))
    return trained(model, nn.CrossEntropyCriterion(), optim.Adam(model:parameters(), {lr = 1e-3}),
        support.filled(batch, 1, 28, 28), support.labels(batch, 10))
end

return families
