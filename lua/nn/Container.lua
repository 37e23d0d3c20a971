-- Container.lua: modules that hold modules in self.modules and call them in Torch7's way.
local base = require 'dlrun.ffi'
local children = require 'nn.children'

local Container, parent = torch.class('nn.Container', 'nn.Module')

-- Module or (name, module); an error says what is wrong with argument k.
function Container:__init(...)
    parent.__init(self)
    self.modules = {}
    for k = 1, select('#', ...) do
        local module = select(k, ...)
        if not children.isModule(module) then
            base.fail('%s: argument %d must be a module, not %s', torch.typename(self), k, torch.type(module))
        end
        self:add(module)
    end
end

--- container:add(module [, name]): appends; model.name reads it back. Returns the container.
function Container:add(module, name)
    if not children.isModule(module) then
        base.fail('%s:add wants a module, got %s', torch.typename(self), module == nil and 'nil' or torch.type(module))
    end
    table.insert(self.modules, module)
    if name then
        if not rawget(self, '_names') then rawset(self, '_names', {}) end
        self._names[#self.modules] = name
        rawset(self, name, module)
    end
    return self
end

local function position(self, k)
    local n = #self.modules
    if k < 0 then k = n + 1 + k end
    if k < 1 or k > n then base.fail('%s has %d modules; there is no number %d', torch.typename(self), n, k) end
    return k
end

--- module = container:get(k): the k-th module; -1 is the last. container[k] is the same.
function Container:get(k) return self.modules[position(self, k)] end
function Container:size() return #self.modules end

function Container:__index__(key)
    if type(key) == 'number' then
        local modules = rawget(self, 'modules')
        return modules and modules[key < 0 and #modules + 1 + key or key], true
    end
    return nil, false
end

function Container:__newindex__(key, value)
    if type(key) == 'number' then
        self.modules[position(self, key)] = value
        return true
    end
    return children.note(self, key, value)
end

function Container:applyToModules(f)
    for _, module in ipairs(self.modules) do f(module) end
end

function Container:zeroGradParameters() self:applyToModules(function(m) m:zeroGradParameters() end) end
function Container:updateParameters(lr) self:applyToModules(function(m) m:updateParameters(lr) end) end
function Container:reset(stdv) self:applyToModules(function(m) m:reset(stdv) end) end

-- The output of module k for Torch7's containers: what the next one gets.
function Container:rethrowErrors(module, _, method, ...) return module[method](module, ...) end

return Container
