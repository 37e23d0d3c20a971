-- record.lua: make abi-record: writes tests/abi/offsets.txt anew, if all that has changed is that something was appended.
--
--     dlrun tests/abi/record.lua build/gen/plugin_cdef.h
package.path = './?.lua;' .. package.path
local layout = require 'tests.abi.layout'

local path = 'tests/abi/offsets.txt'
local file = assert(io.open(arg[1]))
local present = layout.of(file:read '*a')
file:close()

local exists = io.open(path)
if exists then
    exists:close()
    local broken, appended = layout.compare(layout.read(path), present)
    if #broken > 0 then
        io.stderr:write('the plugin ABI would break: append instead\n  ', table.concat(broken, '\n  '), '\n')
        os.exit(1)
    end
    print(#appended == 0 and 'nothing was appended' or 'recorded:\n  ' .. table.concat(appended, '\n  '))
end

file = assert(io.open(path, 'w'))
file:write('# Written by make abi-record: what plugins in the field were compiled with, on 64-bit machines.\n',
    table.concat(present, '\n'), '\n')
file:close()
