-- families.lua: how dlrun computes the rows of rows.lua that are single ops. A family is a function of the row's arguments that
-- returns the step to be timed and a function that gives a number of its result, which PyTorch's must equal; it is called after
-- the first step.
local support = require 'support'
local ops = require 'torch.ops'

local filled = support.filled
local families = {}

local function norm(x) return torch.noGrad(function() return x:double():norm() end) end

function families.call(form)
    local a, b = torch.ones(4), torch.ones(4)
    if form == 'place' then return function() a:cmul(b) end, function() return norm(a) end end
    return function() return torch.cmul(a, b) end, function() return norm(torch.cmul(a, b)) end
end

function families.matmul(m, n, k, type)
    local tensor = ({float32 = 'torch.FloatTensor', bfloat16 = 'torch.BFloat16Tensor'})[type]
    local a, b = filled(m, k):type(tensor), filled(k, n):type(tensor)
    local out = torch[tensor:match '%.(.*)'](m, n)
    return function() torch.mm(out, a, b) end, function() return norm(out) end
end

function families.convolution(pass, batch, planes, filters, size, kernel, stride, padding)
    local out = math.floor((size + 2 * padding - kernel) / stride) + 1
    local function images(count, side) -- channels-last, as activations of convolutions are
        return ops.permute(filled(batch, side, side, count), {0, 3, 1, 2})
    end
    local x, grad, weight = images(planes, size), images(filters, out), filled(filters, planes, kernel, kernel)
    local run = {
        forward = function() return ops.convolution(x, weight, nil, {stride}, {padding}) end,
        data = function() return ops.convolution_backward_data(grad, weight, {size, size}, {stride}, {padding}) end,
        weight = function() return ops.convolution_backward_weight(grad, x, {kernel, kernel}, {stride}, {padding}) end,
    }
    return run[pass], function() return norm(run[pass]()) end
end

function families.pointwise(name, m, n)
    local x, y, out = filled(m, n), filled(m, n), torch.Tensor(m, n)
    local run = {
        copy = function() out:copy(x) end,
        add = function() torch.add(out, x, y) end,
        relu = function() ops.into.relu(out, x) end,
        exp = function() torch.exp(out, x) end,
        tanh = function() torch.tanh(out, x) end,
        gelu = function() ops.into.gelu(out, x) end,
    }
    return run[name], function() return norm(out) end
end

function families.reduce(name, m, n)
    local x = filled(m, n)
    local run = {
        sum = function() return ops.sum(x, {}) end,
        rows = function() return ops.sum(x, {1}) end,
        columns = function() return ops.sum(x, {0}) end,
        max = function() return (ops.max_dim(x, 1)) end,
    }
    return run[name], function() return norm(run[name]()) end
end

-- A function's forward, or forward and backward with the gradient `seed` (nil: 1) towards `targets`.
local function differentiated(compute, targets, seed, training)
    if not training then
        return function() return torch.noGrad(compute) end, function() return norm(torch.noGrad(compute)) end
    end
    for _, t in ipairs(targets) do t.requiresGrad = true end
    local function run() return torch.grad(compute(), targets, seed) end
    return run, function()
        local gradients = run()
        return norm(torch.isTensor(gradients) and gradients or gradients[1])
    end
end

function families.softmax(pass, m, n)
    local x = filled(m, n)
    return differentiated(function() return torch.softmax(x, 2) end, {x}, filled(m, n), pass == 'training')
end

function families.layernorm(pass, m, n)
    local x, weight, bias = filled(m, n), torch.ones(n), torch.zeros(n)
    return differentiated(function() return (ops.layer_norm(x, weight, bias)) end, {x, weight, bias}, filled(m, n):abs(),
        pass == 'training')
end

-- (m, n) elements as images: 16, 64 or 256 planes of 8 x 8.
local planes = {[64 * 16] = 16, [64 * 1024] = 64, [16384 * 1024] = 256}

function families.batchnorm(pass, m, n)
    local count = planes[m * n]
    local batch, training = m * n / count / 64, pass == 'training'
    local x, layer = filled(batch, count, 8, 8), nn.BatchNorm2d(count)
    if not training then layer:evaluate() end
    return differentiated(function() return layer(x) end, {x, layer.weight, layer.bias},
        filled(batch, count, 8, 8):abs(), training)
end

function families.crossentropy(_, m, n)
    local x, labels, criterion = filled(m, n), support.labels(m, n), nn.CrossEntropyCriterion()
    return differentiated(function() return criterion(x, labels) end, {x}, nil, true)
end

function families.adam(m, n)
    local p = filled(m, n)
    p.requiresGrad = true
    p.grad = filled(m, n)
    local optimizer = optim.Adam({p}, {lr = 1e-3})
    return function() optimizer:step() end, function() return norm(p) end
end

return families
