-- convolutions.lua: Torch7's convolutions of images and volumes: a table of rows, each a class; and those whose weight has
-- another shape.
local ops = require 'torch.ops'
local weighted = require 'nn.weighted'

-- {name, parent, n = spatial dimensions, order = the constructor's arguments after the planes, follows = {argument = another
-- whose value it takes when it is left out}, doc}
local rows = {
    {'SpatialConvolution', 'Convolution', n = 2, order = 'kW kH dW dH padW padH', follows = {padH = 'padW'}, doc = [[
images (N, nInputPlane, H, W) under filters of kH x kW, moved by dH and dW, after padH and padW rows and columns of zeros on
each side; weight (nOutputPlane, nInputPlane, kH, kW). (nInputPlane, H, W) is one sample; nInputPlane nil comes with the first
input.]]},
    {'SpatialDilatedConvolution', 'SpatialConvolution', n = 2, order = 'kW kH dW dH padW padH dilationW dilationH',
        follows = {padH = 'padW'}, doc = 'as SpatialConvolution, the elements of a filter dilationH and dilationW apart.'},
    {'SpatialFullConvolution', 'FullConvolution', n = 2, order = 'kW kH dW dH padW padH adjW adjH', doc = [[
the transpose of SpatialConvolution: (N, nInputPlane, H, W) -> (N, nOutputPlane, (H - 1) dH - 2 padH + kH + adjH, …); weight
(nInputPlane, nOutputPlane, kH, kW). An input {x, target} chooses adjH and adjW for target's size.]]},
    {'VolumetricConvolution', 'Convolution', n = 3, order = 'kT kW kH dT dW dH padT padW padH',
        follows = {padW = 'padT', padH = 'padW'}, doc = [[
volumes (N, nInputPlane, T, H, W) under filters of kT x kH x kW; weight (nOutputPlane, nInputPlane, kT, kH, kW).]]},
    {'VolumetricDilatedConvolution', 'VolumetricConvolution', n = 3,
        order = 'kT kW kH dT dW dH padT padW padH dilationT dilationW dilationH', follows = {padW = 'padT', padH = 'padW'},
        doc = 'as VolumetricConvolution, the elements of a filter dilationT, dilationH and dilationW apart.'},
    {'VolumetricFullConvolution', 'FullConvolution', n = 3, order = 'kT kW kH dT dW dH padT padW padH adjT adjW adjH',
        doc = 'the transpose of VolumetricConvolution; weight (nInputPlane, nOutputPlane, kT, kH, kW).'},
}

for _, row in ipairs(rows) do
    local name = row[1]
    local class = torch.class('nn.' .. name, 'nn.' .. row[2])
    local order = {}
    for field in row.order:gmatch '%S+' do order[#order + 1] = field end
    class.nSpatial = row.n
    local base = row.order:find 'adj' and nn.FullConvolution or nn.Convolution

    function class:__init(nInputPlane, nOutputPlane, ...)
        local given = {}
        for k, field in ipairs(order) do
            given[field] = select(k, ...)
            if given[field] == nil then given[field] = row.follows and given[row.follows[field]] end
        end
        base.__init(self, nInputPlane, nOutputPlane, given)
    end
    class.__doc = ('nn.%s(nInputPlane, nOutputPlane, %s): %s'):format(name, table.concat(order, ', '), row.doc)
end

-- ---- other shapes of the weight ----------------------------------------------------------------------------------------

--- nn.SpatialConvolutionMM(nInputPlane, nOutputPlane, kW, kH [, dW, dH, padW, padH]): SpatialConvolution with its weight as a
-- matrix (nOutputPlane, nInputPlane · kH · kW).
local MM, spatial = torch.class('nn.SpatialConvolutionMM', 'nn.SpatialConvolution')

function MM:__init(...) spatial.__init(self, ...) end

function MM:sizes() return {self.nOutputPlane, self.nInputPlane * self.kH * self.kW}, {self.nOutputPlane} end

function MM:filters()
    return ops.reshape(self.weight, {self.nOutputPlane, self.nInputPlane, self.kH, self.kW}), self.bias
end

--- nn.SpatialDepthWiseConvolution(nInputPlane, multiplier, kW, kH [, dW, dH, padW, padH]): every input plane has `multiplier`
-- filters of its own; plane (i - 1) · multiplier + j of the output comes from input plane i and its filter j. weight
-- (multiplier, nInputPlane · kH · kW), bias (multiplier, nInputPlane).
local DepthWise = torch.class('nn.SpatialDepthWiseConvolution', 'nn.SpatialConvolution')

function DepthWise:__init(nInputPlane, multiplier, ...)
    self.depthwiseMultiplier = weighted.count(multiplier, 'nn.SpatialDepthWiseConvolution: the multiplier')
    spatial.__init(self, nInputPlane, multiplier, ...)
end

function DepthWise:sizes()
    self.groups, self.nOutputPlane = self.nInputPlane, self.nInputPlane * self.depthwiseMultiplier
    return {self.depthwiseMultiplier, self.nInputPlane * self.kH * self.kW}, {self.depthwiseMultiplier, self.nInputPlane}
end

-- Torch7's count: that of a convolution of all planes.
function DepthWise:fanIn() return self.nInputPlane * self.kH * self.kW end

function DepthWise:filters()
    local weight = ops.reshape(self.weight, {self.depthwiseMultiplier, self.nInputPlane, self.kH, self.kW})
    local bias = self.bias and ops.reshape(ops.transpose(self.bias, 0, 1), {self.nOutputPlane})
    return ops.reshape(ops.transpose(weight, 0, 1), {self.nOutputPlane, 1, self.kH, self.kW}), bias
end
