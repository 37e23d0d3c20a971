-- optim: optimizers. require 'optim' sets the global and returns it.
optim = rawget(_G, 'optim') or {} -- luacheck: globals optim

require 'optim.objects'
require 'optim.torch7'
require 'optim.schedules'

return optim
