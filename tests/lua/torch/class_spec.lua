-- Torch7's object system: classes, inheritance, operators, questions about types.
describe('torch.class', function()
    after_each(function() _G.Foo, _G.Bar, torch.Bar = nil, nil, nil end)

    it('makes callable classes with constructors and parents', function()
        local class = torch.class 'Foo'
        function class:__init(x) self.x = x end
        function class:get() return self.x end
        function class:name() return 'foo' end
        local bar, parent = torch.class('torch.Bar', 'Foo')
        function bar:__init(x)
            parent.__init(self, x)
            self.y = 2
        end
        function bar:name() return 'bar' end
        assert.equal(class, parent)
        assert.equal(class, _G.Foo)
        local object = torch.Bar(1)
        assert.equal(1, object:get())
        assert.equal(2, object.y)
        assert.equal('bar', object:name())
        assert.equal('foo', class(3):name())
        assert.equal('torch.Bar', torch.typename(object))
        assert.equal('torch.Bar', torch.type(object))
        assert.is_true(torch.isTypeOf(object, 'Foo'))
        assert.is_true(torch.isTypeOf(object, class))
        assert.is_true(torch.isTypeOf(object, bar))
        assert.is_false(torch.isTypeOf(class(1), bar))
        assert.is_false(torch.isTypeOf(1, 'Foo'))
    end)

    it('replaces a class defined again', function()
        local first = torch.class 'Foo'
        local second = torch.class 'Foo'
        assert.is_false(first == second)
        assert.equal(second, _G.Foo)
        assert.equal(second, torch.getmetatable 'Foo')
    end)

    it('has operators as methods, inherited', function()
        local class = torch.class 'Foo'
        function class:__init(x) self.x = x end
        function class.__add__(a, b) return a.x + b.x end
        function class:__tostring__() return 'Foo ' .. self.x end
        function class:__call__(y) return self.x * y end
        function class:__index__(k) if k == 'double' then return 2 * rawget(self, 'x'), true end return nil, false end
        function class:__newindex__(k, v)
            if k ~= 'triple' then return false end
            rawset(self, 'x', v / 3)
            return true
        end
        local Bar = torch.class('Bar', 'Foo')
        local a, b = Bar(3), Bar(4)
        assert.equal(7, a + b)
        assert.equal('Foo 3', tostring(a))
        assert.equal(6, a(2))
        assert.equal(6, a.double)
        a.triple = 15
        assert.equal(5, a.x)
        assert.is_nil(rawget(a, 'triple'))
        a.other = 1
        assert.equal(1, a.other)
        assert.is_nil(a.missing)
    end)

    it('puts classes into a module given', function()
        local module = {}
        torch.class('some.Foo', module)
        assert.truthy(module.Foo)
        assert.equal('some.Foo', torch.typename(module.Foo()))
    end)

    it('reports unknown parents and packages', function()
        assert.error_matches(function() torch.class('Foo', 'NoSuchClass') end, "no class 'NoSuchClass'")
        assert.error_matches(function() torch.class 'nowhere.Foo' end, "no package 'nowhere'")
        assert.error_matches(function() torch.class(5) end, 'string')
    end)

    it('factory and setmetatable make objects without a constructor', function()
        local class = torch.class 'Foo'
        function class:__init() self.made = true end
        assert.is_nil(torch.factory 'Foo'().made)
        assert.equal('Foo', torch.typename(torch.setmetatable({}, 'Foo')))
    end)
end)

describe('type questions', function()
    it('about plain values', function()
        assert.is_nil(torch.typename {})
        assert.is_nil(torch.typename(1))
        assert.equal('table', torch.type {})
        assert.equal('number', torch.type(7))
        assert.equal('torch.FloatTensor', torch.type(torch.Tensor()))
        assert.is_true(torch.isTensor(torch.Tensor()))
        assert.is_false(torch.isTensor {})
        assert.is_true(torch.isStorage(torch.LongStorage()))
        assert.is_true(torch.isTypeOf(torch.Tensor(), 'torch.*Tensor'))
        assert.equal('cdata', type(require('ffi').new 'int[1]'))
    end)

    it('methods can be added to a tensor class', function()
        torch.getmetatable('torch.FloatTensor').firstElement = function(x) return x[1] end
        assert.equal(7, torch.Tensor({7, 8}):firstElement())
        assert.is_nil(torch.LongTensor(1).firstElement)
        torch.getmetatable('torch.FloatTensor').firstElement = nil
        assert.same({2, 3}, torch.FloatTensor.add(torch.Tensor {1, 2}, 1):totable())
    end)
end)
