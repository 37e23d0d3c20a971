-- objects.lua: optimizers in PyTorch's manner: opt = optim.Adam(params, {lr = 1e-3}); opt:zeroGrad(); loss:backward();
-- opt:step(). A step is one fused call for all parameters; its formulas stand in core/ops.def.
local base = require 'dlrun.ffi'
local ops = require 'torch.ops'
local options = require 'torch.options'
local raw = require 'torch.raw'
local hints = require 'dlrun.hints'
local shapeOf = require 'torch.resize'.fullShape

local C = base.C
local Optimizer = torch.class 'optim.Optimizer'

-- ---- options
-- ---------------------------------------------------------------------------------------------------------------

local aliases = {learningRate = 'lr'}

local function names(defaults)
    local list = {}
    for name in pairs(defaults) do list[#list + 1] = name end
    for alias, name in pairs(aliases) do
        if defaults[name] ~= nil then list[#list + 1] = alias end
    end
    return list
end

-- An option's value, or an error.
local function checked(what, key, value, default)
    if type(value) ~= type(default) then
        base.fail('%s: %s must be a %s, not %s', what, key, type(default), tostring(value))
    end
    if value ~= value or type(value) == 'number' and value < 0 then
        base.fail('%s: %s must be 0 or more, not %g', what, key, value)
    end
    return value
end

-- defaults with what the user gave; an unknown key is an error that names the nearest.
local function take(what, given, defaults)
    local result = {}
    for key, value in pairs(defaults) do result[key] = value end
    for key, value in pairs(options.take(what, given, names(defaults))) do
        key = aliases[key] or key
        result[key] = checked(what, key, value, defaults[key])
    end
    return result
end

-- An array of parameters from what the user gave; each one once, and made a leaf.
local function parametersOf(what, params)
    if type(params) == 'table' and params.parameters then
        params:requireGradients()
        params = params:parameters()
    end
    if type(params) == 'function' then
        base.fail("%s wants parameters; optim.%s(feval, x, state) is Torch7's", what, what:match '%.(%w+)$':lower())
    end
    if raw.isTensor(params) then params = {params} end
    if type(params) ~= 'table' then
        base.fail('%s wants an array of parameters: %s(model:parameters(), {lr = 0.01})', what, what)
    end
    local list, seen = {}, {}
    for k, p in ipairs(params) do
        if not raw.isTensor(p) then base.fail('%s: parameter %d is no tensor but a %s', what, k, torch.type(p)) end
        if not seen[p] and not raw.isFrozen(p) then
            seen[p] = true
            list[#list + 1] = p
        end
    end
    if #list == 0 then base.fail('%s got no parameters to train', what) end
    return list
end

-- Makes the parameters leaves; a module's gradWeight becomes its weight's gradient.
local function bind(params)
    for _, p in ipairs(params) do
        if p._t.var == nil then
            base.check(C.dl_requires_grad(p._t, 1))
            local g = raw.companion[p]
            if g and g._t.type == p._t.type then base.check(C.dl_set_grad(p._t, g._t)) end
        end
    end
end

-- ---- the class
-- -------------------------------------------------------------------------------------------------------------

local function checkNesterov(o)
    if o.nesterov and (o.momentum <= 0 or o.dampening ~= 0) then
        base.fail('optim.SGD: nesterov needs a momentum above 0 and no dampening')
    end
end

--- optim.Optimizer: the parent of optim.SGD and its kin. opt.lr and the other options read and set.
function Optimizer:__init(what, params, grads, given)
    -- model:parameters() in the middle of a call gives one array, at its end two
    if type(grads) == 'table' and not raw.isTensor(grads[1]) and given == nil then given = grads end
    self.name = what
    self.options = take('optim.' .. what, given, self.defaults)
    if self.options.nesterov then checkNesterov(self.options) end
    self.params = parametersOf('optim.' .. what, params)
    bind(self.params)
    self.state = {}
    self.steps = raw.empty(C.DL_F32, {1}, C.dl_device_of(self.params[1]._t))
    ops.into.full(self.steps, nil, 0)
end

function Optimizer:__index__(key)
    local own = rawget(self, 'options')
    key = aliases[key] or key
    if own and own[key] ~= nil then return own[key], true end
    if hints.optimizer[key] then base.fail('%s', hints.optimizer[key]) end
    return nil, false
end

function Optimizer:__newindex__(key, value)
    local own = rawget(self, 'options')
    key = aliases[key] or key
    if not own or own[key] == nil then return false end
    own[key] = checked('optim.' .. self.name, key, value, self.defaults[key])
    return true
end

local function zeros(like)
    local z = raw.empty(like._t.type, shapeOf(like), C.dl_device_of(like._t))
    return ops.into.full(z, nil, 0)
end

-- Has a model's conversion left this state behind in another type or on another device?
local function isStale(x, p) return x._t.type ~= p._t.type or C.dl_device_of(x._t) ~= C.dl_device_of(p._t) end

-- The state tensors `name` of the parameters that have gradients, made at first use; they follow their parameter's type and
-- device.
local function stateOf(self, name, active)
    local list = {}
    for k, p in ipairs(active) do
        local own = self.state[p]
        if not own then
            own = {}
            self.state[p] = own
        end
        local x = own[name] or zeros(p)
        own[name] = isStale(x, p) and raw.to(x, C.dl_device_of(p._t), p._t.type) or x
        list[k] = own[name]
    end
    return list
end

-- The parameters that have gradients, and those.
local function active(self)
    local params, grads = {}, {}
    for _, p in ipairs(self.params) do
        local g = p.grad
        if g then
            params[#params + 1] = p
            grads[#grads + 1] = g
        end
    end
    return params, grads
end

--- opt:zeroGrad(): sets all gradients to zero, in place.
function Optimizer:zeroGrad()
    for _, p in ipairs(self.params) do
        local g = p.grad
        if g then ops.into.full(g, nil, 0) end
    end
end

--- opt:step([closure]): one step with the gradients as they are; a closure is called first and its result returned.
function Optimizer:step(closure)
    local loss = closure and closure()
    local params, grads = active(self)
    if #params > 0 then
        local device = C.dl_device_of(params[1]._t)
        if C.dl_device_of(self.steps._t) ~= device then self.steps = raw.to(self.steps, device) end
        self:update(params, grads, self.options)
    end
    return loss
end

--- state = opt:stateDict(), opt:loadStateDict(state): options, step count and the state tensors, in the parameters' order.
function Optimizer:stateDict()
    local tensors = {}
    for k, p in ipairs(self.params) do
        tensors[k] = {}
        for name, x in pairs(self.state[p] or {}) do tensors[k][name] = x:clone() end
    end
    local own = {}
    for key, value in pairs(self.options) do own[key] = value end
    return {name = self.name, options = own, steps = self.steps:clone(), tensors = tensors}
end

function Optimizer:loadStateDict(state)
    if type(state) ~= 'table' or not state.tensors then
        base.fail('optim.%s:loadStateDict wants the state that opt:stateDict() gave', self.name)
    end
    if state.name ~= self.name then base.fail('the state is of optim.%s, this is optim.%s', tostring(state.name), self.name) end
    if #state.tensors ~= #self.params then
        base.fail('the state has %d parameters, the optimizer %d', #state.tensors, #self.params)
    end
    for key, value in pairs(state.options) do self.options[key] = value end
    self.steps:copy(state.steps)
    self.count = state.steps[1]
    for k, p in ipairs(self.params) do
        self.state[p] = {}
        for name, x in pairs(state.tensors[k]) do self.state[p][name] = x:clone() end
    end
end

function Optimizer:__tostring__()
    local list = {}
    for key, value in pairs(self.options) do list[#list + 1] = ('%s = %s'):format(key, tostring(value)) end
    table.sort(list)
    return ('optim.%s(%d parameters, {%s})'):format(self.name, #self.params, table.concat(list, ', '))
end

local function define(name, defaults, update)
    local class = torch.class('optim.' .. name, 'optim.Optimizer')
    class.defaults = defaults
    class.update = update
    function class:__init(params, grads, given) Optimizer.__init(self, name, params, grads, given) end
end

-- ---- the methods
-- -----------------------------------------------------------------------------------------------------------

--- optim.SGD(params, {lr = 1e-3, momentum = 0, dampening = 0, weightDecay = 0, nesterov = false}): p -= lr * v, where
-- v = momentum v + (1 - dampening) g (v = g in the first step) and g = grad + weightDecay p.
define('SGD', {lr = 1e-3, momentum = 0, dampening = 0, weightDecay = 0, nesterov = false}, function(self, params, grads, o)
    checkNesterov(o)
    local momentum = o.momentum ~= 0 and stateOf(self, 'momentum', params) or params
    ops.sgd(params, grads, momentum, self.steps, o.lr, o.momentum, o.dampening, o.weightDecay, o.nesterov)
end)

-- With epsilonHat, epsilon is added before the correction for bias (Kingma & Ba, section 2; Torch7's form): the same as
-- dividing it by the correction's root.
local function epsilonOf(o, steps)
    return o.epsilonHat and o.eps / math.sqrt(1 - o.beta2 ^ steps) or o.eps
end

local function adam(decoupled)
    return function(self, params, grads, o)
        local m, v = stateOf(self, 'm', params), stateOf(self, 'v', params)
        local eps = o.eps
        if o.epsilonHat then
            self.count = (rawget(self, 'count') or self.steps[1]) + 1 -- steps, without asking the device
            eps = epsilonOf(o, self.count)
        end
        ops.adam(params, grads, m, v, self.steps, o.lr, o.beta1, o.beta2, eps, o.weightDecay, decoupled)
    end
end

--- optim.Adam(params, {lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weightDecay = 0, epsilonHat = false}): Kingma and Ba
-- 2015. epsilonHat = true adds eps before the correction for bias, as Torch7's optim.adam does.
define('Adam', {lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weightDecay = 0, epsilonHat = false}, adam(false))

--- optim.AdamW(params, {…}): Adam with decay apart from the gradient (Loshchilov and Hutter 2019); weightDecay = 0.01.
define('AdamW', {lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weightDecay = 0.01, epsilonHat = false}, adam(true))

--- optim.RMSprop(params, {lr = 1e-2, alpha = 0.99, eps = 1e-8, weightDecay = 0, momentum = 0}): p -= lr * g / (√v + eps), where
-- v = alpha v + (1 - alpha) g² (Tieleman and Hinton 2012).
define('RMSprop', {lr = 1e-2, alpha = 0.99, eps = 1e-8, weightDecay = 0, momentum = 0}, function(self, params, grads, o)
    local v, momentum = stateOf(self, 'v', params), o.momentum ~= 0 and stateOf(self, 'momentum', params) or params
    ops.rmsprop(params, grads, v, momentum, self.steps, o.lr, o.alpha, o.eps, o.weightDecay, o.momentum)
end)

return {epsilonOf = epsilonOf}
