#!/usr/bin/env python3
"""minimax.py - makes the polynomial coefficients of backends/cpu/vecmath_*.h (needs mpmath; not part of the build).

With --table: the table of backends/cpu/vecmath_table.c. Each polynomial is the minimax approximation (Remez exchange) of `f` on [a, b] in powers of x, weighted so that the error
of the function it serves is even; printed as hexadecimal floats with the weighted error that remains.
"""
import sys

from mpmath import mp, mpf, matrix, lu_solve, exp, log, sqrt, erf, erfc, sin, cos, atanh, expm1, log1p, pi

mp.dps = 60


def remez(f, weight, a, b, degree, rounds=12):
    """Coefficients c[0..degree] that minimise max |weight(x) * (poly(x) - f(x))| on [a, b]."""
    n = degree + 2
    a, b = mpf(a), mpf(b)
    points = [(a + b) / 2 - (b - a) / 2 * mp.cos(pi * (2 * k + 1) / (2 * n)) for k in range(n)]
    grid = [(a + b) / 2 - (b - a) / 2 * mp.cos(pi * (k + mpf(1) / 2) / (40 * n)) for k in range(40 * n)]
    samples = [(x, f(x), weight(x)) for x in grid]
    for _ in range(rounds):
        system = matrix(n, n)
        right = matrix(n, 1)
        for i, x in enumerate(points):
            for k in range(degree + 1):
                system[i, k] = x**k
            system[i, n - 1] = (-1) ** i / weight(x)
            right[i] = f(x)
        solution = lu_solve(system, right)
        c = [solution[k] for k in range(degree + 1)]
        error = [w * (mp.polyval(c[::-1], x) - y) for x, y, w in samples]
        extrema, k = [], 0  # the largest error of every run of one sign
        while k < len(error):
            j = k
            while j < len(error) and (error[j] > 0) == (error[k] > 0):
                j += 1
            extrema.append(max(range(k, j), key=lambda i: abs(error[i])))
            k = j
        while len(extrema) > n:
            extrema.pop(0 if abs(error[extrema[0]]) < abs(error[extrema[-1]]) else -1)
        if len(extrema) < n:
            break
        points = [grid[i] for i in extrema]
    return c, max(abs(e) for e in error)


def show(name, f, weight, a, b, degree, double=False):
    c, error = remez(f, weight, a, b, degree)
    bits = 53 if double else 24
    with mp.workprec(bits):
        rounded = [float(+x) for x in c]
    print(f"{name}: error 2^{float(log(error, 2)):.1f}")
    print("   ", ", ".join(x.hex() for x in reversed(rounded)), "(highest power first)")


half = log(2) / 2
tiny = mpf(10) ** -12


def near_zero(f, at_zero):
    return lambda x: at_zero if abs(x) < tiny else f(x)


exp_tail = near_zero(lambda r: (expm1(r) - r) / r**2, mpf(1) / 2)
exp_weight = near_zero(lambda r: abs(r**2 / expm1(r)), tiny)
def polynomials():
    show("exp f32: e^r = 1 + r + r^2 P(r)", exp_tail, exp_weight, -half, half * mpf("1.0001"), 4)
    show("exp f64", exp_tail, exp_weight, -half, half * mpf("1.0001"), 10, True)

    log_tail = near_zero(lambda x: (log1p(x) - x + x * x / 2) / x**3, mpf(1) / 3)
    log_weight = near_zero(lambda x: abs(x**3 / log1p(x)), tiny)
    show("log f32: log(1+f) = f - f^2/2 + f^3 P(f)", log_tail, log_weight, -mpf(1) / 3, mpf(1) / 3 + mpf("1e-6"), 7)
    show("log f64: log((1+s)/(1-s)) = 2s + s^3 P(s^2)", near_zero(lambda z: (2 * atanh(sqrt(z)) - 2 * sqrt(z)) / z ** mpf("1.5"), mpf(2) / 3),
         near_zero(lambda z: z, tiny), 0, mpf("0.0401"), 7, True)
    show("log2 for pow: 34 bits", near_zero(lambda z: (2 * atanh(sqrt(z)) / sqrt(z)) / log(2), 2 / log(2)), lambda z: mpf(1) / 2, 0, mpf("0.0401"), 5, True)
    show("2^r for pow: 30 bits", lambda r: mpf(2) ** r, lambda r: mpf(2) ** -r, mpf(-1) / 2, mpf(1) / 2, 6, True)

    show("sin(x pi/2) = x P(x^2)", near_zero(lambda z: sin(sqrt(z) * pi / 2) / sqrt(z), pi / 2), near_zero(lambda z: 1, 1), 0, mpf("0.2501"), 4, True)
    show("cos(x pi/2) = P(x^2)", lambda z: cos(sqrt(z) * pi / 2), lambda z: 1, 0, mpf("0.2501"), 4, True)

    # The two halves of erf f32 share one Horner scheme of degree 7, around the middle of each half.
    split, top = mpf("1.21"), mpf("3.93")
    show("erf f32 below 1.21: x + x P(x^2 - 1)",
         lambda w: erf(sqrt(w + 1)) / sqrt(w + 1) - 1 if w + 1 > tiny else 2 / sqrt(pi) - 1,
         lambda w: sqrt(w + 1) / erf(sqrt(w + 1)) if w + 1 > tiny else sqrt(pi) / 2, -1, split**2 - 1, 7)
    middle = mpf("2.375")
    show("erf f32 above: 1 - P(x - 2.375)^4", lambda w: erfc(w + middle) ** mpf("0.25"),
         lambda w: 4 * erfc(w + middle) ** mpf("0.75"), split - middle, top - middle, 7)


def two_over_pi():
    """vecmath_table.c: 2^k * 2/pi mod 4 as hi + lo, hi of few bits."""
    mp.prec = 400
    hi, lo = [], []
    for k in range(106):
        c = 2 / pi * mpf(2) ** k % 4
        unit = mpf(2) ** (-27 if k == 0 else -25)
        hi.append(mp.floor(c / unit) * unit)
        with mp.workprec(53):
            lo.append(+(c - hi[-1]))
    for name, values in (("hi", hi), ("lo", lo)):
        print(f"static const double {name}[106] = {{")
        for k in range(0, 106, 4):
            print("    " + " ".join(float(x).hex() + "," for x in values[k : k + 4]))
        print("};")


if __name__ == "__main__":
    polynomials() if "--table" not in sys.argv else two_over_pi()
