-- process.lua: a worker process one can talk to: lines go through its standard input, answers come back through a named pipe.
-- (io.popen has one direction only.)
local Process = {}
Process.__index = Process

--- Starts a shell command; what it prints is read by ask.
function Process.start(command)
    local pipe = os.tmpname()
    os.remove(pipe)
    assert(os.execute(('mkfifo -m 600 %s'):format(pipe)) == 0, 'mkfifo failed')
    local input = assert(io.popen(('exec %s >%s'):format(command, pipe), 'w'))
    local output = assert(io.open(pipe))
    os.remove(pipe)
    return setmetatable({input = input, output = output, command = command}, Process)
end

--- Sends a line, returns the line that answers it.
function Process:ask(format, ...)
    self.input:write(format:format(...), '\n')
    self.input:flush()
    local answer = self.output:read '*l'
    if not answer then error(('%s ended; it was asked: %s'):format(self.command, format:format(...)), 0) end
    return answer
end

function Process:close()
    self.input:close()
    self.output:close()
end

return Process
