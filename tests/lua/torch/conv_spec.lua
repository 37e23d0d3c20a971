-- Convolutions of torch.ops: PyTorch's values and gradients, in every layout of memory.
local ops = require 'torch.ops'
local checks = require 'tests.lua.checks'
local golden = dofile 'tests/golden/conv.lua'

-- make_conv.py's formula.
local function values(seed, shape, dtype)
    local n = 1
    for _, size in ipairs(shape) do n = n * size end
    local flat = {}
    for k = 0, n - 1 do flat[k + 1] = ((k * 7 + seed * 13 + math.floor(k / 23) * 5) % 23 - 11) / 8 end
    return torch.tensor(flat, {dtype = dtype}):view(unpack(shape))
end

local layouts = {
    plain = function(t) return t end,
    channelsLast = function(t)
        local dims, back = {1}, {1, t:dim()}
        for d = 3, t:dim() do dims[#dims + 1], back[d] = d, d - 1 end
        dims[#dims + 1] = 2
        return t:permute(unpack(dims)):contiguous():permute(unpack(back))
    end,
    sliced = function(t)
        local large = torch.cat({t, t * 100}, t:dim())
        return large:narrow(t:dim(), 1, t:size(t:dim()))
    end,
    reversedDims = function(t) return t:transpose(1, t:dim()):contiguous():transpose(1, t:dim()) end,
}

local function run(row, dtype, layout, tolerance, what)
    local x, weight = layout(values(1, row.x, dtype)), layout(values(2, row.weight, dtype))
    local bias = values(3, {row.outputPadding and row.weight[2] * row.groups or row.weight[1]}, dtype)
    for _, t in ipairs {x, weight, bias} do t.requiresGrad = true end
    local y
    if row.outputPadding then
        y = ops.convolution_transposed(x, weight, bias, row.stride, row.padding, row.outputPadding, row.dilation, row.groups)
    else
        y = ops.convolution(x, weight, bias, row.stride, row.padding, row.dilation, row.groups)
    end
    torch.backward({y}, {layout(values(4, row.shape, dtype))})
    local got = {y = y:detach(), gradX = x.grad, gradWeight = weight.grad, gradBias = bias.grad}
    for name, t in pairs(got) do
        local off = checks.difference(t:contiguous():view(-1):double(), torch.tensor(row[name], {dtype = 'double'}))
        assert(off <= tolerance, ('%s, %s, %s: off by %g'):format(what, dtype, name, off))
    end
end

describe('convolutions', function()
    for name, layout in pairs(layouts) do
        it("have PyTorch's values and gradients: " .. name, function()
            for k, row in ipairs(golden) do
                local what = ('row %d, %s'):format(k, name)
                run(row, 'double', layout, 1e-12, what)
                run(row, 'float', layout, 1e-4, what)
            end
        end)
    end

    it('are not computed with weights of before', function()
        local x, weight = torch.ones(1, 2, 4, 4), torch.ones(3, 2, 3, 3)
        local function first() return ops.convolution(x, weight, nil)[{1, 1, 1, 1}] end
        assert.equal(18, first())
        assert.equal(18, first())
        weight:mul(2)
        assert.equal(36, first())
        local address = weight:data()
        assert.equal(36, first())
        address[0] = 7
        assert.equal(41, first())
        address[0] = 8
        assert.equal(42, first())
    end)
end)
