-- fuse.lua: neighbours in a Sequential as one call (dl_call_fused): a module that ends in one op with room for an epilogue,
-- and the pointwise modules behind it.
local ffi = require 'ffi'
local base = require 'dlrun.ffi'
local raw = require 'torch.raw'
local path = require 'nn.path'

local C = base.C
local M = {}

local MAX_CHAIN, MAX_ATTRS = 4, 16
local chain = ffi.new('dl_epilogue[?]', MAX_CHAIN)
local attrs = ffi.new('dl_attr[?]', MAX_ATTRS)
local ins = ffi.new 'const dl_tensor *[4]'
local outs = ffi.new 'dl_tensor *[1]'

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

-- Calls modules[first] fused with those behind it. Returns the result and the last module's number; nothing if there is
-- nothing to fuse. A module offers itself by fusedInputs(x), which returns an op's name and its tensors.
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
    local op, a, b, c = offer(head, input)
    ins[0], ins[1], ins[2] = a._t, b._t, c and c._t or nil
    local result = raw.new()
    outs[0] = result._t
    base.check(C.dl_call_fused(C.dl_op_find(op), ins, 3, outs, 1, nil, 0, chain, n))
    raw.pressed()
    return path.leave(depth, result, first + n)
end

return M
