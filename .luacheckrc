-- luacheck's configuration: LuaJIT's globals, 128 columns, and the globals that dlrun's packages set (CONVENTIONS: packages).
std = 'luajit'
max_line_length = 128
globals = {'arg', 'torch', 'nn', 'optim', 'image', 'paths', 'xlua', 'sys', 'nngraph', 'gnuplot'}
unused_args = false
files['tests/lua'] = {std = '+busted'}
