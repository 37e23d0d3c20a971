-- Every built-in module in both faces: outputs and gradients of forward/backward against model(x)/loss:backward(), both against
-- finite differences, and what Torch7 promises of every module.
local checks = require 'tests.lua.checks'

local function x(...)
    local t = torch.DoubleTensor(...)
    return t:uniform(-2, 2)
end
local function positive(...)
    local t = torch.DoubleTensor(...)
    return t:uniform(0.5, 2)
end
-- Values apart from the corners of piecewise functions.
local function apart(...)
    local t = torch.DoubleTensor(...)
    return t:uniform(0.1, 0.4):add(torch.DoubleTensor(...):random(-3, 2))
end

-- Values all well apart from each other, so that maxima stay where they are.
local function spread(...)
    local t = torch.DoubleTensor(...)
    local n = t:nElement()
    t:view(n):copy(torch.randperm(n):double():mul(4 / n):add(-2))
    return t
end

-- {make, inputs…}: inputs are functions that make one.
local rows = {
    ['nn.Linear(3, 4)'] = {function() return nn.Linear(3, 4) end, x(3), x(5, 3), x(2, 2, 3)},
    ['nn.Linear(3, 4, false)'] = {function() return nn.Linear(3, 4, false) end, x(3), x(5, 3)},
    ['nn.SpatialConvolution(2, 3, 3, 2)'] = {
        function() return nn.SpatialConvolution(2, 3, 3, 2) end, x(2, 4, 5), x(2, 2, 4, 5)},
    ['nn.SpatialConvolution(2, 3, 2, 3, 2, 1, 1, 2):noBias()'] = {
        function() return nn.SpatialConvolution(2, 3, 2, 3, 2, 1, 1, 2):noBias() end, x(2, 2, 4, 5)},
    ['nn.SpatialConvolutionMM(2, 3, 3, 2)'] = {
        function() return nn.SpatialConvolutionMM(2, 3, 3, 2) end, x(2, 4, 5), x(2, 2, 4, 5)},
    ['nn.SpatialDilatedConvolution(2, 3, 2, 2, 1, 2, 1, 1, 2, 3)'] = {
        function() return nn.SpatialDilatedConvolution(2, 3, 2, 2, 1, 2, 1, 1, 2, 3) end, x(2, 2, 4, 5)},
    ['nn.SpatialFullConvolution(2, 3, 3, 2, 2, 3, 1, 0, 1, 2)'] = {
        function() return nn.SpatialFullConvolution(2, 3, 3, 2, 2, 3, 1, 0, 1, 2) end, x(2, 2, 3), x(2, 2, 2, 3)},
    ['nn.SpatialFullConvolution(2, 3, 3, 3, 2, 2) {x, target}'] = {
        function() return nn.SpatialFullConvolution(2, 3, 3, 3, 2, 2) end, {x(2, 2, 2, 3), x(2, 1, 6, 8)}},
    ['nn.SpatialDepthWiseConvolution(2, 3, 2, 2)'] = {
        function() return nn.SpatialDepthWiseConvolution(2, 3, 2, 2) end, x(2, 2, 3, 4)},
    ['nn.SpatialDepthWiseConvolution(2, 3, 2, 2):noBias()'] = {
        function() return nn.SpatialDepthWiseConvolution(2, 3, 2, 2):noBias() end, x(2, 3, 4)},
    ['nn.SpatialConvolutionLocal(2, 3, 4, 3, 2, 2)'] = {
        function() return nn.SpatialConvolutionLocal(2, 3, 4, 3, 2, 2) end, x(2, 3, 4), x(2, 2, 3, 4)},
    ['nn.SpatialConvolutionMap'] = {
        function() return nn.SpatialConvolutionMap(torch.Tensor {{1, 1}, {2, 1}, {2, 3}}, 2, 2) end, x(2, 2, 3, 4)},
    ['nn.SpatialFullConvolutionMap'] = {
        function() return nn.SpatialFullConvolutionMap(torch.Tensor {{1, 1}, {2, 1}, {2, 3}}, 2, 2) end, x(2, 2, 3, 4)},
    ['nn.VolumetricConvolution(2, 2, 2, 2, 1)'] = {
        function() return nn.VolumetricConvolution(2, 2, 2, 2, 1) end, x(2, 2, 3, 2), x(2, 2, 2, 3, 2)},
    ['nn.VolumetricDilatedConvolution'] = {
        function() return nn.VolumetricDilatedConvolution(2, 2, 2, 1, 2, 1, 1, 1, 0, 0, 1, 2, 1, 1) end, x(1, 2, 3, 2, 2)},
    ['nn.VolumetricFullConvolution(2, 2, 2, 2, 1, 2, 1, 1)'] = {
        function() return nn.VolumetricFullConvolution(2, 2, 2, 2, 1, 2, 1, 1) end, x(1, 2, 2, 2, 2)},
    ['nn.TemporalConvolution(3, 2, 2, 2)'] = {function() return nn.TemporalConvolution(3, 2, 2, 2) end, x(5, 3), x(2, 5, 3)},
    ['nn.TemporalRowConvolution(3, 2)'] = {function() return nn.TemporalRowConvolution(3, 2) end, x(4, 3), x(2, 4, 3)},
    ['nn.TemporalRowConvolution(3, 2, 2, true):noBias()'] = {
        function() return nn.TemporalRowConvolution(3, 2, 2, true):noBias() end, x(2, 3, 4)},
    ['nn.Conv1d(2, 4, 3)'] = {function() return nn.Conv1d(2, 4, 3, {padding = 1, groups = 2}) end, x(2, 5), x(2, 2, 5)},
    ['nn.Conv2d(2, 4, {2, 3})'] = {
        function() return nn.Conv2d(2, 4, {2, 3}, {stride = {2, 1}, padding = 1, dilation = {1, 2}, bias = false}) end,
        x(2, 2, 4, 5)},
    ['nn.Conv3d(2, 2, 2)'] = {function() return nn.Conv3d(2, 2, 2) end, x(1, 2, 2, 3, 2)},
    ['nn.ConvTranspose1d(2, 4, 3)'] = {
        function() return nn.ConvTranspose1d(2, 4, 3, {stride = 2, outputPadding = 1, groups = 2}) end, x(2, 2, 3)},
    ['nn.ConvTranspose2d(2, 2, 2)'] = {
        function() return nn.ConvTranspose2d(2, 2, 2, {padding = 1, dilation = 2}) end, x(2, 2, 2, 3)},
    ['nn.ConvTranspose3d(2, 2, 2)'] = {function() return nn.ConvTranspose3d(2, 2, 2) end, x(1, 2, 1, 2, 2)},
    ['nn.Add(3)'] = {function() return nn.Add(3) end, x(3), x(5, 3)},
    ['nn.Add(3, true)'] = {function() return nn.Add(3, true) end, x(3), x(5, 3)},
    ['nn.Mul()'] = {function() return nn.Mul() end, x(3), x(2, 2, 3)},
    ['nn.CAdd(2, 3)'] = {function() return nn.CAdd(2, 3) end, x(2, 3), x(4, 2, 3), x(6), x(4, 6)},
    ['nn.CAdd(2, 1)'] = {function() return nn.CAdd({2, 1}) end, x(2, 3), x(4, 2, 3)},
    ['nn.CMul(2, 3)'] = {function() return nn.CMul(2, 3) end, x(2, 3), x(4, 2, 3), x(6), x(4, 6)},
    ['nn.CMul(1, 3)'] = {function() return nn.CMul(1, 3) end, x(2, 3), x(4, 2, 3)},
    ['nn.PReLU()'] = {function() return nn.PReLU() end, apart(4), apart(5, 4)},
    ['nn.PReLU(3)'] = {function() return nn.PReLU(3) end, apart(3), apart(5, 3), apart(3, 2, 2), apart(2, 3, 2, 2)},
    ['nn.Dropout evaluating'] = {function() return nn.Dropout(0.3):evaluate() end, x(4, 3)},
    ['nn.Dropout v1 evaluating'] = {function() return nn.Dropout(0.3, true):evaluate() end, x(4, 3)},
    ['nn.BatchNormalization(3)'] = {function() return nn.BatchNormalization(3) end, x(5, 3)},
    ['nn.BatchNormalization(3) evaluating'] = {function() return nn.BatchNormalization(3):evaluate() end, x(5, 3)},
    ['nn.BatchNormalization(3, 0.1, 0.2, false)'] = {
        function() return nn.BatchNormalization(3, 0.1, 0.2, false) end, x(5, 3)},
    ['nn.SpatialBatchNormalization(2)'] = {function() return nn.SpatialBatchNormalization(2) end, x(3, 2, 2, 3)},
    ['nn.VolumetricBatchNormalization(2)'] = {function() return nn.VolumetricBatchNormalization(2) end, x(2, 2, 2, 1, 2)},
    ['nn.BatchNorm1d(3)'] = {function() return nn.BatchNorm1d(3) end, x(5, 3), x(2, 3, 4)},
    ['nn.BatchNorm2d(2)'] = {function() return nn.BatchNorm2d(2, {momentum = 0.3}) end, x(3, 2, 2, 3)},
    ['nn.BatchNorm3d(2)'] = {function() return nn.BatchNorm3d(2) end, x(2, 2, 2, 1, 2)},
    ['nn.LayerNorm(4)'] = {function() return nn.LayerNorm(4) end, x(4), x(3, 4), x(2, 3, 4)},
    ['nn.LayerNorm({3, 4})'] = {function() return nn.LayerNorm({3, 4}, {bias = false}) end, x(3, 4), x(2, 3, 4)},
    ['nn.BatchNorm2d(nil)'] = {function() return nn.BatchNorm2d(nil) end, x(3, 2, 2, 3)},
    ['nn.RMSNorm(4)'] = {function() return nn.RMSNorm(4) end, x(4), x(3, 4), x(2, 3, 4)},
    ['nn.InstanceNorm1d(3)'] = {function() return nn.InstanceNorm1d(3, {affine = true}) end, x(2, 3, 4), x(3, 4)},
    ['nn.InstanceNorm2d(2) tracking'] = {
        function() return nn.InstanceNorm2d(2, {trackRunningStats = true}) end, x(3, 2, 2, 3)},
    ['nn.InstanceNorm3d(2) evaluating'] = {
        function() return nn.InstanceNorm3d(2, {trackRunningStats = true}):evaluate() end, x(2, 2, 2, 1, 2)},
    ['nn.SpatialCrossMapLRN(3)'] = {function() return nn.SpatialCrossMapLRN(3, 0.5, 0.75, 1) end, x(4, 2, 3), x(2, 4, 2, 2)},
    ['nn.LocalResponseNorm(4)'] = {function() return nn.LocalResponseNorm(4, 0.5) end, x(2, 5, 3), x(2, 4, 2, 2)},
    ['nn.Normalize(2)'] = {function() return nn.Normalize(2) end, x(4), x(3, 4)},
    ['nn.Normalize(3)'] = {function() return nn.Normalize(3) end, x(3, 4)},
    ['nn.Normalize(math.huge)'] = {function() return nn.Normalize(math.huge) end, x(3, 4)},
    ['nn.GroupNorm(2, 4)'] = {function() return nn.GroupNorm(2, 4) end, x(2, 4), x(2, 4, 3), x(2, 4, 2, 2)},
    ['nn.Padding(2, -1, 2, 0.5)'] = {function() return nn.Padding(2, -1, 2, 0.5) end, x(3, 2), x(2, 3, 2)},
    ['nn.Padding(1, 2, nil, 0, 2)'] = {function() return nn.Padding(1, 2, nil, 0, 2) end, x(3), x(3, 2)},
    ['nn.SpatialZeroPadding(1, 2, -1)'] = {function() return nn.SpatialZeroPadding(1, 2, -1) end, x(2, 3, 2), x(2, 1, 3, 2)},
    ['nn.SpatialReflectionPadding(1)'] = {function() return nn.SpatialReflectionPadding(1) end, x(2, 3, 2), x(2, 1, 3, 2)},
    ['nn.SpatialReplicationPadding(1, 2)'] = {function() return nn.SpatialReplicationPadding(1, 2) end, x(1, 2, 3, 2)},
    ['nn.VolumetricReplicationPadding(1)'] = {function() return nn.VolumetricReplicationPadding(1) end, x(1, 2, 1, 2, 2)},
    ['nn.ConstantPad1d(1, 0.5)'] = {function() return nn.ConstantPad1d(1, 0.5) end, x(2, 3), x(2, 2, 3)},
    ['nn.CircularPad2d{1, 2, 1, 0}'] = {function() return nn.CircularPad2d {1, 2, 1, 0} end, x(2, 3, 2)},
    ['nn.UpSampling(2, linear)'] = {function() return nn.UpSampling(2, 'linear') end, x(1, 2, 2, 3), x(1, 1, 2, 2, 2)},
    ['nn.SpatialUpSamplingNearest(2)'] = {function() return nn.SpatialUpSamplingNearest(2) end, x(2, 2, 3), x(2, 1, 2, 3)},
    ['nn.SpatialUpSamplingBilinear(2)'] = {function() return nn.SpatialUpSamplingBilinear(2) end, x(2, 2, 3), x(2, 1, 2, 3)},
    ['nn.Upsample bicubic'] = {function() return nn.Upsample {size = {5, 3}, mode = 'bicubic'} end, x(1, 2, 3, 4)},
    ['nn.PixelShuffle(2)'] = {function() return nn.PixelShuffle(2) end, x(4, 2, 3), x(2, 4, 2, 3)},
    ['nn.PixelUnshuffle(2)'] = {function() return nn.PixelUnshuffle(2) end, x(2, 2, 4), x(2, 1, 4, 2)},
    ['nn.SpatialDropout evaluating'] = {function() return nn.SpatialDropout(0.3):evaluate() end, x(2, 3, 2)},
    ['nn.AlphaDropout evaluating'] = {function() return nn.AlphaDropout(0.3):evaluate() end, x(2, 3)},
    ['nn.SpatialMaxPooling(2, 2)'] = {function() return nn.SpatialMaxPooling(2, 2) end, spread(2, 4, 5), spread(2, 2, 4, 4)},
    ['nn.SpatialMaxPooling padded'] = {
        function() return nn.SpatialMaxPooling(3, 3, 2, 2, 1, 1):ceil() end, spread(2, 2, 6, 5)},
    ['nn.SpatialDilatedMaxPooling'] = {
        function() return nn.SpatialDilatedMaxPooling(2, 2, 1, 1, 0, 0, 2, 1) end, spread(2, 2, 4, 5)},
    ['nn.VolumetricMaxPooling(2, 2, 2)'] = {function() return nn.VolumetricMaxPooling(2, 2, 2) end, spread(2, 4, 4, 4)},
    ['nn.TemporalMaxPooling(2)'] = {function() return nn.TemporalMaxPooling(2) end, spread(6, 3), spread(2, 4, 3)},
    ['nn.MaxPool1d(3)'] = {function() return nn.MaxPool1d(3, {stride = 2, padding = 1}) end, spread(2, 3, 7)},
    ['nn.MaxPool3d(2)'] = {function() return nn.MaxPool3d(2) end, spread(1, 2, 4, 2, 4)},
    ['nn.SpatialAveragePooling(3, 2)'] = {function() return nn.SpatialAveragePooling(3, 2, 2, 1, 1, 1) end, x(2, 2, 5, 5)},
    ['nn.SpatialAveragePooling summing'] = {function()
        local m = nn.SpatialAveragePooling(2, 2, 2, 2):setCountExcludePad()
        m.divide = false
        return m
    end, x(2, 2, 4, 4)},
    ['nn.VolumetricAveragePooling(2, 2, 2)'] = {function() return nn.VolumetricAveragePooling(2, 2, 2) end, x(2, 4, 4, 4)},
    ['nn.AvgPool2d(3)'] = {
        function() return nn.AvgPool2d(3, {stride = 2, padding = 1, countIncludePad = false}) end, x(2, 2, 5, 6)},
    ['nn.AdaptiveAvgPool2d({2, 3})'] = {function() return nn.AdaptiveAvgPool2d({2, 3}) end, x(2, 5, 7), x(1, 2, 4, 6)},
    ['nn.AdaptiveMaxPool2d(2)'] = {function() return nn.AdaptiveMaxPool2d(2) end, spread(2, 5, 3)},
    ['nn.SpatialAdaptiveAveragePooling(1, 1)'] = {
        function() return nn.SpatialAdaptiveAveragePooling(1, 1) end, x(2, 3, 4, 5)},
    ['nn.SpatialLPPooling(2, 2, 2, 2)'] = {function() return nn.SpatialLPPooling(2, 2, 2, 2) end, x(2, 4, 4)},
    ['nn.LPPool2d(3)'] = {function() return nn.LPPool2d(3, {kernel = 2}) end, positive(2, 4, 4)},
    ['nn.SpatialSubSampling(2, 2, 2)'] = {function() return nn.SpatialSubSampling(2, 2, 2) end, x(2, 3, 4), x(2, 2, 3, 4)},
    ['nn.TemporalDynamicKMaxPooling(2)'] = {
        function() return nn.TemporalDynamicKMaxPooling(2) end, spread(5, 2), spread(2, 4, 2)},
    ['nn.SpatialFractionalMaxPooling'] = {
        function() return nn.SpatialFractionalMaxPooling(2, 2, 3, 2):fixPoolingRegions() end, spread(2, 2, 5, 6)},
    ['nn.SpatialMaxUnpooling'] = {function()
        local pool = nn.SpatialMaxPooling(2, 2)
        return nn.Sequential(pool, nn.SpatialMaxUnpooling(pool))
    end, spread(2, 4, 5)},
    ['nn.Identity()'] = {function() return nn.Identity() end, x(4), x(4, 3), {x(2), x(3)}},
    ['nn.Contiguous()'] = {function() return nn.Contiguous() end, x(4, 3), x(4, 3):t()},
    ['nn.Copy()'] = {function() return nn.Copy() end, x(4, 3)},
    ['nn.View(6)'] = {function() return nn.View(6) end, x(2, 3), x(4, 2, 3)},
    ['nn.View(-1, 3)'] = {function() return nn.View(-1, 3) end, x(4, 3), x(2, 2, 3)},
    ['nn.View(-1):setNumInputDims(2)'] = {function() return nn.View(-1):setNumInputDims(2) end, x(2, 3), x(4, 2, 3)},
    ['nn.Reshape(3, 2)'] = {function() return nn.Reshape(3, 2) end, x(6), x(2, 3), x(4, 2, 3)},
    ['nn.Flatten()'] = {function() return nn.Flatten() end, x(4, 3), x(4, 2, 3)},
    ['nn.Flatten(1, 2)'] = {function() return nn.Flatten(1, 2) end, x(4, 2, 3)},
    ['nn.Select(1, 2)'] = {function() return nn.Select(1, 2) end, x(3), x(3, 2)},
    ['nn.Select(-1, -1)'] = {function() return nn.Select(-1, -1) end, x(3, 2)},
    ['nn.Narrow(2, 2, 2)'] = {function() return nn.Narrow(2, 2, 2) end, x(3, 4)},
    ['nn.Narrow(1, 2, -1)'] = {function() return nn.Narrow(1, 2, -1) end, x(3, 4)},
    ['nn.Transpose({1, 2})'] = {function() return nn.Transpose({1, 2}) end, x(3, 4), x(2, 3, 4)},
    ['nn.Squeeze()'] = {function() return nn.Squeeze() end, x(3, 1, 4)},
    ['nn.Squeeze(1, 2)'] = {function() return nn.Squeeze(1, 2) end, x(1, 4), x(3, 1, 4)},
    ['nn.Unsqueeze(1)'] = {function() return nn.Unsqueeze(1) end, x(3, 4)},
    ['nn.Unsqueeze(1, 1)'] = {function() return nn.Unsqueeze(1, 1) end, x(4), x(3, 4)},
    ['nn.Replicate(3)'] = {function() return nn.Replicate(3) end, x(4), x(2, 4)},
    ['nn.Replicate(3, 2)'] = {function() return nn.Replicate(3, 2) end, x(4), x(2, 4)},
    ['nn.Replicate(3, 1, 1)'] = {function() return nn.Replicate(3, 1, 1) end, x(2, 4)},
    ['nn.Sum(1)'] = {function() return nn.Sum(1) end, x(4, 3)},
    ['nn.Sum(1, 1)'] = {function() return nn.Sum(1, 1) end, x(4, 3)},
    ['nn.Mean(2)'] = {function() return nn.Mean(2) end, x(4, 3)},
    ['nn.Max(2)'] = {function() return nn.Max(2) end, x(4, 3)},
    ['nn.Min(1)'] = {function() return nn.Min(1) end, x(4, 3)},
    ['nn.SoftMax()'] = {function() return nn.SoftMax() end, x(4), x(5, 4), x(3, 2, 2), x(2, 3, 2, 2)},
    ['nn.SoftMax(-1)'] = {function() return nn.SoftMax(-1) end, x(5, 4), x(2, 3, 4)},
    ['nn.LogSoftMax()'] = {function() return nn.LogSoftMax() end, x(4), x(5, 4)},
    ['nn.SoftMin()'] = {function() return nn.SoftMin() end, x(4), x(5, 4)},
    ['nn.ReLU()'] = {function() return nn.ReLU() end, apart(4), apart(5, 4)},
    ['nn.ReLU6()'] = {function() return nn.ReLU6() end, apart(5, 4)},
    ['nn.Sigmoid()'] = {function() return nn.Sigmoid() end, x(4), x(5, 4)},
    ['nn.LogSigmoid()'] = {function() return nn.LogSigmoid() end, x(5, 4)},
    ['nn.Tanh()'] = {function() return nn.Tanh() end, x(4), x(5, 4)},
    ['nn.Abs()'] = {function() return nn.Abs() end, apart(5, 4)},
    ['nn.Exp()'] = {function() return nn.Exp() end, x(5, 4)},
    ['nn.Log()'] = {function() return nn.Log() end, positive(5, 4)},
    ['nn.Sqrt()'] = {function() return nn.Sqrt() end, positive(5, 4)},
    ['nn.Square()'] = {function() return nn.Square() end, x(5, 4)},
    ['nn.SoftSign()'] = {function() return nn.SoftSign() end, apart(5, 4)},
    ['nn.TanhShrink()'] = {function() return nn.TanhShrink() end, x(5, 4)},
    ['nn.SiLU()'] = {function() return nn.SiLU() end, x(5, 4)},
    ['nn.Mish()'] = {function() return nn.Mish() end, x(5, 4)},
    ['nn.GELU()'] = {function() return nn.GELU() end, x(5, 4)},
    ['nn.Hardsigmoid()'] = {function() return nn.Hardsigmoid() end, apart(5, 4)},
    ['nn.Hardswish()'] = {function() return nn.Hardswish() end, apart(5, 4)},
    ['nn.SELU()'] = {function() return nn.SELU() end, apart(5, 4)},
    ['nn.ELU()'] = {function() return nn.ELU() end, apart(5, 4)},
    ['nn.ELU(0.3)'] = {function() return nn.ELU(0.3) end, apart(5, 4)},
    ['nn.LeakyReLU(0.2)'] = {function() return nn.LeakyReLU(0.2) end, apart(5, 4)},
    ['nn.LeakyReLU(-0.2)'] = {function() return nn.LeakyReLU(-0.2) end, apart(5, 4)},
    ['nn.SoftPlus(2)'] = {function() return nn.SoftPlus(2) end, x(5, 4)},
    ['nn.SoftShrink()'] = {function() return nn.SoftShrink(0.55) end, apart(5, 4)},
    ['nn.HardShrink()'] = {function() return nn.HardShrink(0.55) end, apart(5, 4)},
    ['nn.HardTanh()'] = {function() return nn.HardTanh() end, apart(5, 4)},
    ['nn.HardTanh(-2, 0)'] = {function() return nn.HardTanh(-2, 0) end, apart(5, 4)},
    ['nn.Clamp(-1, 2)'] = {function() return nn.Clamp(-1, 2) end, apart(5, 4)},
    ['nn.Threshold(1, -3)'] = {function() return nn.Threshold(1, -3) end, apart(5, 4)},
    ['nn.Power(1.5)'] = {function() return nn.Power(1.5) end, positive(5, 4)},
    ['nn.AddConstant(2)'] = {function() return nn.AddConstant(2) end, x(5, 4)},
    ['nn.MulConstant(2)'] = {function() return nn.MulConstant(2) end, x(5, 4)},
    ['nn.CAddTable()'] = {function() return nn.CAddTable() end, {x(3, 2), x(3, 2), x(3, 2)}, {x(2)}},
    ['nn.CSubTable()'] = {function() return nn.CSubTable() end, {x(3, 2), x(3, 2)}},
    ['nn.CMulTable()'] = {function() return nn.CMulTable() end, {x(3, 2), x(3, 2), x(3, 2)}},
    ['nn.CDivTable()'] = {function() return nn.CDivTable() end, {x(3, 2), positive(3, 2)}},
    ['nn.CMaxTable()'] = {function() return nn.CMaxTable() end, {x(3, 2), x(3, 2)}},
    ['nn.CMinTable()'] = {function() return nn.CMinTable() end, {x(3, 2), x(3, 2)}},
    ['nn.JoinTable(2)'] = {function() return nn.JoinTable(2) end, {x(3, 2), x(3, 4)}},
    ['nn.JoinTable(1, 1)'] = {function() return nn.JoinTable(1, 1) end, {x(3, 2), x(3, 4)}, {x(2), x(4)}},
    ['nn.SplitTable(2)'] = {function() return nn.SplitTable(2) end, x(3, 2), x(3, 2, 4)},
    ['nn.SplitTable(1, 1)'] = {function() return nn.SplitTable(1, 1) end, x(3, 2)},
    ['nn.SelectTable(-1)'] = {function() return nn.SelectTable(-1) end, {x(3, 2), x(2)}, {x(3), {x(2), x(1)}}},
    ['nn.NarrowTable(2, 2)'] = {function() return nn.NarrowTable(2, 2) end, {x(3), x(2), x(4)}},
    ['nn.FlattenTable()'] = {function() return nn.FlattenTable() end, {x(3), {x(2), {x(4)}}}},
    ['nn.MM()'] = {function() return nn.MM() end, {x(3, 2), x(2, 4)}, {x(2, 3, 2), x(2, 2, 4)}},
    ['nn.MM(true, true)'] = {function() return nn.MM(true, true) end, {x(2, 3), x(4, 2)}},
    ['nn.DotProduct()'] = {function() return nn.DotProduct() end, {x(3, 2), x(3, 2)}, {x(4), x(4)}},
    ['nn.Sequential'] = {function() return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)) end, x(3), x(5, 3)},
    ['nn.ConcatTable'] = {function() return nn.ConcatTable(nn.Linear(3, 4), nn.Tanh()) end, x(3), x(5, 3)},
    ['nn.ParallelTable'] = {function() return nn.ParallelTable(nn.Linear(3, 4), nn.Tanh()) end, {x(5, 3), x(2)}},
    ['nn.Concat(2)'] = {function() return nn.Concat(2, nn.Linear(3, 4), nn.Linear(3, 2)) end, x(5, 3)},
    ['nn.Bottle(nn.Linear(3, 4))'] = {function() return nn.Bottle(nn.Linear(3, 4)) end, x(5, 3), x(2, 5, 3), x(2, 2, 2, 3)},
    ['nn.Bottle(nn.Sum(2), 3, 2)'] = {function() return nn.Bottle(nn.Sum(2), 3, 2) end, x(5, 3, 2), x(2, 5, 3, 2)},
    ['nn.Sequential of convolutions'] = {function()
        return nn.Sequential(nn.Conv2d(2, 3, 2), nn.Tanh(), nn.SpatialFullConvolution(3, 2, 2, 2), nn.Sigmoid())
    end, x(2, 3, 4), x(2, 2, 3, 4)},
    ['nn.Parallel(2, 2)'] = {function() return nn.Parallel(2, 2, nn.Linear(3, 4), nn.Linear(3, 2)) end, x(5, 2, 3)},
}

local function names()
    local list = {}
    for name in pairs(rows) do list[#list + 1] = name end
    table.sort(list)
    return list
end

local function each(f)
    for _, name in ipairs(names()) do
        local row = rows[name]
        for k = 2, #row do
            local ok, message = pcall(f, row[1]():double(), row[k], name)
            if not ok then error(('%s, input %d: %s'):format(name, k - 1, tostring(message)), 0) end
        end
    end
end

-- Gradients through the autograd face: {inputs}, {parameters}.
local function autograd(model, input, gradOutput)
    local leaves = checks.copy(input)
    for _, leaf in ipairs(checks.flatten(leaves)) do leaf.requiresGrad = true end
    model:zeroGradParameters()
    local output = model(leaves)
    torch.backward(checks.flatten(output), checks.flatten(gradOutput))
    local grads = {}
    for k, leaf in ipairs(checks.flatten(leaves)) do grads[k] = leaf.grad or leaf:detach():clone():zero() end
    local _, gp = model:parameters()
    return output, grads, checks.copy(gp or {})
end

describe('nn modules', function()
    before_each(function() torch.manualSeed(3) end)

    it('give the same outputs and gradients in both faces, and those of finite differences', function()
        each(function(model, input)
            local output = checks.copy(model:forward(input))
            local gradOutput = checks.randomLike(output)
            model:zeroGradParameters()
            local gradInput = checks.copy(model:backward(input, gradOutput))
            local params, gradParams = model:parameters()
            gradParams = checks.copy(gradParams or {})

            local out, grads, gp = autograd(model, input, gradOutput)
            assert.is_true(checks.difference(out, output) <= 1e-14)
            assert.is_true(checks.difference(grads, gradInput) <= 1e-14)
            assert.is_true(checks.difference(gp, gradParams) <= 1e-14)

            local function value() return checks.dot(torch.noGrad(function() return model(input) end), gradOutput) end
            for k, t in ipairs(checks.flatten(input)) do
                if t:isContiguous() then
                    local numeric = checks.numericGradient(value, t)
                    assert.is_true(checks.difference(numeric, checks.flatten(gradInput)[k]) < 1e-7)
                end
            end
            for k = 1, params and #params or 0 do
                assert.is_true(checks.difference(checks.numericGradient(value, params[k]), gradParams[k]) < 1e-7)
            end
        end)
    end)

    it('take updateGradInput and accGradParameters in any order, any number of times', function()
        each(function(model, input)
            local gradOutput = checks.randomLike(model:forward(input))
            model:zeroGradParameters()
            local expected = checks.copy(model:backward(input, gradOutput))
            local _, gp = model:parameters()
            local once = checks.copy(gp or {})

            model:zeroGradParameters()
            model:updateGradInput(input, gradOutput)
            assert.is_true(checks.difference(model.gradInput, expected) <= 1e-14)
            for _, g in ipairs(gp or {}) do assert.equal(0, g:norm()) end

            model:accGradParameters(input, gradOutput, 0.5)
            model:accGradParameters(input, gradOutput, 1.5)
            for k, g in ipairs(gp or {}) do
                assert.is_true(checks.difference(g:clone():mul(0.5), once[k]) <= 1e-13)
            end
        end)
    end)

    it('convert: float results are near double ones, and the parameter objects stay', function()
        each(function(model, input)
            local wide = checks.copy(model:forward(input))
            local before = model:parameters() or {}
            model:float()
            local after = model:parameters() or {}
            for k = 1, #before do
                assert.is_true(rawequal(before[k], after[k]))
                assert.equal('torch.FloatTensor', after[k]:type())
            end
            local list = checks.flatten(input)
            for k = 1, #list do list[k] = list[k]:float() end
            local narrow = model:forward(require 'nn.tape'.rebuild(input, list))
            for _, t in ipairs(checks.flatten(narrow)) do assert.equal('torch.FloatTensor', t:type()) end
            assert.is_true(checks.difference(narrow, wide) < 1e-4)
            assert.equal('torch.FloatTensor', model:type())
            model:double()
            for _, p in ipairs(model:parameters() or {}) do assert.equal('torch.DoubleTensor', p:type()) end
        end)
    end)

    it('clone deeply, share what is named', function()
        each(function(model, input)
            local output = checks.copy(model:forward(input))
            local twin = model:clone()
            assert.is_true(checks.difference(twin:forward(input), output) == 0)
            local params = model:parameters()
            for k, p in ipairs(twin:parameters() or {}) do
                assert.is_false(rawequal(p, params[k]))
                p:add(1)
            end
            assert.is_true(checks.difference(model:forward(input), output) == 0)
            local shared = model:clone('weight', 'bias')
            for _, p in ipairs(shared:parameters() or {}) do p:add(1) end
            assert.is_true(checks.difference(model:forward(input), shared:forward(input)) == 0)
        end)
    end)

    it('forget their buffers by clearState and go on', function()
        each(function(model, input)
            local output = checks.copy(model:forward(input))
            local gradOutput = checks.randomLike(output)
            local gradInput = checks.copy(model:backward(input, gradOutput))
            assert.is_true(rawequal(model, model:clearState()))
            model:apply(function(m)
                if torch.isTensor(m.output) then assert.equal(0, m.output:nElement()) end
                if torch.isTensor(m.gradInput) then assert.equal(0, m.gradInput:nElement()) end
            end)
            assert.is_true(checks.difference(model:forward(input), output) == 0)
            assert.is_true(checks.difference(model:backward(input, gradOutput), gradInput) == 0)
        end)
    end)

    it('switch with training and evaluate', function()
        each(function(model)
            assert.is_true(rawequal(model, model:evaluate()))
            model:apply(function(m) assert.is_false(m.train) end)
            assert.is_true(rawequal(model, model:training()))
            model:apply(function(m) assert.is_true(m.train) end)
            model:eval()
            assert.is_false(model.train)
        end)
    end)
end)
