-- x[i], x[{…}], masks and lists of indices, read and written: the examples of Torch7's manual and the errors.
describe('reading', function()
    local x
    before_each(function() x = torch.range(1, 12):view(3, 4) end)

    it('single elements are numbers', function()
        assert.equal(6, x[2][2])
        assert.equal(6, x[{2, 2}])
        assert.equal(12, x[{-1, -1}])
        assert.equal(6, x[torch.LongStorage {2, 2}])
        assert.equal('number', type(x[2][2]))
        assert.is_true(torch.BoolTensor {true}[1])
        assert.equal(2 ^ 40, torch.LongTensor({2 ^ 40})[1])
        assert.equal(1.5, torch.HalfTensor({1.5})[1])
    end)

    it('rows and ranges are views', function()
        assert.same({5, 6, 7, 8}, x[2]:totable())
        assert.same({9, 10, 11, 12}, x[-1]:totable())
        assert.same({2, 6, 10}, x[{{}, 2}]:totable())
        assert.same({{6, 7}, {10, 11}}, x[{{2, 3}, {2, -2}}]:totable())
        assert.same({{5, 6, 7, 8}}, x[{{2}}]:totable())
        assert.same({7, 8}, x[{2, {3, 4}}]:totable())
        x[{{}, 2}]:zero()
        assert.same({1, 0, 3, 4}, x[1]:totable())
    end)

    it('by mask and by indices', function()
        assert.same({11, 12}, x[x:gt(10)]:totable())
        assert.same({11, 12}, x[x:gt(10):bool()]:totable())
        assert.same({{9, 10, 11, 12}, {1, 2, 3, 4}}, x[torch.LongTensor {3, 1}]:totable())
    end)

    it('refuses what is not there', function()
        assert.error_matches(function() return x[0] end, 'start at 1')
        assert.error_matches(function() return x[4] end, 'index 4 is out of range: dimension 1 has size 3')
        assert.error_matches(function() return x[-4] end, 'out of range')
        assert.error_matches(function() return x[1.5] end, 'whole number')
        assert.error_matches(function() return x[{1, 5}] end, 'dimension 2 has size 4')
        assert.error_matches(function() return x[{1, 1, 1}] end, '3 indices')
        assert.error_matches(function() return x[{{3, 2}}] end, 'ends before')
        assert.error_matches(function() return x[{{1, 2, 3}}] end, 'range')
        assert.error_matches(function() return x[{'a'}] end, 'number or a range')
        assert.error_matches(function() return x[true] end, 'boolean')
        assert.error_matches(function() return torch.Tensor()[1] end, 'no dimension')
    end)
end)

describe('writing', function()
    it('elements, rows, regions', function()
        local x = torch.zeros(2, 3)
        x[1][2] = 5
        x[{2, 3}] = 6
        assert.same({{0, 5, 0}, {0, 0, 6}}, x:totable())
        x[1] = 1
        x[{{}, 3}] = torch.Tensor {8, 9}
        x[{2, {1, 2}}] = {3, 4}
        assert.same({{1, 1, 8}, {3, 4, 9}}, x:totable())
        x[-1] = torch.Tensor {7, 7, 7}
        assert.same({7, 7, 7}, x[2]:totable())
    end)

    it('by mask and by indices', function()
        local x = torch.range(1, 4)
        x[x:gt(2)] = 0
        assert.same({1, 2, 0, 0}, x:totable())
        x[x:eq(0)] = torch.Tensor {30, 40}
        assert.same({1, 2, 30, 40}, x:totable())
        x[torch.LongTensor {1, 4}] = -1
        assert.same({-1, 2, 30, -1}, x:totable())
    end)

    it('converts to the element type', function()
        local x = torch.ByteTensor(2):zero()
        x[1] = 3.9
        x[2] = 1000
        assert.same({3, 255}, x:totable())
        local b = torch.BoolTensor(1)
        b[1] = true
        assert.is_true(b[1])
        local flags = torch.BoolTensor {3, 1, 2, 0}
        assert.same({1, 1, 1, 0}, flags:byte():totable()) -- a stored bool is 0 or 1
        assert.equal(3, flags:sum())
        assert.same({1, 1, 0, 1}, flags:apply(function(v) return v and 7 or 0 end):map(flags, function(a, v)
            return a and v and 5 or 0
        end):byte():index(1, torch.LongTensor {1, 2, 4, 3}):totable())
        assert.equal(1, torch.tensor(4, {dtype = 'bool'}):byte():sum())
    end)

    it('refuses what is not there', function()
        local x = torch.zeros(2, 3)
        assert.error_matches(function() x[3] = 1 end, 'out of range')
        assert.error_matches(function() x[{1, 0}] = 1 end, 'start at 1')
        assert.error_matches(function() x[{1, 1}] = 'a' end, 'number')
        assert.has_error(function() x[1] = torch.Tensor(2) end)
    end)
end)

describe('index functions', function()
    local x
    before_each(function() x = torch.range(1, 6):view(2, 3) end)

    it('index, indexCopy, indexAdd, indexFill', function()
        assert.same({{3, 1}, {6, 4}}, x:index(2, torch.LongTensor {3, 1}):totable())
        assert.same({{3, 1}, {6, 4}}, torch.index(torch.Tensor(), x, 2, torch.LongTensor {3, 1}):totable())
        local y = x:clone():indexCopy(1, torch.LongTensor {2}, torch.Tensor {{7, 8, 9}})
        assert.same({{1, 2, 3}, {7, 8, 9}}, y:totable())
        y:indexAdd(2, torch.LongTensor {1, 1}, torch.ones(2, 2))
        assert.same({{3, 2, 3}, {9, 8, 9}}, y:totable())
        assert.same({{3, 0, 3}, {9, 0, 9}}, y:indexFill(2, torch.LongTensor {2}, 0):totable())
        assert.error_matches(function() x:index(1, torch.Tensor {1}) end, 'integers')
        assert.has_error(function() x:index(1, torch.LongTensor {3}) end)
        assert.has_error(function() x:index(1, torch.LongTensor {0}) end)
    end)

    it('gather and scatter', function()
        assert.same({{1}, {6}}, x:gather(2, torch.LongTensor {{1}, {3}}):totable())
        assert.same({{5, 2, 3}, {4, 5, 6}}, x:clone():scatter(2, torch.LongTensor {{1}, {2}}, 5):totable())
        local y = torch.zeros(2, 3):scatter(2, torch.LongTensor {{3}, {1}}, torch.Tensor {{7}, {8}})
        assert.same({{0, 0, 7}, {8, 0, 0}}, y:totable())
        assert.same({2, 1}, torch.zeros(2):scatterAdd(1, torch.LongTensor {1, 1, 2}, torch.ones(3)):totable())
    end)

    it('masks', function()
        local m = torch.ByteTensor {{1, 0, 0}, {0, 0, 1}}
        assert.same({1, 6}, x:maskedSelect(m):totable())
        assert.same({{0, 2, 3}, {4, 5, 0}}, x:clone():maskedFill(m, 0):totable())
        assert.same({{8, 2, 3}, {4, 5, 9}}, x:clone():maskedCopy(m, torch.Tensor {8, 9}):totable())
        assert.equal(0, x:maskedSelect(torch.zeros(2, 3):byte()):nElement())
    end)

    it('nonzero, where', function()
        assert.same({{1, 2}, {2, 1}}, torch.Tensor({{0, 3}, {4, 0}}):nonzero():totable())
        assert.same({1, -1}, torch.where(torch.ByteTensor {1, 0}, torch.Tensor {1, 2}, -1):totable())
    end)
end)
