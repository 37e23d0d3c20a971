-- libdlrun as LuaJIT sees it: the declarations are the C headers themselves, prepared by the build. Returns the C namespace and
-- check(status, level), which raises libdlrun's message at the caller's line if the status is not DL_OK.
local ffi = require 'ffi'
local host = require 'dlrun.host'

local file = assert(io.open(host.cdef))
ffi.cdef(file:read '*a')
file:close()

local C = ffi.C

local function check(status, level)
  if status ~= C.DL_OK then error(ffi.string(C.dl_last_error()), (level or 1) + 1) end
end

return {C = C, check = check}
