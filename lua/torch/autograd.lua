-- autograd.lua: custom nodes, and the driver that computes them. A backward run lives in C and never calls Lua: where it meets
-- a node whose gradient is a Lua function, it stops and the driver here computes that node.
local ffi = require 'ffi'
local base = require 'dlrun.ffi'
local raw = require 'torch.raw'

local C = base.C
local M = {}

local nodes = {}  -- id -> backward function
local nextId = 0

local released = ffi.new 'int64_t[256]'

-- Forgets the functions of nodes whose tape was freed; returns how many.
function raw.drain()
    local total = 0
    repeat
        local n = C.dl_custom_released(released, 256)
        for k = 0, n - 1 do nodes[tonumber(released[k])] = nil end
        total = total + n
    until n < 256
    return total
end

local recorded = ffi.new 'int32_t[1]'

-- Makes `outputs` (an array of tensors computed with recording off) the results of a node with these inputs.
-- backward(gradOutputs, needs): gradOutputs[k] is a tensor or false (zero); returns an array of the inputs' gradients, false or
-- nil where there is none. Returns whether the call was recorded: not if no input requires a gradient.
function M.record(name, inputs, outputs, backward)
    if nextId % 64 == 0 then raw.drain() end -- small tensors may never ring the collector's bell
    nextId = nextId + 1
    nodes[nextId] = backward
    local ins, n = raw.pointers(inputs)
    local outs, m = raw.pointers(outputs)
    local status = C.dl_custom_record(name, nextId, ffi.cast('const dl_tensor *const *', ins), n, outs, m, recorded)
    if status ~= 0 or recorded[0] == 0 then nodes[nextId] = nil end
    base.check(status)
    return recorded[0] ~= 0
end

local node = ffi.new 'dl_custom_node'

local function computeNode(run)
    base.check(C.dl_backward_node(run, node))
    local id, n_in, n_out = tonumber(node.id), node.n_in, node.n_out
    local grads, needs = {}, {}
    for k = 1, n_out do
        local g = raw.new()
        base.check(C.dl_backward_node_grad(run, k - 1, g._t))
        grads[k] = not raw.isEmpty(g) and g or false
    end
    for k = 1, n_in do needs[k] = C.dl_backward_node_needs(run, k - 1) ~= 0 end
    local results = nodes[id](grads, needs) or {}
    for k = 1, n_in do
        local g = results[k]
        if g and needs[k] then base.check(C.dl_backward_node_give(run, k - 1, g._t)) end
    end
end

-- Steps a dl_backward_run* to its end and ends it. n: how many gradients it returns; they come as tensors, empty where a target
-- has no influence.
function M.drive(run, n)
    local ok, err = true, nil
    local status = C.dl_backward_step(run)
    while status == C.DL_PENDING do
        ok, err = pcall(computeNode, run)
        if not ok then break end
        status = C.dl_backward_step(run)
    end
    if not ok or status ~= 0 then
        local message = not ok and err or ffi.string(C.dl_last_error())
        C.dl_backward_end(run, nil)
        if not ok then error(message, 0) end
        base.raise(message)
    end
    local results, pointers = raw.news(n)
    base.check(C.dl_backward_end(run, pointers))
    raw.pressed()
    return results
end

return M
