-- shape.lua: modules that change only how elements are arranged, and Identity.
local base = require 'dlrun.ffi'
local ops = require 'torch.ops'
local shapeOf = require 'torch.resize'.fullShape


local function numbers(...)
    local first = ...
    if type(first) == 'table' then return {unpack(first)} end
    if type(first) == 'cdata' or type(first) == 'userdata' then return first:totable() end
    return {...}
end

local function product(sizes)
    local n = 1
    for k = 1, #sizes do n = n * sizes[k] end
    return n
end

local function checkDim(name, dim)
    if type(dim) ~= 'number' or dim == 0 then
        base.fail('nn.%s: dimensions start at 1 (and -1 is the last), not %s', name, tostring(dim))
    end
    return dim
end

-- ---- View, Reshape, Flatten
-- ------------------------------------------------------------------------------------------------

--- nn.View(sizes…): the elements under another shape; one size may be -1. If the input has more elements than the sizes
-- say, or setNumInputDims(n) was called and the input has more dimensions, the leading ones stay as a batch.
local View, parent = torch.class('nn.View', 'nn.Module')

function View:__init(...)
    parent.__init(self)
    self:resetSize(...)
end

function View:resetSize(...)
    self.sizes = numbers(...)
    self.numElements = 1
    self.inferred = false
    for _, n in ipairs(self.sizes) do
        if n == -1 then self.inferred = true else self.numElements = self.numElements * n end
    end
    return self
end

function View:setNumInputDims(n)
    self.numInputDims = n
    return self
end

-- The shape of the result: the sizes, with the batch in front if there is one.
function View:target(x)
    local shape = shapeOf(x)
    local n = #shape
    if self.numInputDims and n > self.numInputDims then
        return {product {unpack(shape, 1, n - self.numInputDims)}, unpack(self.sizes)}
    end
    local count = product(shape)
    if self.inferred or count == self.numElements then return self.sizes end
    if self.numElements > 0 and count % self.numElements == 0 then return {count / self.numElements, unpack(self.sizes)} end
    base.fail('cannot arrange %s elements (%s) as %s', count, table.concat(shape, 'x'), table.concat(self.sizes, 'x'))
end

function View:compute(x) return ops.reshape(x, self:target(x)) end

function View:__tostring__() return ('%s(%s)'):format(torch.typename(self), table.concat(self.sizes, ', ')) end

--- nn.Reshape(sizes… [, batchMode]): as View; batchMode true keeps the first dimension, false does not, nil decides by the
-- count.
local Reshape = torch.class('nn.Reshape', 'nn.View')

function Reshape:__init(...)
    parent.__init(self)
    local list = {...}
    if type(list[#list]) == 'boolean' then self.batchMode = table.remove(list) end
    View.resetSize(self, unpack(list))
end

function Reshape:target(x)
    local shape = shapeOf(x)
    local count = product(shape)
    local batch = self.batchMode
    if batch == nil then batch = count ~= self.numElements and shape[1] ~= nil and count == shape[1] * self.numElements end
    if batch then return {shape[1], unpack(self.sizes)} end
    return self.sizes
end

function Reshape:__tostring__() return ('%s(%s)'):format(torch.typename(self), table.concat(self.sizes, 'x')) end

--- nn.Flatten([startDim = 2 [, endDim = -1]]): the dimensions from start to end as one.
local Flatten = torch.class('nn.Flatten', 'nn.Module')

function Flatten:__init(startDim, endDim)
    parent.__init(self)
    if type(startDim) == 'table' then startDim, endDim = startDim.startDim, startDim.endDim end
    self.startDim = checkDim('Flatten', startDim or 2)
    self.endDim = checkDim('Flatten', endDim or -1)
end

function Flatten:compute(x)
    local shape = shapeOf(x)
    local n = #shape
    local from = self.startDim < 0 and n + 1 + self.startDim or self.startDim
    local to = self.endDim < 0 and n + 1 + self.endDim or self.endDim
    if from < 1 or from > n + 1 or to > n then
        base.fail('dimensions %d to %d of a tensor that has %d', self.startDim, self.endDim, n)
    end
    if from >= to then return ops.reshape(x, shape) end
    local result = {unpack(shape, 1, from - 1)}
    result[from] = product {unpack(shape, from, to)}
    for d = to + 1, n do result[#result + 1] = shape[d] end
    return ops.reshape(x, result)
end

-- ---- dimensions
-- ------------------------------------------------------------------------------------------------------------

-- The 0-based dimension that Torch7's (dim, numInputDims) mean for x: a batch in front shifts it.
local function shifted(x, dim, numInputDims)
    local n = x._t.ndim
    if dim < 0 then return n + dim end
    return (numInputDims and n > numInputDims) and dim or dim - 1
end

-- Classes of one dimension: name -> compute(self, x, dimension).
local function defineDim(name, compute, init)
    local class = torch.class('nn.' .. name, 'nn.Module')
    function class:__init(...)
        parent.__init(self)
        init(self, ...)
    end
    class.compute = compute
    return class
end

--- nn.Select(dim, index), nn.Narrow(dim, offset [, length = 1]): part of the input.
defineDim('Select', function(self, x)
    local d = shifted(x, self.dimension)
    return ops.select(x, d, self.index < 0 and self.index or self.index - 1)
end, function(self, dim, index)
    self.dimension, self.index = checkDim('Select', dim), checkDim('Select', index)
end)

defineDim('Narrow', function(self, x)
    local d = shifted(x, self.dimension)
    local length = self.length < 0 and tonumber(x._t.shape[d]) - self.index + 2 + self.length or self.length
    return ops.slice(x, d, self.index - 1, length)
end, function(self, dim, offset, length)
    self.dimension, self.index, self.length = checkDim('Narrow', dim), checkDim('Narrow', offset), length or 1
end)

--- nn.Transpose({d1, d2}, …): exchanges pairs of dimensions, one after another.
defineDim('Transpose', function(self, x)
    for _, pair in ipairs(self.permutations) do x = ops.transpose(x, pair[1] - 1, pair[2] - 1) end
    return ops.copy(x)
end, function(self, ...)
    self.permutations = {...}
end)

--- nn.Squeeze([dim [, numInputDims]]), nn.Unsqueeze(pos [, numInputDims])
defineDim('Squeeze', function(self, x)
    return ops.squeeze(x, self.dim and {shifted(x, self.dim, self.numInputDims)} or nil)
end, function(self, dim, numInputDims)
    self.dim, self.numInputDims = dim and checkDim('Squeeze', dim), numInputDims
end)

defineDim('Unsqueeze', function(self, x)
    return ops.unsqueeze(x, shifted(x, self.pos, self.numInputDims))
end, function(self, pos, numInputDims)
    self.pos, self.numInputDims = checkDim('Unsqueeze', pos), numInputDims
end)

--- nn.Replicate(n [, dim = 1 [, numInputDims]]): n copies along a new dimension.
defineDim('Replicate', function(self, x)
    local d = shifted(x, self.dim, self.ndim)
    local y = ops.unsqueeze(x, d)
    local shape = shapeOf(y)
    shape[d + 1] = self.nfeatures
    return ops.expand(y, shape)
end, function(self, n, dim, numInputDims)
    self.nfeatures, self.dim, self.ndim = n, checkDim('Replicate', dim or 1), numInputDims
end)

--- nn.Sum, nn.Mean([dim = 1 [, numInputDims]]), nn.Max, nn.Min(dim [, numInputDims]): reduce one dimension away.
local function reduction(name, op)
    defineDim(name, function(self, x)
        return (ops[op](x, {shifted(x, self.dimension, self.nInputDims)}))
    end, function(self, dim, numInputDims)
        self.dimension, self.nInputDims = checkDim(name, dim or 1), numInputDims
    end)
end
reduction('Sum', 'sum')
reduction('Mean', 'mean')

local function extreme(name, op)
    defineDim(name, function(self, x)
        local values, indices = ops[op](x, shifted(x, self.dimension, self.numInputDims))
        self.indices = indices
        return values
    end, function(self, dim, numInputDims)
        self.dimension, self.numInputDims = checkDim(name, dim or 1), numInputDims
    end)
end
extreme('Max', 'max_dim')
extreme('Min', 'min_dim')

-- ---- the same elements
-- -----------------------------------------------------------------------------------------------------

--- nn.Identity(): the input itself.
local Identity = torch.class('nn.Identity', 'nn.Module')
Identity.takesMany = true
function Identity:compute(...) return ... end -- luacheck: ignore 212

--- nn.Contiguous(): a contiguous copy where the input is not.
local Contiguous = torch.class('nn.Contiguous', 'nn.Module')
function Contiguous:compute(x) return x:isContiguous() and x or ops.copy(x) end -- luacheck: ignore 212

--- nn.Copy([intype, outtype]): a copy.
local Copy = torch.class('nn.Copy', 'nn.Module')
function Copy:compute(x) return ops.copy(x) end -- luacheck: ignore 212


