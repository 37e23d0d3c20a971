-- worker.lua: measures rows on request. Reads lines, answers each with one line:
--     open FAMILY ARGUMENT…   "ok VALUE" (a number of the result) or "missing REASON"
--     time SECONDS            seconds of a call, several, of that much time
--     peak                    the most memory held since open, in MiB
-- torch_worker.py is its twin for PyTorch. Arguments that look like numbers are numbers.
require 'nn'
require 'optim'
local clock = require('torch.timer').real

-- A sample must be long against the clock's own cost; a time is of at least MIN_SAMPLES samples unless a call is long.
local SAMPLE, MIN_SAMPLES, LONG = 1e-3, 3, 0.3

local families = {}
for _, file in ipairs {'families', 'training'} do
    for name, family in pairs(require(file)) do families[name] = family end
end

local answers = {}
local step, batch

-- Forgets the highest mark of this process's resident memory.
local function resetPeak()
    local file = io.open('/proc/self/clear_refs', 'w')
    if file then
        file:write '5'
        file:close()
    end
end

local function timed(calls)
    local start = clock()
    for _ = 1, calls do step() end
    return (clock() - start) / calls
end

function answers.open(family, ...)
    step = nil
    collectgarbage()
    resetPeak()
    local result
    step, result = families[family](...)
    local value = result()
    local first = timed(1)
    if first < LONG then first = timed(math.max(1, math.min(100, math.floor(0.02 / first)))) end
    batch = math.max(1, math.ceil(SAMPLE / first))
    return ('ok %.9g'):format(value)
end

function answers.time(seconds)
    local samples, start = {}, clock()
    repeat
        local each = timed(batch)
        samples[#samples + 1] = ('%.9g'):format(each)
    until clock() - start > seconds and (#samples >= MIN_SAMPLES or each > LONG)
    return table.concat(samples, ' ')
end

function answers.peak()
    for line in io.lines '/proc/self/status' do
        local kib = line:match '^VmHWM:%s*(%d+)'
        if kib then return ('%.1f'):format(kib / 1024) end
    end
    return 'nan'
end

for line in io.lines() do
    local words = {}
    for word in line:gmatch '%S+' do words[#words + 1] = tonumber(word) or word end
    local fine, answer = pcall(answers[words[1]], unpack(words, 2))
    print(fine and answer or 'missing ' .. tostring(answer):gsub('%s+', ' '))
    io.flush()
end
