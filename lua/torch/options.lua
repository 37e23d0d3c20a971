-- options.lua: the trailing table of named options: unknown keys are errors that name the nearest one.
local ffi = require 'ffi'
local base = require 'dlrun.ffi'
local types = require 'torch.types'

local C = base.C
local M = {}

-- Edits that turn a into b (Levenshtein distance).
local function distance(a, b)
    local row = {}
    for j = 0, #b do row[j] = j end
    for i = 1, #a do
        local diagonal = row[0]
        row[0] = i
        for j = 1, #b do
            local cost = a:byte(i) == b:byte(j) and 0 or 1
            diagonal, row[j] = row[j], math.min(row[j] + 1, row[j - 1] + 1, diagonal + cost)
        end
    end
    return row[#b]
end

-- The name in `names` most like `word`.
function M.nearest(word, names)
    local best, least
    for _, name in ipairs(names) do
        local d = distance(tostring(word):lower(), name:lower())
        if not least or d < least then best, least = name, d end
    end
    return best
end

local convert = {}

-- dtype = 'float64', 'double' or 'torch.DoubleTensor'
function convert.dtype(name, what)
    local type = types.byName[name]
    if not type then base.fail("%s: there is no dtype '%s'", what, tostring(name)) end
    return type
end

function convert.device(name, what)
    if type(name) ~= 'string' then base.fail("%s: device must be a name such as 'cpu'", what) end
    local out = ffi.new 'dl_device *[1]'
    base.check(C.dl_device_open(name, out))
    return out[0]
end

-- A table of the options given (nil: none), checked against the known names; dtype and device converted.
function M.take(what, given, known)
    local out = {}
    if given ~= nil and type(given) ~= 'table' then
        base.fail('%s: options are a table such as {%s = …}, not a %s', what, known[1], type(given))
    end
    for key, value in pairs(given or out) do
        local found = false
        for _, name in ipairs(known) do found = found or name == key end
        if not found then
            base.fail("%s: there is no option '%s'; did you mean '%s'?", what, tostring(key), M.nearest(key, known))
        end
        out[key] = convert[key] and convert[key](value, what) or value
    end
    return out
end

return M
