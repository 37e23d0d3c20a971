-- tables.lua: modules that take or give tables of tensors.
local ops = require 'torch.ops'
local path = require 'nn.path'
local reuse = require 'nn.reuse'
local raw = require 'torch.raw'
local tape = require 'nn.tape'


-- a + b for nested tables of tensors.
local function sum(a, b)
    if raw.isTensor(a) then return ops.add(a, b) end
    local result = {}
    for k = 1, math.max(#a, #b) do result[k] = (a[k] and b[k]) and sum(a[k], b[k]) or a[k] or b[k] end
    return result
end

-- ---- containers whose children run side by side
-- ----------------------------------------------------------------------------

-- Torch7's drawing of branches.
local function drawing(self)
    local n = #self.modules
    local lines = {torch.typename(self) .. ' {', '  input'}
    for k, module in ipairs(self.modules) do
        local text = tostring(module):gsub('\n', k < n and '\n    |    ' or '\n         ')
        lines[#lines + 1] = ('%s(%d): %s'):format(k < n and '    |`-> ' or '     `-> ', k, text)
    end
    lines[#lines + 1] = '     ... -> output\n}'
    return table.concat(lines, '\n')
end

-- Defines a container from how child k's input and gradient come out of the whole's, and how results come together.
--   input(x, k), gradOutput(self, g, k), gather(self, outputs) -> output, gradInput(self, x, grads) -> gradInput
local function sideBySide(name, parts)
    local class = torch.class('nn.' .. name, 'nn.Container')

    function class:compute(x)
        local outputs = {}
        for k, module in ipairs(self.modules) do outputs[k] = module(parts.input(self, x, k)) end
        return parts.gather(self, outputs)
    end

    function class:updateOutput(x)
        local depth = path.enter(self)
        local outputs = {}
        reuse.begin(self)
        for k, module in ipairs(self.modules) do
            outputs[k] = module:updateOutput(parts.input(self, x, k))
            reuse.note(self, k)
            outputs[k] = reuse.output(self, k)
        end
        rawset(self, 'output', parts.gather(self, outputs))
        return path.leave(depth, self.output)
    end

    local function backwards(self, x, g, step)
        local depth = path.enter(self)
        local grads = {}
        for k, module in ipairs(self.modules) do
            reuse.restore(self, k)
            grads[k] = reuse.gradient(self, step(module, parts.input(self, x, k), parts.gradOutput(self, g, k)))
        end
        return path.leave(depth, grads)
    end

    function class:updateGradInput(x, g)
        local grads = backwards(self, x, g, function(m, xk, gk) return m:updateGradInput(xk, gk) end)
        rawset(self, 'gradInput', parts.gradInput(self, x, grads))
        return self.gradInput
    end

    function class:backward(x, g, scale)
        local grads = backwards(self, x, g, function(m, xk, gk) return m:backward(xk, gk, scale or 1) end)
        rawset(self, 'gradInput', parts.gradInput(self, x, grads))
        return self.gradInput
    end

    function class:accGradParameters(x, g, scale)
        backwards(self, x, g, function(m, xk, gk) return m:accGradParameters(xk, gk, scale or 1) end)
    end

    function class:accUpdateGradParameters(x, g, lr)
        backwards(self, x, g, function(m, xk, gk) return m:accUpdateGradParameters(xk, gk, lr) end)
    end

    class.__tostring__ = drawing
    return class
end

local function sameInput(_, x) return x end
local function elementOf(_, x, k) return x[k] end
local function asTable(_, outputs) return outputs end

local function total(_, _, grads)
    local result = grads[1]
    for k = 2, #grads do result = sum(result, grads[k]) end
    return result
end

--- nn.ConcatTable(a, b, …): {a(x), b(x), …}.
sideBySide('ConcatTable', {input = sameInput, gradOutput = elementOf, gather = asTable, gradInput = total})

--- nn.ParallelTable(a, b, …): {a(x[1]), b(x[2]), …}.
sideBySide('ParallelTable', {
    input = elementOf, gradOutput = elementOf, gather = asTable,
    gradInput = function(_, _, grads) return grads end,
})

local function sizeAlong(x, d) return tonumber(x._t.shape[d]) end

-- The part of g that belongs to child k of a Concat: its own output's slice.
local function slice(self, g, k)
    local d, start = self.dimension - 1, 0
    for j = 1, k - 1 do start = start + sizeAlong(reuse.output(self, j), d) end
    return ops.copy(ops.slice(g, d, start, sizeAlong(reuse.output(self, k), d)))
end

--- nn.Concat(dim): the children's outputs side by side along dim.
local Concat = sideBySide('Concat', {
    input = sameInput, gradOutput = slice, gradInput = total,
    gather = function(self, outputs) return ops.cat(outputs, self.dimension - 1) end,
})
local container = require 'nn.Container'
function Concat:__init(dimension, ...)
    container.__init(self, ...)
    self.dimension = dimension
end

--- nn.Parallel(inputDim, outputDim): child k gets slice k of the input along inputDim.
local Parallel = sideBySide('Parallel', {
    input = function(self, x, k) return ops.select(x, self.inputDimension - 1, k - 1) end,
    gradOutput = slice,
    gather = function(self, outputs) return ops.cat(outputs, self.dimension - 1) end,
    gradInput = function(self, _, grads) return ops.stack(grads, self.inputDimension - 1) end,
})
function Parallel:__init(inputDimension, outputDimension, ...)
    container.__init(self, ...)
    self.inputDimension, self.dimension = inputDimension, outputDimension
end

-- ---- leaves that take tables
-- -----------------------------------------------------------------------------------------------

local function defineLeaf(name, compute, init)
    local class, parent = torch.class('nn.' .. name, 'nn.Module')
    function class:__init(...)
        parent.__init(self)
        if init then init(self, ...) end
    end
    class.compute = compute
end

local function fold(op)
    return function(_, x)
        local result = x[1]
        for k = 2, #x do result = ops[op](result, x[k]) end
        return #x == 1 and ops.copy(result) or result
    end
end

--- nn.CAddTable(), CSubTable, CMulTable, CDivTable, CMaxTable, CMinTable: the tensors of the table combined element by
-- element.
defineLeaf('CAddTable', fold 'add')
defineLeaf('CSubTable', fold 'sub')
defineLeaf('CMulTable', fold 'mul')
defineLeaf('CDivTable', fold 'div')
defineLeaf('CMaxTable', fold 'maximum')
defineLeaf('CMinTable', fold 'minimum')

--- nn.JoinTable(dim [, numInputDims]): the tensors of the table side by side along dim.
defineLeaf('JoinTable', function(self, x)
    local d = self.dimension
    if d > 0 and self.nInputDims and x[1]._t.ndim > self.nInputDims then d = d + 1 end
    return ops.cat(x, d > 0 and d - 1 or d)
end, function(self, dimension, numInputDims)
    self.dimension, self.nInputDims = dimension, numInputDims
end)

--- nn.SplitTable(dim [, numInputDims]): the slices along dim as a table.
defineLeaf('SplitTable', function(self, x)
    local n = x._t.ndim
    local d = self.dimension < 0 and n + self.dimension or self.dimension - 1
    if self.dimension > 0 and self.nInputDims and n > self.nInputDims then d = d + 1 end
    local parts = {}
    for k = 1, sizeAlong(x, d) do parts[k] = ops.select(x, d, k - 1) end
    return parts
end, function(self, dimension, numInputDims)
    self.dimension, self.nInputDims = dimension, numInputDims
end)

--- nn.SelectTable(k): x[k]; -1 is the last.
defineLeaf('SelectTable', function(self, x) return x[self.index < 0 and #x + 1 + self.index or self.index] end,
    function(self, index) self.index = index end)

--- nn.NarrowTable(offset [, length = 1]): part of the table.
defineLeaf('NarrowTable', function(self, x)
    local result = {}
    for k = 1, self.length do result[k] = x[self.offset + k - 1] end
    return result
end, function(self, offset, length) self.offset, self.length = offset, length or 1 end)

--- nn.FlattenTable(): nested tables as one.
defineLeaf('FlattenTable', function(_, x) return tape.flatten(x) end)

--- nn.MM([transA, transB]): matrix products of {A, B}, batched if they have three dimensions.
defineLeaf('MM', function(self, x)
    local a, b = x[1], x[2]
    if self.transA then a = ops.transpose(a, -2, -1) end
    if self.transB then b = ops.transpose(b, -2, -1) end
    return ops.matmul(a, b)
end, function(self, transA, transB) self.transA, self.transB = transA or false, transB or false end)

--- nn.DotProduct(): row by row.
defineLeaf('DotProduct', function(_, x) return ops.sum(ops.mul(x[1], x[2]), {-1}) end)

