-- support.lua: values that dlrun and PyTorch both make, so that their results can be compared.
local M = {}

local PERIOD = 1000
local pattern = torch.range(0, PERIOD - 1):mul(7919):fmod(PERIOD):mul(1e-3):add(-0.5)

--- A tensor whose element number i (from 0) is (7919 i mod 1000) / 1000 - ½.
function M.filled(...)
    local x = torch.Tensor(...)
    local flat = x:view(-1)
    local n = flat:nElement()
    local whole = n - n % PERIOD
    if whole > 0 then
        flat:narrow(1, 1, whole):view(-1, PERIOD):copy(pattern:view(1, PERIOD):expand(whole / PERIOD, PERIOD))
    end
    if n > whole then flat:narrow(1, whole + 1, n - whole):copy(pattern:narrow(1, 1, n - whole)) end
    return x
end

--- Labels of m samples: 7919 i mod n, from 1.
function M.labels(m, n)
    local y = torch.LongTensor(m)
    for i = 1, m do y[i] = (i - 1) * 7919 % n + 1 end
    return y
end

--- Gives every parameter filled()'s values, made as small as its fan-in asks.
function M.setWeights(model)
    torch.noGrad(function()
        for _, p in ipairs(model:parameters()) do
            local fan = p:dim() > 1 and p:nElement() / p:size(1) or p:nElement()
            p:copy(M.filled(p:nElement()):view(p:size()):mul(2 / math.sqrt(fan)))
        end
    end)
end

return M
