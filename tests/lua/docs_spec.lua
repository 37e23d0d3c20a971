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
