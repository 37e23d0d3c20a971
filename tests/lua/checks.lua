-- checks.lua: what the specs of nn and optim share: nested tables of tensors compared, and gradients by finite differences.
require 'nn'
local tape = require 'nn.tape'

local checks = {}

checks.flatten = tape.flatten

-- Deep copy of a nested table of tensors, off the tape.
function checks.copy(value)
    local list = tape.flatten(value)
    for k = 1, #list do list[k] = list[k]:detach():clone() end
    return tape.rebuild(value, list)
end

-- Greatest difference of two nested tables of tensors of the same form.
function checks.difference(a, b)
    a, b = tape.flatten(a), tape.flatten(b)
    assert(#a == #b, ('%d tensors against %d'):format(#a, #b))
    local worst = 0
    for k = 1, #a do
        local x, y = a[k]:detach():double(), b[k]:detach():double()
        assert(x:isSameSizeAs(y), ('sizes %s and %s'):format(tostring(x:size()), tostring(y:size())))
        local d = x:nElement() > 0 and (x - y):abs():max() or 0
        assert(d == d, 'NaN')
        worst = math.max(worst, d)
    end
    return worst
end

-- Sum of the products of values and weights, both nested tables of tensors: a scalar function of the values.
function checks.dot(values, weights)
    values, weights = tape.flatten(values), tape.flatten(weights)
    local total = 0
    for k = 1, #values do total = total + torch.cmul(values[k]:detach(), weights[k]:detach()):sum() end
    return total
end

-- A random nested table of the form of `value`.
function checks.randomLike(value)
    local list = tape.flatten(value)
    for k = 1, #list do
        local like = list[k]:detach():clone()
        list[k] = like:uniform(-1, 1)
    end
    return tape.rebuild(value, list)
end

-- d f() / d x by central differences: x is changed in place, f() returns a number. Double precision is meant.
function checks.numericGradient(f, x, step)
    step = step or 1e-5
    local g = x:detach():clone():zero()
    local flat, out = x:detach():view(-1), g:view(-1)
    for k = 1, flat:size(1) do
        local old = flat[k]
        flat[k] = old + step
        local up = f()
        flat[k] = old - step
        local down = f()
        flat[k] = old
        out[k] = (up - down) / (2 * step)
    end
    return g
end

return checks
