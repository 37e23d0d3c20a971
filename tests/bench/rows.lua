-- rows.lua: THE table of what is measured. families.lua and training.lua (dlrun) and torch_worker.py (PyTorch) say how.
--
-- A row:
--     family, arguments   what a worker is asked for: 'matmul', {1024, 1024, 1024, 'float32'}
--     title               the first column; family and arguments where it is left out
--     flops | bytes       work of a call: floating-point operations, or bytes that must be read and written once
--     limit               'fma' (GFLOP/s), 'l2' or 'copy' (GB/s): what the rate is a share of (limits.c)
--     aim                 issue 3's: {share = of the limit | seconds = | ratio = PyTorch's time / dlrun's}
--     program             a program that prints seconds a line instead of a family: {dlrun = command, torch = command}; %s is
--                         the folder of the build, and Python
local rows = {}

local function add(family, arguments, row)
    row.family, row.arguments = family, arguments
    row.title = row.title or family .. ' ' .. table.concat(arguments, ' ')
    rows[#rows + 1] = row
end

-- ---- calls, small networks ---------------------------------------------------------------------------------------------

for form, seconds in pairs {place = 300e-9, new = 700e-9} do
    local text = form == 'new' and 'returning new' or 'in place'
    add('call', {form}, {title = 'op call on 4 elements, ' .. text, aim = {seconds = seconds}})
    add('calls', {form}, {title = 'the same from C, ' .. text, program = {dlrun = '%s/bench/calls ' .. form .. ' 5'}})
end
add('startup', {}, {title = 'start-up', aim = {seconds = 30e-3, ratio = 50}, program = {
    dlrun = "%s/bench/spawn 5 %s/bin/dlrun -e 'x=1'",
    torch = "%s/bench/spawn 1 %s -c 'import torch'",
}})
add('xor', {5000}, {title = 'XOR 2-3-1, 5,000 epochs', aim = {ratio = 20}})

-- Multiply-adds of layers forward and backward; the first layer needs no gradient of its input.
local function training(batch, layers)
    local sum = 0
    for k, multiplications in ipairs(layers) do sum = sum + 2 * batch * multiplications * (k == 1 and 2 or 3) end
    return sum
end
add('mlp', {64}, {title = 'MLP 784-256-128-10 step, batch 64', limit = 'fma', aim = {ratio = 2},
    flops = training(64, {784 * 256, 256 * 128, 128 * 10})})
add('cnn', {64}, {title = 'CNN step, batch 64', limit = 'fma', aim = {ratio = 1.3},
    flops = training(64, {26 * 26 * 32 * 9, 24 * 24 * 64 * 32 * 9, 9216 * 128, 128 * 10})})

-- ---- ResNet-18's convolutions, batch 8: planes in, planes out, input size, kernel, stride, padding ------------------------

for _, layer in ipairs {
    {3, 64, 224, 7, 2, 3}, {64, 64, 56, 3, 1, 1}, {64, 128, 56, 3, 2, 1}, {64, 128, 56, 1, 2, 0}, {128, 128, 28, 3, 1, 1},
    {128, 256, 28, 3, 2, 1}, {128, 256, 28, 1, 2, 0}, {256, 256, 14, 3, 1, 1}, {256, 512, 14, 3, 2, 1},
    {256, 512, 14, 1, 2, 0}, {512, 512, 7, 3, 1, 1},
} do
    local planes, filters, size, kernel, stride, padding = unpack(layer)
    local out = math.floor((size + 2 * padding - kernel) / stride) + 1
    for _, pass in ipairs {'forward', 'data', 'weight'} do
        add('convolution', {pass, 8, unpack(layer)}, {
            title = ('%dx%d/%d %d→%d @%d %s'):format(kernel, kernel, stride, planes, filters, size, pass),
            flops = 2 * 8 * out * out * filters * planes * kernel * kernel, limit = 'fma', aim = {share = 0.85},
        })
    end
end

-- ---- matrix products (m, n, k) -------------------------------------------------------------------------------------------

for _, type in ipairs {'float32', 'bfloat16'} do
    for _, shape in ipairs {{4, 3, 2}, {16, 16, 16}, {64, 64, 64}, {64, 256, 784}, {128, 128, 128}, {256, 256, 256},
        {512, 512, 512}, {1024, 1024, 1024}, {2048, 2048, 2048}} do
        local m, n, k = unpack(shape)
        add('matmul', {m, n, k, type}, {title = ('matmul %dx%dx%d %s'):format(m, k, n, type), flops = 2 * m * n * k,
            limit = 'fma', aim = type == 'float32' and m >= 1024 and {share = 0.85} or nil})
    end
end

-- ---- what memory bounds: (rows, columns) of float32 ------------------------------------------------------------------------

-- passes: how often each element is read or written once; aimed: the issue has an aim for the row at memory size
local function sizes(family, what, passes, aimed)
    for _, size in ipairs {{'small', 64, 16}, {'cache', 64, 1024}, {'memory', 16384, 1024}} do
        local name, m, n = unpack(size)
        local inMemory = name == 'memory'
        add(family, what and {what, m, n} or {m, n}, {
            title = ('%s%s %s (%dx%d)'):format(family, what and ' ' .. what or '', name, m, n), bytes = passes * 4 * m * n,
            limit = inMemory and 'copy' or name == 'cache' and 'l2' or nil,
            aim = inMemory and aimed and {share = 0.85} or nil,
        })
    end
end
sizes('pointwise', 'copy', 2, true)
sizes('pointwise', 'add', 3, true)
sizes('pointwise', 'relu', 2, true)
sizes('pointwise', 'exp', 2, true)
sizes('pointwise', 'tanh', 2, true)
sizes('pointwise', 'gelu', 2, true)
sizes('reduce', 'sum', 1)
sizes('reduce', 'rows', 1)
sizes('reduce', 'columns', 1)
sizes('reduce', 'max', 1)
sizes('softmax', 'forward', 2)
sizes('softmax', 'training', 5)
sizes('layernorm', 'forward', 2, true)
sizes('layernorm', 'training', 5, true)
sizes('batchnorm', 'evaluate', 2, true)
sizes('batchnorm', 'training', 5, true)
sizes('crossentropy', 'training', 3)
sizes('adam', nil, 7)

return rows
