-- schedules.lua: learning rates that follow a plan: schedule = optim.StepLR(opt, {stepSize = 10}); schedule:step() after
-- each epoch.
local base = require 'dlrun.ffi'
local take = require 'torch.options'.take

local required = {} -- as a default: there is none

local function define(name, defaults, rate)
    local class = torch.class('optim.' .. name)
    local names = {}
    for key in pairs(defaults) do names[#names + 1] = key end
    function class:__init(optimizer, options)
        if not torch.isTypeOf(optimizer, 'optim.Optimizer') then
            base.fail('optim.%s wants an optimizer (optim.Adam and so on), not %s', name, torch.type(optimizer))
        end
        options = take('optim.' .. name, options, names)
        self.optimizer, self.epoch, self.first = optimizer, 0, optimizer.lr
        for key, value in pairs(defaults) do
            local given = options[key]
            if given == nil then given = value end
            if given == required then base.fail('optim.%s needs the option %s', name, key) end
            self[key] = given
        end
    end
    --- schedule:step(): one epoch further.
    function class:step()
        self.epoch = self.epoch + 1
        self.optimizer.lr = rate(self, self.epoch)
        return self.optimizer.lr
    end
end

--- optim.StepLR(opt, {stepSize =, gamma = 0.1}): lr times gamma every stepSize epochs.
define('StepLR', {stepSize = required, gamma = 0.1}, function(s, epoch)
    return s.first * s.gamma ^ math.floor(epoch / s.stepSize)
end)

--- optim.ExponentialLR(opt, {gamma =}): lr times gamma every epoch.
define('ExponentialLR', {gamma = required}, function(s, epoch) return s.first * s.gamma ^ epoch end)

--- optim.CosineAnnealingLR(opt, {epochs =, least = 0}): half a cosine down to `least` (Loshchilov and Hutter 2017).
define('CosineAnnealingLR', {epochs = required, least = 0}, function(s, epoch)
    return s.least + (s.first - s.least) * (1 + math.cos(math.pi * math.min(epoch, s.epochs) / s.epochs)) / 2
end)
