-- nn: modules and criterions. require 'nn' sets the global and returns it.
nn = rawget(_G, 'nn') or {} -- luacheck: globals nn

require 'nn.Module'
require 'nn.Criterion'
require 'nn.state'
require 'nn.flatten'
require 'nn.clone'
require 'nn.Container'
require 'nn.Sequential'
require 'nn.tables'
require 'nn.Linear'
require 'nn.Convolution'
require 'nn.convolutions'
require 'nn.LookupTable'
require 'nn.EmbeddingBag'
require 'nn.offsets'
require 'nn.PReLU'
require 'nn.Bottle'
require 'nn.activations'
require 'nn.Dropout'
require 'nn.channel_dropout'
require 'nn.normalise'
require 'nn.pooling'
require 'nn.unpooling'
require 'nn.instance'
require 'nn.response'
require 'nn.shape'
require 'nn.padding'
require 'nn.resample'
require 'nn.criterions'
require 'nn.margins'
require 'nn.sums'
require 'nn.functional'
require 'nn.torchconv'
require 'nn.localconv'
require 'nn.connected'
require 'nn.summary'
require 'nn.windows'
require 'nn.temporal'
nn.init = require 'nn.initialise'
require 'nn.slips'

local raw = require 'torch.raw'

--- nn.Parameter(tensor): marks a tensor so that, assigned to a module, it is trained with it.
function nn.Parameter(x) return raw.markParameter(x, true) end

return nn
