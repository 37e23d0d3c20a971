-- tape.lua: the tape as scripts see it: x.requiresGrad, x.grad, x:backward(), torch.grad, torch.noGrad.
local ffi = require 'ffi'
local autograd = require 'torch.autograd'
local base = require 'dlrun.ffi'
local class = require 'torch.class'
local hints = require 'dlrun.hints'
local options = require 'torch.options'
local raw = require 'torch.raw'
local tensor = require 'torch.tensor'

local C = base.C
local fail, check = base.fail, base.check
local luaType = type
local isTensor = raw.isTensor
local Tensor, fields = tensor.Tensor, tensor.fields

local M = {}
local F = {}
M.functions = F

-- ---- fields ------------------------------------------------------------------------------------------------------------

fields.requiresGrad = {
    get = function(x) return C.dl_is_recorded(x._t) ~= 0 end,
    set = function(x, on)
        check(C.dl_requires_grad(x._t, on and 1 or 0))
        raw.freeze(x, not on) -- a parameter that was told so stays out of training
    end,
}

-- The gradient's buffer (an alias: writing to it is seen by the optimizer), or nil.
fields.grad = {
    get = function(x)
        if x._t.var == nil then return nil end
        local g = raw.new()
        check(C.dl_grad(x._t, g._t))
        return g._t.storage ~= nil and g or nil
    end,
    set = function(x, g)
        if g ~= nil and not isTensor(g) then fail('x.grad must be a tensor or nil, not a %s', class.type(g)) end
        check(C.dl_set_grad(x._t, g and g._t or nil))
    end,
}

fields.isLeaf = {get = function(x) return C.dl_is_recorded(x._t) ~= 2 end}

-- The same elements off the tape.
function Tensor.detach(x) return raw.detach(x) end

-- ---- switches ----------------------------------------------------------------------------------------------------------

function F.isGradEnabled() return C.dl_grad_enabled() ~= 0 end
function F.setGradEnabled(on) return C.dl_set_grad_enabled(on and 1 or 0) ~= 0 end

local function finish(old, ok, ...)
    C.dl_set_grad_enabled(old)
    if not ok then error((...), 0) end
    return ...
end

local function withRecording(on)
    return function(f, ...)
        if luaType(f) ~= 'function' and luaType(f) ~= 'table' then
            fail('torch.%s(f, …) runs f now; a %s was given', on == 1 and 'enableGrad' or 'noGrad', class.type(f))
        end
        return finish(C.dl_set_grad_enabled(on), pcall(f, ...))
    end
end
F.noGrad, F.enableGrad = withRecording(0), withRecording(1)

-- ---- backward ----------------------------------------------------------------------------------------------------------

local function list(x, what)
    if isTensor(x) then return {x} end
    if x ~= nil and luaType(x) ~= 'table' then
        fail('%s: a tensor or an array of tensors is expected, not a %s', what, class.type(x))
    end
    return x or {}
end

local function flagsOf(what, given)
    local want = options.take(what, given, {'retainGraph', 'createGraph'})
    return (want.retainGraph and C.DL_RETAIN or 0) + (want.createGraph and C.DL_CREATE_GRAPH + C.DL_RETAIN or 0)
end

-- One gradient (or false) for each root.
local function gradientsFor(roots, gradients, what)
    local out = {}
    for k = 1, #roots do
        local root = tensor.expect(roots[k], what, 1)
        if C.dl_is_recorded(root._t) == 0 then fail('%s: %s', what, hints.notOnTape) end
        local g = gradients[k] or false
        if g and not tensor.sameShape(g, root) then
            fail('%s: the gradient has size %s, its tensor %s', what, tensor.shapeText(g), tensor.shapeText(root))
        end
        if not g and tensor.count(root) ~= 1 then
            fail('%s: a tensor of size %s needs a gradient; only one element goes without', what, tensor.shapeText(root))
        end
        out[k] = g
    end
    return out
end

local function begin(what, roots, gradients, targets, flags)
    local rootPointers, n = raw.inputs(roots)
    local gradientPointers = raw.inputs(gradientsFor(roots, gradients, what))
    local targetPointers, m
    if targets then targetPointers, m = raw.inputs(targets) end
    local run = ffi.new 'dl_backward_run *[1]'
    check(C.dl_backward_begin(rootPointers, gradientPointers, n, targetPointers, m or 0, flags, run))
    return run[0]
end

-- Adds the gradients of roots (a tensor or an array) into the leaves' grad.
function F.backward(roots, gradients, given)
    roots = list(roots, 'backward')
    autograd.drive(begin('backward', roots, list(gradients, 'backward'), nil, flagsOf('backward', given)), 0)
end

function Tensor.backward(x, gradient, given)
    if gradient ~= nil and not isTensor(gradient) then
        if luaType(gradient) == 'table' and given == nil then
            gradient, given = nil, gradient
        else
            fail('backward: the gradient must be a tensor, not a %s', class.type(gradient))
        end
    end
    F.backward({x}, gradient and {gradient}, given)
end

-- The gradients of roots towards targets, as tensors (nil where there is no influence); leaves' grad stays as it is.
function F.grad(roots, targets, gradients, given)
    roots, targets = list(roots, 'torch.grad'), list(targets, 'torch.grad')
    local run = begin('torch.grad', roots, list(gradients, 'torch.grad'), targets, flagsOf('torch.grad', given))
    local outs = autograd.drive(run, #targets)
    local results = {}
    for k = 1, #targets do results[k] = not raw.isEmpty(outs[k]) and outs[k] or nil end
    return unpack(results, 1, #targets)
end

return M
