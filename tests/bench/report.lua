-- report.lua: measurements as a table, in text or Markdown.
local M = {}

--- Median and spread of a list of numbers; the spread is the distance of the quartiles, as a share of the median.
function M.statistics(samples)
    local sorted = {}
    for k, sample in ipairs(samples) do sorted[k] = sample end
    table.sort(sorted)
    local function quantile(q)
        local at = 1 + q * (#sorted - 1)
        local below = math.floor(at)
        return sorted[below] + (at - below) * ((sorted[below + 1] or sorted[below]) - sorted[below])
    end
    local median = quantile(0.5)
    return median, (quantile(0.75) - quantile(0.25)) / median
end

--- A time with its unit, three digits.
function M.seconds(s)
    for _, unit in ipairs {{1e-9, 'ns'}, {1e-6, 'µs'}, {1e-3, 'ms'}} do
        if s < 999.5 * unit[1] then return ('%.3g %s'):format(s / unit[1], unit[2]) end
    end
    return ('%.3g s'):format(s)
end

function M.percent(share) return ('%.0f %%'):format(100 * share) end

-- Width on the screen: bytes that are no UTF-8 continuation.
local function width(text) return select(2, text:gsub('[^\128-\191]', '')) end

local function padded(text, to, left) -- numbers stand at the right
    local space = (' '):rep(to - width(text))
    return left and text .. space or space .. text
end

local Table = {}
Table.__index = Table

--- A table whose columns {title, least width} are printed row by row as they come: text or Markdown.
function M.table(columns, markdown)
    local self = setmetatable({columns = columns, markdown = markdown}, Table)
    local titles, rules = {}, {}
    for k, column in ipairs(columns) do
        titles[k] = column[1]
        rules[k] = k == 1 and '---' or '---:'
    end
    self:row(titles)
    if markdown then print('|' .. table.concat(rules, '|') .. '|') end
    return self
end

function Table:row(cells)
    local out = {}
    for k, column in ipairs(self.columns) do
        local cell = cells[k] or ''
        out[k] = self.markdown and cell or padded(cell, math.max(column[2], width(cell)), k == 1)
    end
    print(self.markdown and '| ' .. table.concat(out, ' | ') .. ' |' or table.concat(out, '  '))
    io.flush()
end

return M
