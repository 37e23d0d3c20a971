-- Padding, upsampling, sampling and their kin against PyTorch's values and gradients, as functions, modules and ops.
require 'nn'
local checks = require 'tests.lua.checks'
local golden = dofile 'tests/golden/resample.lua'

local F = nn.functional

local function double(value) return torch.tensor(value, {dtype = 'double'}) end

local function close(a, b, what)
    local d = checks.difference(a, double(b))
    assert(d <= 1e-11, ('%s: off by %g'):format(what, d))
end

local function each(f)
    for k, row in ipairs(golden) do f(row, ('row %d, %s'):format(k, row.name)) end
end

-- f(inputs) in autograd: the first result and, behind it, the gradients of the inputs.
local function differentiate(row, what, f)
    local leaves = {}
    for k, input in ipairs(row.inputs) do
        leaves[k] = double(input)
        leaves[k].requiresGrad = true
    end
    local y, places = f(unpack(leaves))
    close(y, row.output, what)
    torch.backward({y}, {double(row.gradOutput)})
    for k, grad in ipairs(row.grads) do close(leaves[k].grad, grad, ('%s, gradient %d'):format(what, k)) end
    if row.places then close(places, row.places, what .. ', places') end
end

local function call(name) return F[name] or torch[name] end

local function moduleOf(text) return assert(loadstring('return ' .. text))():double() end

-- Rows of this name; at least one, or the test would say nothing.
local function rowsOf(name)
    local list = {}
    each(function(row, what) if row.name == name then list[#list + 1] = {row, what} end end)
    assert.is_true(#list > 0)
    return list
end

describe('resampling', function()
    for _, name in ipairs {'pad', 'interpolate', 'gridSample', 'affineGrid', 'pixelShuffle', 'pixelUnshuffle', 'cummax',
        'cummin', 'logcumsumexp'} do
        it("has PyTorch's values and gradients: " .. name, function()
            for _, entry in ipairs(rowsOf(name)) do
                local row, what = unpack(entry)
                differentiate(row, what, function(...)
                    local arguments = {...}
                    for _, argument in ipairs(row.arguments) do arguments[#arguments + 1] = argument end
                    return call(name)(unpack(arguments))
                end)
            end
        end)
    end

    it('is the same in modules, on the tape and in Torch7\'s way', function()
        local count = 0
        each(function(row, what)
            for _, text in ipairs(row.modules or {}) do
                differentiate(row, what .. ', ' .. text, function(x) return moduleOf(text)(x) end)
                local m, x = moduleOf(text), double(row.inputs[1])
                close(m:forward(x), row.output, text)
                close(m:backward(x, double(row.gradOutput)), row.grads[1], text .. ' gradInput')
                count = count + 1
            end
        end)
        assert.is_true(count > 20)
    end)

    it('takes the means of areas, as adaptive pooling does', function()
        local x = torch.DoubleTensor {{{{1, 2, 3, 4}, {5, 6, 7, 8}}}}
        assert.same({{{{3.5, 5.5}}}}, F.interpolate(x, {size = {1, 2}, mode = 'area'}):totable())
        assert.same({{{{3.5, 5.5}}}}, F.interpolate(x, {scaleFactor = 0.5, mode = 'area'}):totable())
    end)

    it('takes single images where Torch7 does', function()
        for _, text in ipairs {'nn.SpatialUpSamplingNearest(2)', 'nn.SpatialUpSamplingBilinear(3)', 'nn.SpatialZeroPadding(1)',
            'nn.SpatialReflectionPadding(1)', 'nn.PixelShuffle(2)'} do
            local m, x = moduleOf(text), torch.randn(4, 3, 2):double()
            local batch = checks.copy(m:forward(x:view(1, 4, 3, 2)))
            assert.equal(0, checks.difference(m:forward(x), batch:select(1, 1)))
        end
    end)

    it('computes in halves and floats', function()
        local x, grid = torch.randn(1, 3, 5, 6), torch.rand(1, 4, 4, 2):mul(2):add(-1)
        local calls = {
            function(t) return F.interpolate(t, {size = {7, 9}, mode = 'bilinear'}) end,
            function(t) return F.interpolate(t, {scaleFactor = 0.5}) end,
            function(t) return F.pad(t, {1, 2, 2, 1}, 'reflect') end,
            function(t) return F.gridSample(t, grid:type(t:type())) end,
            function(t) return torch.cummax(t, 2) end,
            function(t) return torch.logcumsumexp(t, 4) end,
        }
        for _, f in ipairs(calls) do
            local expected = f(x:double())
            for kind, tolerance in pairs {Float = 1e-5, Half = 2e-2, BFloat16 = 1e-1} do
                local input = x:clone():type('torch.' .. kind .. 'Tensor')
                input.requiresGrad = true
                local y = f(input)
                assert.equal(input:type(), y:type())
                assert.is_true(checks.difference(y:detach():double(), expected) < tolerance)
                y:sum():backward()
                assert.equal(input:type(), input.grad:type())
            end
        end
    end)

    it('keeps channels-last images as they are', function()
        local conv = nn.functional.pad(torch.randn(2, 3, 4, 5):double(), {0, 0})
        local last = conv:permute(1, 3, 4, 2):contiguous():permute(1, 4, 2, 3)
        local grid = torch.rand(2, 3, 3, 2):mul(2):add(-1):double()
        for _, f in ipairs {function(t) return F.interpolate(t, {scaleFactor = 1.7, mode = 'bicubic'}) end,
            function(t) return F.pad(t, {1, 1, 2, 0}, 'circular') end, function(t) return F.gridSample(t, grid) end} do
            assert.is_true(checks.difference(f(last), f(conv)) < 1e-14)
        end
    end)

    it('samples in float32 under autocast, whatever the image came in', function()
        local x, grid = torch.randn(1, 2, 3, 3), torch.rand(1, 2, 2, 2)
        local y = torch.autocast(function() return F.gridSample(x:type('torch.BFloat16Tensor'), grid) end)
        assert.equal('torch.FloatTensor', y:type())
        assert.is_true(checks.difference(y, F.gridSample(x, grid)) < 0.05)
        local theta = torch.Tensor {{{0.123456, 0, 0.5}, {0, 1, 0}}}
        local exact = F.affineGrid(theta, {1, 1, 3, 3})
        assert.equal(0, checks.difference(torch.autocast(function() return F.affineGrid(theta, {1, 1, 3, 3}) end), exact))
    end)

    it('says what is wrong', function()
        local function refuses(message, f, ...)
            local ok, err = pcall(f, ...)
            assert.is_false(ok)
            assert.is_truthy(tostring(err):find(message, 1, true), tostring(err))
        end
        local image = torch.randn(1, 2, 3, 4)
        refuses("mode 'trilinear' takes inputs of 5 dimensions, got (1, 2, 3, 4)", F.interpolate, image,
            {scaleFactor = 2, mode = 'trilinear'})
        refuses('expected either size or scaleFactor', F.interpolate, image)
        refuses("did you mean 'scaleFactor'", F.interpolate, image, {scaleFactors = 2})
        refuses('a list of 2', F.interpolate, image, {size = {1, 2, 3}})
        refuses("there is no mode 'sinc'", F.interpolate, image, {size = 2, mode = 'sinc'})
        refuses("alignCorners has no meaning in mode 'area'", F.interpolate, image,
            {size = 2, mode = 'area', alignCorners = true})
        refuses("align_corners has no meaning in mode 'nearest'", F.interpolate, image, {size = 2, alignCorners = true})
        refuses("mode 'reflect' can add", F.pad, image, {4, 0}, 'reflect')
        refuses('expected a string, not a number', F.pad, image, {1, 1}, {mode = 3})
        refuses('a pad must be a whole number, not 0.5', F.pad, image, {0.5, 0})
        refuses('expected a list of pads, got number', F.pad, image, 1)
        refuses('no multiple of 4', F.pixelShuffle, image, 2)
        refuses('3 x 4 is no multiple of 2', F.pixelUnshuffle, image, 2)
        refuses('expected x (N, C, H, W) and a grid', F.gridSample, image, torch.zeros(1, 2, 2, 3))
        refuses('expected theta (1, 2, 3), got (2, 2)', F.affineGrid, torch.zeros(2, 2), {1, 1, 2, 2})
        refuses('(N, C, height, width) or (C, height, width), got (2, 3)', nn.ZeroPad2d(1), torch.randn(2, 3))
        refuses('the value must be a number, not nil', nn.ConstantPad2d, 1)
        refuses('a table of 4, got 3', nn.ZeroPad2d, {1, 2, 3})
        refuses('a whole number from 1 up, not 1.5', nn.SpatialUpSamplingNearest, 1.5)
        refuses('nearest needs a scale, not sizes', nn.UpSampling, {oheight = 2, owidth = 2})
        refuses('index 9 lies outside of dimension 1', nn.Padding(1, -1, 1, 0, 9), torch.randn(3))
        refuses('dimensions start at 1', nn.Padding, 0, 1)
    end)
end)

describe('nn.EmbeddingBag', function()
    it("has PyTorch's values and gradients", function()
        for _, entry in ipairs(rowsOf 'EmbeddingBag') do
            local row, what = unpack(entry)
            local m = nn.EmbeddingBag(4, 2, row.arguments[1]):double()
            torch.noGrad(function() m.weight:copy(double(row.weight)) end)
            local inputs = {}
            for k, input in ipairs(row.inputs) do inputs[k] = torch.LongTensor(input) end
            m:zeroGradParameters()
            local y = m(unpack(inputs))
            close(y, row.output, what)
            torch.backward({y}, {double(row.gradOutput)})
            close(m.weight.grad, row.grads[1], what .. ' gradient')
        end
    end)

    it('says what is wrong', function()
        local m = nn.EmbeddingBag(4, 2)
        assert.error_matches(function() m(torch.LongTensor {1, 2}) end, 'expected ids %(bags, ids%)')
        assert.error_matches(function() m(torch.LongTensor {1, 2}, torch.LongTensor {2}) end, 'whose first element is 1')
        assert.error_matches(function() m(torch.LongTensor {{1, 5}}) end, 'id 5 at sample 1')
        assert.error_matches(function() nn.EmbeddingBag(4, 2, {mode = 'min'}) end, "no mode 'min'")
    end)
end)

describe('dropout of channels', function()
    before_each(function() torch.manualSeed(2) end)

    -- Share of channels that are zero; all others must have the one value.
    local function share(y, value)
        local flat = y:view(y:size(1) * y:size(2), -1)
        local zeros = 0
        for k = 1, flat:size(1) do
            local low, high = flat[k]:min(), flat[k]:max()
            assert.equal(low, high)
            if low == 0 then zeros = zeros + 1 else assert.is_true(math.abs(low - value) < 1e-6) end
        end
        return zeros / flat:size(1)
    end

    it('zeroes whole channels', function()
        for name, shape in pairs {SpatialDropout = {20, 30, 2, 3}, VolumetricDropout = {20, 30, 2, 1, 2},
            Dropout1d = {20, 30, 4}, Dropout2d = {20, 30, 2, 2}, Dropout3d = {20, 30, 2, 1, 2}} do
            local m, x = nn[name](0.3), torch.ones(unpack(shape))
            local torch7 = not name:find '%d'
            assert.is_true(math.abs(share(m:forward(x), torch7 and 1 or 1 / 0.7) - 0.3) < 0.07)
            local gradInput = m:backward(x, x)
            assert.equal(0, checks.difference(gradInput, m.output))
            assert.is_true(math.abs(m:evaluate():forward(x):mean() - (torch7 and 0.7 or 1)) < 1e-6)
        end
        assert.error_matches(function() nn.Dropout2d()(torch.ones(2, 2)) end, 'expected 4 dimensions')
        assert.same({3, 2, 2}, nn.SpatialDropout():forward(torch.ones(3, 2, 2)):size():totable())
    end)

    it('keeps mean and variance where it drops to a limit', function()
        local x = torch.randn(200, 500)
        local y = nn.AlphaDropout(0.2):forward(x)
        assert.is_true(math.abs(y:mean()) < 0.02 and math.abs(y:std() - 1) < 0.02)
        assert.equal(0, checks.difference(nn.AlphaDropout(0.2):evaluate():forward(x), x))
    end)
end)
