local digits = require 'dlrun.data.digits'

local area = digits.side * digits.side

local function image(images, k)
    local out = {}
    for p = 0, area - 1 do out[p + 1] = images[k * area + p] end
    return out
end

-- Ink, and its centre of mass in pixels.
local function moments(images, k)
    local mass, x, y = 0, 0, 0
    for p = 0, area - 1 do
        local v = images[k * area + p]
        mass, x, y = mass + v, x + v * (p % 28 + .5), y + v * (math.floor(p / 28) + .5)
    end
    return mass, x / mass, y / mass
end

describe('generated digits', function()
    local images, labels = digits.generate(400, 1)

    it('are the same for the same seed, whatever the number of them', function()
        local again, sameLabels = digits.generate(50, 1)
        for k = 0, 49 do
            assert.equal(labels[k], sameLabels[k])
            assert.same(image(images, k), image(again, k))
        end
    end)

    it('differ between seeds and from each other', function()
        local other = digits.generate(2, 2)
        assert.not_same(image(images, 0), image(other, 0))
        assert.not_same(image(images, 0), image(images, 1))
    end)

    it('show every digit about equally often', function()
        local counts = {}
        for k = 0, 399 do counts[labels[k]] = (counts[labels[k]] or 0) + 1 end
        for label = 0, 9 do assert.is_true(counts[label] > 15, label) end
    end)

    it('look like MNIST: dark border, bright strokes, centred mass', function()
        for k = 0, 399 do
            local mass, x, y = moments(images, k)
            local share = mass / 255 / area
            assert.is_true(share > .02 and share < .4, k)
            assert.is_true(math.abs(x - 14) < 1.5 and math.abs(y - 14) < 1.5, k)
            for p = 0, 27 do
                assert.equal(0, images[k * area + p])
                assert.equal(0, images[k * area + 27 * 28 + p])
            end
        end
    end)

    it('of one class are nearer to their mean than to the others', function()
        local mean, counts = {}, {}
        for c = 0, 9 do
            mean[c], counts[c] = {}, 0
            for p = 1, area do mean[c][p] = 0 end
        end
        for k = 0, 299 do
            local m = mean[labels[k]]
            counts[labels[k]] = counts[labels[k]] + 1
            for p = 1, area do m[p] = m[p] + images[k * area + p - 1] end
        end
        local right = 0
        for k = 300, 399 do
            local best, least
            for c = 0, 9 do
                local d = 0
                for p = 1, area do d = d + (mean[c][p] / counts[c] - images[k * area + p - 1]) ^ 2 end
                if not least or d < least then best, least = c, d end
            end
            if best == labels[k] then right = right + 1 end
        end
        assert.is_true(right > 50, right)
    end)
end)
