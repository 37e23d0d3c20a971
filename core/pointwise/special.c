/* special.c - digamma and trigamma in double: reflection for x <= 0, recurrence up to 10, then the asymptotic series
 * (Abramowitz & Stegun 6.3.5-6.3.18 and 6.4.6-6.4.12). */
#include "core/pointwise/internal.h"
#include <math.h>

static const double pi = 3.14159265358979323846;

/* psi(x) = psi(x + 1) - 1/x;  psi(1 - x) = psi(x) + pi cot(pi x). Poles: NaN at negative integers, -inf at +0 as PyTorch. */
double pw_digamma(double x) {
    if (x == 0) return copysign(INFINITY, -x);
    if (x < 0) {
        double fraction = x - trunc(x);
        return fraction == 0 ? NAN : pw_digamma(1 - x) - pi / tan(pi * fraction);
    }
    double sum = 0;
    for (; x < 10; x += 1) sum -= 1 / x;
    double z = 1 / (x * x);
    double series =
        z * (1 / 12.0 - z * (1 / 120.0 - z * (1 / 252.0 - z * (1 / 240.0 - z * (1 / 132.0 - z * (691 / 32760.0 - z / 12))))));
    return sum + log(x) - 0.5 / x - series;
}

/* psi'(x) = psi'(x + 1) + 1/x^2;  psi'(1 - x) + psi'(x) = (pi / sin(pi x))^2. */
double pw_trigamma(double x) {
    if (x <= 0) {
        double fraction = x - trunc(x);
        if (fraction == 0) return INFINITY;
        double s = pi / sin(pi * fraction);
        return s * s - pw_trigamma(1 - x);
    }
    double sum = 0;
    for (; x < 10; x += 1) sum += 1 / (x * x);
    double z = 1 / (x * x);
    double series =
        z * (1 / 6.0 - z * (1 / 30.0 - z * (1 / 42.0 - z * (1 / 30.0 - z * (5 / 66.0 - z * (691 / 2730.0 - z * 7 / 6))))));
    return sum + 1 / x + 0.5 * z + series / x;
}
