-- unpooling.lua: inverses of maxima, and the rarer kinds of pooling.
local base = require 'dlrun.ffi'
local ops = require 'torch.ops'
local raw = require 'torch.raw'
local shapeOf = require 'torch.resize'.fullShape
local pooling = require 'nn.pooling'

local list, torch7List, slideTorch7 = pooling.list, pooling.torch7List, pooling.slideTorch7
local Module = nn.Module

-- ---- unpooling
-- ------------------------------------------------------------------------------------------------------------------

local function defineUnpooling(name, wanted)
    local class, parent = torch.class('nn.' .. name, 'nn.Module')
    class.__doc = ('nn.%s(pool): puts elements where the last maxima of that nn.%s were, zeros elsewhere.'):format(name, wanted)

    function class:__init(pool)
        parent.__init(self)
        if not torch.isTypeOf(pool, 'nn.PoolingMax') then
            base.fail('nn.%s wants the nn.%s that it inverts, got %s', name, wanted, torch.type(pool))
        end
        rawset(self, 'pooling', pool) -- known, but no child: it stands in the model already
    end

    function class:compute(x)
        local places = rawget(self.pooling, '_places')
        if not places then base.fail('the pooling module that this one inverts has not run yet') end
        return ops.max_unpool(x, places, self.pooling._inputSize)
    end
end
defineUnpooling('SpatialMaxUnpooling', 'SpatialMaxPooling')
defineUnpooling('VolumetricMaxUnpooling', 'VolumetricMaxPooling')

pooling.pytorch('MaxUnpool', 'nn.PoolingWindow', {'stride', 'padding', 'outputSize'},
    '(kernel [, {stride = kernel, padding = 0, outputSize = {…}}]): of {x, indices} as MaxPool gives them with returnIndices, '
    .. 'x at those places and zeros elsewhere; without outputSize as large as the kernel needs',
    function(self, spatial, kernel, given)
        given.kernel = kernel
        pooling.slide(self, spatial, given)
        self.outputSize = given.outputSize and list(given.outputSize, spatial, 1, torch.typename(self) .. ': outputSize')
    end)

for spatial = 1, 3 do
    local class = nn[('MaxUnpool%dd'):format(spatial)]
    function class:compute(input, indices)
        local x = input
        if type(input) == 'table' and not raw.isTensor(input) then x, indices = input[1], input[2] end
        pooling.checked(self, x)
        if not raw.isTensor(indices) then base.fail('expected {x, indices}: use returnIndices in the pooling') end
        local shape, size = shapeOf(x), self.outputSize or {}
        for k = 1, spatial do
            local n = shape[#shape - spatial + k]
            size[k] = size[k] or (n - 1) * self.stride[k] - 2 * self.padding[k] + self.kernel[k]
        end
        return ops.max_unpool(x, ops.sub_scalar(indices, 1), size)
    end
end

-- ---- p-norms
-- --------------------------------------------------------------------------------------------------------------------

-- (sum of x^p)^(1/p) over each window.
local function lp(self, x)
    pooling.checked(self, x)
    local powers = self.p == 2 and ops.square(x) or ops.pow_scalar(x, self.p)
    local sum = ops.avg_pool(powers, self.kernel, self.stride, self.padding, self.ceil_mode, true, 1)
    return self.p == 2 and ops.sqrt(sum) or ops.pow_scalar(sum, 1 / self.p)
end

local function positive(p, name)
    if type(p) ~= 'number' or not (p > 0 and p < math.huge) then
        base.fail('%s: the power must be above 0, not %s', name, tostring(p))
    end
    return p
end

--- nn.SpatialLPPooling(nInputPlane, p, kW, kH [, dW, dH]): (Σ x^p)^(1/p) over windows of (…, height, width).
local SpatialLPPooling = torch.class('nn.SpatialLPPooling', 'nn.PoolingWindow')
function SpatialLPPooling:__init(nInputPlane, p, kW, kH, dW, dH)
    slideTorch7(self, 2, kW, kH, dW, dH)
    self.nInputPlane, self.p = nInputPlane, positive(p, 'nn.SpatialLPPooling')
end
SpatialLPPooling.compute = lp

pooling.pytorch('LPPool', 'nn.PoolingWindow', {'stride', 'ceilMode', 'kernel'},
    '(p, {kernel =, stride = kernel, ceilMode = false}): (Σ x^p)^(1/p) over windows', function(self, spatial, p, given)
        pooling.slide(self, spatial, given)
        self.p = positive(p, torch.typename(self))
    end)
for spatial = 1, 3 do nn[('LPPool%dd'):format(spatial)].compute = lp end

-- ---- windows at random distances
-- ------------------------------------------------------------------------------------------------

--- nn.SpatialFractionalMaxPooling(kW, kH, outW, outH), or (kW, kH, ratioW, ratioH) with ratios below 1: maxima of
-- (…, height, width) over windows at pseudo-random distances (Graham, "Fractional max-pooling", 2014), drawn anew for every
-- plane and call.
local Fractional = torch.class('nn.SpatialFractionalMaxPooling', 'nn.Module')
Fractional.__index__, Fractional.clearState = pooling.placesFrom1, pooling.clearPlaces

function Fractional:__init(kW, kH, w, h)
    Module.__init(self)
    local name = 'nn.SpatialFractionalMaxPooling'
    self.spatial = 2
    self.kernel = list(torch7List({kW, kH}, 1, 2, {}), 2, 1, name .. ': the kernel')
    if type(w) ~= 'number' or type(h) ~= 'number' or (w < 1) ~= (h < 1) or not (w > 0 and h > 0) then
        base.fail('%s: expected two sizes, or two ratios between 0 and 1, got %s and %s', name, tostring(w), tostring(h))
    end
    if w < 1 then
        self.ratio = {h, w}
    else
        self.size = list({h, w}, 2, 1, name .. ': the size')
    end
end

--- pool:fixPoolingRegions(): keeps the windows of the next call for all later ones.
function Fractional:fixPoolingRegions()
    rawset(self, '_draws', nil)
    self.fixed = true
    return self
end

-- One draw for each plane and dimension: (…, 2).
local function draws(self, x, shape)
    local sizes = {unpack(shape, 1, #shape - 2)}
    sizes[#sizes + 1] = 2
    local kept = self.fixed and rawget(self, '_draws')
    if kept and table.concat(shapeOf(kept), 'x') == table.concat(sizes, 'x') then return kept end
    local new = ops.uniform(sizes, 0, 1, x._t.type)
    if self.fixed then rawset(self, '_draws', new) end
    return new
end

function Fractional:compute(x)
    pooling.checked(self, x)
    local shape = shapeOf(x)
    local size = self.size
    if not size then
        size = {math.floor(shape[#shape - 1] * self.ratio[1]), math.floor(shape[#shape] * self.ratio[2])}
    end
    return pooling.withPlaces(self, x, ops.fractional_max_pool(x, draws(self, x, shape), self.kernel, size))
end

-- ---- over time
-- ------------------------------------------------------------------------------------------------------------------

--- nn.TemporalDynamicKMaxPooling(minK [, factor = 0]): of ([batch,] time, features) each feature's max(minK,
-- ceil(factor · time)) largest values, in their order in time.
local DynamicK, parent = torch.class('nn.TemporalDynamicKMaxPooling', 'nn.Module')

function DynamicK:__init(minK, factor)
    parent.__init(self)
    self.minK = list(minK, 1, 1, 'nn.TemporalDynamicKMaxPooling: minK')[1]
    self.factor = factor or 0
    if type(self.factor) ~= 'number' or not (self.factor >= 0 and self.factor <= 1) then
        base.fail('nn.TemporalDynamicKMaxPooling: the factor must lie in 0..1, not %s', tostring(factor))
    end
end

function DynamicK:compute(x)
    local shape = raw.isTensor(x) and shapeOf(x) or {}
    local time = shape[#shape - 1]
    local k = time and math.max(self.minK, math.ceil(self.factor * time))
    if not time or k > time then
        base.fail('expected ([batch,] time of at least %d, features), got (%s)', k or self.minK, table.concat(shape, ', '))
    end
    local _, places = ops.topk(x:detach(), k, -2)
    return ops.gather(x, -2, (ops.sort(places, -2)))
end

-- ---- learned
-- --------------------------------------------------------------------------------------------------------------------

--- nn.SpatialSubSampling(nInputPlane, kW, kH [, dW = 1, dH = 1]): each plane's sums over windows, times its weight, plus
-- its bias. Input ([batch,] nInputPlane, height, width).
local SubSampling = torch.class('nn.SpatialSubSampling', 'nn.PoolingWindow')

function SubSampling:__init(nInputPlane, kW, kH, dW, dH)
    slideTorch7(self, 2, kW, kH, dW or 1, dH or 1)
    self.nInputPlane = list(nInputPlane, 1, 1, 'nn.SpatialSubSampling: nInputPlane')[1]
    for _, field in ipairs {'weight', 'bias', 'gradWeight', 'gradBias'} do self[field] = torch.zeros(nInputPlane) end
    self:reset()
end

--- module:reset([stdv]): weight and bias uniform in ±1/√(kW kH), or ±√3 stdv.
function SubSampling:reset(stdv)
    local bound = stdv and stdv * math.sqrt(3) or 1 / math.sqrt(self.kW * self.kH)
    torch.noGrad(function()
        self.weight:uniform(-bound, bound)
        self.bias:uniform(-bound, bound)
    end)
    return self
end

function SubSampling:compute(x)
    pooling.checked(self, x)
    local shape, n = shapeOf(x), self.nInputPlane
    if shape[#shape - 2] ~= n then
        base.fail('expected ([batch,] %d, height, width), got (%s)', n, table.concat(shape, ', '))
    end
    local sums = ops.avg_pool(x, self.kernel, self.stride, self.padding, self.ceil_mode, true, 1)
    return ops.add(ops.mul(sums, ops.reshape(self.weight, {n, 1, 1})), ops.reshape(self.bias, {n, 1, 1}))
end
