-- worker.lua: measures rows on request. Reads lines, answers each with one line:
--     open FAMILY ARGUMENT…   "ok VALUE" (a number of the result) or "missing REASON"
--     time SECONDS            seconds of a call, several, of that much time
--     peak                    the most memory held since open, in MiB
-- torch_worker.py is its twin for PyTorch. Arguments that look like numbers are numbers.
require 'nn'
require 'optim'
local timer = require 'torch.timer'

-- Seconds: real ones, or with BENCH_CLOCK=cpu those that the process computed.
local clock = os.getenv 'BENCH_CLOCK' == 'cpu' and os.clock or timer.real

-- A sample must be long against the clock's own cost; a time is of at least MIN_SAMPLES samples unless a call is LONG. An
-- ENDLESS call is made once.
local SAMPLE, MIN_SAMPLES, LONG, ENDLESS = 1e-3, 3, 0.3, 3

local families = {}
for _, file in ipairs {'families', 'training'} do
    for name, family in pairs(require(file)) do families[name] = family end
end

local answers = {}
local timed, batch, first

-- The function that times so many calls of a step is compiled anew for every row: LuaJIT specialises a loop to the first
-- function that it calls.
local loop = [[
local step, clock = ...
return function(calls)
    local start = clock()
    for _ = 1, calls do step() end
    return (clock() - start) / calls
end]]

-- Forgets the highest mark of this process's resident memory.
local function resetPeak()
    local file = io.open('/proc/self/clear_refs', 'w')
    if file then
        file:write '5'
        file:close()
    end
end

function answers.open(family, ...)
    timed = nil
    collectgarbage()
    resetPeak()
    local step, result = families[family](...)
    timed = loadstring(loop)(step, clock)
    first = timed(1)
    local value, each = result(), first
    if each < LONG then each = timed(math.max(1, math.min(100, math.floor(0.02 / math.max(each, 1e-6))))) end
    batch = math.max(1, math.ceil(SAMPLE / math.max(each, 1e-9)))
    return ('ok %.9g'):format(value)
end

function answers.time(seconds)
    if first > ENDLESS then return ('%.9g'):format(first) end
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
