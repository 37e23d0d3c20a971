-- fuse.lua: neighbours in a Sequential as one call (dl_call_fused): a module that ends in one op with room for an epilogue,
-- and the pointwise modules behind it.
local ffi = require 'ffi'
local base = require 'dlrun.ffi'
local ops = require 'torch.ops'
local raw = require 'torch.raw'
local path = require 'nn.path'

local C = base.C
local M = {}

local MAX_CHAIN, MAX_ATTRS = 4, 16
local POINTWISE = require('dlrun.constants').flag.POINTWISE
local chain = ffi.new('dl_epilogue[?]', MAX_CHAIN)
local attrs = ffi.new('dl_attr[?]', MAX_ATTRS)

local ids = {} -- name -> id of an op that can follow another

-- An error in the name of the module whose pointwise() it is.
local function refuse(module, message, ...)
    path.enter(module)
    base.fail('pointwise() must return an op\'s name and a table of numbers: ' .. message, ...)
end

-- The id of a pointwise op of one tensor.
local function find(module, name)
    if type(name) ~= 'string' then refuse(module, 'the first is a %s', type(name)) end
    local id, info = C.dl_op_find(name), ffi.new 'dl_op_info'
    if id < 0 then refuse(module, "there is no op '%s'", name) end
    base.check(C.dl_op_get(id, info))
    local _, tensors = ffi.string(info.signature):match('%((.*)%)'):gsub('Tensor', '')
    if bit.band(info.flags, POINTWISE) == 0 then refuse(module, '%s is no expression', name) end
    if tensors ~= 1 then refuse(module, '%s takes %d tensors, not one', name, tensors) end
    ids[name] = id
    return id
end

local function checkNumbers(module, values)
    if type(values) ~= 'table' then refuse(module, 'the second is a %s', type(values)) end
    for k = 1, #values do
        if type(values[k]) ~= 'number' then refuse(module, 'number %d is a %s', k, type(values[k])) end
    end
    return #values
end

-- Puts module's pointwise op (a method pointwise() returning the op's name and an array of scalar attributes, or nothing where
-- it is none) into the chain.
local function follower(module, n, used)
    local describe = module.pointwise
    if not describe then return nil end
    local name, values = describe(module)
    if not name then return nil end
    local id = ids[name] or find(module, name)
    local count = values ~= nil and checkNumbers(module, values) or 0
    if used + count > MAX_ATTRS then return nil end
    chain[n].op = id
    chain[n].n_attr = count
    chain[n].attr = attrs + used
    for k = 1, count do
        attrs[used + k - 1].kind = C.DL_ATTR_FLOAT
        attrs[used + k - 1].v.f = values[k]
    end
    return used + count
end

local function call(n, op, ...)
    if op then return ops.fused[op](chain, n, ...) end
end

-- Calls modules[first] fused with those behind it. Returns the result and the last module's number; nothing if there is
-- nothing to fuse. A module offers itself by fusedInputs(x), which returns an op's name and its arguments, or nothing where x
-- wants more than the op.
function M.call(modules, first, input)
    local head = modules[first]
    local offer = head.fusedInputs
    if not offer or not raw.isTensor(input) then return nil end
    local n, used = 0, 0
    while n < MAX_CHAIN and modules[first + n + 1] do
        local now = follower(modules[first + n + 1], n, used)
        if not now then break end
        n, used = n + 1, now
    end
    if n == 0 then return nil end
    local depth = path.enter(head)
    head:_decide()
    local result = call(n, offer(head, input))
    return path.leave(depth, result, result and first + n)
end

return M
