local files = require 'dlrun.files'
local support = require 'tests.lua.support'

describe('files.replace', function()
    it('writes a whole file', function()
        support.inFolder(function(folder)
            files.replace(folder .. '/x', function(put)
                put 'one '
                put 'two'
            end)
            assert.equal('one two', support.read(folder .. '/x'))
        end)
    end)

    it('leaves the old file and nothing else after an error', function()
        support.inFolder(function(folder)
            support.write(folder .. '/x', 'old')
            local ok, message = pcall(files.replace, folder .. '/x', function(put)
                put 'half'
                error('broke off', 0)
            end)
            assert.is_false(ok)
            assert.equal('broke off', message)
            assert.equal('old', support.read(folder .. '/x'))
            local listing = io.popen('ls -A ' .. folder)
            assert.equal('x\n', listing:read '*a')
            listing:close()
        end)
    end)

    it('notices a full disk', function()
        if not files.exists '/dev/full' then pending 'no /dev/full' end
        support.inFolder(function(folder)
            support.write(folder .. '/x', 'old')
            os.execute(('ln -s /dev/full %s/x.%d.tmp'):format(folder, require('ffi').C.getpid()))
            local ok, message = pcall(files.replace, folder .. '/x', function(put) put(('y'):rep(100000)) end)
            assert.is_false(ok)
            assert.matches('cannot write .*/x: is the disk full', message)
            assert.equal('old', support.read(folder .. '/x'))
        end)
    end)

    it('names the file where there is no such folder', function()
        local ok, message = pcall(files.replace, '/nowhere/x', function() end)
        assert.is_false(ok)
        assert.matches('cannot write /nowhere/x', message)
    end)
end)

describe('files.makeFolder', function()
    it('makes the folders above too, and minds none that is there', function()
        support.inFolder(function(folder)
            files.makeFolder(folder .. '/a/b/c')
            files.makeFolder(folder .. '/a/b/c')
            support.write(folder .. '/a/b/c/x', '')
            assert.is_true(files.exists(folder .. '/a/b/c/x'))
        end)
    end)
end)
