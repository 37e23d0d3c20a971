-- docs/plugin-authors.md, and behind it docs/plugin-backend.md, as a reader follows them: dlrun is installed into a folder of
-- its own, then the pages' files are written and their commands run, in order and as they are printed, outside the source
-- tree. A block "c acme.c" is a file of that name in the folder the commands have come to, "sh" is commands, and "text" behind
-- it what they must have printed.
local support = require 'tests.lua.support'

local pages = {'docs/plugin-authors.md', 'docs/plugin-backend.md'}

-- Puts a page's blocks into the list, in order: {kind, file, at, text}.
local function collect(list, page)
    local open, number = nil, 0
    for line in support.read(page):gmatch '([^\n]*)\n' do
        number = number + 1
        local kind, file = line:match '^```(%a+) ?(%S*)$'
        if open and line == '```' then
            open.text = #open > 0 and table.concat(open, '\n') .. '\n' or ''
            list[#list + 1], open = open, nil
        elseif open then
            open[#open + 1] = line
        elseif kind then
            open = {kind = kind, file = file, at = ('%s:%d'):format(page, number)}
        end
    end
end

local function blocks()
    local list = {}
    for _, page in ipairs(pages) do collect(list, page) end
    return list
end

-- One shell script of all blocks, so that the pages' cd and export hold for what follows. Each group of commands writes its
-- output to a file of the block's number.
local function script(list, outputs)
    local lines = {'set -eu'}
    for k, block in ipairs(list) do
        lines[#lines + 1] = ('echo %s >%s/at'):format(block.at, outputs)
        if block.kind == 'sh' then
            lines[#lines + 1] = ('{\n%s} >%s/%d'):format(block.text, outputs, k)
        elseif block.kind ~= 'text' then
            lines[#lines + 1] = ("cat >%s <<'END-OF-FILE'\n%sEND-OF-FILE"):format(block.file, block.text)
        end
    end
    return table.concat(lines, '\n') .. '\n'
end

-- A host that is sanitized takes only plugins that are: the pages' compilers then have the flags.
local function compilers(folder)
    local sanitize = os.getenv 'DLRUN_SANITIZE'
    if not sanitize then return '$PATH' end
    for _, name in ipairs {'cc', 'c++'} do
        support.write(folder .. '/' .. name, ('#!/bin/sh\nexec /usr/bin/%s -fsanitize=%s "$@"\n'):format(name, sanitize))
    end
    os.execute(('chmod +x %s/cc %s/c++'):format(folder, folder))
    return folder .. ':$PATH'
end

local function hasTools() return os.execute 'command -v pkg-config c++ >/dev/null' == 0 end

describe('the pages for authors of plugins', function()
    it('name every source file that they print', function()
        for _, block in ipairs(blocks()) do
            assert.is_true(block.kind == 'sh' or block.kind == 'text' or block.file ~= '', block.at)
        end
    end)

    it('run as they are printed, outside the source tree', function()
        if not hasTools() then return pending 'pkg-config or a C++ compiler is missing' end
        support.inFolder(function(home)
            local list = blocks()
            os.execute(('mkdir %s/out %s/bin'):format(home, home))
            support.write(home .. '/run.sh', script(list, home .. '/out'))
            local status = os.execute(('env -u MAKEFLAGS -u MAKELEVEL -u DLRUN_PLUGIN_PATH -u XDG_DATA_HOME HOME=%s '
                .. 'SANITIZE="$DLRUN_SANITIZE" BUILD="$DLRUN_BUILD" PATH="%s" sh %s/run.sh >%s/log 2>&1')
                :format(home, compilers(home .. '/bin'), home, home))
            local at = support.read(home .. '/out/at'):sub(1, -2)
            assert.equal(0, status, ('%s: %s'):format(at, support.read(home .. '/log')))
            for k, block in ipairs(list) do
                if block.kind == 'text' then
                    assert.equal(block.text, support.read(('%s/out/%d'):format(home, k - 1)), block.at)
                end
            end
        end)
    end)
end)

describe('dlrun/plugin.h', function()
    it('alone is clean C11 and C++17', function()
        support.inFolder(function(folder)
            support.write(folder .. '/h.c', '#include <dlrun/plugin.h>\nDL_PLUGIN_IDENTITY("h", "1", 0);\n'
                .. 'dl_status dl_plugin_init(const dl_host *host) { return DL_HAS(host, fail) ? DL_OK : DL_ABI; }\n')
            local flags = '-Wall -Wextra -Wpedantic -Werror -fsyntax-only -Icore/include'
            local function compiles(command)
                local status = os.execute(('%s %s %s/h.c >%s/log 2>&1'):format(command, flags, folder, folder))
                assert.equal(0, status, support.read(folder .. '/log'))
            end
            compiles 'cc -std=c11'
            if os.execute 'command -v c++ >/dev/null' == 0 then compiles 'c++ -std=c++17 -x c++' end
        end)
    end)
end)
