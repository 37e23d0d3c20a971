-- tensors.lua: a dataset held in two tensors, samples along the first dimension.
local Dataset = {}

-- ds[i] is {x, y}, after ds.transform if there is one; negative or too large numbers are errors.
function Dataset.__index(ds, key)
    if type(key) ~= 'number' then return Dataset[key] end
    local n = ds:size()
    if key % 1 ~= 0 or key < 1 or key > n then
        error(('this dataset has samples 1 to %d; there is no number %s'):format(n, tostring(key)), 2)
    end
    local x = ds.data[key]
    if ds.transform then x = ds.transform(x) end
    return {x, ds.labels[key]}
end

function Dataset.size(ds) return ds.data:size(1) end

-- Samples as one x and one y, without transform: those of the index tensor (on any device), or `count` from number `first` on.
-- Copies.
function Dataset.gather(ds, indices, first, count)
    local function chosen(x) return x:index(1, indices:to(x:device())) end
    if indices then return chosen(ds.data), chosen(ds.labels) end
    return ds.data:narrow(1, first, count):clone(), ds.labels:narrow(1, first, count):clone()
end

-- A dataset of x (N×…) and y (N or N×…). given: {classes = names, transform = function of one sample's x}.
return function(x, y, given)
    given = require 'torch.options'.take('data.tensors', given, {'classes', 'transform'})
    if not (torch.isTensor(x) and torch.isTensor(y)) then
        error('data.tensors(x, y) wants two tensors, samples along the first dimension', 2)
    end
    if x:size(1) ~= y:size(1) then
        error(('data.tensors: %d samples but %d labels'):format(x:size(1), y:size(1)), 2)
    end
    return setmetatable({data = x, labels = y, classes = given.classes, transform = given.transform}, Dataset)
end
