-- options.lua: a script's options from a table of rows, on lua-argparse.
--
--     local opt = require 'dlrun.options' {
--         'trains a network on MNIST',
--         {'epochs', 3, 'passes over the training images'},      a number
--         {'data', '', 'folder of the four files'},               a text
--         {'face', {'autograd', 'torch7'}, 'which API'},          one of these, the first if none is given
--         {'plot', false, 'draw the curve'},                      a flag: --plot
--     }
--     opt.epochs
local argparse = require 'argparse'

-- Converts an option's text to the type of its default.
local function number(text)
    local value = tonumber(text)
    if value then return value end
    return nil, ("'%s' is not a number"):format(text)
end

local function add(parser, name, default, help)
    local option
    if default == false then
        option = parser:flag('--' .. name, help):default(false)
    elseif type(default) == 'table' then
        option = parser:option('--' .. name, ('%s: %s'):format(help, table.concat(default, ', ')), default[1])
        option:choices(default):show_default(true):argname('<name>')
    elseif type(default) == 'number' then
        option = parser:option('--' .. name, ('%s (%s)'):format(help, default)):convert(number):argname '<n>'
    else
        option = parser:option('--' .. name, help):argname '<text>'
    end
    option:target(name)
end

return function(rows, arguments)
    arguments = arguments or arg
    local script = (arguments[0] or 'script.lua'):match '[^/]*$'
    local parser = argparse('dlrun ' .. script, rows[1])
    for k = 2, #rows do add(parser, unpack(rows[k])) end
    local opt = parser:parse(arguments)
    for k = 2, #rows do
        local name, default = unpack(rows[k])
        if opt[name] == nil then opt[name] = default end
    end
    return opt
end
