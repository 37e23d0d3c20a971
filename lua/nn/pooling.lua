-- pooling.lua: maxima and means over windows of the last one to three dimensions, under Torch7's and PyTorch's names.
-- Input is (…, sizes) with any dimensions in front. Torch7's arguments stand width first; fields and PyTorch's lists stand
-- outermost dimension first.
local base = require 'dlrun.ffi'
local ops = require 'torch.ops'
local raw = require 'torch.raw'
local shapeOf = require 'torch.resize'.fullShape
local take = require 'torch.options'.take

local M = {}

local axes = {'length', 'height, width', 'depth, height, width'}

-- n numbers from a number or a list of n.
local function list(value, n, least, what)
    local out = {}
    if type(value) == 'table' and #value ~= n then
        base.fail('%s must be a number or a list of %d numbers, not of %d', what, n, #value)
    end
    for k = 1, n do
        local v = value
        if type(value) == 'table' then v = value[k] end
        if type(v) ~= 'number' or v < least or v % 1 ~= 0 then
            base.fail('%s must be a whole number from %d up, not %s', what, least, tostring(v))
        end
        out[k] = v
    end
    return out
end
M.list = list

-- Torch7's arguments number at, at + 1, … as a list; those not given as in `otherwise`.
local function torch7List(arguments, at, n, otherwise)
    local a, b, c = arguments[at], arguments[at + 1], arguments[at + 2]
    if n == 1 then return {a or otherwise[1]} end
    if n == 2 then return {b or otherwise[1] or a, a or otherwise[2]} end -- (W, H)
    return {a or otherwise[1], c or otherwise[2], b or otherwise[3]}      -- (T, W, H)
end
M.torch7List = torch7List

local zeros, ones = {0, 0, 0}, {1, 1, 1}

local function checked(self, x)
    local n = self.spatial
    if not raw.isTensor(x) then base.fail('expected a tensor, got %s', torch.type(x)) end
    if x._t.ndim < n then base.fail('expected (…, %s), got (%s)', axes[n], table.concat(shapeOf(x), ', ')) end
    return x
end

-- ---- windows that slide
-- -----------------------------------------------------------------------------------------------------

local Window, parent = torch.class('nn.PoolingWindow', 'nn.Module')
Window.__doc = [[nn.PoolingWindow: what the modules with a kernel, a stride and a padding share. Sizes are
(in + 2 padding - dilation (kernel - 1) - 1) / stride + 1, rounded down.]]

-- given: kernel, stride (nil: the kernel), padding, dilation.
local function slide(self, spatial, given)
    local name = torch.typename(self)
    parent.__init(self)
    self.spatial = spatial
    self.kernel = list(given.kernel, spatial, 1, name .. ': the kernel')
    self.stride = list(given.stride or self.kernel, spatial, 1, name .. ': the stride')
    self.padding = list(given.padding or 0, spatial, 0, name .. ': the padding')
    self.dilation = list(given.dilation or 1, spatial, 1, name .. ': the dilation')
    self.ceil_mode = given.ceilMode == true
    for k, axis in ipairs {unpack({'T', 'H', 'W'}, 4 - spatial)} do -- Torch7's fields
        self['k' .. axis], self['d' .. axis], self['pad' .. axis] = self.kernel[k], self.stride[k], self.padding[k]
    end
end

local function slideTorch7(self, spatial, ...)
    local given = {...}
    local kernel = torch7List(given, 1, spatial, {})
    slide(self, spatial, {
        kernel = kernel,
        stride = torch7List(given, 1 + spatial, spatial, kernel),
        padding = torch7List(given, 1 + 2 * spatial, spatial, zeros),
        dilation = torch7List(given, 1 + 3 * spatial, spatial, ones),
    })
end
M.slide, M.slideTorch7 = slide, slideTorch7

--- pool:ceil(): sizes are rounded up, so that a last window may reach over the end.
function Window:ceil()
    self.ceil_mode = true
    return self
end

--- pool:floor(): sizes are rounded down, as at first.
function Window:floor()
    self.ceil_mode = false
    return self
end

function Window:__tostring__()
    local padded = false
    for k = 1, self.spatial do padded = padded or self.padding[k] > 0 end
    return ('%s(%s, %s%s)'):format(torch.typename(self), table.concat(self.kernel, 'x'), table.concat(self.stride, 'x'),
        padded and ', ' .. table.concat(self.padding, 'x') or '')
end

-- ---- maxima
-- ---------------------------------------------------------------------------------------------------------------------

-- Keeps where the maxima were; also returned, from 1, where the options ask for it.
local function withPlaces(self, x, y, places)
    rawset(self, '_places', places)
    rawset(self, '_inputSize', {unpack(shapeOf(x), x._t.ndim - self.spatial + 1)})
    if self.returnIndices then return y, ops.add_scalar(places, 1) end
    return y
end

-- The field `indices`: places of the last maxima in the flattened window plane, from 1.
local function placesFrom1(self, key)
    local places = key == 'indices' and rawget(self, '_places')
    if places then return ops.add_scalar(places, 1), true end
end

local function clearPlaces(self)
    rawset(self, '_places', nil)
    return nn.Module.clearState(self)
end

local Max = torch.class('nn.PoolingMax', 'nn.PoolingWindow')
Max.__doc = [[nn.PoolingMax: the maximum of each window, NaN winning; module.indices: where the last ones were, in the
flattened plane, from 1.]]
Max.__index__, Max.clearState = placesFrom1, clearPlaces

function Max:compute(x)
    checked(self, x)
    return withPlaces(self, x, ops.max_pool(x, self.kernel, self.stride, self.padding, self.dilation, self.ceil_mode))
end

--- nn.SpatialMaxPooling(kW, kH [, dW, dH [, padW, padH]]): maxima of (…, height, width) over windows kW wide, dW apart.
local SpatialMaxPooling = torch.class('nn.SpatialMaxPooling', 'nn.PoolingMax')
function SpatialMaxPooling:__init(kW, kH, dW, dH, padW, padH) slideTorch7(self, 2, kW, kH, dW, dH, padW, padH) end

--- nn.SpatialDilatedMaxPooling(kW, kH [, dW, dH [, padW, padH [, dilationW, dilationH]]])
local SpatialDilatedMaxPooling = torch.class('nn.SpatialDilatedMaxPooling', 'nn.PoolingMax')
function SpatialDilatedMaxPooling:__init(...) slideTorch7(self, 2, ...) end

--- nn.VolumetricMaxPooling(kT, kW, kH [, dT, dW, dH [, padT, padW, padH]]): maxima of (…, depth, height, width).
local VolumetricMaxPooling = torch.class('nn.VolumetricMaxPooling', 'nn.PoolingMax')
function VolumetricMaxPooling:__init(kT, kW, kH, dT, dW, dH, padT, padW, padH)
    slideTorch7(self, 3, kT, kW, kH, dT, dW, dH, padT, padW, padH)
end

--- nn.VolumetricDilatedMaxPooling(kT, kW, kH [, dT, dW, dH [, padT, padW, padH [, dilationT, dilationW, dilationH]]])
local VolumetricDilatedMaxPooling = torch.class('nn.VolumetricDilatedMaxPooling', 'nn.PoolingMax')
function VolumetricDilatedMaxPooling:__init(...) slideTorch7(self, 3, ...) end

--- nn.TemporalMaxPooling(kW [, dW]): maxima over time of ([batch,] time, features).
local TemporalMaxPooling = torch.class('nn.TemporalMaxPooling', 'nn.PoolingMax')
function TemporalMaxPooling:__init(kW, dW) slideTorch7(self, 1, kW, dW) end
function TemporalMaxPooling:compute(x)
    if not raw.isTensor(x) or x._t.ndim < 2 then
        base.fail('expected ([batch,] time, features), got %s',
            raw.isTensor(x) and '(' .. table.concat(shapeOf(x), ', ') .. ')' or torch.type(x))
    end
    return ops.transpose(Max.compute(self, ops.transpose(x, -1, -2)), -1, -2)
end

-- PyTorch's three of a kind, name1d to name3d.
local function pytorch(name, parentName, known, doc, init)
    for spatial = 1, 3 do
        local class = torch.class(('nn.%s%dd'):format(name, spatial), parentName)
        class.__doc = ('nn.%s%dd%s, of (…, %s).'):format(name, spatial, doc, axes[spatial])
        function class:__init(first, given) init(self, spatial, first, take(torch.typename(self), given, known)) end
    end
end

pytorch('MaxPool', 'nn.PoolingMax', {'stride', 'padding', 'dilation', 'ceilMode', 'returnIndices'},
    '(kernel [, {stride = kernel, padding = 0, dilation = 1, ceilMode = false, returnIndices = false}]): maxima of windows',
    function(self, spatial, kernel, given)
        given.kernel = kernel
        slide(self, spatial, given)
        self.returnIndices = given.returnIndices == true
    end)

-- ---- means
-- ----------------------------------------------------------------------------------------------------------------------

local Average = torch.class('nn.PoolingAverage', 'nn.PoolingWindow')
Average.__doc = [[nn.PoolingAverage: the mean of each window. Padding counts as zeros unless setCountExcludePad() was called;
with divide = false it is the sum.]]
Average.count_include_pad, Average.divide = true, true

function Average:compute(x)
    checked(self, x)
    local divisor = self.divisor or (self.divide and 0 or 1)
    return ops.avg_pool(x, self.kernel, self.stride, self.padding, self.ceil_mode, self.count_include_pad, divisor)
end

--- pool:setCountIncludePad(): padding counts as zeros, as at first.
function Average:setCountIncludePad()
    self.count_include_pad = true
    return self
end

--- pool:setCountExcludePad(): means are over the input's elements only.
function Average:setCountExcludePad()
    self.count_include_pad = false
    return self
end

--- nn.SpatialAveragePooling(kW, kH [, dW, dH [, padW, padH]]): means of (…, height, width); without dW, dH windows lie 1
-- apart. pool.divide = false: sums.
local SpatialAveragePooling = torch.class('nn.SpatialAveragePooling', 'nn.PoolingAverage')
function SpatialAveragePooling:__init(kW, kH, dW, dH, padW, padH)
    slideTorch7(self, 2, kW, kH, dW or 1, dH or 1, padW, padH)
end

--- nn.VolumetricAveragePooling(kT, kW, kH [, dT, dW, dH [, padT, padW, padH]]): means of (…, depth, height, width).
local VolumetricAveragePooling = torch.class('nn.VolumetricAveragePooling', 'nn.PoolingAverage')
function VolumetricAveragePooling:__init(kT, kW, kH, dT, dW, dH, padT, padW, padH)
    slideTorch7(self, 3, kT, kW, kH, dT, dW, dH, padT, padW, padH)
end

pytorch('AvgPool', 'nn.PoolingAverage', {'stride', 'padding', 'ceilMode', 'countIncludePad', 'divisorOverride'},
    '(kernel [, {stride = kernel, padding = 0, ceilMode = false, countIncludePad = true, divisorOverride = n}]): means of '
    .. 'windows',
    function(self, spatial, kernel, given)
        given.kernel = kernel
        slide(self, spatial, given)
        self.count_include_pad = given.countIncludePad ~= false
        local n = given.divisorOverride
        self.divisor = n and list(n, 1, 1, torch.typename(self) .. ': divisorOverride')[1]
    end)

-- ---- windows from sizes
-- -----------------------------------------------------------------------------------------------------

local Adaptive = torch.class('nn.PoolingAdaptive', 'nn.Module')
Adaptive.__doc = [[nn.PoolingAdaptive: windows from floor(o in / size) to ceil((o + 1) in / size), for each o below the size
that is wanted.]]
Adaptive.__index__, Adaptive.clearState = placesFrom1, clearPlaces

-- size: a number or a list.
local function adapt(self, spatial, size, average)
    parent.__init(self)
    self.spatial, self.average = spatial, average
    self.size = list(size, spatial, 1, torch.typename(self) .. ': the size')
end

function Adaptive:compute(x)
    checked(self, x)
    if self.average then return ops.adaptive_avg_pool(x, self.size) end
    return withPlaces(self, x, ops.adaptive_max_pool(x, self.size))
end

function Adaptive:__tostring__() return ('%s(%s)'):format(torch.typename(self), table.concat(self.size, 'x')) end

--- nn.SpatialAdaptiveMaxPooling(W, H): maxima of (…, height, width) into H x W.
local SpatialAdaptiveMaxPooling = torch.class('nn.SpatialAdaptiveMaxPooling', 'nn.PoolingAdaptive')
function SpatialAdaptiveMaxPooling:__init(W, H) adapt(self, 2, torch7List({W, H}, 1, 2, {}), false) end

--- nn.SpatialAdaptiveAveragePooling(W, H): means of (…, height, width) into H x W.
local SpatialAdaptiveAveragePooling = torch.class('nn.SpatialAdaptiveAveragePooling', 'nn.PoolingAdaptive')
function SpatialAdaptiveAveragePooling:__init(W, H) adapt(self, 2, torch7List({W, H}, 1, 2, {}), true) end

pytorch('AdaptiveAvgPool', 'nn.PoolingAdaptive', {}, '(size): means into a number or list of sizes',
    function(self, spatial, size) adapt(self, spatial, size, true) end)
pytorch('AdaptiveMaxPool', 'nn.PoolingAdaptive', {'returnIndices'},
    '(size [, {returnIndices = false}]): maxima into a number or list of sizes',
    function(self, spatial, size, given)
        adapt(self, spatial, size, false)
        self.returnIndices = given.returnIndices == true
    end)

M.Window, M.pytorch, M.checked, M.withPlaces = Window, pytorch, checked, withPlaces
M.placesFrom1, M.clearPlaces = placesFrom1, clearPlaces
return M
