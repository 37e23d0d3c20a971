-- support.lua: what specs share: temporary folders, files, and running the dlrun program.
local support = {}

local program = os.getenv 'DLRUN_BIN' or 'build/bin/dlrun'

local function quote(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

-- Calls f(folder) with an empty folder that is removed afterwards.
function support.inFolder(f)
    local folder = os.tmpname()
    os.remove(folder)
    assert(os.execute('mkdir ' .. quote(folder)) == 0)
    local ok, message = pcall(f, folder)
    os.execute('rm -rf ' .. quote(folder))
    if not ok then error(message, 0) end
end

function support.write(path, text)
    local file = assert(io.open(path, 'wb'))
    file:write(text)
    file:close()
end

function support.read(path)
    local file = assert(io.open(path, 'rb'))
    local text = file:read '*a'
    file:close()
    return text
end

-- Writes a small dataset of drawn digits under the names of MNIST's files.
function support.writeDigits(folder, train, test)
    local digits, idx = require 'dlrun.data.digits', require 'dlrun.data.idx'
    for name, n in pairs {train = train, t10k = test} do
        local images, labels = digits.generate(n, n)
        idx.write(('%s/%s-images-idx3-ubyte'):format(folder, name), {n, 28, 28}, images)
        idx.write(('%s/%s-labels-idx1-ubyte'):format(folder, name), {n}, labels)
    end
end

-- Runs dlrun with the arguments; given: {env = 'A=1 B=2', input = text, feed = shell command that prints the input,
-- before = 'timeout 1'}. Returns its exit status, standard output and standard error.
function support.dlrun(arguments, given)
    given = given or {}
    local status, out, err
    support.inFolder(function(folder)
        support.write(folder .. '/in', given.input or '')
        local words = {}
        for k, word in ipairs(arguments) do words[k] = quote(word) end
        local feed = given.feed or 'cat ' .. folder .. '/in'
        local command = ('%s | env %s %s %s %s >%s/out 2>%s/err; echo $? >%s/status'):format(feed, given.env or '',
            given.before or '', quote(program), table.concat(words, ' '), folder, folder, folder)
        os.execute(command)
        status = tonumber(support.read(folder .. '/status'))
        out, err = support.read(folder .. '/out'), support.read(folder .. '/err')
    end)
    return status, out, err
end

return support
