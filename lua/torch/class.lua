-- class.lua: Torch7's object system. A class is one table: its methods, the metatable of its objects, and callable to make one.
--
--     local Net, parent = torch.class('Net', 'nn.Module')
--     function Net:__init(n) parent.__init(self) … end
--     net = Net(10)
--
-- Operators are written as methods: __add__, __tostring__, __call__, __index__ (returns value, found), __newindex__ (returns
-- handled), and inherit like methods.
local base = require 'dlrun.ffi'

local M = {}
local classes = {}  -- name -> class
local parents = {}  -- class -> class
local packages = {} -- types that are no Lua tables (tensors, storages): functions from value to class or nil

local luaType = type

-- ---- operators ---------------------------------------------------------------------------------------------------------

local native = {} -- '__add__' -> '__add', the metamethod that calls it

local function dispatch(method)
    return function(a, b)
        local class = luaType(a) == 'table' and getmetatable(a)
        local f = class and class[method]
        if not f then
            class = luaType(b) == 'table' and getmetatable(b)
            f = class and class[method]
        end
        return f(a, b)
    end
end

local dispatchers = {}
for _, name in ipairs {'add', 'sub', 'mul', 'div', 'mod', 'pow', 'unm', 'concat', 'eq', 'lt', 'le', 'tostring'} do
    native['__' .. name .. '__'] = '__' .. name
    dispatchers['__' .. name] = dispatch('__' .. name .. '__')
end

native.__call__ = '__call'
function dispatchers.__call(self, ...) return getmetatable(self).__call__(self, ...) end

native.__index__ = '__index'
function dispatchers.__index(self, key)
    local class = getmetatable(self)
    local value, found = class.__index__(self, key)
    if found then return value end
    return class[key]
end

native.__newindex__ = '__newindex'
function dispatchers.__newindex(self, key, value)
    if not getmetatable(self).__newindex__(self, key, value) then rawset(self, key, value) end
end

-- Setting __add__ on a class makes Lua's own metamethod. A class may have a say in what its subclasses define:
-- __define__(class, key, value) returns the value to store.
local function define(class, key, value)
    local hook = class.__define__
    if hook then value = hook(class, key, value) end
    rawset(class, key, value)
    local metamethod = native[key]
    if metamethod then rawset(class, metamethod, dispatchers[metamethod]) end
end

-- ---- classes -----------------------------------------------------------------------------------------------------------

local function construct(class, ...)
    local object = setmetatable({}, class)
    local init = class.__init
    if init then init(object, ...) end
    return object
end

-- Registers a class table under a name; parent and constructor (called as class(...)) may be nil.
local function register(name, class, parent, constructor)
    rawset(class, '__typename', name)
    rawset(class, '__version', 1)
    rawset(class, '__index', parent and rawget(parent, '__index') ~= parent and rawget(parent, '__index') or class)
    for _, metamethod in pairs(native) do
        if parent and metamethod ~= '__index' then rawset(class, metamethod, rawget(parent, metamethod)) end
    end
    local call = constructor and function(_, ...) return constructor(...) end
    setmetatable(class, {__index = parent, __newindex = define, __call = call})
    classes[name] = class
    parents[class] = parent
    return class
end

-- The table that 'a.b.C' lives in, and 'C'.
local function place(name, module)
    local last = name:match '([^.]+)$'
    if module then return module, last end
    local container = _G
    for part in name:gmatch '([^.]+)%.' do
        local inner = container[part]
        if luaType(inner) ~= 'table' then base.fail("torch.class('%s'): there is no package '%s'", name, part) end
        container = inner
    end
    return container, last
end

local function parentOf(name, parentName)
    if parentName == nil then return nil end
    if luaType(parentName) == 'table' and rawget(parentName, '__typename') then return parentName end
    local parent = classes[parentName]
    if not parent then base.fail("torch.class('%s'): there is no class '%s' to inherit from", name, tostring(parentName)) end
    return parent
end

-- Makes (or replaces) a class and puts it where its name says, or into `module`. Returns it and its parent.
function M.class(name, parentName, module)
    if luaType(name) ~= 'string' then base.fail('torch.class: the name must be a string, not a %s', luaType(name)) end
    if luaType(parentName) == 'table' and not rawget(parentName, '__typename') then parentName, module = nil, parentName end
    local parent = parentOf(name, parentName)
    local container, last = place(name, module)
    local class
    class = register(name, {}, parent, function(...) return construct(class, ...) end)
    rawset(class, '__factory', function() return setmetatable({}, class) end)
    container[last] = class
    return class, parent
end

-- As torch.class, with a constructor of the caller's own; the name need not be placed.
function M.newmetatable(name, parentName, constructor)
    local class = register(name, {}, parentOf(name, parentName), constructor)
    if constructor then
        local container, last = place(name)
        container[last] = class
    end
    return class
end

-- For types whose values are no Lua tables: find(value) gives the class or nil.
function M.recognise(find) packages[#packages + 1] = find end
M.register = register

-- ---- questions ---------------------------------------------------------------------------------------------------------

local function classOf(object)
    if luaType(object) == 'table' then
        local class = getmetatable(object)
        return luaType(class) == 'table' and rawget(class, '__typename') and class or nil
    end
    if luaType(object) ~= 'cdata' then return nil end
    for _, find in ipairs(packages) do
        local class = find(object)
        if class then return class end
    end
end
M.classOf = classOf

function M.typename(object)
    local class = classOf(object)
    return class and class.__typename
end

function M.type(object)
    local class = classOf(object)
    return class and class.__typename or type(object) -- luacheck: ignore (the wrapped one: tensors are userdata)
end

-- Is object of the class (a table, or a string.find pattern of its name) or of one that inherits from it?
function M.isTypeOf(object, spec)
    local class = classOf(object)
    while class do
        if class == spec then return true end
        if luaType(spec) == 'string' and (class.__typename == spec or class.__typename:find(spec)) then return true end
        class = parents[class]
    end
    return false
end

function M.getmetatable(name) return classes[name] end
M.getconstructortable = M.getmetatable
M.metatype = M.getmetatable

function M.setmetatable(object, name)
    local class = classes[name]
    if not class then base.fail("torch.setmetatable: there is no class '%s'", tostring(name)) end
    return setmetatable(object, class)
end

function M.factory(name)
    local class = classes[name]
    return class and class.__factory
end

function M.version(object)
    local class = classOf(object)
    return class and class.__version
end

M.typename2id = M.getmetatable
M.id = classOf

function M.isequal(a, b) return rawequal(a, b) end

return M
