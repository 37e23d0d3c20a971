-- Sequential.lua: modules one after another. On the tape, neighbours are composed: pointwise modules behind a Linear become
-- its epilogue, applied while the result is hot. Torch7's forward calls every module by itself, so that
-- each .output exists.
local fuse = require 'nn.fuse'
local path = require 'nn.path'
local reuse = require 'nn.reuse'

--- nn.Sequential(a, b, …): output = …b(a(input)).
local Sequential = torch.class('nn.Sequential', 'nn.Container')

Sequential.takesMany = true -- the first module gets all inputs

function Sequential:compute(input, ...)
    local modules = self.modules
    local k, n = 1, #modules
    if select('#', ...) > 0 and n > 0 then input, k = modules[1](input, ...), 2 end
    while k <= n do
        local x, last = fuse.call(modules, k, input)
        if last then
            input, k = x, last + 1
        else
            input, k = modules[k](input), k + 1
        end
    end
    return input
end

function Sequential:updateOutput(input)
    local depth = path.enter(self)
    reuse.begin(self)
    for k, module in ipairs(self.modules) do
        input = module:updateOutput(input)
        reuse.note(self, k)
    end
    rawset(self, 'output', input)
    return path.leave(depth, input)
end

-- Calls step(module, its input, gradient) from the last module to the first; step returns the gradient for the one before.
local function backwards(self, input, gradOutput, step)
    local modules = self.modules
    local depth = path.enter(self)
    for k = #modules, 1, -1 do
        reuse.restore(self, k)
        gradOutput = step(modules[k], k > 1 and reuse.output(self, k - 1) or input, gradOutput)
    end
    return path.leave(depth, gradOutput)
end

function Sequential:updateGradInput(input, gradOutput)
    rawset(self, 'gradInput', backwards(self, input, gradOutput, function(m, x, g) return m:updateGradInput(x, g) end))
    return self.gradInput
end

function Sequential:accGradParameters(input, gradOutput, scale)
    backwards(self, input, gradOutput, function(m, x, g)
        m:accGradParameters(x, g, scale or 1)
        return m.gradInput
    end)
end

function Sequential:backward(input, gradOutput, scale)
    rawset(self, 'gradInput', backwards(self, input, gradOutput, function(m, x, g) return m:backward(x, g, scale or 1) end))
    return self.gradInput
end

function Sequential:accUpdateGradParameters(input, gradOutput, lr)
    backwards(self, input, gradOutput, function(m, x, g)
        m:accUpdateGradParameters(x, g, lr)
        return m.gradInput
    end)
end

function Sequential:__tostring__()
    local lines, chain = {}, {}
    for k, module in ipairs(self.modules) do
        chain[k] = ('(%d)'):format(k)
        lines[k] = ('  (%d): %s'):format(k, (tostring(module):gsub('\n', '\n  ')))
    end
    table.insert(chain, 1, 'input')
    chain[#chain + 1] = 'output'
    return ('%s {\n  [%s]\n%s\n}'):format(torch.typename(self), table.concat(chain, ' -> '), table.concat(lines, '\n'))
end

return Sequential
