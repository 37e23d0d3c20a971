-- Targets and indices that lie on another device than what they belong to follow it; nothing else does.
require 'nn'
local ffi = require 'ffi'
local base = require 'dlrun.ffi'
require 'dlrun.plugins'.load(os.getenv 'DLRUN_BUILD' .. '/plugins/plain.so')

local function moved()
    local stats = ffi.new 'dl_call_stats'
    base.C.dl_calls(stats)
    return tonumber(stats.moved_tensors), tonumber(stats.moved_bytes)
end

-- What f gives for x on the CPU and on the plain backend, with everything else on the CPU.
local function alike(x, f)
    local there = f(x:to 'plain')
    assert.equal('plain', tostring(there:device()))
    assert.same(f(x):totable(), there:to('cpu'):totable())
end

describe('on another device', function()
    local x = torch.Tensor {{1, -2, 3}, {4, 5, -6}}

    it('indices follow', function()
        alike(x, function(y) return y:index(1, torch.LongTensor {2, 1, 2}) end)
        alike(x, function(y) return y:gather(2, torch.LongTensor {{3}, {1}}) end)
        alike(x, function(y) return y:maskedSelect(torch.ByteTensor {{1, 0, 1}, {0, 1, 1}}) end)
        alike(x, function(y) return y:clone():indexAdd(1, torch.LongTensor {2, 2}, y) end)
        local tensors, bytes = moved()
        x:to('plain'):index(1, torch.LongTensor {2, 1, 2})
        local more, and_bytes = moved()
        assert.equal(1, more - tensors)
        assert.equal(24, and_bytes - bytes)
        x:index(1, torch.LongTensor {2})
        assert.equal(more, (moved()))
    end)

    it('an index follows to the CPU too', function()
        local index = torch.LongTensor {2}:to 'plain'
        assert.same({{4, 5, -6}}, x:index(1, index):totable())
        assert.equal('plain', tostring(index:device()))
    end)

    it('targets of criterions follow, through forward and backward', function()
        local labels = torch.LongTensor {3, 1}
        for _, target in ipairs {labels, torch.Tensor {{1, 0, 0}, {0, 1, 1}}} do
            local criterion = target == labels and nn.CrossEntropyCriterion() or nn.MSECriterion()
            local here, gradient = criterion:forward(x, target), criterion:backward(x, target):clone()
            local y = x:to 'plain'
            assert.is_true(math.abs(here - criterion:forward(y, target)) < 1e-6)
            local there = criterion:backward(y, target)
            assert.equal('plain', tostring(there:device()))
            assert.is_true((there:to 'cpu' - gradient):abs():max() < 1e-6)
            local leaf = x:to 'plain'
            leaf.requiresGrad = true
            criterion(leaf, target):backward()
            assert.is_true((leaf.grad:to 'cpu' - gradient):abs():max() < 1e-6)
        end
    end)

    it('each target of a table follows', function()
        local criterion = nn.ParallelCriterion():add(nn.MSECriterion()):add(nn.ClassNLLCriterion())
        local targets = {torch.Tensor(2, 3):fill(1), torch.LongTensor {3, 1}}
        local here, y = criterion:forward({x, x}, targets), x:to 'plain'
        assert.is_true(math.abs(here - criterion:forward({y, y}, targets)) < 1e-6)
    end)

    it('nothing else does', function()
        local there = x:to 'plain'
        assert.error_matches(function() return there + x end, 'add: tensors on different devices: plain and cpu; move one')
        assert.error_matches(function() return there:index(1, torch.LongTensor {1}) + x end, 'different devices')
    end)
end)
