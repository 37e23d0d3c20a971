-- Module.lua: what every layer is. A module writes its computation once, as compute(input) in differentiable ops; this file
-- makes two faces of it:
--
--   model(x)                          autograd: fresh tensors on the tape
--   forward, backward, updateGradInput, accGradParameters      Torch7: runs of the tape segment of the last forward
--
-- A user's module writes forward(x) (PyTorch's way), or overrides updateOutput, updateGradInput, accGradParameters
-- (Torch7's).
local base = require 'dlrun.ffi'
local raw = require 'torch.raw'
local ops = require 'torch.ops'
local children = require 'nn.children'
local classic = require 'nn.classic'
local kinds = require 'nn.kinds'
local path = require 'nn.path'
local tape = require 'nn.tape'

local C = base.C
local isTensor, into = raw.isTensor, ops.into
local kind, store, zerosLike = kinds.of, tape.store, tape.zerosLike

local Module = torch.class 'nn.Module'
Module.__isModule = true

--- nn.Module(): the parent of all layers. Fields: output, gradInput, train (boolean).
function Module:__init()
    self.gradInput = torch.Tensor()
    self.output = torch.Tensor()
    self.train = true
    self._type = self.output:type()
end

Module.__newindex__ = children.note

-- A user's class may forget parent.__init(self): reading these then gives what __init would have set.
Module.train = true

-- ---- parameters
-- ----------------------------------------------------------------------------------------------------------

-- The gradient buffer of one of the module's own parameters, made if there is none.
local function gradOf(self, name)
    local field = children.gradName(name)
    local g = rawget(self, field)
    if not isTensor(g) or (raw.isEmpty(g) and not raw.isEmpty(self[name])) then
        g = zerosLike(self[name])
        self[field] = g
    end
    return g
end

-- The gradient of a leaf and the module's gradWeight become one tensor.
local function joinGradient(p, g)
    local own = p.grad
    if not own then
        base.check(C.dl_set_grad(p._t, g._t))
    elseif own._t.type == g._t.type and not own:isSetTo(g) then
        g:set(own)
    end
end

-- From now on the parameter is a leaf of autograd whose gradient is the module's gradWeight.
local function bindParameter(self, name)
    local p = self[name]
    if raw.isFrozen(p) or raw.isEmpty(p) or C.dl_is_recorded(p._t) == 2 then return end
    if p._t.var == nil then base.check(C.dl_requires_grad(p._t, 1)) end
    joinGradient(p, gradOf(self, name))
end

-- _bound holds the weight that was bound (true where there is none): another one assigned later is bound in its turn.
local function isBound(self) return rawequal(rawget(self, '_bound'), rawget(self, 'weight') or true) end

local function bind(self)
    for _, name in ipairs(children.parameterNames(self)) do bindParameter(self, name) end
    rawset(self, '_bound', rawget(self, 'weight') or true)
end

--- module:requireGradients(): decides that this module's parameters and its children's are trained with autograd. Called by
-- model(x) and by optim's objects.
function Module:requireGradients()
    return self:apply(function(m) if not isBound(m) then bind(m) end end)
end

-- Called by each module that runs on the user's tape: its own parameters are decided now.
function Module:_decide()
    if C.dl_grad_enabled() ~= 0 and not isBound(self) and not tape.isRecording() then bind(self) end
end

-- Are parameters missing until the first input tells their sizes?
function Module:incomplete() return false end -- luacheck: ignore 212

-- An error where parameters are asked for that do not exist yet.
function Module:_requireComplete()
    if self:incomplete() then
        base.fail('%s: its sizes come with the first input: run one batch first, model(x)', tostring(self))
    end
end

local function anyIncomplete(self)
    if self:incomplete() then return true end
    for _, child in children.each(self) do
        if anyIncomplete(child) then return true end
    end
    return false
end

--- params, gradParams = module:parameters(): two arrays, or nothing if there are none.
function Module:parameters()
    self:_requireComplete()
    local params, grads = {}, {}
    for _, name in ipairs(children.parameterNames(self)) do
        local p, g = self[name], gradOf(self, name)
        params[#params + 1], grads[#grads + 1] = p, g
        raw.companion[p] = g
    end
    for _, child in children.each(self) do
        local p, g = child:parameters()
        for k = 1, p and #p or 0 do
            params[#params + 1] = p[k]
            grads[#grads + 1] = g[k]
        end
    end
    if #params > 0 then return params, grads end
end

-- ---- the autograd face
-- ---------------------------------------------------------------------------------------------------

local callers = {
    forward = function(self, ...) return self:__forward(...) end,
    -- several inputs are a table to a built-in module
    compute = function(self, ...)
        if select('#', ...) > 1 and not self.takesMany then return self:compute {...} end
        return self:compute(...)
    end,
    classic = classic.call,
}

local function checkInput(self, input)
    if input == nil then base.fail('%s was called without an input', torch.typename(self)) end
end

--- output = module(input): runs on the tape; gradients come from loss:backward(). Several inputs: module(a, b).
function Module:__call__(...)
    checkInput(self, (...))
    local depth = path.enter(self)
    self:_decide()
    return path.leave(depth, callers[kind(self)](self, ...))
end

-- ---- the Torch7 face
-- -----------------------------------------------------------------------------------------------------

-- The tensors whose gradients this module accumulates: its own parameters; of a module written in PyTorch's way, all below
-- it.
local function segmentParameters(self)
    if kind(self) == 'forward' then
        local params, grads = self:parameters()
        return params or {}, grads or {}
    end
    local params, grads = {}, {}
    for k, name in ipairs(children.parameterNames(self)) do
        params[k] = self[name]
        grads[k] = rawget(self, children.gradName(name)) or gradOf(self, name)
    end
    return params, grads
end

-- Runs compute(input) or the user's forward(…) into a segment. Several inputs are handed to backward as a table.
local function runRecorded(self, compute, ...)
    local several = select('#', ...) > 1
    local input = several and {...} or (...)
    local depth = path.enter(self)
    -- a segment knows its parameters from the start: a run outside makes those that are missing
    if kind(self) == 'forward' and not rawget(self, '_segment') and anyIncomplete(self) then
        torch.noGrad(compute, self, ...)
    end
    local params = segmentParameters(self)
    local output
    output, self._segment = tape.record(function(x)
        if several then return compute(self, unpack(x)) end
        return compute(self, x)
    end, input, params)
    return path.leave(depth, store(self, 'output', output))
end

--- output = module:forward(input): Torch7's; the result is also module.output, and not on the user's tape.
function Module:forward(input, ...)
    checkInput(self, input)
    -- parent.forward(self, x) in a user's forward(x): the parent's computation as part of this one
    if self.compute and path.isRunning(self) then return callers.compute(self, input, ...) end
    if select('#', ...) > 0 then return runRecorded(self, callers[kind(self)], input, ...) end
    return self:updateOutput(input)
end

function Module:updateOutput(input)
    local k = kind(self)
    local compute = k == 'classic' and self.compute or callers[k]
    if compute == classic.call then base.fail('%s has no updateOutput', torch.typename(self)) end
    return runRecorded(self, compute, input)
end

local function segmentOf(self)
    return rawget(self, '_segment') or base.fail('%s: backward before forward', torch.typename(self))
end

local function accumulate(grads, found, scale)
    for k = 1, #grads do
        if found[k] then into.add(grads[k], grads[k], found[k], scale) end
    end
end

-- Zero where a gradient does not reach an input.
local function completeInputs(input, found)
    local inputs = tape.flatten(input)
    for k = 1, #inputs do found[k] = found[k] or zerosLike(inputs[k]) end
    return tape.rebuild(input, found)
end

local function run(self, input, gradOutput, wantInputs, wantParams)
    local depth = path.enter(self)
    local params, grads = segmentParameters(self)
    local gi, gp = tape.backward(segmentOf(self), input, params, gradOutput, wantInputs, wantParams and #params > 0)
    return path.leave(depth, gi, gp, grads)
end

--- gradInput = module:updateGradInput(input, gradOutput)
function Module:updateGradInput(input, gradOutput)
    local gi = run(self, input, gradOutput, true, false)
    return store(self, 'gradInput', completeInputs(input, gi))
end

--- module:accGradParameters(input, gradOutput [, scale = 1]): adds scale times the gradients into gradWeight and gradBias.
function Module:accGradParameters(input, gradOutput, scale)
    if kind(self) == 'classic' and not rawget(self, '_segment') then return end -- a layer without parameters leaves it out
    local _, gp, grads = run(self, input, gradOutput, false, true)
    if gp then accumulate(grads, gp, scale or 1) end
end

local defaultUpdateGradInput, defaultAccGradParameters = Module.updateGradInput, Module.accGradParameters

--- gradInput = module:backward(input, gradOutput [, scale = 1]): updateGradInput and accGradParameters in one run.
function Module:backward(input, gradOutput, scale)
    if self.updateGradInput ~= defaultUpdateGradInput or self.accGradParameters ~= defaultAccGradParameters then
        self:updateGradInput(input, gradOutput)
        self:accGradParameters(input, gradOutput, scale or 1)
        return self.gradInput
    end
    local gi, gp, grads = run(self, input, gradOutput, true, true)
    if gp then accumulate(grads, gp, scale or 1) end
    return store(self, 'gradInput', completeInputs(input, gi))
end

function Module:backwardUpdate(input, gradOutput, lr)
    self:updateGradInput(input, gradOutput)
    self:accUpdateGradParameters(input, gradOutput, lr)
    return self.gradInput
end

--- module:accUpdateGradParameters(input, gradOutput, lr): an SGD step without gradient buffers: gradients are added into
-- the weights themselves, times -lr.
function Module:accUpdateGradParameters(input, gradOutput, lr)
    local names, kept = children.parameterNames(self), {}
    for _, name in ipairs(names) do
        kept[name] = rawget(self, children.gradName(name))
        self[children.gradName(name)] = self[name]
    end
    local old = C.dl_set_grad_enabled(0)
    local ok, err = pcall(self.accGradParameters, self, input, gradOutput, -lr)
    C.dl_set_grad_enabled(old)
    for _, name in ipairs(names) do self[children.gradName(name)] = kept[name] end
    if not ok then error(err, 0) end
end
Module.defaultAccUpdateGradParameters = Module.accUpdateGradParameters

--- module:zeroGradParameters()
function Module:zeroGradParameters()
    local _, grads = self:parameters()
    for k = 1, grads and #grads or 0 do into.full(grads[k], nil, 0) end
end

--- module:updateParameters(lr): params = params - lr * gradParams.
function Module:updateParameters(lr)
    local params, grads = self:parameters()
    torch.noGrad(function()
        for k = 1, params and #params or 0 do into.add(params[k], params[k], grads[k], -lr) end
    end)
end

-- ---- walking
-- --------------------------------------------------------------------------------------------------------------

--- module:apply(f): calls f on this module and on everything below it.
function Module:apply(f)
    f(self)
    for _, child in children.each(self) do child:apply(f) end
    return self
end

--- for name, child in module:children() do … end
function Module:children() return children.each(self) end

function Module:listModules()
    local list = {}
    self:apply(function(m) list[#list + 1] = m end)
    return list
end

--- modules, containers = module:findModules('nn.Linear')
function Module:findModules(typename)
    local found, holders = {}, {}
    if torch.typename(self) == typename then
        found[1] = self
        holders[1] = self
    end
    for _, child in children.each(self) do
        local f, h = child:findModules(typename)
        for k = 1, #f do
            found[#found + 1] = f[k]
            holders[#holders + 1] = f[k] == child and self or h[k]
        end
    end
    return found, holders
end

local function setTrain(self, on)
    return self:apply(function(m) rawset(m, 'train', on) end)
end
--- module:training(), module:evaluate() (alias eval): change layers such as Dropout; return the module. Recording is not
-- touched.
function Module:training() return setTrain(self, true) end
function Module:evaluate() return setTrain(self, false) end
Module.eval = Module.evaluate

function Module:reset() end

--- module:clearState(): drops output, gradInput and buffers, so that a saved or cloned module is small.
function Module:clearState()
    self:apply(function(m)
        rawset(m, '_segment', nil)
        rawset(m, '_uses', nil)
        rawset(m, '_call', nil)
        for _, field in ipairs {'output', 'gradInput'} do
            if isTensor(rawget(m, field)) then m[field]:set() else rawset(m, field, torch.Tensor()) end
        end
    end)
    return self
end

--- module:replace(f): every module becomes f(module), from the leaves up.
function Module:replace(f)
    for key, child in children.each(self) do
        local new = child:replace(f)
        local array, at = tostring(key):match '^(.-)%[(%d+)%]$'
        if array then self[array][tonumber(at)] = new else self[key] = new end
    end
    return f(self)
end

-- Calls f, which gives parameters another storage or type, with the leaves among them off the tape; then makes them leaves
-- again.
function Module:_rebinding(f, ...)
    local leaves = {}
    self:apply(function(m)
        for _, name in ipairs(children.parameterNames(m)) do
            local p = m[name]
            if C.dl_is_recorded(p._t) == 1 then
                joinGradient(p, gradOf(m, name))
                base.check(C.dl_requires_grad(p._t, 0))
                leaves[#leaves + 1] = {m, name}
            end
        end
    end)
    local results = {pcall(f, ...)}
    for _, leaf in ipairs(leaves) do bindParameter(leaf[1], leaf[2]) end
    if not results[1] then error(results[2], 0) end
    return unpack(results, 2)
end

-- ---- text
-- ------------------------------------------------------------------------------------------------------------------

-- One line for error messages and print.
function Module:describe()
    local text = tostring(self)
    return (text:match '^[^\n]*':gsub('^nn%.', ''):gsub(' {$', ''))
end

--- print(model): Torch7's text for built-in modules; a user's class lists (name): child.
function Module:__tostring__()
    local lines = {}
    for name, child in children.each(self) do
        lines[#lines + 1] = ('  (%s): %s'):format(name, (tostring(child):gsub('\n', '\n  ')))
    end
    if #lines == 0 then return torch.typename(self) end
    return torch.typename(self) .. ' {\n' .. table.concat(lines, '\n') .. '\n}'
end

-- The way in which Net:forward is defined in classes of modules: Net.forward is Torch7's face, Net.__forward the user's
-- function. parent.forward(self, x) in a subclass's forward is the parent's function.
function Module.__define__(class, key, value)
    if key ~= 'forward' or type(value) ~= 'function' then return value end
    rawset(class, '__forward', value)
    return function(self, ...)
        if path.isRunning(self) then return value(self, ...) end
        return Module.forward(self, ...)
    end
end

return Module
