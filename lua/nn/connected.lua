-- connected.lua: Torch7's convolutions with a table of connections: one kernel for each pair of an input and an output plane
-- that it lists.
local base = require 'dlrun.ffi'
local ops = require 'torch.ops'
local raw = require 'torch.raw'
local shapeOf = require 'torch.resize'.fullShape

-- ---- tables: rows (input plane, output plane), from 1 ------------------------------------------------------------------

nn.tables = {}

--- nn.tables.full(nIn, nOut): every input plane with every output plane.
function nn.tables.full(nIn, nOut)
    local list = {}
    for to = 1, nOut do
        for from = 1, nIn do list[#list + 1] = {from, to} end
    end
    return torch.Tensor(list)
end

--- nn.tables.oneToOne(n): plane k with plane k.
function nn.tables.oneToOne(n)
    local list = {}
    for k = 1, n do list[k] = {k, k} end
    return torch.Tensor(list)
end

--- nn.tables.random(nIn, nOut, nTo): every output plane with nTo input planes; all are used before one is used again, as far
-- as nTo divides nIn.
function nn.tables.random(nIn, nOut, nTo)
    if nTo > nIn then base.fail('nn.tables.random: %d planes for each output, but there are %d', nTo, nIn) end
    local list, order, used = {}, nil, nIn
    for to = 1, nOut do
        if used + nTo > nIn then order, used = torch.randperm(nIn):totable(), 0 end
        for k = 1, nTo do list[#list + 1] = {order[used + k], to} end
        used = used + nTo
    end
    return torch.Tensor(list)
end

-- ---- classes -----------------------------------------------------------------------------------------------------------

-- Reads a table of connections: the planes' numbers, and how many connections each output plane has.
local function read(self, connections)
    local name = torch.typename(self)
    local shape = raw.isTensor(connections) and shapeOf(connections) or {}
    if #shape ~= 2 or shape[2] ~= 2 or shape[1] == 0 then
        base.fail('%s: the connections are a tensor (n, 2) of input and output planes, such as nn.tables.full(2, 3)', name)
    end
    local nIn, nOut, inputs = 0, 0, {}
    local rows = connections:totable()
    for k, row in ipairs(rows) do
        for _, plane in ipairs(row) do
            if plane < 1 or plane % 1 ~= 0 then
                base.fail('%s: connection %d names plane %g; they count from 1', name, k, plane)
            end
        end
        nIn, nOut = math.max(nIn, row[1]), math.max(nOut, row[2])
        inputs[row[2]] = (inputs[row[2]] or 0) + 1
    end
    return nIn, nOut, rows, inputs
end

-- A class that fills the weight of its parent's op from one kernel for each connection; place(self, from, to) is a pair's
-- number in that weight, counted from 0, and planes(self) its first two sizes.
local function define(name, parent, place, planes, doc)
    local class = torch.class('nn.' .. name, 'nn.' .. parent)
    class.__doc = doc

    function class:__init(connections, kW, kH, dW, dH)
        local nIn, nOut, rows = read(self, connections)
        self.connTable = connections
        nn[parent].__init(self, nIn, nOut, kW, kH, dW, dH)
        local places = {}
        for k, row in ipairs(rows) do places[k] = place(self, row[1] - 1, row[2] - 1) end
        self.places = torch.LongTensor(places)
    end

    function class:sizes() return {self.connTable:size(1), self.kH, self.kW}, {self.nOutputPlane} end

    -- As Torch7: a kernel's range follows from the connections of its output plane.
    function class:reset(stdv)
        local _, _, rows, inputs = read(self, self.connTable)
        local function range(to)
            return stdv and stdv * math.sqrt(3) or 1 / math.sqrt(self.kW * self.kH * (inputs[to] or 1))
        end
        torch.noGrad(function()
            for k, row in ipairs(rows) do self.weight[k]:uniform(-range(row[2]), range(row[2])) end
            for to = 1, self.bias and self.nOutputPlane or 0 do
                self.bias:narrow(1, to, 1):uniform(-range(to), range(to))
            end
        end)
        return self
    end

    function class:filters()
        local field, n = self.kH * self.kW, planes(self)
        local kernels = ops.reshape(self.weight, {self.connTable:size(1), field})
        local blank = ops.full({n[1] * n[2], field}, 0, kernels._t.type)
        local whole = ops.index_add(blank, 0, self.places, kernels)
        return ops.reshape(whole, {n[1], n[2], self.kH, self.kW}), self.bias
    end
end

define('SpatialConvolutionMap', 'SpatialConvolution',
    function(self, from, to) return to * self.nInputPlane + from end,
    function(self) return {self.nOutputPlane, self.nInputPlane} end, [[
nn.SpatialConvolutionMap(connections, kW, kH [, dW, dH]): SpatialConvolution with one kernel for each row (input plane, output
plane) of connections, such as nn.tables.full(nIn, nOut), oneToOne(n) or random(nIn, nOut, nTo). weight (rows, kH, kW).]])

define('SpatialFullConvolutionMap', 'SpatialFullConvolution',
    function(self, from, to) return from * self.nOutputPlane + to end,
    function(self) return {self.nInputPlane, self.nOutputPlane} end, [[
nn.SpatialFullConvolutionMap(connections, kW, kH [, dW, dH]): SpatialFullConvolution with one kernel for each row (input plane,
output plane) of connections.]])
