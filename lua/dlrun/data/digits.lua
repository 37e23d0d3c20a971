-- digits.lua: handwritten-looking digits, for machines without MNIST: pen strokes of the ten digits in several styles,
-- distorted at random, drawn with antialiasing in MNIST's format (28x28, the digit in a 20x20 box, its centre of mass in the
-- middle). The same seed gives the same images, each from its own number.
local bit = require 'bit'
local ffi = require 'ffi'

local digits = {}

local side = 28
local pi, floor, sin, cos, sqrt, min, max = math.pi, math.floor, math.sin, math.cos, math.sqrt, math.min, math.max

-- ---- random numbers: xorshift (Marsaglia 2003), started for each image by a hash of seed and number -----------------------

local state = 1

-- The finaliser of MurmurHash3 spreads neighbouring numbers over all bits.
local function scramble(x)
    x = bit.bxor(x, bit.rshift(x, 16))
    x = tonumber(ffi.cast('int32_t', 0x85ebca6bLL * x))
    x = bit.bxor(x, bit.rshift(x, 13))
    x = tonumber(ffi.cast('int32_t', 0xc2b2ae35LL * x))
    return bit.bxor(x, bit.rshift(x, 16))
end

local function start(seed, number)
    state = scramble(bit.bxor(scramble(bit.tobit(seed)), number))
    if state == 0 then state = 1 end
end

local function uniform(lo, hi)
    local x = state
    x = bit.bxor(x, bit.lshift(x, 13))
    x = bit.bxor(x, bit.rshift(x, 17))
    x = bit.bxor(x, bit.lshift(x, 5))
    state = x
    return lo + (hi - lo) * ((x + 2147483648) / 4294967296)
end

-- ---- strokes: arrays x1, y1, x2, y2 … in a box of 1 by 1, y downwards -----------------------------------------------------

local function line(...) return {...} end

-- An ellipse's arc, angles in degrees, 0 to the right, growing downwards (as y does).
local function arc(cx, cy, rx, ry, from, to)
    local points = {}
    local steps = max(4, floor(math.abs(to - from) / 20))
    for k = 0, steps do
        local a = (from + (to - from) * k / steps) * pi / 180
        points[#points + 1] = cx + rx * cos(a)
        points[#points + 1] = cy + ry * sin(a)
    end
    return points
end

-- A smooth curve through the points (Catmull-Rom).
local function curve(...)
    local p, n, points = {...}, select('#', ...) / 2, {}
    local function at(k, axis) return p[2 * max(1, min(n, k)) - 2 + axis] end
    for k = 1, n - 1 do
        for step = 0, k == n - 1 and 4 or 3 do
            local t = step / 4
            for axis = 1, 2 do
                local a, b, c, d = at(k - 1, axis), at(k, axis), at(k + 1, axis), at(k + 2, axis)
                points[#points + 1] = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t * t
                    + (3 * b - a - 3 * c + d) * t * t * t)
            end
        end
    end
    return points
end

-- One stroke of several pieces.
local function join(...)
    local points = {}
    for _, piece in ipairs {...} do
        for _, v in ipairs(piece) do points[#points + 1] = v end
    end
    return points
end

-- styles[digit + 1]: the ways to write it, each a list of strokes.
local styles = {
    {
        {arc(.5, .5, .32, .48, -90, 270)},
        {arc(.5, .5, .24, .5, -70, 300)},
        {arc(.5, .5, .4, .44, -120, 230)},
        {curve(.62, .04, .36, .1, .22, .45, .3, .85, .55, .98, .76, .72, .76, .3, .6, .05, .45, .12)},
    },
    {
        {line(.5, 0, .5, 1)},
        {line(.55, 0, .45, 1)},
        {line(.32, .2, .54, 0, .54, 1)},
        {line(.3, .24, .52, 0, .52, 1), line(.3, 1, .74, 1)},
    },
    {
        {join(arc(.5, .27, .28, .27, 195, 380), line(.2, 1, .8, 1))},
        {join(curve(.22, .22, .42, .02, .7, .12, .72, .38, .5, .7, .22, .96), curve(.2, .97, .4, .9, .6, .97, .84, .94))},
        {curve(.24, .2, .45, .02, .7, .15, .66, .45, .42, .8, .24, .95, .18, .84, .32, .78, .52, .92, .84, .96)},
        {join(line(.22, .06, .5, 0), curve(.5, 0, .74, .12, .68, .42, .22, .98), line(.22, .98, .8, .94))},
    },
    {
        {join(arc(.45, .26, .27, .25, 200, 430), arc(.45, .74, .31, .26, -75, 155))},
        {curve(.22, .1, .48, 0, .7, .14, .64, .36, .4, .47, .66, .54, .76, .74, .6, .95, .34, .99, .18, .88)},
        {join(line(.22, .02, .74, .02, .44, .4), curve(.44, .4, .7, .48, .76, .72, .56, .96, .2, .94))},
        {curve(.26, .06, .56, .02, .68, .2, .5, .42, .42, .46, .62, .52, .72, .74, .5, .98, .22, .94)},
    },
    {
        {line(.62, 0, .16, .66, .86, .66), line(.62, 0, .62, 1)},
        {line(.26, .02, .2, .5, .78, .48), line(.76, .02, .68, 1)},
        {curve(.3, 0, .24, .25, .22, .48, .44, .54, .74, .48), line(.78, .04, .7, .5, .66, 1)},
        {line(.7, .02, .2, .56, .2, .62, .86, .58), line(.66, .34, .6, 1)},
    },
    {
        {join(line(.78, .02, .3, .02, .26, .42), arc(.44, .68, .32, .3, -125, 140))},
        {join(line(.76, .02, .3, .04, .26, .44), curve(.26, .44, .5, .38, .74, .54, .72, .82, .46, .99, .2, .9))},
        {join(line(.8, .04, .4, .06), curve(.4, .06, .3, .2, .3, .42, .56, .5, .68, .72, .5, .95, .18, .96))},
    },
    {
        {curve(.68, .02, .42, .2, .26, .5, .24, .76, .42, .98, .66, .92, .74, .7, .58, .54, .36, .6, .26, .76)},
        {join(curve(.56, 0, .36, .3, .26, .66), arc(.5, .73, .25, .26, 190, 560))},
        {curve(.46, 0, .3, .35, .26, .7, .38, .97, .64, .95, .74, .74, .6, .6, .4, .68, .32, .82)},
    },
    {
        {line(.18, .03, .8, .03, .42, 1)},
        {join(line(.2, .08, .22, .02, .78, .04), curve(.78, .04, .6, .34, .5, .65, .46, 1))},
        {line(.18, .04, .8, .02, .4, 1), line(.34, .5, .76, .48)},
        {curve(.18, .12, .4, .06, .66, .1, .78, .08, .64, .4, .54, .7, .5, 1)},
    },
    {
        {arc(.5, .26, .24, .25, 90, 450), arc(.5, .75, .3, .25, -90, 270)},
        {curve(.7, .14, .46, 0, .28, .16, .42, .4, .66, .6, .74, .82, .5, .99, .26, .84, .34, .62, .6, .4, .72, .16, .62, .06)},
        {curve(.66, .08, .4, .06, .3, .24, .5, .46, .7, .7, .56, .97, .34, .92, .3, .7, .52, .46, .7, .24, .6, .06)},
    },
    {
        {arc(.48, .28, .26, .27, 0, 360), curve(.74, .28, .72, .55, .62, 1)},
        {join(arc(.5, .27, .25, .26, -20, -340), line(.72, .2, .66, 1))},
        {curve(.72, .14, .5, .02, .28, .2, .34, .46, .56, .46, .72, .2, .74, .1, .72, .5, .66, .8, .44, .98, .26, .92)},
        {curve(.7, .2, .54, .02, .3, .14, .28, .4, .5, .5, .7, .3, .72, .16, .66, .6, .6, 1)},
    },
}

-- ---- distortion -----------------------------------------------------------------------------------------------------------

local capacity = 256
local px, py = ffi.new('double[?]', capacity), ffi.new('double[?]', capacity)
local pen = ffi.new('uint8_t[?]', capacity) -- 0 where a stroke begins
local warp = ffi.new 'double[12]'

-- Copies a style's points, bent by a few random low waves (elastic), then sheared, stretched and turned (affine).
local function place(strokes)
    local n = 0
    for _, stroke in ipairs(strokes) do
        local dx, dy = uniform(-.04, .04), uniform(-.04, .04)
        for k = 1, #stroke, 2 do
            px[n], py[n], pen[n] = stroke[k] - .5 + dx, stroke[k + 1] - .5 + dy, k > 1 and 1 or 0
            n = n + 1
        end
    end
    for k = 0, 11 do warp[k] = k % 3 == 0 and uniform(-.1, .1) or uniform(-pi, pi) end
    local angle, shear = uniform(-.3, .3), uniform(-.45, .3)
    local wide, high = uniform(.65, 1.25), uniform(.85, 1.1)
    local c, s = cos(angle), sin(angle)
    for k = 0, n - 1 do
        local x, y = px[k], py[k]
        local u = x + warp[0] * sin(5 * y + warp[1]) + warp[3] * sin(4 * x + 3 * y + warp[4])
        local v = y + warp[6] * sin(5 * x + warp[7]) + warp[9] * sin(3 * x - 4 * y + warp[10])
        u, v = wide * (u - shear * v), high * v
        px[k], py[k] = c * u - s * v, s * u + c * v
    end
    return n
end

-- Scales the points so that the longer side of their box is `size` pixels, the box in the picture's middle.
local function fit(n, size)
    local x0, x1, y0, y1 = px[0], px[0], py[0], py[0]
    for k = 1, n - 1 do
        x0, x1, y0, y1 = min(x0, px[k]), max(x1, px[k]), min(y0, py[k]), max(y1, py[k])
    end
    local scale = size / max(x1 - x0, y1 - y0)
    for k = 0, n - 1 do
        px[k] = (px[k] - (x0 + x1) / 2) * scale + side / 2
        py[k] = (py[k] - (y0 + y1) / 2) * scale + side / 2
    end
end

-- ---- drawing --------------------------------------------------------------------------------------------------------------

local distance = ffi.new('double[?]', side * side) -- squared, of each pixel's centre to the nearest segment

local function measure(n, reach)
    for k = 0, side * side - 1 do distance[k] = 1e9 end
    for k = 1, n - 1 do
        if pen[k] == 1 then
            local ax, ay, bx, by = px[k - 1], py[k - 1], px[k], py[k]
            local dx, dy = bx - ax, by - ay
            local length = max(dx * dx + dy * dy, 1e-9)
            local row1, row2 = max(0, floor(min(ay, by) - reach)), min(side - 1, floor(max(ay, by) + reach))
            local col1, col2 = max(0, floor(min(ax, bx) - reach)), min(side - 1, floor(max(ax, bx) + reach))
            for row = row1, row2 do
                for col = col1, col2 do
                    local x, y = col + .5 - ax, row + .5 - ay
                    local t = max(0, min(1, (x * dx + y * dy) / length))
                    x, y = x - t * dx, y - t * dy
                    local at = row * side + col
                    distance[at] = min(distance[at], x * x + y * y)
                end
            end
        end
    end
end

local function limit(v, bound) return max(-bound, min(bound, v)) end

-- Moves the points so that the drawn ink's centre of mass is the picture's middle, as MNIST's authors did, but never so far
-- that ink would reach the border.
local function centre(n, width)
    local mass, mx, my = 0, 0, 0
    for k = 0, side * side - 1 do
        local ink = max(0, min(1, width - sqrt(distance[k])))
        mass, mx, my = mass + ink, mx + ink * (k % side + .5), my + ink * (floor(k / side) + .5)
    end
    if mass == 0 then return end
    local dx, dy = limit(side / 2 - mx / mass, 2.5), limit(side / 2 - my / mass, 2.5)
    for k = 0, n - 1 do px[k], py[k] = px[k] + dx, py[k] + dy end
end

local function draw(label, image)
    local ways = styles[label + 1]
    local n = place(ways[1 + floor(uniform(0, #ways))])
    local width, soft = uniform(.95, 2.1), uniform(.9, 1.4) -- half the pen's width and its edge, in pixels
    fit(n, uniform(17, 20) - 2 * width)
    measure(n, width + 2)
    centre(n, width)
    measure(n, width + 2)
    local full = uniform(225, 255)
    for k = 0, side * side - 1 do
        local ink = max(0, min(1, .5 + (width - sqrt(distance[k])) / soft))
        image[k] = floor(full * ink + .5)
    end
end

-- n images (28x28 unsigned bytes each, 0 background) and their labels 0 to 9, as C arrays.
function digits.generate(n, seed)
    local images, labels = ffi.new('uint8_t[?]', n * side * side), ffi.new('uint8_t[?]', n)
    for k = 0, n - 1 do
        start(seed, k)
        labels[k] = floor(uniform(0, 10))
        draw(labels[k], images + k * side * side)
    end
    return images, labels
end

digits.side = side
return digits
