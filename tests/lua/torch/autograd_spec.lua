-- The tape as scripts see it.
local function leaf(values) return torch.tensor(values, {requiresGrad = true}) end

describe('backward', function()
    it('gives known gradients and accumulates', function()
        local x = leaf {1, 2, 3}
        local loss = torch.pow(x, 2):sum()
        assert.equal(0, loss:dim())
        assert.equal(14, loss:item())
        loss:backward()
        assert.same({2, 4, 6}, x.grad:totable())
        torch.pow(x, 2):sum():backward()
        assert.same({4, 8, 12}, x.grad:totable())
        x.grad:zero()
        assert.same({0, 0, 0}, x.grad:totable())
        x.grad = nil
        assert.is_nil(x.grad)
    end)

    it('goes through Torch7\'s functions', function()
        local x = leaf {{1, 2}, {3, 4}}
        local w = leaf {1, 1}
        local loss = torch.cmul(x * w, torch.Tensor {1, 10}):sum() + x[1][2] * 5 + x:select(1, 2):mean()
        loss:backward()
        assert.same({{1, 6}, {10.5, 10.5}}, x.grad:totable())
        assert.same({31, 42}, w.grad:totable())
    end)

    it('adds up halves by the hundreds', function()
        for _, type in ipairs {'bfloat16', 'float16'} do
            local x = torch.tensor({{1, 2}, {3, 4}}, {requiresGrad = true, dtype = type})
            local rows = torch.LongTensor(1000):fill(2)
            x:index(1, rows):sum():backward()
            assert.same({{0, 0}, {1000, 1000}}, x.grad:totable(), type)
            x.grad = nil
            x:gather(1, torch.LongTensor(1000, 2):fill(1)):sum():backward()
            assert.same({{1000, 1000}, {0, 0}}, x.grad:totable(), type)
        end
    end)

    it('takes a gradient for more than one element', function()
        local x = leaf {1, 2}
        local y = x * 3
        assert.error_matches(function() y:backward() end, 'needs a gradient')
        assert.error_matches(function() y:backward(torch.ones(3)) end, 'size')
        y:backward(torch.Tensor {1, 2})
        assert.same({3, 6}, x.grad:totable())
    end)

    it('adds into a gradient tensor of the caller\'s', function()
        local x = leaf {1, 2}
        local g = torch.ones(2)
        x.grad = g
        torch.mul(x, 2):sum():backward()
        assert.same({3, 3}, g:totable())
    end)

    it('torch.grad returns gradients and leaves .grad alone', function()
        local x, unused = leaf {3}, leaf {1}
        local g, none = torch.grad(torch.cmul(x, x):sum(), {x, unused})
        assert.same({6}, g:totable())
        assert.is_nil(none)
        assert.is_nil(x.grad)
    end)

    it('second derivatives with createGraph', function()
        local x = leaf {2}
        local g = torch.grad(torch.pow(x, 3):sum(), x, nil, {createGraph = true})
        local h = torch.grad(g:sum(), x)
        assert.near(12, h[1], 1e-4)
    end)

    it('says what is wrong', function()
        local x = torch.Tensor {1}
        assert.error_matches(function() x:backward() end, 'not on the tape')
        assert.error_matches(function() x:sum():backward() end, 'not on the tape')
        assert.error_matches(function() torch.LongTensor(1).requiresGrad = true end, 'float')
        local y = leaf {1, 2}
        local z = torch.exp(y)
        local s = torch.cmul(z, z):sum()
        z:zero()
        assert.error_matches(function() s:backward() end, 'in place')
    end)
end)

describe('recording', function()
    it('is switched by noGrad and setGradEnabled', function()
        local x = leaf {1, 2}
        assert.equal(6, torch.noGrad(function(k) return (x * k):sum() end, 2))
        assert.is_true(torch.isGradEnabled())
        assert.has_error(function() torch.noGrad(function() error 'x' end) end)
        assert.is_true(torch.isGradEnabled())
        assert.is_true(torch.setGradEnabled(false))
        local y = x * 2
        assert.is_false(torch.setGradEnabled(true))
        assert.is_false(y.requiresGrad)
        assert.is_true((x * 2).requiresGrad)
        assert.error_matches(function() torch.noGrad() end, 'runs f now')
    end)

    it('stops at detach', function()
        local x = leaf {1, 2}
        assert.is_false(x:detach().requiresGrad)
        assert.equal(3, x:detach():sum())
        assert.equal('userdata', type(x:sum()))
        x.requiresGrad = false
        assert.equal(3, x:sum())
    end)

    it('numbers answer item, and say that they are off the tape', function()
        assert.equal(3, torch.Tensor({1, 2}):sum():item())
        assert.error_matches(function() local n = 5; return n.foo end, "field 'foo'")
    end)
end)

describe('torch.customFunction', function()
    local square = torch.customFunction {
        name = 'square',
        forward = function(ctx, x)
            ctx:save(x)
            return torch.cmul(x, x)
        end,
        backward = function(ctx, g) return torch.cmul(g, ctx.saved[1]) * 2 end,
    }

    it('has the gradient it is given', function()
        local x = leaf {1, 2, 3}
        local y = square(x)
        assert.is_true(y.requiresGrad)
        torch.mul(y, 10):sum():backward()
        assert.same({20, 40, 60}, x.grad:totable())
        assert.is_false(square(torch.Tensor {1}).requiresGrad)
    end)

    it('takes several arguments and gives several results', function()
        local f = torch.customFunction {
            forward = function(_, a, b) return a + b, torch.cmul(a, b) end,
            backward = function(ctx, ga, gb)
                assert(gb == nil)
                assert(ctx.needs[1] and not ctx.needs[2])
                return ga * 7
            end,
        }
        local a = leaf {1, 2}
        local s = f(a, torch.Tensor {3, 4})
        s:sum():backward()
        assert.same({7, 7}, a.grad:totable())
    end)

    it('passes errors on and stays usable', function()
        local bad = torch.customFunction {forward = function(_, x) return x * 1 end, backward = function() error 'broken' end}
        local x = leaf {1}
        assert.error_matches(function() bad(x):sum():backward() end, 'broken')
        square(x):sum():backward()
        assert.same({2}, x.grad:totable())
        assert.error_matches(function() torch.customFunction {forward = print} end, 'backward must be a function')
    end)
end)
