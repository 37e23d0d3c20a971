-- bench.lua: measures the rows of rows.lua: dlrun alone, or beside PyTorch in alternating rounds.
--
-- make bench and make bench-peer run it; docs/performance.md says what the columns mean. Each family of rows gets fresh worker
-- processes, so that no row inherits another's memory.
local folder = arg[0]:match '^(.*)/' or '.'
package.path = folder .. '/?.lua;' .. package.path
local report, Process = require 'report', require 'process'

local opt = require 'dlrun.options' {
    'Measures dlrun, with --peer beside PyTorch.',
    {'build', 'build', 'folder of the build'},
    {'peer', '', 'Python that has torch'},
    {'only', '', 'rows whose title or family contains this text'},
    {'threads', 0, 'of both; 0: all cores'},
    {'rounds', 5, 'of each side in a row'},
    {'seconds', 0.1, 'of a round'},
    {'clock', {'real', 'cpu'}, 'seconds that passed or, on a busy machine and with one thread, that were computed'},
    {'format', {'text', 'markdown'}, 'of the table'},
}
local threads = opt.threads > 0 and opt.threads or torch.getnumthreads()
assert(opt.clock == 'real' or threads == 1, '--clock cpu wants --threads 1: it adds the seconds of all threads')
local environment = ('env DLRUN_THREADS=%d OMP_NUM_THREADS=%d DLRUN_PLUGIN_PATH=%s/lib/dlrun/plugins BENCH_CLOCK=%s')
    :format(threads, threads, opt.build, opt.clock)

local function linesOf(command)
    local lines, pipe = {}, assert(io.popen(environment .. ' ' .. command))
    for line in pipe:lines() do lines[#lines + 1] = line end
    pipe:close()
    return lines
end

-- ---- the two sides -------------------------------------------------------------------------------------------------------

local sides = {
    {name = 'dlrun', where = opt.build .. '/bin/dlrun', worker = ('%s/bin/dlrun %s/worker.lua'):format(opt.build, folder)},
}
if opt.peer ~= '' then
    sides[2] = {name = 'torch', where = opt.peer, worker = ('%s -u %s/torch_worker.py'):format(opt.peer, folder)}
end

local function restart()
    for _, side in ipairs(sides) do
        if side.process then side.process:close() end
        side.process = Process.start(environment .. ' ' .. side.worker)
    end
end

-- Each side's round adds to its samples: {samples, peak = MiB, value =} or nil where the side has no such row.
local function measureWorkers(row)
    local results = {}
    for k, side in ipairs(sides) do
        local answer = side.process:ask('open %s %s', row.family, table.concat(row.arguments, ' '))
        local value = answer:match '^ok (.*)'
        if value then
            results[k] = {value = tonumber(value), samples = {}}
        else
            results[k] = {missing = answer:match '^missing (.*)'}
        end
    end
    for _ = 1, opt.rounds do
        for k, side in ipairs(sides) do
            if results[k].samples then
                for word in side.process:ask('time %g', opt.seconds):gmatch '%S+' do
                    table.insert(results[k].samples, tonumber(word))
                end
            end
        end
    end
    for k, side in ipairs(sides) do results[k].peak = results[k].samples and tonumber(side.process:ask 'peak') end
    return results
end

local function measurePrograms(row)
    local results = {}
    for k in ipairs(sides) do results[k] = {samples = {}} end
    for _ = 1, opt.rounds do
        for k, side in ipairs(sides) do
            local command = row.program[side.name]
            for _, line in ipairs(command and linesOf(command:format(opt.build, side.name == 'torch' and opt.peer or opt.build))
                or {}) do
                table.insert(results[k].samples, tonumber(line))
            end
        end
    end
    for k in ipairs(sides) do
        if #results[k].samples == 0 then results[k] = {missing = 'no such program'} end
    end
    return results
end

-- ---- a line of the table -------------------------------------------------------------------------------------------------

-- The best seen so far: measured anew before each family, since other work only ever slows a measurement down.
local limits = {}
local function measureLimits()
    for _, line in ipairs(linesOf(('%s/bench/limits %d'):format(opt.build, threads))) do
        local name, value = line:match '(%S+) (%S+)'
        limits[name] = math.max(limits[name] or 0, tonumber(value))
    end
end

-- Is the aim reached? Text of the aim and the answer; empty without an aim, or where it cannot be known.
local function judged(aim, seconds, share, ratio)
    local texts, reached = {}, true
    local function part(wanted, text, holds)
        if not wanted then return end
        texts[#texts + 1] = text
        reached = reached and holds
    end
    if aim then
        part(aim.seconds, '≤ ' .. report.seconds(aim.seconds or 0), seconds <= (aim.seconds or 0))
        part(share and aim.share, '≥ ' .. report.percent(aim.share or 0), (share or 0) >= (aim.share or 0))
        part(ratio and aim.ratio, ('≥ %g×'):format(aim.ratio or 0), (ratio or 0) >= (aim.ratio or 0))
    end
    return #texts == 0 and '' or table.concat(texts, ', ') .. (reached and ' yes' or ' NO')
end

-- Do the two sides' results agree? To the precision of the row's type.
local function agreement(row, a, b)
    local tolerance = row.arguments[#row.arguments] == 'bfloat16' and 1e-2 or 1e-4
    return math.abs(a - b) <= tolerance * math.max(math.abs(a), math.abs(b), 1e-3) and 'yes' or ('%g / %g'):format(a, b)
end

local columns = {{'row', 42}, {'time', 8}, {'spread', 6}, {'rate', 12}, {'of limit', 8}}
if sides[2] then
    for _, column in ipairs {{'PyTorch', 8}, {'spread', 6}, {'ratio', 6}, {'MiB', 6}, {'its MiB', 7}, {'equal', 5}} do
        table.insert(columns, column)
    end
end
table.insert(columns, {'aim', 10})

local function line(row, own, peer)
    if not own.samples then return {row.title, own.missing} end
    local seconds, spread = report.statistics(own.samples)
    local work = row.flops or row.bytes
    local rate = work and work / seconds * 1e-9
    local share = row.limit and rate / limits[row.limit]
    local cells = {
        row.title, report.seconds(seconds), report.percent(spread),
        rate and ('%.3g %s'):format(rate, row.flops and 'GFLOP/s' or 'GB/s') or '', share and report.percent(share) or '',
    }
    local ratio
    if peer and peer.samples then
        local other, otherSpread = report.statistics(peer.samples)
        ratio = other / seconds
        for _, cell in ipairs {
            report.seconds(other), report.percent(otherSpread), ('%.2f×'):format(ratio),
            own.peak and ('%.0f'):format(own.peak) or '', peer.peak and ('%.0f'):format(peer.peak) or '',
            own.value and agreement(row, own.value, peer.value) or '',
        } do cells[#cells + 1] = cell end
    elseif peer then
        for _ = 1, 6 do cells[#cells + 1] = '' end
    end
    cells[#cells + 1] = judged(row.aim, seconds, share, ratio)
    return cells
end

local out, family = report.table(columns, opt.format == 'markdown'), nil
for _, row in ipairs(require 'rows') do
    if (row.title .. ' ' .. row.family):lower():find(opt.only:lower(), 1, true) then
        if row.family ~= family and not row.program then
            restart()
            measureLimits()
        end
        family = row.family
        local results = (row.program and measurePrograms or measureWorkers)(row)
        out:row(line(row, unpack(results)))
    end
end
for _, side in ipairs(sides) do
    if side.process then side.process:close() end
end
print(('\n%d threads; float32 multiply-adds %.0f GFLOP/s on one, %.0f on all; memory %.1f GB/s copy, %.1f triad; L2 %.0f GB/s')
    :format(threads, limits.fma1 or 0, limits.fma or 0, limits.copy or 0, limits.triad or 0, limits.l2 or 0))
