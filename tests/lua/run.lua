-- Runs one spec file under busted, in this very interpreter: dlrun tests/lua/run.lua FILE. Output is TAP, for tools/run_tests.
-- Helpers that specs share lie beside this file: require 'tests.lua.<name>' works, the repository's root being in the path.
package.path = './?.lua;' .. package.path
arg = {[0] = 'busted', '-o', 'TAP', '--verbose', '--no-auto-insulate', unpack(arg)}
local ok, message = pcall(require 'busted.runner', {standalone = false})
if not ok then -- busted ends by an error without a message when a test failed
    if message ~= nil then error(message, 0) end
    os.exit(1)
end
