-- plugins.lua: dlrun.plugins: the plugins of this process from Lua's side, and where require finds their Lua parts.
--
-- The Lua part of a plugin lies beside its file: of acme.so it is acme.lua or acme/init.lua, and require 'acme' loads it once
-- the plugin is known, by --plugin, by plugins.load or from the search path. (docs/plugin-authors.md)
local ffi = require 'ffi'
local base = require 'dlrun.ffi'

local C = base.C
local plugins = {}

local states = {[0] = 'refused', 'loaded', 'waiting'}

--- plugins.load(path): loads a plugin file. Nothing happens if it is loaded already; an error if it is refused.
function plugins.load(path)
    if type(path) ~= 'string' then base.fail("plugins.load: expected a file's path, not a %s", type(path)) end
    base.check(C.dl_plugin_load(path))
end

--- plugins.list(): every plugin file found or asked for, in order, as {path, name, version, state, from, reason}. state is
-- loaded, refused or waiting (until its backend is asked for), from says where it was found, reason why it is not loaded.
function plugins.list()
    local all, info = {}, ffi.new 'dl_plugin_info'
    for k = 0, C.dl_plugin_count() - 1 do
        base.check(C.dl_plugin_get(k, info))
        all[#all + 1] = {path = ffi.string(info.path), name = ffi.string(info.name), version = ffi.string(info.version),
            state = states[info.state], from = ffi.string(info.from), reason = ffi.string(info.reason)}
    end
    return all
end

-- The Lua part of a plugin, by the name of its file without ".so"; nil and the reason if no such plugin is loaded or waits.
local function luaPart(name, list)
    for _, plugin in ipairs(list) do
        local folder, file = plugin.path:match '^(.*/)([^/]*)%.so$'
        if file == name and plugin.state ~= 'refused' then
            for _, path in ipairs {folder .. name .. '.lua', folder .. name .. '/init.lua'} do
                local f = io.open(path, 'r')
                if f then
                    f:close()
                    return path
                end
            end
            return nil, ('\n\tplugin %s has neither %s.lua nor %s/init.lua beside it'):format(plugin.path, name, name)
        end
    end
    return nil, ("\n\tno plugin '%s' is loaded"):format(name)
end

-- The plugins that a path named: by --plugin or plugins.load.
local function asked()
    local list = {}
    for _, plugin in ipairs(plugins.list()) do
        if plugin.from == 'asked for' then list[#list + 1] = plugin end
    end
    return list
end

local function load(path)
    local chunk, message = loadfile(path)
    if not chunk then error(message, 0) end
    return chunk
end

-- Two places among the loaders. A plugin that a path named is meant, so its Lua part comes before files of package.path, where
-- a forgotten ./acme.lua may lie. One that is only installed comes behind them: a script's own module keeps its name whatever
-- is installed. Both come before the loader of C modules, which would take ./acme.so for one.
table.insert(package.loaders, 2, function(name)
    local path = luaPart(name, asked())
    return path and load(path)
end)
table.insert(package.loaders, 4, function(name)
    local path, why = luaPart(name, plugins.list())
    return path and load(path) or why
end)

return plugins
