-- Container.lua: modules that hold modules in self.modules and call them in Torch7's way.
local base = require 'dlrun.ffi'
local children = require 'nn.children'

--- nn.Container(a, b, …): the parent of modules that hold modules; they run their children in their own way.
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

-- The names given to children: an array beside self.modules, false for a child without one.
local function namesOf(self)
    local names = rawget(self, '_names')
    if not names then
        names = {}
        rawset(self, '_names', names)
    end
    for k = #names + 1, #self.modules do names[k] = false end
    return names
end

local function checkModule(self, module, method)
    if not children.isModule(module) then
        base.fail('%s:%s wants a module, got %s', torch.typename(self), method, module == nil and 'nil' or torch.type(module))
    end
end

--- container:insert(module [, k [, name]]): puts it at place k; k nil is the end. Returns the container.
function Container:insert(module, k, name)
    checkModule(self, module, name and 'add' or 'insert')
    local n = #self.modules
    k = k or n + 1
    if k < 1 or k > n + 1 then base.fail('%s:insert: place %s is outside 1..%d', torch.typename(self), tostring(k), n + 1) end
    if name ~= nil and (type(name) ~= 'string' or self[name] ~= nil) then
        base.fail('%s:add: %s is not free as a name', torch.typename(self), tostring(name))
    end
    table.insert(namesOf(self), k, name or false)
    table.insert(self.modules, k, module)
    return self
end

--- module = container:remove([k]): takes child k (the last one) out.
function Container:remove(k)
    local n = #self.modules
    k = k or n
    if k < 1 or k > n then base.fail('%s:remove: place %s is outside 1..%d', torch.typename(self), tostring(k), n) end
    table.remove(namesOf(self), k)
    return table.remove(self.modules, k)
end

--- container:add(module [, name]): appends; model.name reads it back and replaces it. Returns the container.
function Container:add(module, name)
    checkModule(self, module, 'add')
    return self:insert(module, nil, name)
end

-- The place of the child called `name`.
local function named(self, name)
    local names = rawget(self, '_names')
    for k = 1, names and #names or 0 do
        if names[k] == name then return k end
    end
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
    local k = named(self, key)
    if k then return self.modules[k], true end
    return nil, false
end

function Container:__newindex__(key, value)
    local k = type(key) == 'number' and position(self, key) or named(self, key)
    if k then
        if value == nil then
            self:remove(k)
        else
            checkModule(self, value, ('[%d]'):format(k))
            self.modules[k] = value
        end
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

return Container
