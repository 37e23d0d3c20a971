-- list.lua: what --list-backends and --list-plugins print.
local ffi = require 'ffi'
local base = require 'dlrun.ffi'
local plugins = require 'dlrun.plugins'
local C = base.C

local list = {}

local function size(bytes) return ('%.1f GiB'):format(tonumber(bytes) / 2 ^ 30) end

local function deviceLine(backend, index)
    local facts = ffi.new 'dl_device_facts'
    if C.dl_backend_device(backend, index, facts) ~= C.DL_OK then
        return ('  %s:%d  %s'):format(backend, index, ffi.string(C.dl_last_error()))
    end
    return ('  %s:%d  %s, %s, %s free of %s'):format(backend, index, ffi.string(facts.name), ffi.string(facts.detail),
        size(facts.memory_free), size(facts.memory_total))
end

local function pluginLine(p)
    local named = p.name ~= '' and ('%s %s'):format(p.name, p.version) or '?'
    if p.state == 'loaded' then return ('  %s  %s  (%s)'):format(named, p.path, p.from) end
    if p.state == 'waiting' then return ('  %s  %s  (%s) %s'):format(named, p.path, p.from, p.reason) end
    return ('  refused  %s: %s (%s)'):format(p.path, p.reason, p.from)
end

-- Folders of DLRUN_PLUGIN_PATH that the search leaves out, since they would depend on the current folder.
local function relativeFolders()
    local folders = {}
    for folder in (os.getenv 'DLRUN_PLUGIN_PATH' or ''):gmatch '[^:]+' do
        if folder:sub(1, 1) ~= '/' then folders[#folders + 1] = folder end
    end
    return folders
end

-- Every candidate in the order in which it was found, and why it was taken or refused.
function list.plugins()
    base.check(C.dl_init())
    local lines = {'Plugins:'}
    for _, p in ipairs(plugins.list()) do lines[#lines + 1] = pluginLine(p) end
    if #lines == 1 then lines[2] = '  none found (DLRUN_PLUGIN_PATH names folders to look in)' end
    for _, folder in ipairs(relativeFolders()) do
        lines[#lines + 1] = ('  not looked into  %s: folders of DLRUN_PLUGIN_PATH must be absolute'):format(folder)
    end
    return table.concat(lines, '\n')
end

function list.backends()
    base.check(C.dl_init())
    local lines, count = {'Backends:'}, ffi.new 'int32_t[1]'
    for k = 0, C.dl_backend_count() - 1 do
        local name = ffi.string(C.dl_backend_name(k))
        if C.dl_backend_devices(name, count) ~= C.DL_OK then
            lines[#lines + 1] = ('  %s  no device: %s'):format(name, ffi.string(C.dl_last_error()))
        end
        for index = 0, count[0] - 1 do lines[#lines + 1] = deviceLine(name, index) end
    end
    if #lines == 1 then lines[2] = '  none' end
    return table.concat(lines, '\n') .. '\n' .. list.plugins()
end

return list
