-- Where plugins are looked for, in which order, and what --list-plugins says of each; the Lua side of plugins.
local support = require 'tests.lua.support'
local plugins = require 'dlrun.plugins'

local made = os.getenv 'DLRUN_TEST_PLUGINS'

-- Copies a test plugin into a folder, which is made.
local function put(name, folder, as)
    os.execute(("mkdir -p '%s' && cp '%s/%s.so' '%s/%s.so'"):format(folder, made, name, folder, as or name))
end

-- The lines of --list-plugins under this environment, run in `folder`.
local function list(folder, env, ...)
    local arguments = {...}
    arguments[#arguments + 1] = '--list-plugins'
    local words = ("-C '%s' -u XDG_DATA_HOME -u DLRUN_PLUGIN_PATH HOME=%s/home %s"):format(folder, folder, env)
    local status, out, err = support.dlrun(arguments, {env = words})
    assert.equal('', err)
    assert.equal(0, status)
    local lines = {}
    for line in out:gmatch '[^\n]+' do lines[#lines + 1] = line end
    return lines, out
end

local function position(lines, words)
    for k, line in ipairs(lines) do
        if line:find(words, 1, true) then return k end
    end
    error(('no line has "%s":\n%s'):format(words, table.concat(lines, '\n')), 2)
end

describe('the search for plugins', function()
    it('goes from what is asked for over DLRUN_PLUGIN_PATH and the user to its own folder', function()
        support.inFolder(function(folder)
            put('good', folder .. '/asked')
            put('other_good', folder .. '/path')
            put('lazy', folder .. '/path')
            put('good', folder .. '/data/dlrun/plugins', 'third')
            put('fails', folder .. '/data/dlrun/plugins')
            put('rival', folder, 'here')
            local env = ('DLRUN_PLUGIN_PATH=.:%s/path XDG_DATA_HOME=%s/data'):format(folder, folder)
            local lines, out = list(folder, env, '--plugin=asked/good.so')
            local order = {'  good 1.2.3  ' .. folder .. '/asked/good.so  (asked for)',
                "  lazy 2.0  " .. folder .. "/path/lazy.so  (DLRUN_PLUGIN_PATH) waits until backend 'lazy' is asked for",
                '  refused  ' .. folder .. "/path/other_good.so: the plugin name 'good' is already taken by " .. folder
                    .. '/asked/good.so (DLRUN_PLUGIN_PATH)',
                '  refused  ' .. folder .. "/data/dlrun/plugins/fails.so: the hardware is missing (the user's folder)",
                '  refused  ' .. folder .. "/data/dlrun/plugins/third.so: the plugin name 'good' is already taken",
                "cpu.so  (dlrun's own folder)"}
            local last = 1
            for _, words in ipairs(order) do
                local at = position(lines, words)
                assert.is_true(at > last, words)
                last = at
            end
            assert.is_nil(out:find('here.so', 1, true)) -- the current folder is never looked at
        end)
    end)

    it('opens the first of two backends of one name, and refuses the second', function()
        support.inFolder(function(folder)
            put('lazy', folder .. '/first')
            put('lazy', folder .. '/second')
            local env = ('DLRUN_PLUGIN_PATH=%s/first:%s/second'):format(folder, folder)
            local lines = list(folder, env)
            position(lines, '/first/lazy.so  (DLRUN_PLUGIN_PATH) waits until')
            position(lines, "/second/lazy.so: the plugin name 'lazy' is already taken by " .. folder .. '/first/lazy.so')
            local status, _, err = support.dlrun({'--backend=lazy', '-e', '0'}, {env = env})
            assert.equal(1, status)
            assert.matches('no lazy device is plugged in', err)
        end)
    end)

    it('gives the name of one that waits to a file asked for', function()
        support.inFolder(function(folder)
            put('lazy', folder .. '/waits')
            put('lazy', folder .. '/asked')
            local env = 'DLRUN_PLUGIN_PATH=' .. folder .. '/waits'
            local refused = "/waits/lazy.so: the plugin name 'lazy' is already taken by " .. folder .. '/asked/lazy.so'
            position(list(folder, env, '--plugin=' .. folder .. '/asked/lazy.so'), refused)
            local _, out = support.dlrun({'-e', ([[
                local plugins = require 'dlrun.plugins'
                plugins.list()
                plugins.load '%s/asked/lazy.so'
                for _, p in ipairs(plugins.list()) do print(p.state, p.path, p.reason) end]]):format(folder)}, {env = env})
            assert.matches('loaded\t[^\n]*/asked/lazy.so', out)
            assert.matches("refused\t[^\n]*/waits/lazy.so\tthe plugin name 'lazy' is already taken", out)
        end)
    end)

    it('falls back to ~/.local/share, and takes no relative folder', function()
        support.inFolder(function(folder)
            put('good', folder .. '/home/.local/share/dlrun/plugins')
            put('rival', folder .. '/relative/dlrun/plugins')
            local lines = list(folder, 'DLRUN_PLUGIN_PATH=relative/dlrun/plugins')
            position(lines, "/home/.local/share/dlrun/plugins/good.so  (the user's folder)")
            local _, out = list(folder, 'DLRUN_PLUGIN_PATH=relative/dlrun/plugins XDG_DATA_HOME=relative')
            assert.is_nil(out:find('rival', 1, true))
            local told = '\n  not looked into  relative/dlrun/plugins: folders of DLRUN_PLUGIN_PATH must be absolute'
            assert.matches(told, out, 1, true)
            _, out = list(folder, 'DLRUN_PLUGIN_PATH=' .. folder .. ':')
            assert.is_nil(out:find('not looked into', 1, true))
        end)
    end)

    it('ends the program where a plugin that was asked for is refused', function()
        local status, out, err = support.dlrun {'--plugin=' .. made .. '/no_identity.so', '-e', 'print "ran"'}
        assert.equal(1, status)
        assert.equal('', out)
        assert.matches('^dlrun: plugin .*no_identity.so refused: not a dlrun plugin', err)
        status, out, err = support.dlrun {'--plugin=', '-e', 'print "ran"'}
        assert.equal(1, status)
        assert.equal('', out)
        assert.equal("dlrun: a plugin's file was expected, such as ./acme.so; the path given is empty\n", err)
    end)
end)

describe('dlrun.plugins', function()
    it('loads and lists', function()
        plugins.load(made .. '/good.so')
        plugins.load(made .. '/good.so')
        local found = 0
        for _, p in ipairs(plugins.list()) do
            if p.path:find '/good%.so$' then
                found = found + 1
                assert.same({'good', '1.2.3', 'loaded', 'asked for', ''}, {p.name, p.version, p.state, p.from, p.reason})
            end
        end
        assert.equal(1, found)
        assert.same({6}, require 'torch.ops'['good::twice'](torch.Tensor {3}):totable())
        assert.error_matches(function() plugins.load(made .. '/no_identity.so') end, 'no identity note')
        assert.error_matches(function() plugins.load(5) end, "expected a file's path, not a number")
    end)

    it("lets require find a plugin's Lua part, beside its file or in a folder of its name", function()
        support.inFolder(function(folder)
            put('good', folder, 'one')
            put('rival', folder, 'alone')
            support.write(folder .. '/one.lua', 'return {name = ..., op = require "torch.ops"["good::twice"]}')
            local function run(code, plugin)
                return support.dlrun({'--plugin=' .. folder .. '/' .. plugin, '-e', code}, {env = "-C '" .. folder .. "/..'"})
            end
            local status, out, err = run('local one = require "one"; print(one.name, one.op(torch.Tensor {4})[1])', 'one.so')
            assert.equal('', err)
            assert.equal(0, status)
            assert.equal('one\t8\n', out)
            os.execute(("mkdir '%s/one' && mv '%s/one.lua' '%s/one/init.lua'"):format(folder, folder, folder))
            assert.equal('one\n', select(2, run('print(require "one".name)', 'one.so')))
            status, out, err = run('require "alone"', 'alone.so')
            assert.equal('', out)
            assert.equal(1, status)
            assert.matches('has neither alone.lua nor alone/init.lua beside it', err, 1, true)
            status, out, err = run('require "two"', 'one.so')
            assert.equal('', out)
            assert.equal(1, status)
            assert.matches("no plugin 'two' is loaded", err, 1, true)
        end)
    end)

    it('prefers the Lua part of a plugin that was asked for, and a script\'s own file to that of an installed one', function()
        support.inFolder(function(folder)
            put('good', folder .. '/plugins')
            os.execute("mkdir '" .. folder .. "/work'")
            support.write(folder .. '/plugins/good.lua', 'return "the plugin\'s"')
            support.write(folder .. '/work/good.lua', 'return "the script\'s"')
            support.write(folder .. '/work/script.lua', 'print(require "good")')
            local function run(env, ...)
                local status, out, err = support.dlrun({...}, {env = ("-C '%s/work' DLRUN_PLUGIN_PATH=%s"):format(folder, env)})
                assert.equal('', err)
                assert.equal(0, status)
                return out
            end
            local asked = '--plugin=' .. folder .. '/plugins/good.so'
            assert.equal("the plugin's\n", run('', asked, '-e', 'print(require "good")'))
            assert.equal("the plugin's\n", run('', asked, 'script.lua'))
            assert.equal("the script's\n", run(folder .. '/plugins', 'script.lua'))
        end)
    end)
end)
