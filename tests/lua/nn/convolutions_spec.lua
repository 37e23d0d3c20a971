-- Convolution modules: PyTorch's values and gradients; sizes from the first input; what goes wrong.
local checks = require 'tests.lua.checks'
local golden = dofile 'tests/golden/nnconv.lua'
local F = nn.functional

local function double(value) return torch.tensor(value, {dtype = 'double'}) end

local function close(a, b, what)
    local d = checks.difference(a, double(b))
    assert(d <= 1e-12, ('%s: off by %g'):format(what, d))
end

-- Calls f(module with the row's weights, row, what) for each module of the golden file, under both names.
local function each(f)
    for k, row in ipairs(golden) do
        for name, arguments in pairs {[row.module or 0] = row.arguments, [row.torch7 or 0] = row.torch7Arguments} do
            if name ~= 0 then
                local m = nn[name](unpack(arguments)):double()
                m.weight:copy(double(row.weight))
                if row.bias then m.bias:copy(double(row.bias)) else assert.is_nil(m.bias) end
                m:zeroGradParameters()
                f(m, row, ('row %d, %s'):format(k, tostring(m)))
            end
        end
    end
end

local function checkAll(m, row, what, output, gradInput)
    close(output, row.output, what .. ': output')
    close(gradInput, row.gradInput, what .. ': gradInput')
    close(m.gradWeight, row.gradWeight, what .. ': gradWeight')
    if row.bias then close(m.gradBias, row.gradBias, what .. ': gradBias') end
end

local function refuses(message, f, ...)
    local ok, err = pcall(f, ...)
    assert.is_false(ok)
    assert.is_truthy(tostring(err):find(message, 1, true), tostring(err))
end

describe('convolution modules', function()
    before_each(function() torch.manualSeed(4) end)

    it("have PyTorch's values on the tape", function()
        each(function(m, row, what)
            local x = double(row.input)
            x.requiresGrad = true
            local y = m(x)
            torch.backward({y}, {double(row.gradOutput)})
            checkAll(m, row, what, y:detach(), x.grad)
        end)
    end)

    it("have PyTorch's values in Torch7's way", function()
        each(function(m, row, what)
            local x = double(row.input)
            local y = checks.copy(m:forward(x))
            checkAll(m, row, what, y, checks.copy(m:backward(x, double(row.gradOutput))))
        end)
    end)

    it('have their functions', function()
        local x, w, b = torch.randn(2, 4, 5, 6), torch.randn(6, 2, 3, 2), torch.randn(6)
        local options = {stride = {1, 2}, padding = 'valid', groups = 2}
        local m = nn.Conv2d(4, 6, {3, 2}, options)
        m.weight:copy(w)
        m.bias:copy(b)
        assert.equal(0, checks.difference(F.conv2d(x, w, b, options), m:forward(x)))
        assert.equal(0, checks.difference(F.conv2d(x[1], w, b, options), m:forward(x[1])))
        local same = nn.Conv2d(4, 6, {3, 2}, {padding = 'same', groups = 2, bias = false})
        same.weight:copy(w)
        assert.equal(0, checks.difference(F.conv2d(x, w, nil, {padding = 'same', groups = 2}), same:forward(x)))
        options = {stride = 2, padding = 1, outputPadding = {1, 0}, groups = 2, dilation = {1, 2}}
        local t = nn.ConvTranspose2d(4, 6, {3, 2}, options)
        t.weight:copy(w:view(4, 3, 3, 2))
        t.bias:copy(b)
        assert.equal(0, checks.difference(F.convTranspose2d(x, w:view(4, 3, 3, 2), b, options), t:forward(x)))
        assert.same({2, 3, 3}, F.conv1d(torch.randn(2, 2, 5), torch.randn(3, 2, 3)):size():totable())
        assert.same({1, 3, 2, 2, 2}, F.conv3d(torch.randn(1, 2, 3, 3, 3), torch.randn(3, 2, 2, 2, 2)):size():totable())
    end)

    it('unfold and fold', function()
        for k, row in ipairs(golden) do
            if row.kernel then
                local x = double(row.input)
                x.requiresGrad = true
                local y = F.unfold(x, row.kernel, row.options)
                close(y:detach(), row.output, 'unfold ' .. k)
                torch.backward({y}, {double(row.gradOutput)})
                close(x.grad, row.gradInput, 'gradient of unfold ' .. k)
                local sizes = x:size():totable()
                local g = double(row.gradOutput)
                g.requiresGrad = true
                local back = F.fold(g, {sizes[#sizes - 1], sizes[#sizes]}, row.kernel, row.options)
                close(back:detach(), row.gradInput, 'fold ' .. k)
                torch.backward({back}, {x:detach()})
                close(g.grad, row.output, 'gradient of fold ' .. k)
            end
        end
        refuses('unfold: a window of 3 does not fit into 2', F.unfold, torch.randn(1, 1, 2, 2), 3)
        refuses('fold: expected (N, C · 4, 4), got (1, 4, 3)', F.fold, torch.randn(1, 4, 3), {3, 3}, 2)
        refuses('unfold: expected (N, C, H, W), got (2)', F.unfold, torch.randn(2), 2)
    end)

    it('joined with a pointwise module have the same values and gradients', function()
        for _, act in ipairs {nn.ReLU(), nn.Sigmoid(), nn.LeakyReLU(0.2)} do
            for _, head in ipairs {nn.Conv2d(2, 3, 3, {padding = 1}), nn.ConvTranspose2d(2, 3, 2),
                nn.SpatialConvolutionMM(2, 3, 2, 2)} do
                local x = torch.randn(2, 2, 4, 5)
                local joined, plain = x:clone(), x:clone()
                joined.requiresGrad, plain.requiresGrad = true, true
                local y, z = nn.Sequential(head, act)(joined), act(head(plain))
                assert.is_true(checks.difference(y, z) < 1e-5)
                head:zeroGradParameters()
                y:sum():backward()
                local gradient = head.weight.grad:clone()
                head:zeroGradParameters()
                z:sum():backward()
                assert.is_true(checks.difference(joined.grad, plain.grad) < 1e-5)
                assert.is_true(checks.difference(gradient, head.weight.grad) < 1e-5)
            end
        end
    end)

    it("start uniformly, with Torch7's and PyTorch's bounds", function()
        for bound, m in pairs {
            [1 / math.sqrt(4 * 9)] = nn.SpatialConvolution(4, 50, 3, 3),
            [1 / math.sqrt(4 * 8)] = nn.Conv3d(8, 50, 2, {groups = 2}),
            [1 / math.sqrt(50 * 3)] = nn.ConvTranspose1d(8, 100, 3, {groups = 2}),
            [1 / math.sqrt(20 * 6)] = nn.SpatialFullConvolution(20, 40, 3, 2),
            [1 / math.sqrt(6 * 5)] = nn.TemporalConvolution(6, 70, 5), [0.1 * math.sqrt(3)] = nn.Conv2d(9, 9, 9):reset(0.1),
        } do
            for _, p in ipairs((m:parameters())) do assert.is_true(p:max() <= bound and p:min() >= -bound) end
            assert.is_true(m.weight:max() > 0.9 * bound and m.weight:min() < -0.9 * bound)
        end
        assert.is_nil(nn.SpatialConvolution(2, 3, 2, 2):noBias():reset().bias)
    end)

    it('take their input planes from the first input', function()
        for name, row in pairs {
            ['nn.SpatialConvolution(? -> 4, 3x3)'] = {nn.SpatialConvolution(nil, 4, 3, 3), torch.randn(2, 3, 5, 5)},
            ['nn.Conv2d(? -> 4, 3x3, 1,1, 1,1)'] = {nn.Conv2d(nil, 4, 3, {padding = 1}), torch.randn(3, 5, 5)},
            ['nn.Conv1d(? -> 4, 3, groups 2)'] = {nn.Conv1d(nil, 4, 3, {groups = 2}), torch.randn(2, 6, 5)},
            ['nn.ConvTranspose3d(? -> 4, 2x2x2)'] = {nn.ConvTranspose3d(nil, 4, 2), torch.randn(2, 3, 2, 2, 2)},
            ['nn.SpatialConvolutionMM(? -> 4, 3x3)'] = {nn.SpatialConvolutionMM(nil, 4, 3, 3), torch.randn(2, 3, 5, 5)},
            ['nn.TemporalConvolution(? -> 4, 3)'] = {nn.TemporalConvolution(nil, 4, 3), torch.randn(2, 5, 6)},
            ['nn.TemporalRowConvolution(?, 3)'] = {nn.TemporalRowConvolution(nil, 3), torch.randn(5, 6)},
        } do
            local m, x = row[1], row[2]
            assert.equal(name, tostring(m))
            assert.error_matches(function() m:parameters() end, 'run one batch first')
            local y = m:forward(x)
            m:zeroGradParameters()
            m:forward(x)
            m:backward(x, y:clone():fill(1))
            assert.is_true(m.gradWeight:norm() > 0)
            local again = checks.copy(m:forward(x))
            assert.equal(0, checks.difference(m(x), again))
            assert.is_nil(tostring(m):find('?', 1, true))
        end
        refuses('3 groups do not divide 4 planes', nn.Conv1d(nil, 6, 1, {groups = 3}), torch.randn(2, 4, 5))
        local target = nn.SpatialFullConvolution(nil, 2, 3, 3, 2, 2)
        assert.same({1, 2, 6, 5}, target:forward({torch.randn(1, 3, 2, 2), torch.randn(1, 1, 6, 5)}):size():totable())
    end)

    it('print what differs from the defaults', function()
        assert.equal('nn.SpatialConvolution(1 -> 2, 5x3, 2,1, 0,1)', tostring(nn.SpatialConvolution(1, 2, 5, 3, 2, 1, 0, 1)))
        assert.equal('nn.SpatialConvolution(1 -> 2, 3x3) without bias', tostring(nn.SpatialConvolution(1, 2, 3, 3):noBias()))
        assert.equal('nn.VolumetricConvolution(1 -> 2, 2x3x4)', tostring(nn.VolumetricConvolution(1, 2, 2, 3, 4)))
        assert.equal('nn.Conv2d(2 -> 2, 3x3, 1,1, 1,1, groups 2, reflect)',
            tostring(nn.Conv2d(2, 2, 3, {padding = 'same', groups = 2, paddingMode = 'reflect'})))
        assert.equal('nn.SpatialConvolutionLocal(1 -> 2, 6x5, 3x3)', tostring(nn.SpatialConvolutionLocal(1, 2, 6, 5, 3, 3)))
    end)

    it("have PyTorch's names in files, Torch7's fields", function()
        local state = nn.Sequential(nn.Conv2d(3, 4, {2, 5})):stateDict()
        assert.same({4, 3, 2, 5}, state['0.weight']:size():totable())
        assert.same({4}, state['0.bias']:size():totable())
        local m = nn.SpatialConvolution(3, 4, 5, 2, 1, 2, 3)
        assert.same({3, 4, 5, 2, 1, 2, 3, 3}, {m.nInputPlane, m.nOutputPlane, m.kW, m.kH, m.dW, m.dH, m.padW, m.padH})
        m.padW, m.padH = 0, 0
        assert.same({1, 4, 2, 2}, m:forward(torch.randn(1, 3, 4, 6)):size():totable())
    end)

    it('with connections sum what is listed', function()
        local m = nn.SpatialConvolutionMap(torch.Tensor {{1, 1}, {2, 2}, {1, 2}, {1, 2}}, 2, 2)
        local x = torch.randn(3, 2, 4, 4)
        local whole = nn.SpatialConvolution(2, 2, 2, 2)
        whole.weight:zero()
        whole.weight[1][1]:copy(m.weight[1])
        whole.weight[2][2]:copy(m.weight[2])
        whole.weight[2][1]:copy(m.weight[3] + m.weight[4])
        whole.bias:copy(m.bias)
        assert.is_true(checks.difference(m:forward(x), whole:forward(x)) < 1e-5)
        assert.same({{1, 1}, {2, 1}, {1, 2}, {2, 2}}, nn.tables.full(2, 2):totable())
        assert.same({{1, 1}, {2, 2}}, nn.tables.oneToOne(2):totable())
        local random = nn.tables.random(4, 4, 2)
        local seen = {}
        for _, row in ipairs(random:totable()) do seen[row[1]] = (seen[row[1]] or 0) + 1 end
        assert.same({2, 2, 2, 2}, seen)
        refuses('they count from 1', nn.SpatialConvolutionMap, torch.Tensor {{0, 1}}, 2, 2)
        refuses('such as nn.tables.full', nn.SpatialConvolutionMap, torch.Tensor {1, 2}, 2, 2)
    end)

    it('depthwise put the filters of a plane together', function()
        local m, x = nn.SpatialDepthWiseConvolution(2, 3, 2, 2), torch.randn(1, 2, 3, 3)
        local y = m:forward(x)
        for plane = 1, 2 do
            for filter = 1, 3 do
                local one = F.conv2d(x:narrow(2, plane, 1), m.weight:view(3, 2, 1, 2, 2)[{filter, {plane, plane}}])
                assert.is_true(checks.difference(one:add(m.bias[filter][plane])[1][1], y[1][(plane - 1) * 3 + filter]) < 1e-5)
            end
        end
    end)

    it('of sequences go through time as Torch7 says', function()
        local m, x = nn.TemporalConvolution(3, 2, 2, 2), torch.randn(1, 5, 3)
        local y = m:forward(x)
        assert.same({1, 2, 2}, y:size():totable())
        for t = 1, 2 do -- a window's frames one after another are a row of the weight
            local window = x[1]:narrow(1, 2 * t - 1, 2):contiguous():view(6)
            assert.is_true(checks.difference(torch.mv(m.weight, window):add(m.bias), y[1][t]) < 1e-5)
        end
        local row = nn.TemporalRowConvolution(3, 2)
        y = row:forward(x)
        assert.same({1, 4, 3}, y:size():totable())
        for f = 1, 3 do
            local w = row.weight[f][1]
            local expected = x[1]:select(2, f):narrow(1, 1, 4) * w[1] + x[1]:select(2, f):narrow(1, 2, 4) * w[2]
            assert.is_true(checks.difference(expected:add(row.bias[f]), y[1]:select(2, f)) < 1e-5)
        end
        local first = nn.TemporalRowConvolution(3, 2, 1, true)
        first.weight:copy(row.weight)
        first.bias:copy(row.bias)
        assert.is_true(checks.difference(first:forward(x:transpose(2, 3)), y:transpose(2, 3)) < 1e-6)
    end)

    it('without shared filters have one for each place', function()
        local m, x = nn.SpatialConvolutionLocal(2, 3, 5, 4, 2, 3, 2, 1, 1, 0), torch.randn(1, 2, 4, 5)
        local y = m:forward(x)
        assert.same({1, 3, 2, 3}, y:size():totable())
        for row = 1, 2 do
            for column = 1, 3 do
                local one = F.conv2d(x, m.weight[row][column], nil, {stride = {1, 2}, padding = {0, 1}})
                local expected = one[1]:select(3, column):select(2, row) + m.bias:select(3, column):select(2, row)
                assert.is_true(checks.difference(expected, y[1]:select(3, column):select(2, row)) < 1e-5)
            end
        end
    end)

    it('compute in every floating dtype', function()
        local x, m = torch.randn(2, 3, 6, 6), nn.Conv2d(3, 4, 3, {padding = 1})
        local expected = m(x):detach():double()
        for dtype, tolerance in pairs {Half = 2e-2, BFloat16 = 1e-1} do
            local kind = 'torch.' .. dtype .. 'Tensor'
            local y = m:clone():type(kind)(x:type(kind))
            assert.equal(kind, y:type())
            assert.is_true(checks.difference(y:detach():double(), expected) < tolerance)
        end
    end)

    it('name the module and the shape they expect', function()
        local model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
        refuses('model[1]: Conv2d(3 -> 4, 3x3): expected (N, 3, H, W), got (2, 4, 8, 8)', model, torch.randn(2, 4, 8, 8))
        refuses('model[1]: Conv2d(3 -> 4, 3x3): expected (N, 3, H, W), got (4, 8, 8)', model.forward, model,
            torch.randn(4, 8, 8))
        refuses('got (2, 8, 8, 3); the planes come second', model, torch.randn(2, 8, 8, 3))
        refuses('expected (N, planes, H, W), got (8, 8)', nn.Conv2d(nil, 4, 3), torch.randn(8, 8))
        refuses('expected (N, 3, W), got (3)', nn.Conv1d(3, 4, 3), torch.randn(3))
        refuses('expected a tensor, got number', nn.Conv1d(3, 4, 3), 1)
        refuses('model[1]: Conv2d(3 -> 4, 3x3): convolution: the kernel does not fit', model, torch.randn(2, 3, 2, 8))
        refuses("there is no option 'strides'; did you mean 'stride'?", nn.Conv2d, 3, 4, 3, {strides = 2})
        refuses('nn.Conv2d: options are a table', nn.Conv2d, 3, 4, 3, 3)
        refuses('nn.Conv2d: kernel: a number or a list of 2 of them, not of 3', nn.Conv2d, 3, 4, {1, 2, 3})
        refuses('nn.Conv2d: kernel must be a whole number from 1 up, not nil', nn.Conv2d, 3, 4)
        refuses("padding = 'same' wants stride 1", nn.Conv2d, 3, 4, 3, {padding = 'same', stride = 2})
        refuses('nn.Conv2d: 2 groups do not divide 3 planes evenly', nn.Conv2d, 3, 4, 3, {groups = 2})
        refuses("paddingMode is 'zeros', 'reflect', 'replicate' or 'circular'", nn.Conv2d, 3, 4, 3, {paddingMode = 'mirror'})
        refuses('the stride dW must be a whole number from 1 up', nn.SpatialConvolution, 3, 4, 3, 3, 0)
        refuses('the output padding must be less than the stride', nn.SpatialFullConvolution, 3, 4, 3, 3, 2, 2, 0, 0, 2)
        refuses('or a table of such a tensor and one whose size is wanted', nn.SpatialFullConvolution(3, 4, 3, 3), {1, 2})
        refuses('expected (N, T, 6), T at least 3, got (2, 2, 6)', nn.TemporalConvolution(6, 4, 3), torch.randn(2, 2, 6))
        refuses('expected (N, 6, T), T at least 3, got (4, 7)', nn.TemporalRowConvolution(6, 3, 1, true), torch.randn(4, 7))
        refuses('expected (N, 1, 5, 6), got (1, 6, 5)', nn.SpatialConvolutionLocal(1, 2, 6, 5, 3, 3), torch.randn(1, 6, 5))
        refuses('does not fit into images of 2x5', nn.SpatialConvolutionLocal, 1, 2, 2, 5, 3, 3)
        refuses('conv2d: the weight has 4 dimensions, not 3', F.conv2d, torch.randn(1, 1, 3, 3), torch.randn(1, 1, 3))
    end)
end)
