/* Vectors of numbers, in the vector extension that gcc and clang share: they become whatever the
   processor has. REAL is float or double; the sources are compiled once for each. */
#ifndef KAN_HEADS_VECTOR_H
#define KAN_HEADS_VECTOR_H

#include <stdint.h>
#include <string.h>

#ifdef KAN_HEADS_DOUBLE
typedef double REAL;
typedef int64_t BITS;
#define MANTISSA 52
#define BIAS 1023
#define MAGIC 6755399441055744.0 /* 1.5 * 2^52: adding it rounds to a whole number, kept in the low bits */
#define EXP_LIMIT 708.0
#define EXP_TERMS 13
#define TRIG_TERMS 17
#define LN2_HIGH 0.693147180369123816490
#define LN2_LOW 1.90821492927058770002e-10
#define HALF_PI_HIGH 1.5707963267948966
#define HALF_PI_LOW 6.123233995736766e-17
#else
typedef float REAL;
typedef int32_t BITS;
#define MANTISSA 23
#define BIAS 127
#define MAGIC 12582912.0f /* 1.5 * 2^23 */
#define EXP_LIMIT 87.0f
#define EXP_TERMS 7
#define TRIG_TERMS 10
#define LN2_HIGH 0.693359375f
#define LN2_LOW -2.12194440e-4f
#define HALF_PI_HIGH 1.57079637f
#define HALF_PI_LOW -4.37113883e-8f
#endif

/* For loops over what is a small constant after inlining; the results then stay in registers. */
#define UNROLL _Pragma("GCC unroll 8")
#define UNROLL_LANES _Pragma("GCC unroll 16")

/* So that constant arguments are constants inside. */
#define INLINE static inline __attribute__((always_inline))

#define LANES ((int)(64 / sizeof(REAL)))
typedef REAL V __attribute__((vector_size(64), aligned(sizeof(REAL)), may_alias));
typedef BITS M __attribute__((vector_size(64))); /* the result of a comparison */
typedef int32_t I __attribute__((vector_size(64 / sizeof(REAL) * 4)));

INLINE V splat(REAL a) { return (V){0} + a; }
INLINE V choose(M m, V a, V b) { return (V)((m & (M)a) | (~m & (M)b)); }
/* If a is NaN the result is b. */
INLINE V least(V a, V b) { return choose(a < b, a, b); }
INLINE V most(V a, V b) { return choose(a > b, a, b); }

INLINE V load(const REAL *p) { return *(const V *)p; }
INLINE void store(REAL *p, V a) { *(V *)p = a; }

/* The first `count` lanes; the others are 0. */
INLINE V load_some(const REAL *p, int count) {
    if (count >= LANES) return load(p);
    V a = {0};
    memcpy(&a, p, count * sizeof(REAL));
    return a;
}

INLINE void store_some(REAL *p, V a, int count) {
    if (count >= LANES) store(p, a);
    else memcpy(p, &a, count * sizeof(REAL));
}

INLINE REAL total(V a) {
    REAL sum = 0;
    for (int l = 0; l < LANES; l++) sum += a[l];
    return sum;
}

static const REAL INVERSE_FACTORIAL[] = {
    1.0, 1.0, 1.0 / 2, 1.0 / 6, 1.0 / 24, 1.0 / 120, 1.0 / 720, 1.0 / 5040, 1.0 / 40320, 1.0 / 362880,
    1.0 / 3628800, 1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800, 1.0 / 87178291200,
    1.0 / 1307674368000, 1.0 / 20922789888000, 1.0 / 355687428096000};

INLINE V vector_exp(V x) {
    x = least(splat(EXP_LIMIT), most(splat(-EXP_LIMIT), x)); /* what fits; NaN stays NaN */
    V t = x * (REAL)1.4426950408889634 + MAGIC;
    V k = t - MAGIC;
    V r = (x - k * LN2_HIGH) - k * LN2_LOW;
    V p = splat(INVERSE_FACTORIAL[EXP_TERMS]);
    for (int n = EXP_TERMS - 1; n >= 0; n--) p = p * r + INVERSE_FACTORIAL[n];
    return p * (V)(((M)t << MANTISSA) + ((BITS)BIAS << MANTISSA));
}

INLINE void vector_sincos(V x, V *sine, V *cosine) {
    V t = x * (REAL)0.6366197723675814 + MAGIC;
    V k = t - MAGIC;
    V r = (x - k * HALF_PI_HIGH) - k * HALF_PI_LOW;
    /* Of a huge angle no digit of the remainder is left; keep it in range. NaN stays. */
    r = choose(r > (REAL)0.8, splat(0.8), choose(r < (REAL)-0.8, splat(-0.8), r));
    V r2 = r * r;
    V s = {0}, c = {0};
    for (int n = TRIG_TERMS; n >= 0; n--) {
        REAL term = (n % 4 < 2) ? INVERSE_FACTORIAL[n] : -INVERSE_FACTORIAL[n];
        if (n % 2) s = s * r2 + term;
        else c = c * r2 + term;
    }
    s = s * r;
    M quadrant = (M)t;
    M odd = (quadrant & 1) != 0;
    V a = choose(odd, c, s), b = choose(odd, s, c);
    *sine = choose((quadrant & 2) != 0, -a, a);
    *cosine = choose(((quadrant + 1) & 2) != 0, -b, b);
}

INLINE V vector_tanh(V x) { return 1 - 2 / (vector_exp(2 * x) + 1); }

/* Rows become columns: a[i][j] = a[j][i]. Exchanges blocks of 1, 2, 4, ... lanes. */
INLINE void transpose(V a[LANES]) {
#if defined(__GNUC__) && !defined(__clang__)
    M lane;
    for (int l = 0; l < LANES; l++) lane[l] = l;
    UNROLL_LANES for (int s = 1; s < LANES; s *= 2) {
        M upper = (lane & s) != 0;
        M first = (upper & (lane - s + LANES)) | (~upper & lane);
        M second = (upper & (lane + LANES)) | (~upper & (lane + s));
        UNROLL_LANES for (int i = 0; i < LANES; i++)
            if (!(i & s)) {
                V x = a[i], y = a[i | s];
                a[i] = __builtin_shuffle(x, y, first);
                a[i | s] = __builtin_shuffle(x, y, second);
            }
    }
#else
    for (int i = 0; i < LANES; i++)
        for (int j = 0; j < i; j++) {
            REAL x = a[i][j];
            a[i][j] = a[j][i];
            a[j][i] = x;
        }
#endif
}

/* table[index] in every lane; at most LANES entries stay in a register. */
INLINE V look_up(const REAL *table, const int in_register, M index) {
#if defined(__GNUC__) && !defined(__clang__)
    if (in_register) return __builtin_shuffle(load(table), index);
#endif
    V a;
    for (int l = 0; l < LANES; l++) a[l] = table[index[l]];
    return a;
}

/* Lane l of the four vectors becomes quads[l], and back. */
#if !defined(KAN_HEADS_DOUBLE) && defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define QUADS
#define PICK __builtin_shufflevector
typedef REAL Quad __attribute__((vector_size(4 * sizeof(REAL)), aligned(sizeof(REAL)), may_alias));

INLINE void to_quads(const V v[4], Quad quads[LANES]) {
    V low01 = PICK(v[0], v[1], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    V low23 = PICK(v[2], v[3], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    V high01 = PICK(v[0], v[1], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    V high23 = PICK(v[2], v[3], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    V a[4] = {PICK(low01, low23, 0, 1, 16, 17, 2, 3, 18, 19, 4, 5, 20, 21, 6, 7, 22, 23),
              PICK(low01, low23, 8, 9, 24, 25, 10, 11, 26, 27, 12, 13, 28, 29, 14, 15, 30, 31),
              PICK(high01, high23, 0, 1, 16, 17, 2, 3, 18, 19, 4, 5, 20, 21, 6, 7, 22, 23),
              PICK(high01, high23, 8, 9, 24, 25, 10, 11, 26, 27, 12, 13, 28, 29, 14, 15, 30, 31)};
    memcpy(quads, a, sizeof a);
}

INLINE void from_quads(const Quad quads[LANES], V v[4]) {
    V a[4];
    memcpy(a, quads, sizeof a);
    V even01 = PICK(a[0], a[1], 0, 4, 8, 12, 16, 20, 24, 28, 2, 6, 10, 14, 18, 22, 26, 30);
    V even23 = PICK(a[2], a[3], 0, 4, 8, 12, 16, 20, 24, 28, 2, 6, 10, 14, 18, 22, 26, 30);
    V odd01 = PICK(a[0], a[1], 1, 5, 9, 13, 17, 21, 25, 29, 3, 7, 11, 15, 19, 23, 27, 31);
    V odd23 = PICK(a[2], a[3], 1, 5, 9, 13, 17, 21, 25, 29, 3, 7, 11, 15, 19, 23, 27, 31);
    v[0] = PICK(even01, even23, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23);
    v[1] = PICK(odd01, odd23, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23);
    v[2] = PICK(even01, even23, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
    v[3] = PICK(odd01, odd23, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
}
#endif
#endif

#endif
