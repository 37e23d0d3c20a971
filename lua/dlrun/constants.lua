-- constants.lua: numbers of the ABI that the declarations of dlrun.h do not have (tests/lua/dlrun/conformance_spec.lua compares
-- them with plugin.h and opcode.def).
return {
    flag = {VIEW = 1, RANDOM = 2, SYNC = 8, POINTWISE = 32}, -- DL_OP_* in dl_op_info.flags
    opcode = {ADD = 6, MUL = 8, MAX = 13, MIN = 14},
}
