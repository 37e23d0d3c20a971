-- print.lua: tensors and storages as text, in Torch7's layout: columns of one width, a common scale, and a last line such as
-- [torch.FloatTensor of size 2x3].
local host = require 'torch.host'
local raw = require 'torch.raw'
local storage = require 'torch.storage'
local tensor = require 'torch.tensor'
local types = require 'torch.types'

local LINE = 80 -- characters

-- ---- number formats ----------------------------------------------------------------------------------------------------

local function exponent(v) return v ~= 0 and math.floor(math.log10(v)) + 1 or 1 end

-- Smallest and largest magnitude and whether all are whole numbers; NaN counts for none.
local function survey(data, n)
    local least, most, whole = math.huge, 0, true
    for k = 0, n - 1 do
        local v = tonumber(data[k])
        if v == v then
            if v ~= math.ceil(v) then whole = false end
            local a = math.abs(v)
            if a < least then least = a end
            if a > most then most = a end
        else
            whole = false
        end
    end
    return math.min(least, most), most, whole
end

-- Format of one number, its width, and the scale that all are divided by.
local function layout(data, n)
    local least, most, whole = survey(data, n)
    local low, high = exponent(least), exponent(most)
    if whole then
        if high > 9 then return '%11.4e', 11, 1 end
        return ('%%%dd'):format(high + 1), high + 1, 1
    end
    if high - low > 4 then
        local width = (math.abs(high) > 99 or math.abs(low) > 99) and 12 or 11
        return ('%%%d.4e'):format(width), width, 1
    end
    if high > 5 or high < 0 then return '%7.4f', 7, 10 ^ (high - 1) end
    local width = high == 0 and 7 or high + 6
    return ('%%%d.4f'):format(width), width, 1
end

-- ---- shapes ------------------------------------------------------------------------------------------------------------

-- One number a line.
local function column(data, n)
    local form, _, scale = layout(data, n)
    local out = scale ~= 1 and {('%g *\n'):format(scale)} or {}
    for k = 0, n - 1 do out[#out + 1] = form:format(tonumber(data[k]) / scale) .. '\n' end
    return table.concat(out)
end

-- rows x columns numbers from data[at]; too wide a matrix is shown in blocks of columns.
local function matrix(out, data, at, rows, columns, form, width, scale, indent)
    local perLine = math.max(math.floor((LINE - #indent) / (width + 1)), 1)
    local margin = scale ~= 1 and indent .. ' ' or indent
    for first = 1, columns, perLine do
        local last = math.min(first + perLine - 1, columns)
        if perLine < columns then
            if first > 1 then out[#out + 1] = '\n' end
            out[#out + 1] = ('%sColumns %d to %d\n'):format(first == 1 and indent or '', first, last)
        end
        if scale ~= 1 then out[#out + 1] = ('%s%g *\n'):format(indent, scale) end
        for r = 0, rows - 1 do
            local numbers = {}
            for c = first, last do numbers[#numbers + 1] = form:format(tonumber(data[at + r * columns + c - 1]) / scale) end
            out[#out + 1] = margin .. table.concat(numbers, ' ') .. '\n'
        end
    end
end

-- Matrix after matrix, each under its leading indices; the first index runs fastest.
local function stack(out, data, sizes, n)
    local rank = #sizes
    local rows, columns = sizes[rank - 1], sizes[rank]
    local counter, strides, stride = {}, {}, 1
    for k = rank, 1, -1 do
        strides[k] = stride
        stride = stride * sizes[k]
        counter[k] = 1
    end
    local form, width, scale = layout(data, n)
    for block = 1, n / (rows * columns) do
        local at = 0
        for k = 1, rank - 2 do at = at + (counter[k] - 1) * strides[k] end
        out[#out + 1] = (block > 1 and '\n' or '') .. '(' .. table.concat(counter, ',', 1, rank - 2) .. ',.,.) = \n'
        matrix(out, data, at, rows, columns, form, width, scale, ' ')
        for k = 1, rank - 2 do
            counter[k] = counter[k] + 1
            if counter[k] <= sizes[k] then break end
            counter[k] = 1
        end
    end
end

-- ---- the public face ---------------------------------------------------------------------------------------------------

local function footer(x, text)
    local name = tensor.typeOf(x).tensorName
    local device = tensor.Tensor.device(x)
    return ('[%s %s%s]\n'):format(name, text, device == 'cpu' and '' or ' on ' .. device)
end

local function describe(x)
    if x._t.storage == nil then return '[empty tensor]\n' end
    local sizes = tensor.shapeOf(x)
    local n = tensor.count(x)
    if n == 0 then return footer(x, #sizes == 0 and 'with no dimension' or 'of size ' .. table.concat(sizes, 'x')) end
    local data = host.read(raw.detach(x))
    if #sizes == 0 then return column(data, 1) .. footer(x, 'of one number') end
    local out = {}
    if #sizes == 1 then
        out[1] = column(data, n)
    elseif #sizes == 2 then
        local form, width, scale = layout(data, n)
        matrix(out, data, 0, sizes[1], sizes[2], form, width, scale, '')
    else
        stack(out, data, sizes, n)
    end
    out[#out + 1] = footer(x, 'of size ' .. table.concat(sizes, 'x'))
    return table.concat(out)
end

local function describeStorage(s)
    local n = s:size()
    local name = storage.typeOf(s).storageName
    if storage.typeOf(s).packed then return ('[%s of size %d]\n'):format(name, n) end
    return ('%s[%s of size %d]\n'):format(n > 0 and column(storage.elements(s), n) or '', name, n)
end

for _, type in ipairs(types.list) do
    tensor.classes[type.dtype].__tostring__ = describe
    storage.classes[type.dtype].__tostring__ = describeStorage
end
