-- Pooling modules: PyTorch's values, places and gradients in every layout and face; unpooling; what goes wrong.
local checks = require 'tests.lua.checks'
local ops = require 'torch.ops'
local golden = dofile 'tests/golden/pool.lua'

local function double(value) return torch.tensor(value, {dtype = 'double'}) end

local function close(a, b, what)
    local d = checks.difference(a, double(b))
    assert(d <= 1e-12, ('%s: off by %g'):format(what, d))
end

-- Calls f with every module of a row: PyTorch's and, where there is one, Torch7's.
local function each(f)
    for k, row in ipairs(golden) do
        f(nn[row.module](row.first, row.options), row, ('row %d, %s'):format(k, row.module))
        if row.torch7 ~= '' then
            f(assert(loadstring('return nn.' .. row.torch7))(), row, ('row %d, %s'):format(k, row.torch7))
        end
    end
end

-- t's values with the first dimension innermost in memory: as channels-last lies for one sample.
local function channelsInside(t)
    local n = t:dim()
    local order, back = {}, {n - 1}
    for d = 1, n - 1 do order[d], back[d + 1] = d, d - 1 end
    order[n] = 0
    return ops.permute(ops.permute(t, order):clone(), back)
end

local function checkTape(m, row, what, x, gradOutput)
    x.requiresGrad = true
    local y = m(x)
    torch.backward({y}, {gradOutput})
    close(y:detach(), row.output, what .. ' output')
    close(x.grad, row.gradInput, what .. ' gradInput')
    if row.indices then close(m.indices, row.indices, what .. ' indices') end
end

describe('pooling modules', function()
    it("have PyTorch's values on the tape", function()
        each(function(m, row, what) checkTape(m, row, what, double(row.input), double(row.gradOutput)) end)
    end)

    it('have them with channels innermost in memory', function()
        each(function(m, row, what)
            checkTape(m, row, what, channelsInside(double(row.input)), channelsInside(double(row.gradOutput)))
        end)
    end)

    it("have them in Torch7's way", function()
        each(function(m, row, what)
            local x = double(row.input)
            close(m:forward(x), row.output, what .. ' output')
            close(m:backward(x, double(row.gradOutput)), row.gradInput, what .. ' gradInput')
        end)
    end)

    it('compute in every floating dtype', function()
        -- the values are quarters: maxima are exact in all of them
        for dtype, tolerance in pairs {Float = 1e-6, Half = 2e-2, BFloat16 = 1e-1} do
            each(function(m, row, what)
                local x = double(row.input):type('torch.' .. dtype .. 'Tensor')
                x.requiresGrad = true
                local y = m(x)
                torch.backward({y}, {double(row.gradOutput):type(y:type())})
                assert(checks.difference(y, double(row.output)) <= (row.indices and 0 or tolerance), what .. ' ' .. dtype)
                assert(checks.difference(x.grad, double(row.gradInput)) <= tolerance, what .. ' gradInput ' .. dtype)
                if row.indices then close(m.indices, row.indices, what .. ' indices') end
            end)
        end
    end)

    it('are functions too', function()
        for k, row in ipairs(golden) do
            local name = row.module:gsub('^%u', string.lower)
            local y = nn.functional[name](double(row.input), row.first, row.options)
            close(y, row.output, ('row %d, %s'):format(k, name))
        end
    end)

    it('return places where they are asked to', function()
        local y, places = nn.MaxPool2d(2, {returnIndices = true})(torch.Tensor {{{1, 5}, {2, 3}}})
        assert.equal(5, y:max())
        assert.equal(2, places:max())
    end)
end)

describe('unpooling', function()
    it('puts maxima back', function()
        local x = torch.randperm(2 * 3 * 4 * 6):double():view(2, 3, 4, 6)
        local pool = nn.SpatialMaxPooling(2, 2)
        local back = nn.SpatialMaxUnpooling(pool):forward(pool:forward(x))
        assert.same(x:size():totable(), back:size():totable())
        local kept = back:gt(0):double()
        assert.equal(2 * 3 * 2 * 3, kept:sum())
        assert.equal(0, checks.difference(torch.cmul(kept, x), back))
        local y, places = nn.functional.maxPool2d(x, 2, {returnIndices = true})
        assert.equal(0, checks.difference(nn.functional.maxUnpool2d(y, places, 2), back))
        assert.equal(0, checks.difference(nn.MaxUnpool2d(2)({y, places}), back))
        local larger = nn.MaxUnpool2d(2, {outputSize = {5, 6}})({y, places})
        assert.same({2, 3, 5, 6}, larger:size():totable())
    end)

    it('refuses what it cannot put anywhere', function()
        local y = torch.ones(1, 1, 1, 1)
        for _, place in ipairs {0, 5, -3} do
            assert.error_matches(function() nn.functional.maxUnpool2d(y, torch.LongTensor(1, 1, 1, 1):fill(place), 2) end,
                'expected places 0..3')
        end
        assert.error_matches(function() nn.SpatialMaxUnpooling(nn.Identity()) end, 'wants the nn.SpatialMaxPooling')
        assert.error_matches(function() nn.SpatialMaxUnpooling(nn.SpatialMaxPooling(2, 2))(y) end, 'has not run yet')
        assert.error_matches(function() nn.MaxUnpool2d(2)(y) end, 'use returnIndices')
    end)
end)

describe('fractional pooling', function()
    it('takes maxima of windows, the same for the same seed', function()
        local x = torch.randn(2, 3, 9, 8)
        local m = nn.SpatialFractionalMaxPooling(2, 2, 0.5, 0.45)
        torch.manualSeed(4)
        local y = m:forward(x):clone()
        assert.same({2, 3, 4, 4}, y:size():totable())
        torch.manualSeed(4)
        assert.equal(0, checks.difference(y, m:forward(x)))
        local taken = ops.gather(ops.reshape(x, {2, 3, 72}), 2, ops.sub_scalar(ops.reshape(m.indices, {2, 3, 16}), 1))
        assert.equal(0, checks.difference(ops.reshape(m.output, {2, 3, 16}), taken))
        assert.equal(x[1][1][9][8], nn.SpatialFractionalMaxPooling(1, 1, 2, 2):forward(x)[1][1][2][2])
    end)

    it('keeps its windows when told to', function()
        local x = torch.randn(2, 3, 9, 8)
        local m = nn.SpatialFractionalMaxPooling(2, 2, 5, 4):fixPoolingRegions()
        local y = m:forward(x):clone()
        assert.equal(0, checks.difference(y, m:forward(x)))
    end)
end)

describe('other kinds of pooling', function()
    it('p-norms', function()
        local x = torch.Tensor {{{3, 4}, {0, 0}}}
        assert.equal(5, nn.SpatialLPPooling(1, 2, 2, 2):forward(x):max())
        assert.is_true(math.abs(nn.LPPool2d(3, {kernel = 2})(x):max() - 91 ^ (1 / 3)) < 1e-6)
    end)

    it('the largest in time, in their order', function()
        local x = torch.Tensor {{1, 9}, {5, 2}, {3, 7}, {4, 8}}
        assert.equal(0, checks.difference(torch.Tensor {{5, 9}, {4, 8}}, nn.TemporalDynamicKMaxPooling(2):forward(x)))
        assert.same({3, 2}, nn.TemporalDynamicKMaxPooling(1, 0.7):forward(x):size():totable())
    end)

    it('learned sums', function()
        local m = nn.SpatialSubSampling(2, 2, 2, 2, 2)
        m.weight:copy(torch.Tensor {1, 2})
        m.bias:copy(torch.Tensor {0.5, -1})
        local y = m:forward(torch.ones(2, 2, 2))
        assert.equal(4.5, y[1][1][1])
        assert.equal(7, y[2][1][1])
    end)
end)

describe('in pooling, a wrong size or argument', function()
    local function refuses(message, f, ...)
        local ok, err = pcall(f, ...)
        assert.is_false(ok)
        assert.is_truthy(tostring(err):find(message, 1, true), tostring(err))
    end

    it('is told with the module and what it expected', function()
        local model = nn.Sequential(nn.Identity(), nn.SpatialMaxPooling(3, 3))
        refuses('model[2]: SpatialMaxPooling(3x3, 3x3): expected (…, height, width), got (4)', model, torch.ones(4))
        refuses('model[2]: SpatialMaxPooling(3x3, 3x3): max_pool: the window does not fit', model, torch.ones(1, 2, 2))
        refuses('expected ([batch,] time, features), got (3)', nn.TemporalMaxPooling(2), torch.ones(3))
        refuses('expected ([batch,] 2, height, width), got (3, 4, 4)', nn.SpatialSubSampling(2, 2, 2), torch.ones(3, 4, 4))
        refuses('time of at least 5', nn.TemporalDynamicKMaxPooling(5), torch.ones(3, 2))
        refuses('padding of at most half the kernel', nn.MaxPool2d(2, {padding = 2}), torch.ones(1, 4, 4))
    end)

    it('of a constructor', function()
        refuses('nn.MaxPool2d: the kernel must be a whole number from 1 up, not nil', nn.MaxPool2d)
        refuses('nn.AvgPool2d: the kernel must be a number or a list of 2 numbers, not of 3', nn.AvgPool2d, {1, 2, 3})
        refuses("there is no option 'strides'; did you mean 'stride'?", nn.MaxPool2d, 2, {strides = 1})
        refuses('the padding must be a whole number from 0 up', nn.SpatialMaxPooling, 2, 2, 2, 2, -1, 0)
        refuses('two sizes, or two ratios between 0 and 1', nn.SpatialFractionalMaxPooling, 2, 2, 0.5, 3)
        refuses('the power must be above 0', nn.LPPool2d, 0, {kernel = 2})
    end)
end)
