-- temporal.lua: Torch7's convolutions of sequences (N, T, inputFrameSize), frames one after another in memory.
local base = require 'dlrun.ffi'
local ops = require 'torch.ops'
local raw = require 'torch.raw'
local shapeOf = require 'torch.resize'.fullShape
local weighted = require 'nn.weighted'

-- What both classes do with their input: checks it, T along dimension `time` (from 0) of a batch and frames of the module's
-- size along the other; returns it as a batch, and whether it is one sample.
local function batch(self, x, time)
    if not raw.isTensor(x) then base.fail('expected a tensor, got %s', torch.type(x)) end
    if not self.weight then weighted.complete(self, x) end
    local shape = shapeOf(x)
    local n = #shape
    local features, frames = shape[time == 1 and n or n - 1], shape[time == 1 and n - 1 or n]
    if n < 2 or n > 3 or features ~= self.inputFrameSize or frames < self.kW then
        local expected = time == 1 and '(N, T, %d)' or '(N, %d, T)'
        base.fail('expected %s, T at least %d, got (%s)', expected:format(self.inputFrameSize), self.kW,
            table.concat(shape, ', '))
    end
    return n == 2 and ops.unsqueeze(x, 0) or x, n == 2
end

local function setSizes(self, inputFrameSize, kW, dW)
    local name = torch.typename(self)
    if inputFrameSize ~= nil then
        self.inputFrameSize = weighted.count(inputFrameSize, name .. ': the frame size of the input')
    end
    self.kW = weighted.count(kW, name .. ': kW')
    self.dW = weighted.count(dW or 1, name .. ': dW')
    self.hasBias = true
end

local function sizeFrom(self, x, dim)
    local t = x._t
    if t.ndim ~= 2 and t.ndim ~= 3 then base.fail('expected (N, T, frame size), got (%s)', table.concat(shapeOf(x), ', ')) end
    self.inputFrameSize = weighted.count(tonumber(t.shape[t.ndim + dim]), 'the frame size')
end

local function text(self, sizes)
    local whole = ('%s(%s, %d%s)'):format(torch.typename(self), sizes, self.kW, self.dW ~= 1 and ', ' .. self.dW or '')
    return (self.bias or not self.weight and self.hasBias) and whole or whole .. ' without bias'
end

--- nn.TemporalConvolution(inputFrameSize, outputFrameSize, kW [, dW = 1]): each window of kW frames, dW apart, under a linear
-- map: (N, T, inputFrameSize) -> (N, (T - kW) / dW + 1, outputFrameSize), or without N. weight (outputFrameSize,
-- kW · inputFrameSize), bias (outputFrameSize). inputFrameSize nil comes with the first input.
local Temporal, parent = torch.class('nn.TemporalConvolution', 'nn.Module')
weighted.define(Temporal)

function Temporal:__init(inputFrameSize, outputFrameSize, kW, dW)
    parent.__init(self)
    setSizes(self, inputFrameSize, kW, dW)
    self.outputFrameSize = weighted.count(outputFrameSize, 'nn.TemporalConvolution: the frame size of the output')
    if inputFrameSize then weighted.allocate(self) end
end

function Temporal:sizes() return {self.outputFrameSize, self.inputFrameSize * self.kW}, {self.outputFrameSize} end
function Temporal:fanIn() return self.inputFrameSize * self.kW end
function Temporal:sizeFrom(x) sizeFrom(self, x, -1) end

function Temporal:compute(x)
    local single
    x, single = batch(self, x, 1)
    local windows = ops.transpose(ops.unfold(x, 1, self.kW, self.dW), 2, 3)
    local shape = shapeOf(windows)
    local y = ops.linear(ops.reshape(windows, {shape[1], shape[2], shape[3] * shape[4]}), self.weight, self.bias)
    return single and ops.select(y, 0, 0) or y
end

function Temporal:multiplyAdds(_, y) return tonumber(torch.numel(y)) * self:fanIn() end

function Temporal:__tostring__()
    return text(self, ('%s -> %d'):format(self.inputFrameSize or '?', self.outputFrameSize))
end

--- nn.TemporalRowConvolution(inputFrameSize, kW [, dW = 1 [, featFirst = false]]): every element of the frames under a filter
-- of its own along time: (N, T, inputFrameSize) -> (N, (T - kW) / dW + 1, inputFrameSize); with featFirst
-- (N, inputFrameSize, T). Also without N. weight (inputFrameSize, 1, kW), bias (inputFrameSize). inputFrameSize nil comes with
-- the first input.
local Row = torch.class('nn.TemporalRowConvolution', 'nn.Module')
weighted.define(Row)

function Row:__init(inputFrameSize, kW, dW, featFirst)
    parent.__init(self)
    setSizes(self, inputFrameSize, kW, dW)
    self.featFirst = featFirst == true
    if inputFrameSize then weighted.allocate(self) end
end

function Row:sizes() return {self.inputFrameSize, 1, self.kW}, {self.inputFrameSize} end
function Row:fanIn() return self.kW * self.inputFrameSize end -- Torch7's count
function Row:sizeFrom(x) sizeFrom(self, x, self.featFirst and -2 or -1) end

function Row:compute(x)
    local single
    x, single = batch(self, x, self.featFirst and 2 or 1)
    if not self.featFirst then x = ops.transpose(x, 1, 2) end
    local y = ops.convolution(x, self.weight, self.bias, {self.dW}, nil, nil, self.inputFrameSize)
    if not self.featFirst then y = ops.copy(ops.transpose(y, 1, 2)) end
    return single and ops.select(y, 0, 0) or y
end

function Row:multiplyAdds(_, y) return tonumber(torch.numel(y)) * self.kW end

function Row:__tostring__() return text(self, tostring(self.inputFrameSize or '?')) end
