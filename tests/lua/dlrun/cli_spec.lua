local support = require 'tests.lua.support'
local dlrun = support.dlrun

-- Runs a script of this text with these arguments behind it.
local function script(text, arguments, given)
    local status, out, err
    support.inFolder(function(folder)
        support.write(folder .. '/script.lua', text)
        status, out, err = dlrun({folder .. '/script.lua', unpack(arguments or {})}, given)
    end)
    return status, out, err
end

describe('dlrun', function()
    it('prints its version and a help text that fits a screen', function()
        local status, out = dlrun {'--version'}
        assert.equal(0, status)
        assert.matches('^dlrun %d+%.%d+%.%d+\n$', out)
        status, out = dlrun {'--help'}
        assert.equal(0, status)
        assert.matches('%-%-list%-backends', out)
        assert.is_true(select(2, out:gsub('\n', '')) <= 24)
        for line in out:gmatch '[^\n]+' do assert.is_true(#line <= 128) end
    end)

    it('runs code, in order, with the libraries asked for', function()
        local status, out = dlrun {'-e', 'io.write(1)', '-l', 'string', '-e', 'io.write(2, type(string))'}
        assert.equal(0, status)
        assert.equal('12table', out)
    end)

    it('gives a script its arguments, options among them', function()
        local status, out = script('print(#arg, arg[0]:match "[^/]*$", arg[1], arg[2], ...)', {'--seed', '-e'})
        assert.equal(0, status)
        assert.equal('2\tscript.lua\t--seed\t-e\t--seed\t-e\n', out)
    end)

    it('writes each line when it is printed, not at the end', function()
        local _, out = script("print 'seen' local ffi = require 'ffi' ffi.cdef 'int raise(int);' ffi.C.raise(9)")
        assert.equal('seen\n', out)
    end)

    it('runs a script from standard input', function()
        local status, out = dlrun({}, {input = 'print(6 * 7)'})
        assert.equal(0, status)
        assert.equal('42\n', out)
    end)

    it('finds modules beside the script first', function()
        support.inFolder(function(folder)
            support.write(folder .. '/argparse.lua', 'return "mine"')
            support.write(folder .. '/script.lua', 'print(require "argparse")')
            local _, out = dlrun {folder .. '/script.lua'}
            assert.equal('mine\n', out)
        end)
    end)

    it('has torch loaded', function()
        local _, out = dlrun {'-e', 'print(type(torch), package.loaded.torch == torch)'}
        assert.equal('table\ttrue\n', out)
    end)

    it('ends with the status that os.exit was given, and closes the state', function()
        local status, out = script('local p = newproxy(true); getmetatable(p).__gc = function() print "closed" end; os.exit(7)')
        assert.equal(7, status)
        assert.equal('closed\n', out)
        assert.equal(1, (script 'os.exit(false)'))
        assert.equal(0, (script 'os.exit(true)'))
    end)

    it('reports an error with the line and the calls of the user', function()
        local text = 'local function inner(t)\n  return t.x.y\nend\n\nlocal function outer() return (inner {}) end\nouter()\n'
        local status, out, err = script(text)
        assert.equal(1, status)
        assert.equal('', out)
        assert.matches("^dlrun: attempt to index field 'x' %(a nil value%)\n", err)
        assert.matches('script.lua:2: return t.x.y\n', err, 1, false)
        assert.matches("function 'inner' %(.*:2%)", err)
        assert.matches("function 'outer' %(.*:5%)", err)
        assert.matches('main chunk %(.*:6%)', err)
        assert.is_nil(err:find('main.lua', 1, true))
        assert.is_nil(err:find('\27', 1, true))
    end)

    it('reports an error raised inside its packages at the line that called them', function()
        local status, _, err = script 'local x = 1\ntorch.ones("two", {})\n'
        assert.equal(1, status)
        assert.matches('script.lua:2: torch.ones%("two", {}%)\n', err)
        assert.is_nil(err:find('lua/torch', 1, true))
        assert.matches('lua/torch', select(3, script('torch.ones("two", {})', {}, {env = 'DLRUN_TRACEBACK=full'})))
    end)

    it('reports syntax errors, missing scripts, errors that are no strings', function()
        local status, _, err = script 'x = = 1\n'
        assert.equal(1, status)
        assert.matches('script.lua:1: x = = 1\n', err)
        status, _, err = dlrun {'/nowhere/script.lua'}
        assert.equal(1, status)
        assert.matches('/nowhere/script.lua', err)
        status, _, err = script 'error {}'
        assert.equal(1, status)
        assert.matches('error object is a table value', err)
        status, _, err = script 'error(setmetatable({}, {__tostring = function() return "spoken" end}))'
        assert.equal(1, status)
        assert.matches('^dlrun: spoken\n', err)
    end)

    it('refuses wrong options', function()
        assert.equal(2, (dlrun {'--nonsense'}))
        assert.equal(2, (dlrun {'--threads'}))
        for _, option in ipairs {'--threads=0', '--threads=many', '--seed=1.5', '--fallback=cuda'} do
            local status, _, err = dlrun {option, '-e', 'print "ran"'}
            assert.equal(1, status)
            assert.matches(option:match '%-%-%a+', err, 1, true)
        end
    end)

    it('lists its backends and plugins', function()
        local status, out = dlrun {'--list-backends'}
        assert.equal(0, status)
        assert.matches('cpu:0 .*threads?.* free of ', out)
        assert.matches('Plugins:\n  cpu %S+  /.*cpu%.so', out)
        status, out = dlrun({'--list-plugins'})
        assert.equal(0, status)
        assert.matches('cpu%.so', out)
    end)

    it('says why a plugin file is refused', function()
        support.inFolder(function(folder)
            support.write(folder .. '/broken.so', 'this is no plugin')
            local path = folder .. ':' .. (os.getenv 'DLRUN_PLUGIN_PATH' or 'build/lib/dlrun/plugins')
            local _, out = dlrun({'--list-plugins'}, {env = 'DLRUN_PLUGIN_PATH=' .. path})
            assert.matches('refused  ' .. folder .. '/broken.so: %S', out)
            local status, _, err = dlrun {'--plugin=' .. folder .. '/broken.so', '-e', 'print "ran"'}
            assert.equal(1, status)
            assert.matches('broken.so', err, 1, true)
        end)
    end)

    it('refuses an unknown backend and lists those that are there', function()
        local status, out, err = dlrun {'--backend=abacus', '-e', 'print "ran"'}
        assert.equal(1, status)
        assert.equal('', out)
        assert.matches('abacus', err)
        assert.matches('cpu:0', err)
        assert.equal(0, (dlrun {'--backend=cpu:0', '-e', ''}))
    end)

    it('seeds the random numbers', function()
        local function draw(seed) return select(2, dlrun {'--seed=' .. seed, '-e', 'print(torch.rand(3):sum())'}) end
        assert.equal(draw(7), draw(7))
        assert.not_equal(draw(7), draw(8))
    end)

    it('ends with 130 on Ctrl-C', function()
        -- the script sends itself the signal, so that it comes after start-up however slow the machine is
        local signal = "local ffi = require 'ffi'; ffi.cdef 'int getpid(void);'\n"
            .. "os.execute(('(sleep 0.2; kill -INT %d) &'):format(ffi.C.getpid()))\n"
        local before = 'timeout -k 5 60'
        local status, out, err = script(signal .. 'jit.off()\nwhile true do end', {}, {before = before})
        assert.equal(130, status)
        assert.equal('', out)
        assert.matches('interrupted', err)
        status = script(signal .. 'local x = torch.ones(10)\nwhile true do x = torch.cmul(x, x) end', {}, {before = before})
        assert.equal(130, status)
    end)

    it('answers expressions and statements of several lines', function()
        local input = '1 + 1\nx = 3\n=x\nfor k = 1, 2 do\nprint("k", k)\nend\nerror "no"\n(\n"z"\n)\n'
        local status, out = dlrun({'-i'}, {input = input})
        assert.equal(0, status)
        assert.matches('> 2\n', out)
        assert.matches('> 3\n', out)
        assert.matches('k\t1\nk\t2\n', out)
        assert.matches('z\n', out)
    end)

    it('drops what was typed at the prompt on Ctrl-C', function()
        local feed = "(printf 'foo(\\n'; sleep 1; printf 'print(6 * 7)\\n')"
        local status, out = dlrun({'-i'}, {feed = feed, before = 'timeout -k 5 --preserve-status -s INT 0.5'})
        assert.equal(0, status)
        assert.matches('>> \ninterrupted\n> 42\n', out)
    end)

    it('takes a message with a number in it for no place', function()
        local _, _, err = dlrun {'--backend=cpu:3'}
        assert.matches('^dlrun: %-%-backend=cpu:3: ', err)
        assert.is_nil(err:find '\n  %-%-backend')
    end)
end)
