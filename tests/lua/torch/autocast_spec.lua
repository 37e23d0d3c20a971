-- torch.autocast: products in bfloat16, sums and losses in float32, parameters and gradients as they were.
require 'nn'

local function typed(x) return torch.typename(x) end

describe('torch.autocast', function()
    local x, w = torch.randn(8, 16), torch.randn(16, 4)

    it('computes products in bfloat16 and the rest as it comes', function()
        local product, shifted, total = torch.autocast(function()
            local p = torch.mm(x, w)
            return p, torch.add(p, 1), torch.softmax(p, 2)
        end)
        assert.equal('torch.BFloat16Tensor', typed(product))
        assert.equal('torch.BFloat16Tensor', typed(shifted))
        assert.equal('torch.FloatTensor', typed(total))
        local exact = torch.mm(x, w)
        local error = (product:float() - exact):abs():max()
        assert.is_true(error > 0 and error < 0.02 * exact:abs():max())
    end)

    it('takes float16 and false too', function()
        assert.equal('torch.HalfTensor', typed(torch.autocast('float16', torch.mm, x, w)))
        assert.equal('torch.FloatTensor', typed(torch.autocast(function() return torch.autocast(false, torch.mm, x, w) end)))
        assert.equal('torch.DoubleTensor', typed(torch.autocast(torch.mm, x:double(), w:double())))
    end)

    it('is over when the function is, also after an error', function()
        assert.is_false(torch.isAutocastEnabled())
        torch.autocast(function() assert.is_true(torch.isAutocastEnabled()) end)
        assert.is_false(torch.isAutocastEnabled())
        assert.error_matches(function() torch.autocast(function() error 'stop' end) end, 'stop')
        assert.is_false(torch.isAutocastEnabled())
        assert.equal('torch.FloatTensor', typed(torch.mm(x, w)))
    end)

    it('leaves parameters and gradients float32, close to those without it', function()
        torch.manualSeed(1)
        local model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))
        local criterion, y = nn.CrossEntropyCriterion(), torch.LongTensor(8):random(1, 4)
        local function gradients(run)
            model:zeroGradParameters()
            local loss = run(function() return criterion(model(x), y) end)
            assert.equal('torch.FloatTensor', typed(loss))
            loss:backward()
            local copies = {}
            for name, p in model:namedParameters() do
                assert.equal('torch.FloatTensor', typed(p))
                assert.equal('torch.FloatTensor', typed(p.grad))
                copies[name] = p.grad:clone()
            end
            return copies
        end
        local exact, cast = gradients(function(f) return f() end), gradients(torch.autocast)
        local worst = 0
        for name, g in pairs(exact) do worst = math.max(worst, (g - cast[name]):norm() / g:norm()) end
        assert.is_true(worst > 0 and worst < 0.05, tostring(worst))
    end)

    it('works in the Torch7 face', function()
        local m = nn.Linear(16, 4)
        local y = torch.autocast(function() return m:forward(x) end)
        assert.equal('torch.BFloat16Tensor', typed(y))
        m:zeroGradParameters()
        local gradInput = m:backward(x, torch.ones(8, 4))
        assert.equal('torch.FloatTensor', typed(gradInput))
        assert.is_true((gradInput - torch.ones(8, 4) * m.weight):abs():max() < 0.05)
    end)

    it('refuses other types and what is no function', function()
        assert.error_matches(function() torch.autocast('int32', torch.mm, x, w) end, 'bfloat16 or float16')
        assert.error_matches(function() torch.autocast('half-ish', torch.mm, x, w) end, "not half%-ish")
        assert.error_matches(function() torch.autocast('bfloat16', 3) end, 'runs f now')
    end)
end)
