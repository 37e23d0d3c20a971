-- torchconv.lua: PyTorch's convolution classes and functions: a number for all dimensions or a list in memory's order, the
-- rest in a table of options.
local base = require 'dlrun.ffi'
local ops = require 'torch.ops'
local raw = require 'torch.raw'
local spans = require 'nn.spans'
local take = require 'torch.options'.take

local placesOf = {'length', 'H, W', 'D, H, W'}

-- Puts a list into the fields of one kind.
local function spread(given, kind, list)
    for k, axis in ipairs(spans.axes[#list]) do given[kind .. axis] = list[k] end
end

local modes = {zeros = true, reflect = true, replicate = true, circular = true}

local function paddingMode(value, what)
    if value ~= nil and not modes[value] then
        base.fail("%s: paddingMode is 'zeros', 'reflect', 'replicate' or 'circular', not '%s'", what, tostring(value))
    end
    return value ~= 'zeros' and value or nil
end

local function bias(value, what)
    if value ~= nil and type(value) ~= 'boolean' then
        base.fail('%s: bias is true or false, not %s', what, tostring(value))
    end
    return value
end

-- ---- classes -----------------------------------------------------------------------------------------------------------

local function defineConv(n, parent)
    local name = ('nn.Conv%dd'):format(n)
    local class = torch.class(name, parent)
    class.nSpatial = n
    class.__doc = ('%s(inChannels, outChannels, kernel [, {stride = 1, padding = 0, dilation = 1, groups = 1, bias = true, '
        .. "paddingMode = 'zeros'}]): cross-correlation of (N, inChannels, %s) or one sample without N; weight (outChannels, "
        .. "inChannels / groups, kernel…). Numbers are for all dimensions, lists for each; padding may be 'same' or 'valid'; "
        .. 'inChannels nil comes with the first input.'):format(name, placesOf[n])

    function class:__init(nInputPlane, nOutputPlane, kernel, given)
        given = take(name, given, {'stride', 'padding', 'dilation', 'groups', 'bias', 'paddingMode'})
        kernel = spans.list(kernel, n, name .. ': kernel', 1)
        local stride = spans.list(given.stride, n, name .. ': stride', 1, 1)
        local dilation = spans.list(given.dilation, n, name .. ': dilation', 1, 1)
        local padding, pads = spans.padding(given.padding, kernel, stride, dilation, name)
        local fields = {groups = given.groups, hasBias = bias(given.bias, name)}
        for kind, list in pairs {k = kernel, d = stride, dilation = dilation, pad = padding} do spread(fields, kind, list) end
        self.paddingMode = paddingMode(given.paddingMode, name)
        self.pads = pads or self.paddingMode and spans.bothSides(padding) or nil
        nn.Convolution.__init(self, nInputPlane, nOutputPlane, fields)
    end
end

local function defineTransposed(n, parent)
    local name = ('nn.ConvTranspose%dd'):format(n)
    local class = torch.class(name, parent)
    class.nSpatial = n
    class.__doc = ('%s(inChannels, outChannels, kernel [, {stride = 1, padding = 0, outputPadding = 0, groups = 1, '
        .. 'dilation = 1, bias = true}]): the transpose of nn.Conv%dd over (N, inChannels, %s); weight (inChannels, '
        .. 'outChannels / groups, kernel…).'):format(name, n, placesOf[n])

    function class:__init(nInputPlane, nOutputPlane, kernel, given)
        given = take(name, given, {'stride', 'padding', 'outputPadding', 'groups', 'dilation', 'bias'})
        local fields = {groups = given.groups, hasBias = bias(given.bias, name)}
        spread(fields, 'k', spans.list(kernel, n, name .. ': kernel', 1))
        spread(fields, 'd', spans.list(given.stride, n, name .. ': stride', 1, 1))
        spread(fields, 'pad', spans.list(given.padding, n, name .. ': padding', 0, 0))
        spread(fields, 'adj', spans.list(given.outputPadding, n, name .. ': outputPadding', 0, 0))
        spread(fields, 'dilation', spans.list(given.dilation, n, name .. ': dilation', 1, 1))
        nn.FullConvolution.__init(self, nInputPlane, nOutputPlane, fields)
    end

    -- PyTorch's count: the weight's second size and the kernel.
    function class:fanIn() return self.weight:nElement() / self.nInputPlane end
end

defineConv(1, 'nn.Convolution')
defineConv(2, 'nn.SpatialConvolution')
defineConv(3, 'nn.VolumetricConvolution')
defineTransposed(1, 'nn.FullConvolution')
defineTransposed(2, 'nn.SpatialFullConvolution')
defineTransposed(3, 'nn.VolumetricFullConvolution')

-- ---- functions ---------------------------------------------------------------------------------------------------------

local F = nn.functional

-- Calls f(batch) for a batch x or for one sample, which has a dimension less.
local function batched(x, n, f)
    if x._t.ndim == n + 2 then return f(x) end
    return ops.select(f(ops.unsqueeze(x, 0)), 0, 0)
end

local function check(x, weight, n, what)
    if not raw.isTensor(x) then base.fail('%s: expected a tensor, got %s', what, torch.type(x)) end
    if not raw.isTensor(weight) then base.fail('%s: the weight must be a tensor, not %s', what, torch.type(weight)) end
    if weight._t.ndim ~= n + 2 then base.fail('%s: the weight has %d dimensions, not %d', what, n + 2, weight._t.ndim) end
    if x._t.ndim ~= n + 1 and x._t.ndim ~= n + 2 then
        base.fail('%s: the input has %d dimensions, or %d without a batch, not %d', what, n + 2, n + 1, x._t.ndim)
    end
end

local function kernelOf(weight, n)
    local kernel = {}
    for k = 1, n do kernel[k] = tonumber(weight._t.shape[k + 1]) end
    return kernel
end

--- F.conv1d, F.conv2d, F.conv3d(x, weight [, bias [, {stride, padding, dilation, groups}]]): as the modules nn.Conv1d, ….
-- F.convTranspose1d, F.convTranspose2d, F.convTranspose3d(x, weight [, bias [, {stride, padding, outputPadding, groups,
-- dilation}]]).
for n = 1, 3 do
    local conv, transposed = ('conv%dd'):format(n), ('convTranspose%dd'):format(n)
    F[conv] = function(x, weight, b, given)
        given = take('nn.functional.' .. conv, given, {'stride', 'padding', 'dilation', 'groups'})
        check(x, weight, n, conv)
        local stride = spans.list(given.stride, n, conv .. ': stride', 1, 1)
        local dilation = spans.list(given.dilation, n, conv .. ': dilation', 1, 1)
        local padding, pads = spans.padding(given.padding, kernelOf(weight, n), stride, dilation, conv)
        return batched(x, n, function(batch)
            if pads then batch = ops.pad(batch, pads, 'constant') end
            return ops.convolution(batch, weight, b, stride, not pads and padding or nil, dilation, given.groups)
        end)
    end
    F[transposed] = function(x, weight, b, given)
        given = take('nn.functional.' .. transposed, given, {'stride', 'padding', 'outputPadding', 'groups', 'dilation'})
        check(x, weight, n, transposed)
        local function list(name, least, default)
            return spans.list(given[name], n, ('%s: %s'):format(transposed, name), least, default)
        end
        local stride, padding, adj = list('stride', 1, 1), list('padding', 0, 0), list('outputPadding', 0, 0)
        local dilation = list('dilation', 1, 1)
        return batched(x, n, function(batch)
            return ops.convolution_transposed(batch, weight, b, stride, padding, adj, dilation, given.groups)
        end)
    end
end
