-- The benchmarks' table, and the files that say how its rows are measured.
local folder = 'tests/bench'
package.path = folder .. '/?.lua;' .. package.path

local function text(path)
    local file = assert(io.open(path))
    local all = file:read '*a'
    file:close()
    return all
end

describe('benchmarks', function()
    require 'nn'
    require 'optim'
    local rows, report, families = require 'rows', require 'report', {}
    for _, file in ipairs {'families', 'training'} do
        for name, family in pairs(require(file)) do families[name] = family end
    end

    it('have a way to be measured for every row, in dlrun and in PyTorch', function()
        local peer = text(folder .. '/torch_worker.py')
        local titles = {}
        for _, row in ipairs(rows) do
            assert.is_nil(titles[row.title], row.title)
            titles[row.title] = true
            if not row.program then
                assert.is_function(families[row.family], row.family)
                assert.truthy(peer:find('\ndef ' .. row.family .. '(', 1, true), row.family)
            end
            if row.limit then assert.truthy(row.flops or row.bytes, row.title) end
        end
    end)

    it('compute their small rows', function()
        for _, row in ipairs(rows) do
            if row.title:find 'small' or row.title:find '4x2x3' then
                local step, value = families[row.family](unpack(row.arguments))
                step()
                assert.is_number(value(), row.title)
            end
        end
    end)

    it('report medians, quartiles and units', function()
        local median, spread = report.statistics {5, 1, 3, 2, 4}
        assert.equal(3, median)
        assert.near(2 / 3, spread, 1e-12)
        assert.equal('300 ns', report.seconds(300e-9))
        assert.equal('1.5 ms', report.seconds(1.5e-3))
        assert.equal('2 s', report.seconds(2))
        assert.equal('85 %', report.percent(0.85))
    end)
end)
