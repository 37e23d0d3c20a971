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
local chain = ffi.new('dl_epilogue[?]', MAX_CHAIN)
local attrs = ffi.new('dl_attr[?]', MAX_ATTRS)

-- Puts module's pointwise op (a method pointwise() returning the op's name and an array of scalar attributes) into the
-- chain.
local function follower(module, n, used)
    local describe = module.pointwise
    if not describe then return nil end
    local name, values = describe(module)
    if not name or used + (values and #values or 0) > MAX_ATTRS then return nil end
    local count = values and #values or 0
    chain[n].op = C.dl_op_find(name)
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
