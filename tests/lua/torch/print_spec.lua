-- The text of tensors and storages is Torch7's.
local function shows(text, x) assert.equal(text, tostring(x)) end

describe('tostring', function()
    it('of whole numbers', function()
        shows(' 1\n 2\n 3\n[torch.FloatTensor of size 3]\n', torch.range(1, 3))
        shows(' 5  5\n 5  5\n[torch.DoubleTensor of size 2x2]\n', torch.DoubleTensor(2, 2):fill(5))
        shows('  10\n-200\n[torch.LongTensor of size 2]\n', torch.LongTensor {10, -200})
        shows(' 1.2346e+10\n 1.0000e+00\n[torch.DoubleTensor of size 2]\n', torch.DoubleTensor {12345678901, 1})
    end)

    it('of fractions', function()
        shows(' 2.0000\n 3.2000\n 4.4000\n[torch.DoubleTensor of size 3]\n', torch.DoubleTensor():range(2, 5, 1.2))
        shows(' 1.0000  0.5000\n 0.3333  0.2500\n[torch.FloatTensor of size 2x2]\n', torch.ones(2, 2):cdiv(torch.range(1, 4)))
        shows(' -12.5000\n 100.2500\n[torch.FloatTensor of size 2]\n', torch.Tensor {-12.5, 100.25})
    end)

    it('with a common scale', function()
        shows('1e-05 *\n 1.0000\n 2.5000\n[torch.DoubleTensor of size 2]\n', torch.DoubleTensor {1e-5, 2.5e-5})
        shows('100000 *\n  1.0000  2.5000\n[torch.DoubleTensor of size 1x2]\n', torch.DoubleTensor {{100000.5, 250000.5}})
    end)

    it('with a wide range', function()
        shows(' 1.0000e-05\n 1.0000e+01\n[torch.DoubleTensor of size 2]\n', torch.DoubleTensor {1e-5, 10})
    end)

    it('in blocks of columns', function()
        local lines = tostring(torch.range(1, 30):view(1, 30))
        assert.equal('Columns 1 to 20\n', lines:sub(1, 16))
        assert.truthy(lines:find('\nColumns 21 to 30\n', 1, true))
    end)

    it('in more dimensions', function()
        shows('(1,.,.) = \n  1  1\n\n(2,.,.) = \n  1  1\n[torch.FloatTensor of size 2x1x2]\n', torch.ones(2, 1, 2))
        local text = tostring(torch.ones(2, 2, 1, 1))
        assert.truthy(text:find('(1,1,.,.) = ', 1, true) < text:find('(2,1,.,.) = ', 1, true))
        assert.truthy(text:find('(2,1,.,.) = ', 1, true) < text:find('(1,2,.,.) = ', 1, true))
    end)

    it('of empty, special and odd ones', function()
        shows('[torch.FloatTensor with no dimension]\n', torch.Tensor())
        assert.truthy(tostring(torch.Tensor {0 / 0, 1}):find('nan', 1, true))
        assert.truthy(tostring(torch.Tensor {1 / 0, 1.5}):find('inf', 1, true))
        shows(' 1\n 0\n[torch.BoolTensor of size 2]\n', torch.tensor {true, false})
        shows(' 1\n 4\n[torch.FloatTensor of size 2]\n', torch.Tensor({{1, 2}, {4, 5}}):select(2, 1))
    end)

    it('of storages', function()
        shows(' 2\n 3\n[torch.LongStorage of size 2]\n', torch.Tensor(2, 3):size())
        shows(' 1.5000\n[torch.FloatStorage of size 1]\n', torch.FloatStorage {1.5})
    end)
end)
