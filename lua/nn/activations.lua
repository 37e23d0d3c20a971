-- activations.lua: the pointwise modules: a table of rows, each a class.
local base = require 'dlrun.ffi'
local ops = require 'torch.ops'
local tape = require 'nn.tape'

local into = ops.into

-- name -> {op, parameters = field names in order of the op's attributes, defaults, inPlace = position of Torch7's inplace
-- flag, fromOutput = the op for a first parameter >= 0, whose gradient needs only the result}. Formulas:
-- core/pointwise.def.
local rows = {
    ReLU = {op = 'relu', inPlace = 1, doc = 'max(x, 0)'},
    ReLU6 = {op = 'relu6', inPlace = 1, doc = 'min(max(x, 0), 6)'},
    Sigmoid = {op = 'sigmoid', doc = '1 / (1 + exp(-x))'},
    LogSigmoid = {op = 'log_sigmoid', doc = 'log(sigmoid(x))'},
    Tanh = {op = 'tanh', doc = 'tanh(x)'},
    Abs = {op = 'abs', doc = '|x|'},
    Exp = {op = 'exp', doc = 'exp(x)'},
    Log = {op = 'log', doc = 'log(x)'},
    Sqrt = {op = 'sqrt', doc = 'sqrt(x)'},
    Square = {op = 'square', doc = 'x²'},
    SoftSign = {op = 'softsign', doc = 'x / (1 + |x|)'},
    TanhShrink = {op = 'tanhshrink', doc = 'x - tanh(x)'},
    SiLU = {op = 'silu', doc = 'x sigmoid(x)'},
    Mish = {op = 'mish', doc = 'x tanh(softplus(x))'},
    GELU = {op = 'gelu', doc = 'x Φ(x), Φ the normal distribution function'},
    Hardsigmoid = {op = 'hardsigmoid', doc = 'min(max(x / 6 + 1/2, 0), 1)'},
    Hardswish = {op = 'hardswish', doc = 'x hardsigmoid(x)'},
    SELU = {op = 'selu', doc = 'Klambauer et al. 2017'},
    ELU = {op = 'elu', fromOutput = 'elu_inplace', parameters = {'alpha'}, defaults = {1}, inPlace = 2,
        doc = 'x > 0 ? x : alpha (exp(x) - 1)'},
    LeakyReLU = {op = 'leaky_relu', fromOutput = 'leaky_relu_inplace', parameters = {'negval'}, defaults = {0.01}, inPlace = 2,
        doc = 'x > 0 ? x : negval x'},
    SoftPlus = {op = 'softplus', parameters = {'beta'}, defaults = {1}, doc = 'log(1 + exp(beta x)) / beta'},
    SoftShrink = {op = 'softshrink', parameters = {'lambda'}, defaults = {0.5}, doc = 'towards 0 by lambda'},
    HardShrink = {op = 'hardshrink', parameters = {'lambda'}, defaults = {0.5}, doc = '0 inside ±lambda'},
    HardTanh = {op = 'hardtanh', parameters = {'min_val', 'max_val'}, defaults = {-1, 1}, inPlace = 3,
        doc = 'min(max(x, min), max)'},
    Clamp = {op = 'hardtanh', parameters = {'min_val', 'max_val'}, doc = 'min(max(x, min), max)'},
    Threshold = {op = 'threshold', parameters = {'threshold', 'val'}, defaults = {1e-6, 0}, inPlace = 3,
        doc = 'x > threshold ? x : val'},
    Power = {op = 'pow_scalar', parameters = {'pow'}, doc = 'x ^ pow'},
    AddConstant = {op = 'add_scalar', parameters = {'constant_scalar'}, inPlace = 2, doc = 'x + constant'},
    MulConstant = {op = 'mul_scalar', parameters = {'constant_scalar'}, inPlace = 2, doc = 'x · constant'},
}

local function values(self, row)
    local list = {}
    for k, name in ipairs(row.parameters or {}) do list[k] = self[name] end
    return list
end

local function define(name, row)
    local class, parent = torch.class('nn.' .. name, 'nn.Module')

    function class:__init(...)
        parent.__init(self)
        local given = {...}
        if #given == 1 and type(given[1]) == 'table' then -- options: nn.LeakyReLU{negval = 0.2}
            local options = given[1]
            given = {}
            for k, parameter in ipairs(row.parameters or {}) do given[k] = options[parameter] end
            if row.inPlace then given[row.inPlace] = options.inplace end
        end
        for k, parameter in ipairs(row.parameters or {}) do
            local value = given[k]
            if value == nil then value = row.defaults and row.defaults[k] end
            if type(value) ~= 'number' then
                base.fail('nn.%s: %s must be a number, not %s', name, parameter, tostring(value))
            end
            self[parameter] = value
        end
        self.inplace = row.inPlace ~= nil and given[row.inPlace] == true
    end

    -- The op that this module is (fuse.lua asks too): where there is one, the form whose gradient needs only the result.
    function class:pointwise()
        local list = values(self, row)
        return row.fromOutput and list[1] >= 0 and row.fromOutput or row.op, list
    end

    function class:compute(x)
        local op, list = self:pointwise()
        if self.inplace and tape.mayOverwrite(x) then return into[op](x, x, unpack(list)) end
        return ops[op](x, unpack(list))
    end

    if row.parameters then
        function class:__tostring__()
            local list = values(self, row)
            for k = 1, #list do list[k] = ('%g'):format(list[k]) end
            return ('%s(%s)'):format(torch.typename(self), table.concat(list, ', '))
        end
    end
    class.__doc = ('nn.%s(%s): %s, element by element.'):format(name, table.concat(row.parameters or {}, ', '), row.doc)
end

for name, row in pairs(rows) do define(name, row) end

nn.Softplus, nn.Hardtanh, nn.Softshrink, nn.Hardshrink, nn.Softsign, nn.Tanhshrink =
    nn.SoftPlus, nn.HardTanh, nn.SoftShrink, nn.HardShrink, nn.SoftSign, nn.TanhShrink

-- ---- along a dimension
-- -----------------------------------------------------------------------------------------------------

-- Torch7's rule: the features' dimension of 1-D and 2-D input is the last, of 3-D the first, of 4-D the second.
local function featureDim(x, dim)
    if dim then return dim > 0 and dim - 1 or dim end
    local n = x._t.ndim
    return (n == 1 or n == 3) and 0 or 1
end

local function defineAlong(name, op, sign)
    local class, parent = torch.class('nn.' .. name, 'nn.Module')
    function class:__init(dim)
        parent.__init(self)
        if type(dim) == 'table' then dim = dim.dim end
        if dim == 0 then base.fail('nn.%s: dimensions start at 1 (and -1 is the last); 0 is none', name) end
        self.dim = dim
    end
    function class:compute(x)
        if sign < 0 then x = ops.neg(x) end
        return ops[op](x, featureDim(x, self.dim))
    end
end

--- nn.SoftMax([dim]), nn.LogSoftMax([dim]), nn.SoftMin([dim]): along the features, or along dim.
defineAlong('SoftMax', 'softmax', 1)
defineAlong('LogSoftMax', 'log_softmax', 1)
defineAlong('SoftMin', 'softmax', -1)
nn.Softmax, nn.LogSoftmax, nn.Softmin = nn.SoftMax, nn.LogSoftMax, nn.SoftMin
