-- Runs one spec file under busted, in this very interpreter: dlrun tests/lua/run.lua FILE. Output is TAP, for tools/run_tests.
-- Helpers that specs share lie beside this file: require 'tests.lua.<name>' works, the repository's root being in the path.
package.path = './?.lua;' .. package.path
arg = {[0] = 'busted', '-o', 'TAP', '--verbose', '--no-auto-insulate', unpack(arg)}
require 'busted.runner'({standalone = false})
