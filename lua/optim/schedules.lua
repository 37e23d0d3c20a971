-- schedules.lua: learning rates that follow a plan: schedule = optim.StepLR(opt, {stepSize = 10}); schedule:step() after each epoch.
local base = require 'dlrun.ffi'

local function define(name, defaults, rate)
    local class = torch.class('optim.' .. name)
    function class:__init(optimizer, options)
        if not torch.isTypeOf(optimizer, 'optim.Optimizer') then
            base.fail('optim.%s wants an optimizer (optim.Adam and so on), not %s', name, torch.type(optimizer))
        end
        for key in pairs(options or {}) do
            if defaults[key] == nil then base.fail('optim.%s has no option %q', name, tostring(key)) end
        end
        self.optimizer, self.epoch, self.first = optimizer, 0, optimizer.lr
        for key, value in pairs(defaults) do
            local given = options and options[key]
            if given == nil then given = value end
            if given == base then base.fail('optim.%s needs the option %s', name, key) end
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

local required = base

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
