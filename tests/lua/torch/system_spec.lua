-- torch.CmdLine, torch.Timer, threads, memory and other odds and ends.
describe('torch.CmdLine', function()
    local cmd
    before_each(function()
        cmd = torch.CmdLine()
        cmd:text 'A script'
        cmd:argument('-data', 'where the data is')
        cmd:option('-lr', 0.1, 'learning rate')
        cmd:option('--name', 'net', 'a name')
        cmd:option('-gpu', false, 'use the GPU')
    end)

    it('parses options by their type', function()
        local opt = cmd:parse {'folder', '-lr', '0.5', '--name=x'}
        assert.same({data = 'folder', lr = 0.5, name = 'x', gpu = false}, opt)
        assert.is_true(cmd:parse({'folder', '-gpu'}).gpu)
        assert.is_true(cmd:parse({'folder', '-gpu', 'true'}).gpu)
        assert.equal(-3, cmd:parse({'folder', '-lr', '-3'}).lr)
    end)

    it('names runs by what differs', function()
        assert.equal('run,lr=0.5', cmd:string('run', {lr = 0.5, name = 'net'}, {}))
        assert.equal('run', cmd:string('run', {lr = 0.5}, {lr = true}))
    end)
end)

describe('torch.Timer', function()
    it('counts while it runs', function()
        local timer = torch.Timer()
        local first = timer:time().real
        assert.is_true(first >= 0)
        timer:stop()
        local stopped = timer:time().real
        for _ = 1, 1e5 do math.sin(1) end
        assert.equal(stopped, timer:time().real)
        timer:resume()
        assert.is_true(timer:time().real >= stopped)
        assert.is_number(timer:time().user)
        assert.is_true(torch.toc(torch.tic()) >= 0)
    end)
end)

describe('the machine', function()
    it('threads, device, memory', function()
        local n = torch.getnumthreads()
        torch.setnumthreads(1)
        assert.equal(1, torch.getnumthreads())
        torch.setnumthreads(n)
        assert.error_matches(function() torch.setnumthreads(0) end, 'at least 1')
        assert.equal('cpu', torch.device())
        assert.has_error(function() torch.device 'nosuch' end)
        local x = torch.Tensor(1000)
        assert.is_true(torch.memory().liveBytes >= 4 * x:nElement())
        assert.is_true(torch.getnumcores() >= 1)
        assert.is_true(torch.pointer(x) ~= torch.pointer(torch.Tensor(1)))
    end)
end)
