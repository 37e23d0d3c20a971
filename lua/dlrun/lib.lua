-- libdlrun for the program's own files: the C namespace and check(status, level), which raises libdlrun's message at the
-- caller's line (level 0: without a line) if the status is not DL_OK.
local base = require 'dlrun.ffi'
local C, ffi = base.C, base.ffi

local function check(status, level)
  if status ~= C.DL_OK then error(ffi.string(C.dl_last_error()), level == 0 and 0 or (level or 1) + 1) end
end

return {C = C, check = check}
