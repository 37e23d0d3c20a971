-- torch7.lua: optimizers in Torch7's manner: x, {loss} = optim.adam(feval, x, config [, state]), where feval(x) returns the
-- loss and its gradient. Formulas are those of torch/optim, computed by the fused ops where these agree.
local base = require 'dlrun.ffi'
local ops = require 'torch.ops'
local raw = require 'torch.raw'
local objects = require 'optim.objects'
local hints = require 'dlrun.hints'
local shapeOf = require 'torch.resize'.fullShape

local C = base.C
local into = ops.into

-- Names that PyTorch people write for fields of config.
local slips = {lr = 'learningRate', eps = 'epsilon', weight_decay = 'weightDecay'}

local function check(name, feval, x, config)
    if type(feval) ~= 'function' then base.fail('%s', hints.optim[name]) end
    if not raw.isTensor(x) then base.fail('optim.%s: x must be a tensor, not %s', name, torch.type(x)) end
    for key, meant in pairs(slips) do
        if config[key] ~= nil and config[meant] == nil then
            base.fail("optim.%s: there is no option '%s'; did you mean '%s'?", name, key, meant)
        end
    end
end

-- loss, gradient = feval(x)
local function evaluate(name, feval, x)
    local loss, grad = feval(x)
    if not raw.isTensor(grad) then
        base.fail('optim.%s: feval must return the loss and its gradient, not (%s, %s)', name, torch.type(loss),
            torch.type(grad))
    end
    return loss, grad
end

local function zeros(x) return into.full(raw.empty(x._t.type, shapeOf(x), C.dl_device_of(x._t)), nil, 0) end

local function counter(x)
    return into.full(raw.empty(C.DL_F32, {1}, C.dl_device_of(x._t)), nil, 0)
end

--- x, {loss} = optim.sgd(feval, x, config [, state]): config fields learningRate (1e-3), learningRateDecay, weightDecay,
-- weightDecays, momentum, dampening (= momentum), nesterov, learningRates. state defaults to config.
function optim.sgd(feval, x, config, state)
    config = config or {}
    check('sgd', feval, x, config)
    state = state or config
    local lr, decay = config.learningRate or 1e-3, config.learningRateDecay or 0
    local momentum, weightDecay = config.momentum or 0, config.weightDecay or 0
    local dampening = config.dampening or momentum
    if config.nesterov and (momentum <= 0 or dampening ~= 0) then
        base.fail('optim.sgd: nesterov needs a momentum above 0 and dampening = 0')
    end
    if config.weightDecays and weightDecay ~= 0 then
        base.fail('optim.sgd: give weightDecay or weightDecays, not both')
    end
    local loss, grad = evaluate('sgd', feval, x)
    state.evalCounter = state.evalCounter or 0
    local clr = lr / (1 + state.evalCounter * decay)
    torch.noGrad(function()
        if config.weightDecays then grad = ops.addcmul(grad, config.weightDecays, x) end
        local plain = config.learningRates == nil
        state.step = state.step or counter(x)
        if momentum ~= 0 then state.dfdx = state.dfdx or zeros(x) end
        if plain then
            ops.sgd({x}, {grad}, {momentum ~= 0 and state.dfdx or x}, state.step, clr, momentum, dampening, weightDecay,
                config.nesterov or false)
        else -- a rate for each parameter: the step is taken from a copy at rate 1, then scaled
            local moved = ops.copy(x)
            ops.sgd({moved}, {grad}, {momentum ~= 0 and state.dfdx or moved}, state.step, 1, momentum, dampening, weightDecay,
                config.nesterov or false)
            into.sub(moved, x, moved)
            into.addcmul(x, x, config.learningRates, moved, -clr)
        end
    end)
    state.evalCounter = state.evalCounter + 1
    return x, {loss}
end

--- x, {loss} = optim.adam(feval, x, config [, state]): config fields learningRate (1e-3), learningRateDecay, beta1, beta2,
-- epsilon, weightDecay; epsilonHat = false puts epsilon where PyTorch has it.
function optim.adam(feval, x, config, state)
    config = config or {}
    check('adam', feval, x, config)
    state = state or config
    local o = {
        beta1 = config.beta1 or 0.9, beta2 = config.beta2 or 0.999, eps = config.epsilon or 1e-8,
        epsilonHat = config.epsilonHat ~= false,
    }
    local loss, grad = evaluate('adam', feval, x)
    state.t = (state.t or 0) + 1
    state.m, state.v = state.m or zeros(x), state.v or zeros(x)
    state.step = state.step or counter(x)
    local clr = (config.learningRate or 1e-3) / (1 + (state.t - 1) * (config.learningRateDecay or 0))
    ops.adam({x}, {grad}, {state.m}, {state.v}, state.step, clr, o.beta1, o.beta2, objects.epsilonOf(o, state.t),
        config.weightDecay or 0)
    return x, {loss}
end

--- x, {loss} = optim.rmsprop(feval, x, config [, state]): config fields learningRate (1e-2), alpha (0.99), epsilon (1e-8),
-- weightDecay, initialMean (0).
function optim.rmsprop(feval, x, config, state)
    config = config or {}
    check('rmsprop', feval, x, config)
    state = state or config
    local loss, grad = evaluate('rmsprop', feval, x)
    if not state.m then state.m = into.full(zeros(x), nil, config.initialMean or 0) end
    state.step = state.step or counter(x)
    ops.rmsprop({x}, {grad}, {state.m}, {x}, state.step, config.learningRate or 1e-2, config.alpha or 0.99,
        config.epsilon or 1e-8, config.weightDecay or 0)
    return x, {loss}
end
