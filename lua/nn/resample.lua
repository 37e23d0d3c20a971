-- resample.lua: images made larger or smaller, read at other places, or rearranged between channels and places.
local base = require 'dlrun.ffi'
local ops = require 'torch.ops'
local raw = require 'torch.raw'
local shapeOf = require 'torch.resize'.fullShape
local take = require 'torch.options'.take

local M = {}

local function tensor(x, what)
    if not raw.isTensor(x) then base.fail('%s: expected a tensor, got %s', what, torch.type(x)) end
    return x
end

local function text(shape) return '(' .. table.concat(shape, ', ') .. ')' end

-- A number for each of n dimensions: from one for all, a table or a storage.
local function each(value, n, what)
    if type(value) == 'number' then
        local list = {}
        for k = 1, n do list[k] = value end
        return list
    end
    local list = type(value) == 'table' and value or type(value) == 'userdata' and value:totable() or {}
    if #list ~= n then base.fail('%s: expected a number or a list of %d, got %s', what, n, tostring(value)) end
    for k = 1, n do
        if type(list[k]) ~= 'number' then base.fail('%s: element %d is no number but %s', what, k, tostring(list[k])) end
    end
    return list
end

-- ---- interpolate
-- -----------------------------------------------------------------------------------------------------------

-- PyTorch's name of a mode -> the op's, and how many dimensions it resamples (nil: any).
local modes = {
    nearest = {'nearest'}, ['nearest-exact'] = {'nearest-exact'}, linear = {'linear', 1}, bilinear = {'linear', 2},
    trilinear = {'linear', 3}, bicubic = {'cubic', 2}, area = {'area'},
}

-- x under the sizes by the op's mode.
local function resampled(x, sizes, mode, alignCorners, ...)
    if mode == 'area' then
        if alignCorners then base.fail("nn.functional.interpolate: alignCorners has no meaning in mode 'area'") end
        return ops.adaptive_avg_pool(x, sizes)
    end
    return ops.upsample(x, sizes, mode, alignCorners, ...)
end

local options = {'size', 'scaleFactor', 'mode', 'alignCorners', 'recomputeScaleFactor'}

--- F.interpolate(x, {size = | scaleFactor = [, mode = 'nearest', alignCorners = false, recomputeScaleFactor = false]}): x
-- (N, C, …) with its last dimensions resampled to size, a number or a list, or by a factor. Modes: nearest, nearest-exact,
-- linear (N, C, L), bilinear and bicubic (N, C, H, W), trilinear (N, C, D, H, W); area, the means of the parts that an adaptive
-- average pooling takes.
function M.interpolate(x, given)
    local what = 'nn.functional.interpolate'
    given = take(what, given, options)
    local mode = given.mode or 'nearest'
    local shape = shapeOf(tensor(x, what))
    local n = #shape - 2
    local row = modes[mode]
    if not row then
        base.fail("%s: there is no mode '%s': nearest, nearest-exact, linear, bilinear, bicubic, trilinear, area", what,
            tostring(mode))
    end
    if n < 1 or n > 3 or (row[2] and row[2] ~= n) then
        base.fail("mode '%s' takes inputs of %s dimensions, got %s", mode, row[2] and row[2] + 2 or '3 to 5', text(shape))
    end
    if (given.size == nil) == (given.scaleFactor == nil) then base.fail('%s: expected either size or scaleFactor', what) end
    if given.size ~= nil then
        return resampled(x, each(given.size, n, what .. ': size'), row[1], given.alignCorners == true)
    end
    local scales, sizes = each(given.scaleFactor, n, what .. ': scaleFactor'), {}
    for k = 1, n do
        local scale = scales[k]
        if scale ~= scale or scale <= 0 then base.fail('%s: a scale must be above 0, not %s', what, tostring(scale)) end
        sizes[k] = math.floor(shape[2 + k] * scales[k])
    end
    if given.recomputeScaleFactor then scales = {} end
    return resampled(x, sizes, row[1], given.alignCorners == true, unpack(scales, 1, n))
end

-- ---- sampling
-- --------------------------------------------------------------------------------------------------------------

local sampleModes = {bilinear = 'linear', nearest = 'nearest', bicubic = 'cubic'}

--- F.gridSample(x, grid [, {mode = 'bilinear', paddingMode = 'zeros', alignCorners = false}]): x (N, C, H, W) read at grid
-- (N, h, w, 2) of (x, y) in -1..1, or x (N, C, D, H, W) at (N, d, h, w, 3); the result is (N, C, h, w). Modes: bilinear,
-- nearest, bicubic; beyond the border: zeros, border, reflection.
function M.gridSample(x, grid, given)
    local what = 'nn.functional.gridSample'
    given = take(what, given, {'mode', 'paddingMode', 'alignCorners'})
    local mode = given.mode or 'bilinear'
    if not sampleModes[mode] then
        base.fail("%s: there is no mode '%s': bilinear, nearest, bicubic", what, tostring(mode))
    end
    return ops.grid_sample(tensor(x, what), tensor(grid, what), sampleModes[mode], given.paddingMode or 'zeros',
        given.alignCorners == true)
end

--- F.affineGrid(theta, size [, {alignCorners = false}]): the grid for gridSample that makes a result of size (N, C, H, W)
-- under theta (N, 2, 3), or (N, C, D, H, W) under (N, 3, 4).
function M.affineGrid(theta, size, given)
    given = take('nn.functional.affineGrid', given, {'alignCorners'})
    local list = type(size) == 'userdata' and size:totable() or size
    return ops.affine_grid(tensor(theta, 'nn.functional.affineGrid'), list, given.alignCorners == true)
end

-- ---- channels and places
-- -----------------------------------------------------------------------------------------------------

local function factor(r, what)
    if type(r) ~= 'number' or r < 1 or r % 1 ~= 0 then
        base.fail('%s: the factor must be a whole number from 1 up, not %s', what, tostring(r))
    end
    return r
end

-- x (…, C, H, W) as its leading sizes, C, H and W.
local function image(x, what)
    local shape = shapeOf(tensor(x, what))
    if #shape < 3 then base.fail('%s: expected (…, C, height, width), got %s', what, text(shape)) end
    local w, h, c = table.remove(shape), table.remove(shape), table.remove(shape)
    return shape, c, h, w
end

-- reshape(sizes), the six last-but-none dimensions a b c d e in another order, reshape again.
local function rearranged(x, lead, middle, order, last)
    local sizes, dims, result = {unpack(lead)}, {}, {unpack(lead)}
    for k = 1, #lead do dims[k] = k - 1 end
    for k = 1, 5 do
        sizes[#lead + k] = middle[k]
        dims[#lead + k] = #lead + order[k] - 1
    end
    for k = 1, 3 do result[#lead + k] = last[k] end
    return ops.reshape(ops.permute(ops.reshape(x, sizes), dims), result)
end

--- F.pixelShuffle(x, r): (…, C·r², H, W) as (…, C, H·r, W·r) (Shi et al., "Real-time single image and video
-- super-resolution", CVPR 2016).
function M.pixelShuffle(x, r)
    local what = 'nn.functional.pixelShuffle'
    local lead, c, h, w = image(x, what)
    if c % (factor(r, what) * r) ~= 0 then base.fail('%s: %d channels are no multiple of %d', what, c, r * r) end
    c = c / (r * r)
    return rearranged(x, lead, {c, r, r, h, w}, {1, 4, 2, 5, 3}, {c, h * r, w * r})
end

--- F.pixelUnshuffle(x, r): the inverse: (…, C, H·r, W·r) as (…, C·r², H, W).
function M.pixelUnshuffle(x, r)
    local what = 'nn.functional.pixelUnshuffle'
    local lead, c, h, w = image(x, what)
    if h % factor(r, what) ~= 0 or w % r ~= 0 then base.fail('%s: %d x %d is no multiple of %d', what, h, w, r) end
    return rearranged(x, lead, {c, h / r, r, w / r, r}, {1, 3, 5, 2, 4}, {c * r * r, h / r, w / r})
end

-- ---- modules
-- ---------------------------------------------------------------------------------------------------------------

-- f of x with a batch of one in front where x has only n dimensions.
local function batched(x, n, f)
    if x._t.ndim ~= n then return f(x) end
    return ops.squeeze(f(ops.unsqueeze(x, 0)), {0})
end

local function wholeScale(self, scale)
    if type(scale) ~= 'number' or scale < 1 or scale % 1 ~= 0 then
        base.fail('%s: the scale must be a whole number from 1 up, not %s', torch.typename(self), tostring(scale))
    end
    return scale
end

--- nn.UpSampling(scale | {odepth =, oheight =, owidth =} [, mode = 'nearest']): (N, C, [D,] H, W) made larger; mode nearest or
-- linear, that one with the corners aligned.
local UpSampling, parent = torch.class('nn.UpSampling', 'nn.Module')

function UpSampling:__init(size, mode)
    parent.__init(self)
    self.mode = (mode == 'linear' or mode == 'bilinear' or mode == 'trilinear') and 'linear' or 'nearest'
    if type(size) == 'table' then
        size = take(torch.typename(self), size, {'odepth', 'oheight', 'owidth'})
        if self.mode == 'nearest' then base.fail('%s: nearest needs a scale, not sizes', torch.typename(self)) end
        if not (size.oheight and size.owidth) then base.fail('%s: expected oheight and owidth', torch.typename(self)) end
        self.odepth, self.oheight, self.owidth = size.odepth, size.oheight, size.owidth
    else
        self.scale_factor = wholeScale(self, size)
    end
end

-- The sizes that the last dimensions of x get.
function UpSampling:target(x)
    local sizes = {}
    local shape = shapeOf(x)
    if #shape < 4 or #shape > 5 then base.fail('expected (N, C, [depth,] height, width), got %s', text(shape)) end
    for k = 3, #shape do
        sizes[k - 2] = self.scale_factor and shape[k] * self.scale_factor
    end
    if not self.scale_factor then
        sizes = {self.oheight, self.owidth}
        if #shape == 5 then
            table.insert(sizes, 1, self.odepth or base.fail('expected odepth for an input %s', text(shape)))
        end
    end
    return sizes
end

function UpSampling:compute(x)
    tensor(x, torch.typename(self))
    return ops.upsample(x, self:target(x), self.mode, self.mode == 'linear')
end

function UpSampling:__tostring__()
    local size = self.scale_factor and self.scale_factor .. 'x' or self.oheight .. 'x' .. self.owidth
    return ('%s(%s)'):format(torch.typename(self), size)
end

local function spatial(name, mode)
    local class = torch.class('nn.' .. name, 'nn.UpSampling')
    function class:__init(size) UpSampling.__init(self, size, mode) end
    function class:compute(x)
        return batched(tensor(x, 'nn.' .. name), 3, function(y) return UpSampling.compute(self, y) end)
    end
end

--- nn.SpatialUpSamplingNearest(scale), nn.SpatialUpSamplingBilinear(scale | {oheight =, owidth =}): (N, C, height, width) or
-- (C, height, width) made larger; bilinear with the corners aligned, as in Torch7.
spatial('SpatialUpSamplingNearest', 'nearest')
spatial('SpatialUpSamplingBilinear', 'linear')

--- nn.Upsample{size = | scaleFactor = [, mode = 'nearest', alignCorners = false]}: nn.functional.interpolate as a module.
local Upsample = torch.class('nn.Upsample', 'nn.Module')

function Upsample:__init(given)
    parent.__init(self)
    self.options = take(torch.typename(self), given, options)
end

function Upsample:compute(x) return M.interpolate(x, self.options) end

function Upsample:__tostring__()
    local by = self.options.scaleFactor or self.options.size
    if type(by) == 'table' then by = table.concat(by, 'x') end
    return ('%s(%s, %s)'):format(torch.typename(self), tostring(by), self.options.mode or 'nearest')
end

local function fixed(name, mode, alignCorners)
    local class = torch.class('nn.' .. name, 'nn.Upsample')
    function class:__init(given)
        given = take('nn.' .. name, given, {'size', 'scaleFactor'})
        Upsample.__init(self, {size = given.size, scaleFactor = given.scaleFactor, mode = mode, alignCorners = alignCorners})
    end
end

--- nn.UpsamplingNearest2d{size = | scaleFactor =}, nn.UpsamplingBilinear2d: nn.Upsample in that mode; bilinear with the
-- corners aligned.
fixed('UpsamplingNearest2d', 'nearest', false)
fixed('UpsamplingBilinear2d', 'bilinear', true)

local function shuffling(name, f)
    local class = torch.class('nn.' .. name, 'nn.Module')
    function class:__init(r)
        parent.__init(self)
        self.upscaleFactor = factor(r, 'nn.' .. name)
    end
    function class:compute(x) return f(x, self.upscaleFactor) end
    function class:__tostring__() return ('%s(%d)'):format(torch.typename(self), self.upscaleFactor) end
end

--- nn.PixelShuffle(r): (…, C·r², H, W) as (…, C, H·r, W·r); nn.PixelUnshuffle(r): the inverse.
shuffling('PixelShuffle', M.pixelShuffle)
shuffling('PixelUnshuffle', M.pixelUnshuffle)

return M
