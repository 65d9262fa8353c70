/* The basis functions at one vector of inputs and their first two derivatives.

   Arguments called family, k (the order of the splines), top (the highest derivative) and mode are
   constants wherever these functions are inlined, which is what makes them fast. */
#ifndef KAN_HEADS_BASIS_H
#define KAN_HEADS_BASIS_H

#include "vector.h"

enum family { BSPLINE, GAUSSIAN, FOURIER, CHEBYSHEV };
enum base { NO_BASE, IDENTITY, SILU };

#define MAX_ORDER 5
#define MAX_LIVE (MAX_ORDER + 1)
#define ORDERS 3 /* value, first and second derivative */

/* Mirrored by kernels.py. */
typedef struct {
    int family, base, in, n_basis, grid_size;
    int order, linear; /* B-splines only */
    int anchored;
    int threads;
    const REAL *lower, *step; /* (in,) */
    const REAL *pieces;       /* (order + 1, order + 1): order! times the polynomials of the B-spline */
} Layer;

/* Splines of lower order run as those of order 3 or 5, with polynomials that are 0. */
INLINE int run_order(const Layer *layer) { return layer->order <= 3 ? 3 : 5; }

/* Runs a statement for the basis of a layer with constants `family` and `k`. */
#define WITH_BASIS(layer, ...)                 \
    do {                                       \
        if ((layer)->family == GAUSSIAN) {     \
            enum { family = GAUSSIAN, k = 0 }; \
            __VA_ARGS__;                       \
        } else if ((layer)->family == FOURIER) { \
            enum { family = FOURIER, k = 0 };  \
            __VA_ARGS__;                       \
        } else if ((layer)->family == CHEBYSHEV) { \
            enum { family = CHEBYSHEV, k = 0 }; \
            __VA_ARGS__;                       \
        } else if (run_order(layer) == 3) {    \
            enum { family = BSPLINE, k = 3 };  \
            __VA_ARGS__;                       \
        } else {                               \
            enum { family = BSPLINE, k = 5 };  \
            __VA_ARGS__;                       \
        }                                      \
    } while (0)

INLINE int padded(int n) { return (n + LANES - 1) / LANES * LANES; }

/* The base function and its derivatives. */
INLINE void base_values(int base, V x, V f[ORDERS]) {
    if (base == SILU) {
        V s = 1 / (1 + vector_exp(-x)), t = s * (1 - s);
        f[0] = x * s;
        f[1] = s + x * t;
        f[2] = t * (2 + x * (1 - 2 * s));
    } else {
        f[0] = base == IDENTITY ? x : splat(0);
        f[1] = splat(base == IDENTITY);
        f[2] = splat(0);
    }
}

/* Where the grid of a feature lies, in all lanes. */
typedef struct {
    V lower, step, inverse; /* inverse: 1 / step */
} Grid;

INLINE Grid grid_of_one(const Layer *layer, int i) {
    return (Grid){splat(layer->lower[i]), splat(layer->step[i]), splat(1 / layer->step[i])};
}

/* What becomes of the functions of a dense basis as they are computed one after the other. They and
   their derivatives p1, p2 are those in a variable u that suits the basis; u1, u2 are du/dx, d2u/dx2. */
enum mode { SUM, GRADIENTS, VALUES };

typedef struct {
    const REAL *c;           /* (n_basis,) */
    V f[ORDERS];             /* SUM, GRADIENTS: sum_j c_j p_j^(d), by x after chain_rule */
    V gy, gs, gu, *gradient; /* GRADIENTS: gradient_j += gy p_j + gs p_j', gu = gs u1 */
    V *values;               /* VALUES: [d * stride + j], p_j^(d) by x, d = 0 .. top */
    int stride;
    V u1, u2;
} Sink;

INLINE void begin(Sink *sink, V u1, V u2) {
    sink->u1 = u1, sink->u2 = u2;
    sink->gu = sink->gs * u1;
}

INLINE void take(Sink *sink, const int mode, const int top, int j, V p0, V p1, V p2) {
    if (mode == VALUES) {
        V *values = sink->values + j;
        values[0] = p0;
        if (top > 0) values[sink->stride] = p1 * sink->u1;
        if (top > 1) values[2 * sink->stride] = p2 * sink->u1 * sink->u1 + p1 * sink->u2;
        return;
    }
    const REAL c = sink->c[j];
    sink->f[0] += c * p0;
    if (top > 0) sink->f[1] += c * p1;
    if (top > 1) sink->f[2] += c * p2;
    if (mode == GRADIENTS) sink->gradient[j] += sink->gy * p0 + sink->gu * p1;
}

INLINE void chain_rule(Sink *sink) {
    sink->f[2] = sink->f[2] * sink->u1 * sink->u1 + sink->f[1] * sink->u2;
    sink->f[1] *= sink->u1;
}

/* Centres that share one exponential lie at most this many steps from the middle one. */
#define REACH 4

/* The j-th function is `factor` p, its centre m steps from the middle, z steps below x. */
INLINE void take_gaussian(Sink *sink, const int mode, const int top, int j, int m, REAL factor, V p, V z, V part[2]) {
    if (mode == SUM) { /* sums over j of c_j p_j and m c_j p_j are enough: slopes are 2 (m - a) p_j */
        const REAL c = sink->c[j] * factor;
        part[0] += c * p;
        part[1] += (m * c) * p;
        return;
    }
    V slope = (REAL)(2 * j) - 2 * z;
    p *= factor;
    take(sink, mode, top, j, p, slope * p, (slope * slope - 2) * p);
}

INLINE void gaussians(const Layer *layer, Sink *sink, const int mode, const int top, V x, Grid grid) {
    const int count = layer->n_basis;
    const REAL far = sizeof(REAL) == 4 ? 9.3f : 26; /* far^2 and 2 REACH far fit an exponential */
    static const REAL fall[REACH + 1] = {1.0, 0.36787944117144233, 0.018315638888734179,
                                         1.2340980408667956e-4, 1.1253517471925912e-7};
    V z = (x - grid.lower) * grid.inverse;
    begin(sink, grid.inverse, splat(0));
    for (int first = 0; first < count; first += 2 * REACH + 1) {
        /* exp(-(a - m)^2) = exp(-a^2) exp(2 a m) exp(-m^2), a measured from the middle. */
        const int middle = first + REACH;
        V a = z - (REAL)middle;
        M beyond = (a > far) | (a < -far); /* all are 0 there, to rounding; NaN is not beyond */
        a = choose(beyond, splat(0), a);
        V e = choose(beyond, splat(0), vector_exp(-a * a));
        V up = vector_exp(2 * a), down = 1 / up, right = e, left = e, part[2] = {{0}};
        if (middle < count) take_gaussian(sink, mode, top, middle, 0, 1, e, z, part);
        UNROLL for (int m = 1; m <= REACH; m++) {
            right *= up, left *= down;
            if (middle - m < count) take_gaussian(sink, mode, top, middle - m, -m, fall[m], left, z, part);
            if (middle + m < count) take_gaussian(sink, mode, top, middle + m, m, fall[m], right, z, part);
        }
        if (mode == SUM) {
            sink->f[0] += part[0];
            sink->f[1] += 2 * (part[1] - a * part[0]);
        }
    }
}

INLINE void harmonics(const Layer *layer, Sink *sink, const int mode, const int top, V x, Grid grid) {
    const int size = layer->grid_size;
    V omega = grid.inverse * ((REAL)6.283185307179586 / (REAL)size), c1, s1;
    vector_sincos(x * omega, &s1, &c1);
    V c = c1, s = s1;
    begin(sink, omega, splat(0));
    for (int m = 1; m <= size; m++) {
        V mc = (REAL)m * c, ms = (REAL)m * s;
        take(sink, mode, top, m - 1, c, -ms, (REAL)-m * mc);
        take(sink, mode, top, size + m - 1, s, mc, (REAL)-m * ms);
        V turned = c * c1 - s * s1;
        s = s * c1 + c * s1;
        c = turned;
    }
}

INLINE void chebyshev(const Layer *layer, Sink *sink, const int mode, const int top, V x, Grid grid) {
    V scale = grid.inverse * (2 / (REAL)layer->grid_size);
    V t = vector_tanh((x - grid.lower) * scale - 1), t1 = (1 - t * t) * scale, twice = 2 * t;
    V before[ORDERS] = {splat(1)}, now[ORDERS] = {t, splat(1)};
    begin(sink, t1, -twice * t1 * scale);
    for (int m = 0; m < layer->n_basis; m++) {
        take(sink, mode, top, m, now[0], now[1], now[2]);
        V next[ORDERS] = {twice * now[0] - before[0], twice * now[1] + (2 * now[0] - before[1]),
                          twice * now[2] + (4 * now[1] - before[2])};
        UNROLL for (int d = 0; d <= top; d++) before[d] = now[d], now[d] = next[d];
    }
}

INLINE void dense(const Layer *layer, const int family, Sink *sink, const int mode, const int top, V x,
                  Grid grid) {
    if (family == GAUSSIAN) gaussians(layer, sink, mode, top, x, grid);
    else if (family == FOURIER) harmonics(layer, sink, mode, top, x, grid);
    else chebyshev(layer, sink, mode, top, x, grid);
    if (mode != VALUES) chain_rule(sink);
}

/* The polynomials of the live B-splines and of their derivatives: [derivative][power][which]. */
typedef struct {
    REAL at[ORDERS][MAX_LIVE][MAX_LIVE];
} Pieces;

static void make_pieces(const Layer *layer, Pieces *out) {
    const int k = layer->order;
    REAL scale = 1;
    for (int n = 2; n <= k; n++) scale /= n;
    memset(out, 0, sizeof *out);
    for (int p = 0; p <= k; p++)
        for (int q = 0; q <= k; q++) {
            REAL c = layer->pieces[p * (k + 1) + q] * scale;
            for (int d = 0; d < ORDERS && d <= p; c *= p - d, d++) out->at[d][p - d][q] = c;
        }
}

/* Knot intervals beyond each end of the grid on which some B-spline is alive and may be asked for. */
INLINE int padding(const Layer *layer) { return layer->linear ? 0 : layer->order; } /* other bases: 0 */
INLINE int n_cells(const Layer *layer) { return layer->grid_size + 2 * padding(layer); }

/* The interval that an input belongs to, counted from the first that may be asked for, and where in it
   the polynomials are evaluated. */
typedef struct {
    V cell;
    V r;       /* distance from the left knot in steps; in a linear continuation 0 or 1 */
    V excess;  /* how far beyond that */
    M outside; /* beyond the grid */
} Place;

/* Whether an input within rounding of a knot belongs to the left or to the right of it does not show:
   values agree there, and so do the derivatives that splines of order 3 and more are used for. */
INLINE Place find(const Layer *layer, V x, Grid grid) {
    const REAL first = -padding(layer), last = layer->grid_size - 1 + padding(layer);
    V v = (x - grid.lower) * grid.inverse;
    V bounded = least(most(v, splat(first)), splat(last)); /* NaN becomes `first` */
    V left = __builtin_convertvector(__builtin_convertvector(bounded, I), V);
    left = choose(left > bounded, left - 1, left); /* the conversion rounds towards 0 */
    V distance = v - left, r = distance;
    if (layer->linear) r = least(splat(1), most(splat(0), r)); /* NaN stays */
    M outside = layer->linear ? r != distance : (distance < 0) | (distance >= 1);
    return (Place){left - first, r, distance - r, outside};
}

#endif
