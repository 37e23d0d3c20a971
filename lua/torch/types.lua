-- types.lua: the tensor types: how an element type of the library is called in Torch7 and in Lua, and which C type it has.
local ffi = require 'ffi'
local C = require('dlrun.ffi').C

-- name, Torch7's name, C type of a stored element, kind
local rows = {
    {'float32', 'Float', 'float', 'float'},
    {'float64', 'Double', 'double', 'float'},
    {'float16', 'Half', 'uint16_t', 'float'},
    {'bfloat16', 'BFloat16', 'uint16_t', 'float'},
    {'uint8', 'Byte', 'uint8_t', 'integer'},
    {'int8', 'Char', 'int8_t', 'integer'},
    {'int16', 'Short', 'int16_t', 'integer'},
    {'int32', 'Int', 'int32_t', 'integer'},
    {'int64', 'Long', 'int64_t', 'integer'},
    {'bool', 'Bool', 'uint8_t', 'bool'},
}

local M = {
    list = {},     -- every type
    byDtype = {},  -- dtype number -> type
    byName = {},   -- 'Float', 'float32', 'torch.FloatTensor', 'float' … -> type
    default = nil, -- torch.Tensor's type
}

for _, row in ipairs(rows) do
    local name, torchName, ctype, kind = unpack(row)
    local type = {
        dtype = C.dl_dtype_find(name),
        name = name,
        short = torchName,
        method = torchName:lower(), -- x:float(), x:long()
        tensorName = 'torch.' .. torchName .. 'Tensor',
        storageName = 'torch.' .. torchName .. 'Storage',
        bytes = ffi.sizeof(ctype),
        pointer = ffi.typeof(ctype .. ' *'),
        array = ffi.typeof(ctype .. '[?]'),
        kind = kind,
        floating = kind == 'float',
        packed = name == 'float16' or name == 'bfloat16', -- storage only: Lua reads these through float32
    }
    M.list[#M.list + 1] = type
    M.byDtype[type.dtype] = type
    for _, key in ipairs {name, torchName, type.method, type.tensorName, type.storageName} do M.byName[key] = type end
end

M.default = M.byName.Float
return M
