-- The examples in README.md and docs/ run as they are printed.
local support = require 'tests.lua.support'

local function pages()
    local list = {'README.md'}
    local listing = io.popen 'ls docs/*.md'
    for path in listing:lines() do list[#list + 1] = path end
    listing:close()
    return list
end

-- The ```lua blocks of a page, each with the number of its first line.
local function examples(path)
    local list, lines, number = {}, nil, 0
    for line in support.read(path):gmatch '([^\n]*)\n' do
        number = number + 1
        if line == '```lua' then
            lines = {}
        elseif line == '```' and lines then
            list[#list + 1] = {line = number - #lines, text = table.concat(lines, '\n')}
            lines = nil
        elseif lines then
            lines[#lines + 1] = line
        end
    end
    return list
end

describe('examples of', function()
    for _, path in ipairs(pages()) do
        local list = examples(path)
        if #list > 0 then
            it(path, function()
                for _, example in ipairs(list) do
                    support.inFolder(function(folder)
                        support.write(folder .. '/example.lua', example.text)
                        local status, _, err = support.dlrun {folder .. '/example.lua'}
                        assert(status == 0 and err == '', ('%s:%d: %s'):format(path, example.line, err))
                    end)
                end
            end)
        end
    end
end)

-- The same scripts, the backend given on the command line.
describe('examples of README.md run on', function()
    local folder = os.getenv 'DLRUN_BUILD' .. '/plugins/'
    for name, arguments in pairs {plain = {'--plugin=' .. folder .. 'plain.so', '--backend=plain'},
        opencl = {'--backend=opencl'}} do
        it(name, function()
            local _, out = support.dlrun {arguments[2] and arguments[1] or '--list-backends', '--list-backends'}
            if not out:find('\n  ' .. name .. ':0 ', 1, true) then return pending('there is no device of ' .. name) end
            for _, example in ipairs(examples 'README.md') do
                support.inFolder(function(temporary)
                    support.write(temporary .. '/example.lua', example.text)
                    arguments[#arguments + 1] = temporary .. '/example.lua'
                    local status, text, err = support.dlrun(arguments)
                    arguments[#arguments] = nil
                    assert(status == 0 and err == '', ('README.md:%d: %s'):format(example.line, err))
                    assert.is_true(tonumber(text) < 1.5)
                end)
            end
        end)
    end
end)
