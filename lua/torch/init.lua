-- init.lua: the torch package: puts the parts together. See the file of each part for what it does.
local ffi = require 'ffi'
local base = require 'dlrun.ffi'
local class = require 'torch.class'
local hints = require 'dlrun.hints'
local raw = require 'torch.raw'
local storage = require 'torch.storage'
local tensor = require 'torch.tensor'
local types = require 'torch.types'

local C = base.C
local fail = base.fail
local luaType = type

local torch = {}
_G.torch = torch

-- type() of tensors and storages is 'userdata', as in Torch7: scripts tell tables of tensors by it.
function type(x) -- luacheck: ignore 121
    local t = luaType(x)
    if t == 'cdata' and (raw.isTensor(x) or storage.isStorage(x)) then return 'userdata' end
    return t
end

-- ---- the parts ---------------------------------------------------------------------------------------------------------

torch._version = ffi.string(C.dl_version())

for _, name in ipairs {'class', 'typename', 'type', 'isTypeOf', 'getmetatable', 'getconstructortable', 'metatype',
    'newmetatable', 'setmetatable', 'factory', 'version', 'typename2id', 'id', 'isequal'} do
    torch[name] = class[name]
end
for _, type in ipairs(types.list) do
    torch[type.short .. 'Tensor'] = tensor.classes[type.dtype]
    torch[type.short .. 'Storage'] = storage.classes[type.dtype]
end

local pointwise = require 'torch.pointwise'
for _, part in ipairs {'construct', 'view', 'pointwise', 'reduce', 'sort', 'linalg', 'gather', 'random', 'custom', 'tape',
    'autocast', 'capture', 'timer', 'cmdline', 'system'} do
    for name, f in pairs(require('torch.' .. part).functions) do torch[name] = f end
end
require 'torch.indexing'
require 'torch.print'
require 'torch.number'

function torch.isTensor(x) return raw.isTensor(x) end
function torch.isStorage(x) return storage.isStorage(x) end

-- Methods that need nothing but the tensor are functions too.
for _, name in ipairs {'numel', 'nElement', 'dim', 'size', 'totable', 'tolist', 'typeAs', 'fill', 'zero', 'data',
    'isContiguous', 'clone', 'contiguous', 'item'} do
    torch[name] = torch[name] or function(x, ...)
        if not raw.isTensor(x) and not storage.isStorage(x) then
            fail('%s: argument 1 must be a tensor, not %s', name, x == nil and 'nil' or 'a ' .. class.type(x))
        end
        local method = x[name]
        if not method then fail('%s: a %s has no such method', name, class.type(x)) end
        return method(x, ...)
    end
end

-- ---- the default type --------------------------------------------------------------------------------------------------

-- torch.Tensor is a class table like its kin, that stands for whichever type is the default.
local makeDefault = torch.Tensor
torch.Tensor = setmetatable({}, {
    __call = function(_, ...) return makeDefault(...) end,
    __index = function(_, key) return tensor.classes[types.default.dtype][key] end,
    __newindex = function(_, key, value) tensor.Tensor[key] = value end,
})
torch.Storage = setmetatable({}, {
    __call = function(_, ...) return storage.construct(types.default, ...) end,
    __index = function(_, key) return storage.classes[types.default.dtype][key] end,
})

function torch.setdefaulttensortype(name)
    local type = types.byName[name]
    if not type or type.tensorName ~= name then
        fail("torch.setdefaulttensortype: there is no tensor type '%s' (they are called 'torch.FloatTensor')", tostring(name))
    end
    types.default = type
end

function torch.getdefaulttensortype() return types.default.tensorName end

-- ---- names found on first use ------------------------------------------------------------------------------------------

setmetatable(torch, {__index = function(_, name)
    local f = pointwise.find(name)
    if f then
        rawset(torch, name, f)
        return f
    end
    local hint = hints.torch[name]
    if hint then fail('%s', hint) end
end})

return torch
