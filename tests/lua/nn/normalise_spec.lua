-- Normalising modules: PyTorch's values, gradients and running statistics; files; what goes wrong.
local base = require 'dlrun.ffi'
local checks = require 'tests.lua.checks'
local golden = dofile 'tests/golden/norm.lua'
for _, row in ipairs(dofile 'tests/golden/norms.lua') do golden[#golden + 1] = row end

local function double(value) return torch.tensor(value, {dtype = 'double'}) end

local function close(a, b, what)
    local d = checks.difference(a, double(b))
    assert(d <= 1e-11, ('%s: off by %g'):format(what, d))
end

local function each(f)
    for k, row in ipairs(golden) do
        for name in row.module:gmatch '%S+' do
            local m = nn[name](unpack(row.arguments)):double()
            for _, parameter in ipairs {'weight', 'bias'} do
                if row[parameter] then m[parameter]:copy(double(row[parameter])) end
            end
            if row.weight then m:zeroGradParameters() end
            f(m, row, ('row %d, %s'):format(k, name))
        end
    end
end

local function checkAll(m, row, what, output, gradInput)
    close(output, row.output, what .. ' output')
    close(gradInput, row.gradInput, what .. ' gradInput')
    for name, gradient in pairs {weight = 'gradWeight', bias = 'gradBias'} do
        if row[name] then
            close(m[gradient], row[gradient], what .. ' ' .. gradient)
        else
            assert.is_nil(m[name])
        end
    end
    torch.noGrad(function() m(double(row.steps[2])) end)
    if row.running_mean then
        close(m.running_mean, row.running_mean, what .. ' running_mean')
        close(m.running_var, row.running_var, what .. ' running_var')
    end
    close(m:evaluate()(double(row.steps[3])), row.evaluated, what .. ' evaluated')
    if row.running_mean then close(m.running_mean, row.running_mean, what .. ' running_mean after evaluation') end
end

describe('normalising modules', function()
    it("have PyTorch's values on the tape", function()
        each(function(m, row, what)
            local x = double(row.steps[1])
            x.requiresGrad = true
            local y = m(x)
            torch.backward({y}, {double(row.gradOutput)})
            checkAll(m, row, what, y:detach(), x.grad)
        end)
    end)

    it("have PyTorch's values in Torch7's way", function()
        each(function(m, row, what)
            local x = double(row.steps[1])
            local y = checks.copy(m:forward(x))
            checkAll(m, row, what, y, checks.copy(m:backward(x, double(row.gradOutput))))
        end)
    end)

    it("start as their namesakes do", function()
        local torch7, pytorch = nn.BatchNormalization(500), nn.BatchNorm1d(500)
        assert.is_true(torch7.weight:min() >= 0 and torch7.weight:max() < 1 and torch7.weight:max() > 0.5)
        assert.equal(0, torch7.bias:norm())
        assert.equal(1, pytorch.weight:min())
        assert.equal(1, pytorch.weight:max())
        assert.equal(0, pytorch.running_mean:norm())
        assert.equal(1, pytorch.running_var:min())
    end)

    it('save their running statistics, and read files that count batches', function()
        local model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
        model(torch.randn(8, 2))
        local state = model:stateDict()
        assert.is_true(state['1.running_mean']:norm() > 0)
        local other = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
        state['1.num_batches_tracked'] = torch.LongTensor {1}
        other:loadStateDict(state)
        local x = torch.randn(4, 2)
        assert.equal(0, checks.difference(other:evaluate()(x), model:evaluate()(x)))
        state['0.num_batches_tracked'] = torch.LongTensor {1}
        assert.error_matches(function() other:loadStateDict(state) end, 'unexpected 0.num_batches_tracked')
    end)

    it('compute in every floating dtype', function()
        local x = torch.randn(4, 6):double()
        for _, make in ipairs {function() return nn.LayerNorm(6) end, function() return nn.GroupNorm(2, 6) end,
            function() return nn.BatchNorm1d(6) end} do
            local expected = make():double()(x)
            for dtype, tolerance in pairs {Float = 1e-5, Half = 1e-2, BFloat16 = 5e-2} do
                local kind = 'torch.' .. dtype .. 'Tensor'
                local m, input = make():type(kind), x:type(kind)
                input.requiresGrad = true
                local y = m(input)
                assert.equal(kind, y:type())
                assert.is_true(checks.difference(y:detach():double(), expected:detach()) < tolerance)
                y:sum():backward()
                assert.equal(kind, input.grad:type())
                assert.equal(kind, m.weight.grad:type())
            end
        end
    end)

    it('are one call together with what follows them', function()
        local function calls(f)
            local stats = base.ffi.new 'dl_call_stats'
            base.C.dl_calls(stats)
            local before = tonumber(stats.calls)
            f()
            base.C.dl_calls(stats)
            return tonumber(stats.calls) - before
        end
        local x = torch.randn(4, 6, 3, 2)
        for _, norm in ipairs {nn.BatchNorm2d(6), nn.BatchNorm2d(6):evaluate(), nn.GroupNorm(2, 6), nn.LayerNorm(2),
            nn.RMSNorm(2)} do
            local model = nn.Sequential(norm, nn.ReLU())
            local running = norm.running_mean and norm.running_mean:clone()
            torch.noGrad(function()
                assert.equal(1, calls(function() model(x) end))
                if running then
                    assert.equal(norm.train, checks.difference(norm.running_mean, running) > 0)
                    norm.running_mean:copy(running)
                end
            end)
            local input = x:clone()
            input.requiresGrad = true
            local y
            assert.equal(1, calls(function() y = model(input) end))
            y:sum():backward()
            if running then torch.noGrad(function() norm.running_mean:copy(running) end) end
            local separate = x:clone()
            separate.requiresGrad = true
            torch.relu(norm(separate)):sum():backward()
            assert.equal(0, checks.difference(input.grad, separate.grad))
        end
    end)

    it('take their size from the first input', function()
        for _, face in ipairs {'tape', 'torch7'} do
            local m, x = nn.BatchNorm2d(nil, {momentum = 0.5}):double(), torch.randn(4, 3, 2, 2):double()
            assert.equal('nn.BatchNorm2d(?)', tostring(m))
            assert.error_matches(function() m:parameters() end, 'run one batch first')
            local y = face == 'tape' and m(x):detach() or m:forward(x)
            local same = nn.BatchNorm2d(3, {momentum = 0.5}):double()
            assert.equal(0, checks.difference(y, same(x):detach()))
            assert.equal(0, checks.difference(m.running_var, same.running_var))
            assert.equal('nn.BatchNorm2d(3)', tostring(m))
            assert.equal(2, #m:parameters())
        end
    end)

    it('divide rows by their norms', function()
        local x = torch.DoubleTensor {{3, -4}, {0, 2}}
        assert.is_true(checks.difference(nn.Normalize(2)(x), torch.DoubleTensor {{0.6, -0.8}, {0, 1}}) < 1e-10)
        assert.is_true(checks.difference(nn.Normalize(1)(x), torch.DoubleTensor {{3 / 7, -4 / 7}, {0, 1}}) < 1e-10)
        assert.is_true(checks.difference(nn.Normalize(math.huge)(x), torch.DoubleTensor {{0.75, -1}, {0, 1}}) < 1e-9)
    end)

    it('name the shape they expect', function()
        local function refuses(message, f, ...)
            local ok, err = pcall(f, ...)
            assert.is_false(ok)
            assert.is_truthy(tostring(err):find(message, 1, true), tostring(err))
        end
        refuses('expected (N, 3), got (2, 4)', nn.BatchNormalization(3), torch.randn(2, 4))
        refuses('expected (N, 3, height, width), got (2, 3)', nn.BatchNorm2d(3), torch.randn(2, 3))
        refuses('expected (…, 3), got (2, 4)', nn.LayerNorm(3), torch.randn(2, 4))
        refuses('expected (N, 4, …), got (4)', nn.GroupNorm(2, 4), torch.randn(4))
        refuses('at least two values for each channel', nn.BatchNorm1d(3), torch.randn(1, 3))
        refuses("there is no option 'moment'; did you mean 'momentum'?", nn.BatchNorm1d, 3, {moment = 1})
        refuses('3 groups do not divide 4 channels', nn.GroupNorm, 3, 4)
        refuses('must be a whole number from 1 up', nn.LayerNorm, 0)
        refuses('expected ([N, ]3, height, width), got (2, 4, 2, 2)', nn.InstanceNorm2d(3), torch.randn(2, 4, 2, 2))
        refuses('expected more than one value in each channel', nn.InstanceNorm1d(3), torch.randn(2, 3, 1))
        refuses('expected ([N, ]channels, height, width), got (2, 3)', nn.SpatialCrossMapLRN(3), torch.randn(2, 3))
        refuses('expected (n) or (N, n), got (2, 3, 1)', nn.Normalize(2), torch.randn(2, 3, 1))
        refuses('p must be above 0', nn.Normalize, 0)
    end)
end)
