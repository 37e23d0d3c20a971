-- windows.lua: F.unfold and F.fold: the windows of an image as columns, and columns added back into an image.
local base = require 'dlrun.ffi'
local ops = require 'torch.ops'
local raw = require 'torch.raw'
local shapeOf = require 'torch.resize'.fullShape
local spans = require 'nn.spans'
local take = require 'torch.options'.take

local F = nn.functional

-- The windows' numbers for two dimensions: kernel, stride, padding, dilation.
local function geometry(kernel, given, what)
    given = take(what, given, {'stride', 'padding', 'dilation'})
    local function list(value, name, least, default)
        return spans.list(value, 2, ('%s: %s'):format(what, name), least, default)
    end
    return {
        kernel = list(kernel, 'kernel', 1), stride = list(given.stride, 'stride', 1, 1),
        padding = list(given.padding, 'padding', 0, 0), dilation = list(given.dilation, 'dilation', 1, 1),
    }
end

-- How many windows fit along dimension k of `size`; an error if none does.
local function positions(g, size, k, what)
    local span, whole = g.dilation[k] * (g.kernel[k] - 1) + 1, size + 2 * g.padding[k]
    if span > whole then base.fail('%s: a window of %d does not fit into %d', what, span, whole) end
    return math.floor((whole - span) / g.stride[k]) + 1
end

local function isSample(x, n, what, expected)
    if not raw.isTensor(x) then base.fail('%s: expected a tensor, got %s', what, torch.type(x)) end
    if x._t.ndim ~= n and x._t.ndim ~= n + 1 then
        base.fail('%s: expected %s, got (%s)', what, expected, table.concat(shapeOf(x), ', '))
    end
    return x._t.ndim == n
end

-- The windows as a view of x, a padded batch: dimensions N, C, kH, kW, rows, columns.
local function view(x, g)
    for k = 1, 2 do
        x = ops.unfold(x, k + 1, g.dilation[k] * (g.kernel[k] - 1) + 1, g.stride[k])
        if g.dilation[k] > 1 then x = ops.slice(x, k + 3, 0, g.kernel[k], g.dilation[k]) end
    end
    return ops.permute(x, {0, 1, 4, 5, 2, 3})
end

local function columns(x, g)
    local shape = shapeOf(x)
    for k = 1, 2 do positions(g, shape[k + 2], k, 'unfold') end
    if g.padding[1] > 0 or g.padding[2] > 0 then x = ops.pad(x, spans.bothSides(g.padding), 'constant') end
    local w = view(x, g)
    local s = shapeOf(w)
    return ops.reshape(w, {s[1], s[2] * s[3] * s[4], s[5] * s[6]})
end

--- F.unfold(x, kernel [, {stride = 1, padding = 0, dilation = 1}]): the windows of (N, C, H, W) as columns
-- (N, C · kH · kW, windows), row by row; without N too.
function F.unfold(x, kernel, given)
    local g = geometry(kernel, given, 'unfold')
    if isSample(x, 3, 'unfold', '(N, C, H, W)') then return ops.select(columns(ops.unsqueeze(x, 0), g), 0, 0) end
    return columns(x, g)
end

-- Columns added where unfold would take them from: the padded image is zeros to which they are added through a view.
local function image(x, size, g)
    local shape, rows, cols = shapeOf(x), positions(g, size[1], 1, 'fold'), positions(g, size[2], 2, 'fold')
    local field = g.kernel[1] * g.kernel[2]
    if shape[2] % field ~= 0 or shape[3] ~= rows * cols then
        base.fail('fold: expected (N, C · %d, %d), got (%s)', field, rows * cols, table.concat(shape, ', '))
    end
    local n, planes = shape[1], shape[2] / field
    local high, wide = size[1] + 2 * g.padding[1], size[2] + 2 * g.padding[2]
    local windows = ops.reshape(x, {n, planes, g.kernel[1], g.kernel[2], rows, cols})
    local y = ops.view_backward(windows, {n, planes, high, wide},
        {planes * high * wide, high * wide, g.dilation[1] * wide, g.dilation[2], g.stride[1] * wide, g.stride[2]})
    y = ops.slice(y, 2, g.padding[1], size[1])
    return ops.copy(ops.slice(y, 3, g.padding[2], size[2]))
end

--- F.fold(x, size, kernel [, {stride = 1, padding = 0, dilation = 1}]): the transpose of F.unfold: columns
-- (N, C · kH · kW, windows) added into an image (N, C, size…); without N too.
function F.fold(x, size, kernel, given)
    local g = geometry(kernel, given, 'fold')
    size = spans.list(size, 2, 'fold: size', 1)
    if isSample(x, 2, 'fold', '(N, C · kH · kW, windows)') then
        return ops.select(image(ops.unsqueeze(x, 0), size, g), 0, 0)
    end
    return image(x, size, g)
end
