-- classic.lua: a module written in Torch7's way as one node of the tape.
local base = require 'dlrun.ffi'
local raw = require 'torch.raw'
local autograd = require 'torch.autograd'
local tape = require 'nn.tape'

local C = base.C
local M = {}

-- The same tensors off the tape: what a node's closure may hold, as outputs hold their node.
local function detached(value)
    local list = tape.flatten(value)
    for k = 1, #list do list[k] = raw.detach(list[k]) end
    return tape.rebuild(value, list), list
end

-- The module's own output tensors will be reused by its next call; what was returned must stay.
local function renewOutput(self)
    local output = rawget(self, 'output')
    if raw.isTensor(output) then rawset(self, 'output', output.new()) end
end

-- What accGradParameters adds to gradients that are zero: for each of grads, as new tensors.
local function parameterGradients(self, input, gradOutput, grads)
    local kept = {}
    for k, g in ipairs(grads) do
        kept[k] = raw.detach(g)
        g:set(tape.zerosLike(g))
    end
    local ok, message = pcall(self.accGradParameters, self, input, gradOutput, 1)
    local found = {}
    for k, g in ipairs(grads) do
        found[k] = raw.detach(g)
        g:set(kept[k])
    end
    if not ok then error(message, 0) end
    return found
end

-- Puts the module into the state behind its call on `input`: its fields may since have served another.
local function restore(self, call)
    if rawget(self, '_call') ~= call then
        self:updateOutput(call.input)
        rawset(self, '_call', call)
    end
    rawset(self, 'output', call.output)
end

--- output = classic.call(module, input): updateOutput unrecorded; the gradients come from updateGradInput and
-- accGradParameters.
function M.call(self, input)
    renewOutput(self)
    local output = torch.noGrad(self.updateOutput, self, input)
    if C.dl_grad_enabled() == 0 then return output end
    local call = {input = detached(input), output = detached(output)}
    local results, outputs = detached(output)
    rawset(self, '_call', call)
    local params, grads = self:parameters()
    local inputs = tape.flatten(input)
    local nInputs = #inputs
    for k = 1, params and #params or 0 do inputs[nInputs + k] = params[k] end
    autograd.record(torch.typename(self), inputs, outputs, function(gradOutputs, needs)
        return torch.noGrad(function()
            restore(self, call)
            local like = tape.flatten(call.output)
            for k = 1, #like do gradOutputs[k] = gradOutputs[k] or tape.zerosLike(like[k]) end
            local gradOutput = tape.rebuild(call.output, gradOutputs)
            local found = tape.flatten(self:updateGradInput(call.input, gradOutput) or {})
            local anyParameter = false
            for k = nInputs + 1, #needs do anyParameter = anyParameter or needs[k] end
            if anyParameter then
                for k, g in ipairs(parameterGradients(self, call.input, gradOutput, grads)) do found[nInputs + k] = g end
            end
            return found
        end)
    end)
    return results
end

return M
