/* One spline as a table of polynomials, small enough for a few registers. */
#ifndef KAN_HEADS_POLYNOMIALS_H
#define KAN_HEADS_POLYNOMIALS_H

#include "basis.h"

/* One univariate function of the layer. */
typedef struct {
    Grid grid;
    REAL base, shift; /* shift: value at 0 */
    const REAL *c;    /* splines: polynomials (k + 1, cells), others: coefficients (n_basis,) */
    int stride;       /* splines: cells, padded */
} Function;

/* sum_q c_(cell + q) times the polynomials of the live splines: c has `padding` zeros at both ends. */
static void make_polynomials(const Layer *layer, const int k, const Pieces *pieces, const REAL *c, int stride,
                             REAL *powers) {
    for (int cell = 0; cell < n_cells(layer); cell++)
        for (int q = 0; q <= layer->order; q++) {
            const int j = cell + q - padding(layer);
            if (j < 0 || j >= layer->n_basis) continue;
            for (int p = 0; p <= k; p++) powers[p * stride + cell] += c[j] * pieces->at[0][p][q];
        }
}

/* The polynomials of one vector of inputs. */
INLINE void fetch(const Function *function, const int k, Place at, V c[MAX_LIVE]) {
    M cell = __builtin_convertvector(at.cell, M);
    if (function->stride == LANES)
        UNROLL for (int p = 0; p <= k; p++) c[p] = look_up(function->c + p * function->stride, 1, cell);
    else
        UNROLL for (int p = 0; p <= k; p++) c[p] = look_up(function->c + p * function->stride, 0, cell);
}

/* Value and derivatives up to `top` of a spline. */
INLINE void spline(const Layer *layer, const Function *function, const int k, const int top, Place at,
                   V f[ORDERS]) {
    V c[MAX_LIVE];
    fetch(function, k, at, c);
    V value = c[k], slope = {0}, curvature = {0};
    UNROLL for (int p = k - 1; p >= 0; p--) {
        curvature = curvature * at.r + slope;
        slope = slope * at.r + value;
        value = value * at.r + c[p];
    }
    f[0] = value;
    f[1] = slope * function->grid.inverse;
    f[2] = 2 * curvature * (function->grid.inverse * function->grid.inverse);
    if (layer->linear) {
        f[0] += slope * at.excess;
        if (top > 1) f[2] = choose(at.outside, splat(0), f[2]);
    } else
        UNROLL for (int d = 0; d <= top; d++) f[d] = choose(at.outside, splat(0), f[d]);
}

#endif
