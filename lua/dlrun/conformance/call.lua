-- call.lua: one call of an op through the door, without raising errors.
local ffi = require 'ffi'
local base = require 'dlrun.ffi'
local raw = require 'torch.raw'
local tensors = require 'dlrun.conformance.tensors'
local C = base.C

-- Calls op with an array of tensors (false where absent) on a device. outs: tensors to write into, or nil for new ones. Random
-- ops draw the same numbers in every call. Returns the status, then the outputs or the message.
return function(op, inputs, attributes, device, outs)
    local ins = ffi.new('const dl_tensor *[?]', #inputs + 1)
    for k, x in ipairs(inputs) do
        if x then ins[k - 1] = x._t end
    end
    local results, pointers = {}, ffi.new('dl_tensor *[?]', op.outputs + 1)
    for k = 1, op.outputs do
        results[k] = outs and outs[k] or raw.new()
        pointers[k - 1] = results[k]._t
    end
    local default = C.dl_default_device()
    base.check(C.dl_set_default_device(device))
    C.dl_seed(tensors.SEED)
    local status = C.dl_call(op.id, ins, #inputs, pointers, op.outputs, attributes.array, attributes.n)
    local message = status ~= 0 and ffi.string(C.dl_last_error()) or nil
    base.check(C.dl_set_default_device(default))
    if status ~= 0 then return status, message end
    return status, results
end
