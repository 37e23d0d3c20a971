/* lexer.c - splits an expression into tokens. Numbers are not read by the C library: its decimal point follows the locale. */
#include "core/pointwise/internal.h"
#include <math.h>
#include <string.h>

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n'; }

static int32_t hex_digit(char c) {
    if (is_digit(c)) return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static const char *hexadecimal(const char *at, const char *end, pw_token *t) {
    uint64_t value = 0;
    const char *first = at += 2;
    for (; at < end && hex_digit(*at) >= 0; at++) {
        if (value >> 60) t->kind = PW_BAD; /* more than 64 bits */
        value = value << 4 | (uint64_t)hex_digit(*at);
    }
    if (at == first) t->kind = PW_BAD;
    t->integral = true;
    t->i = (int64_t)value;
    t->f = (double)value;
    return at;
}

/* Exact up to 19 digits and 10^27, which a long double holds: one rounding. */
static const char *decimal(const char *at, const char *end, pw_token *t) {
    uint64_t digits = 0;
    int32_t exponent = 0, point = 0;
    t->integral = true;
    for (; at < end && (is_digit(*at) || (*at == '.' && t->integral)); at++) {
        if (*at == '.') {
            t->integral = false;
            point = 1;
        } else if (digits < UINT64_C(1000000000000000000)) {
            digits = digits * 10 + (uint64_t)(*at - '0');
            exponent -= point;
        } else {
            exponent += 1 - point;
        }
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        const char *mark = at++;
        bool negative = at < end && *at == '-';
        if (at < end && (*at == '-' || *at == '+')) at++;
        if (at == end || !is_digit(*at)) return t->kind = PW_BAD, mark;
        int32_t written = 0;
        for (; at < end && is_digit(*at); at++)
            if (written < 100000) written = written * 10 + (*at - '0');
        exponent += negative ? -written : written;
        t->integral = false;
    }
    if (exponent > 5000) exponent = 5000;
    if (exponent < -5000) exponent = -5000;
    long double power = powl(10.0L, (long double)(exponent < 0 ? -exponent : exponent));
    t->f = (double)(digits == 0 ? 0 : exponent < 0 ? (long double)digits / power : (long double)digits * power);
    if (exponent != 0 || digits > INT64_MAX) t->integral = false;
    t->i = t->integral ? (int64_t)digits : 0;
    return at;
}

static const char *number(const char *at, const char *end, pw_token *t) {
    t->kind = PW_NUMBER;
    at = end - at > 1 && at[0] == '0' && (at[1] | 0x20) == 'x' ? hexadecimal(at, end, t) : decimal(at, end, t);
    if (at < end && (is_letter(*at) || is_digit(*at) || *at == '.')) {
        t->kind = PW_BAD;
        while (at < end && (is_letter(*at) || is_digit(*at) || *at == '.')) at++;
    }
    return at;
}

pw_token pw_lex(const char *at, const char *end) {
    static const char pairs[][3] = {"<=", ">=", "==", "!=", "&&", "||", "<<", ">>"};
    while (at < end && is_blank(*at)) at++;
    pw_token t = {.kind = PW_END, .text = at};
    if (at == end) return t;
    const char *stop = at + 1;
    if (is_letter(*at)) {
        t.kind = PW_NAME;
        while (stop < end && (is_letter(*stop) || is_digit(*stop))) stop++;
    } else if (is_digit(*at) || (*at == '.' && stop < end && is_digit(*stop))) {
        stop = number(at, end, &t);
    } else {
        t.kind = strchr("+-*/<>!&|~?:(),", *at) ? PW_OPERATOR : PW_BAD;
        for (size_t k = 0; k < sizeof pairs / sizeof *pairs; k++)
            if (end - at > 1 && at[0] == pairs[k][0] && at[1] == pairs[k][1]) {
                t.kind = PW_OPERATOR;
                stop = at + 2;
            }
    }
    t.length = (int32_t)(stop - at);
    return t;
}
