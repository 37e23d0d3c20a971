-- main.lua: the dlrun program's second half. core/main/main.c calls this file with the host table (options, arguments, paths,
-- a few C functions) and ends with the status it returns.
local host = ...
package.path = host.lua .. '/?.lua;' .. host.lua .. '/?/init.lua;' .. package.path
package.loaded['dlrun.host'] = host

local report = require 'dlrun.report'

-- LuaJIT gives up a trace after `loopunroll` tail calls, 15 unless told; a torch function makes several on its way to the
-- library, so that a loop with two or three of them would be interpreted. Networks need more traces and code than its small
-- defaults.
require('jit.opt').start('loopunroll=60', 'maxtrace=8000', 'maxmcode=16384')

-- A line of training is seen when it is printed, also through a pipe or in a log file.
io.stdout:setvbuf 'line'

-- The Lua state is closed at exit, so that every tensor and plugin ends as it should.
local exit = os.exit
function os.exit(code, close) -- luacheck: ignore 122
    io.stdout:flush()
    exit(code, close ~= false)
end

local function wholeNumber(option, text, least)
    local n = tonumber(text)
    if not n or n % 1 ~= 0 or n < least then
        error(('--%s wants a whole number from %d up, not %q'):format(option, least, text), 0)
    end
    return n
end

local interactive, answered, acted = false, false, false
local conformance, json, caseFiles = nil, false, {} -- --conformance runs when all options are known

-- What each option does, in the order given. Those that change the engine load it; a plain script does not wait for them.
local actions = {}

function actions.execute(code)
    acted = true
    assert(loadstring(code, '=(command line)'))()
end

function actions.library(name) _G[name] = require(name) end

function actions.interactive() interactive = true end

function actions.backend(spec)
    local base, ffi = require 'dlrun.ffi', require 'ffi'
    local device = ffi.new 'dl_device *[1]'
    if base.C.dl_device_open(spec, device) ~= base.C.DL_OK then
        error(('--backend=%s: %s\n%s'):format(spec, ffi.string(base.C.dl_last_error()), require 'dlrun.list'.backends()), 0)
    end
    base.check(base.C.dl_set_default_device(device[0]))
end

function actions.fallback(where)
    if where ~= 'cpu' then error(('--fallback wants cpu, not %q'):format(where), 0) end
    require 'dlrun.ffi'.C.dl_set_fallback(1)
end

function actions.plugin() end -- main.c has loaded it, before the search for others

function actions.threads(text) require 'dlrun.ffi'.C.dl_threads(wholeNumber('threads', text, 1)) end

function actions.seed(text) require 'dlrun.ffi'.C.dl_seed(wholeNumber('seed', text, 0)) end

actions['list-backends'] = function()
    answered = true
    print(require 'dlrun.list'.backends())
end

actions['list-plugins'] = function()
    answered = true
    print(require 'dlrun.list'.plugins())
end

function actions.conformance(what) conformance = what end

function actions.json() json = true end

function actions.cases(path) table.insert(caseFiles, path) end

-- Loads the script, its own folder first in package.path.
local function loadScript(path)
    if path == '-' then return assert(loadfile()) end
    local folder = path:match '^(.*)/[^/]*$' or '.'
    package.path = folder .. '/?.lua;' .. folder .. '/?/init.lua;' .. package.path
    local chunk, message = loadfile(path)
    if not chunk then error(message, 0) end
    return chunk
end

-- Runs f under the error reporter. Returns nil, or the exit status after an error.
local function guarded(f, ...)
    local ok, text = xpcall(f, report.describe, ...)
    if ok then return nil end
    io.stdout:flush()
    if host.takeInterrupt() then
        io.stderr:write('dlrun: interrupted\n')
        return 130
    end
    io.stderr:write(text)
    return 1
end

_G.arg = host.arguments
--- help(x): see help.lua, which is read when it is first asked.
function _G.help(...) require 'dlrun.help'.help(...) end

-- --conformance with what belongs to it, or nothing of that.
local function runConformance()
    if conformance and host.hasScript then
        error(('--conformance runs no script; for some ops write --conformance=%s/%s'):format(conformance, arg[0]), 0)
    elseif conformance then
        answered = require 'dlrun.conformance'.main(conformance, json, caseFiles)
    elseif json or caseFiles[1] then
        error(('%s goes with --conformance=BACKEND'):format(json and '--json' or '--cases'), 0)
    end
end

local status = guarded(function()
    torch = require 'torch'
    require 'dlrun.plugins'
    for _, option in ipairs(host.options) do
        actions[option[1]](option[2])
    end
    runConformance()
end)
if status or answered then return status or tonumber(answered) or 0 end

local terminal = host.isatty(0)
if host.hasScript or not (acted or interactive or terminal) then
    status = guarded(function() loadScript(host.hasScript and arg[0] or '-')(unpack(arg)) end)
end
if interactive or not (host.hasScript or acted) and terminal then status = require 'dlrun.repl'(report.describe) end
return status or 0
