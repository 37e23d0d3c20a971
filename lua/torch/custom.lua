-- custom.lua: torch.customFunction: functions with a gradient written in Lua.
local autograd = require 'torch.autograd'
local base = require 'dlrun.ffi'
local class = require 'torch.class'
local raw = require 'torch.raw'

local C = base.C
local fail = base.fail
local luaType = type

local M = {}
local F = {}
M.functions = F

local Context = class.class('torch.FunctionContext', nil, {FunctionContext = true})

-- Keeps tensors for backward: ctx.saved[k].
function Context:save(...) self.saved = {...} end

local function withoutRecording(f, ...)
    local old = C.dl_set_grad_enabled(0)
    local results = {pcall(f, ...)}
    C.dl_set_grad_enabled(old)
    if not results[1] then error(results[2], 0) end
    return {unpack(results, 2, table.maxn(results))}
end

-- Each result as a tensor of its own, so that an input given back is not recorded over.
local function fresh(outputs, name)
    for k = 1, #outputs do
        if not raw.isTensor(outputs[k]) then fail('%s: forward must return tensors, not a %s', name, class.type(outputs[k])) end
        outputs[k] = raw.detach(outputs[k])
    end
    return outputs
end

-- A function with a gradient of its own:
--     square = torch.customFunction{
--         forward = function(ctx, x) ctx:save(x); return torch.cmul(x, x) end,
--         backward = function(ctx, grad) return torch.cmul(grad, ctx.saved[1]) * 2 end}
-- forward and backward run unrecorded; backward gets one gradient for each result (nil: zero) and returns one for each tensor
-- argument of forward (nil: zero), in order.
function F.customFunction(definition)
    local name = definition.name or 'customFunction'
    for _, key in ipairs {'forward', 'backward'} do
        if luaType(definition[key]) ~= 'function' then fail('torch.customFunction: %s must be a function', key) end
    end
    return function(...)
        local context = setmetatable({saved = {}}, Context)
        local inputs = {}
        for k = 1, select('#', ...) do
            local x = select(k, ...)
            if raw.isTensor(x) then inputs[#inputs + 1] = x end
        end
        local outputs = fresh(withoutRecording(definition.forward, context, ...), name)
        local n = #outputs -- the closure must not hold the outputs: their node holds the closure
        autograd.record(name, inputs, outputs, function(gradOutputs, needs)
            context.needs = needs
            for k = 1, n do gradOutputs[k] = gradOutputs[k] or nil end
            return withoutRecording(definition.backward, context, unpack(gradOutputs, 1, n))
        end)
        return unpack(outputs)
    end
end

return M
