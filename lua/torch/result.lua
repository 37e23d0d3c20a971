-- result.lua: Torch7's result-first calls: torch.f(res, x, …) puts into res what torch.f(x, …) returns.
local ops = require 'torch.ops'
local raw = require 'torch.raw'
local resize = require 'torch.resize'

local M = {}

-- Puts y's elements into res, which takes y's shape and keeps its own type and storage. Returns res.
function M.store(res, y)
    raw.descriptor(res)
    raw.descriptor(y)
    if res._t.type == y._t.type and res._t.ndim == 1 and res._t.shape[0] == 0 then return resize.become(res, y) end
    if y._t.ndim == 0 then return ops.into.copy(res:resizeAs(y), y) end
    return ops.into.copy(resize.to(res, resize.fullShape(y)), y)
end

-- f(x, …) of one tensor, made to accept f(res, x, …): two tensors in front.
function M.first(f)
    return function(x, second, ...)
        if raw.isTensor(second) and raw.isTensor(x) then return M.store(x, f(second, ...)) end
        return f(x, second, ...)
    end
end

-- The same for f(x, y, …) of two tensors.
function M.firstOfTwo(f)
    return function(x, y, third, ...)
        if raw.isTensor(third) then return M.store(x, f(y, third, ...)) end
        return f(x, y, third, ...)
    end
end

return M
