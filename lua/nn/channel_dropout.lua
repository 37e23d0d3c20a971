-- channel_dropout.lua: dropout of whole channels, and dropout that keeps mean and variance.
local base = require 'dlrun.ffi'
local ops = require 'torch.ops'
local raw = require 'torch.raw'
local shapeOf = require 'torch.resize'.fullShape

local Dropout = nn.Dropout

local function checkTensor(x)
    if not raw.isTensor(x) then base.fail('expected a tensor, got %s', torch.type(x)) end
end

-- One draw for each of x's first `channels` dimensions: 0 with probability p, else 1/(1-p).
local function drawn(x, channels, p)
    local shape = shapeOf(x)
    for d = channels + 1, #shape do shape[d] = 1 end
    return (ops.dropout(ops.full(shape, 1, x._t.type), p))
end

-- dims: how many dimensions lie behind the channels; scaleWhen: who is scaled by the share that is kept, 'training' (by
-- 1/(1-p)) or 'evaluating' (by 1-p). unbatched: may the input be (C, …)?
local function define(name, dims, scaleWhen, unbatched)
    local class = torch.class('nn.' .. name, 'nn.Dropout')
    function class:__init(p) Dropout.__init(self, p, scaleWhen == 'evaluating') end
    function class:compute(x)
        checkTensor(x)
        local n = x._t.ndim
        local single = unbatched and n == dims + 1
        if not single and n ~= dims + 2 and not (name == 'Dropout2d' and n == 3) then
            local orSingle = unbatched and (' or %d'):format(dims + 1) or ''
            base.fail('expected %d%s dimensions, (N, C, …), got (%s)', dims + 2, orSingle, table.concat(shapeOf(x), ', '))
        end
        if not self.train then return self.v2 and ops.copy(x) or ops.mul_scalar(x, 1 - self.p) end
        if self.p == 0 then return ops.copy(x) end
        local mask = drawn(x, single and 1 or 2, self.p)
        if not self.v2 then mask = ops.mul_scalar(mask, 1 - self.p) end
        return ops.mul(x, mask)
    end
end

--- nn.SpatialDropout([p = 0.5]): while training, zeroes whole channels of (N, C, H, W) or (C, H, W) with probability p;
-- evaluating, scales by 1-p, as Torch7 does (Tompson et al., "Efficient object localization", CVPR 2015).
define('SpatialDropout', 2, 'evaluating', true)
--- nn.VolumetricDropout([p = 0.5]): the same for (N, C, D, H, W) or (C, D, H, W).
define('VolumetricDropout', 3, 'evaluating', true)
--- nn.Dropout1d([p = 0.5]): while training, zeroes whole channels of (N, C, L) or (C, L) with probability p and scales the
-- others by 1/(1-p), as PyTorch does.
define('Dropout1d', 1, 'training', true)
--- nn.Dropout2d([p = 0.5]): the same for (N, C, H, W), and for (N, C, L).
define('Dropout2d', 2, 'training', false)
--- nn.Dropout3d([p = 0.5]): the same for (N, C, D, H, W) or (C, D, H, W).
define('Dropout3d', 3, 'training', true)

--- nn.AlphaDropout([p = 0.5]): while training, sets elements to SELU's lower limit with probability p, and scales and shifts
-- all so that zero mean and unit variance stay (Klambauer et al., "Self-normalizing neural networks", NeurIPS 2017).
local AlphaDropout = torch.class('nn.AlphaDropout', 'nn.Dropout')

local LIMIT = -1.7580993408473766 -- -scale * alpha of SELU

function AlphaDropout:__init(p) Dropout.__init(self, p) end

function AlphaDropout:compute(x)
    checkTensor(x)
    local p = self.p
    if not self.train or p == 0 then return ops.copy(x) end
    if p == 1 then return ops.mul_scalar(x, 0) end
    local kept = ops.mul_scalar(drawn(x, x._t.ndim, p), 1 - p)
    local a = 1 / math.sqrt((1 - p) * (1 + p * LIMIT ^ 2))
    local mixed = ops.add(ops.mul(x, kept), ops.affine_scalar(kept, -LIMIT, LIMIT))
    return ops.affine_scalar(mixed, a, -a * p * LIMIT)
end
