-- dlrun.data: datasets and loaders (CONVENTIONS: data).
--
-- A dataset has ds:size(), ds[i] = {x, y} and ds.classes[label]; images are Float 0..1, channels first, labels 1..C.
local mnist = require 'dlrun.data.mnist'

return {
    tensors = require 'dlrun.data.tensors',
    loader = require 'dlrun.data.loader',
    mnist = mnist 'mnist',
    fashionMnist = mnist 'fashionMnist',
}
