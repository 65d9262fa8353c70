/* The functions of one feature that a block of rows needs, and how layers with several outputs see them. */
#ifndef KAN_HEADS_LIVE_H
#define KAN_HEADS_LIVE_H

#include "basis.h"
#include "polynomials.h"
#include "tile.h"

#define FEW LANES        /* outputs up to which tables of polynomials are faster */
#define WORTH_TABLES 256 /* rows from which it pays to make them */

/* What to do, see kan_layer. */
typedef struct {
    const Layer *layer;
    const REAL *c;
    const REAL *tables; /* of polynomials (in, width, k + 1, LANES), or NULL */
    int width, push, pull, outer;
    Pieces pieces;
} Job;

/* One feature of a block of rows. Rows of one knot interval share their functions, those of a basis
   without locality all do. */
typedef struct {
    V (*value)[ROWS / LANES]; /* [order * count + q] */
    V base[ORDERS][ROWS / LANES];
    Place at[ROWS / LANES];
    int count;          /* functions of a row: those of the basis, then the base function */
    int cells;          /* intervals */
    int32_t *head;      /* (cells,) first row of each interval, or -1 */
    int32_t next[ROWS]; /* the next row in the same interval, or -1 */
    int32_t cell[ROWS];
} Live;

/* Slots for the coefficients of one feature less that for the base function: B-splines are padded at
   both ends and have zeros where k is more than the order. */
INLINE int n_slots(const Layer *layer) {
    if (layer->family != BSPLINE) return layer->n_basis;
    return layer->n_basis + run_order(layer) - layer->order + 2 * padding(layer);
}

INLINE int n_live(const Layer *layer) {
    if (layer->family != BSPLINE) return layer->n_basis + 1;
    return run_order(layer) + 2;
}

INLINE size_t feature_size(const Job *job) { return (size_t)(n_slots(job->layer) + 1) * job->width; }

/* The k + 1 live splines, w[q], or a derivative of them. */
INLINE void splines(const Layer *layer, const int k, const Pieces *pieces, int d, Place at, Grid grid, V *w) {
    UNROLL for (int q = 0; q <= k; q++) {
        V a = {0}, slope = {0};
        UNROLL for (int p = k; p >= 0; p--) {
            slope = slope * at.r + a;
            a = a * at.r + pieces->at[d][p][q];
        }
        if (layer->linear && d == 0) a += slope * at.excess;
        if (!layer->linear || d > 1) a = choose(at.outside, splat(0), a);
        for (int n = 0; n < d; n++) a *= grid.inverse;
        w[q] = a;
    }
}

/* Values and derivatives up to `top` of one vector of rows: values[order * count + q]. */
INLINE void live_values(const Job *job, const int family, const int k, const int top, V x, Place at, Grid grid,
                        V *values) {
    if (family == BSPLINE) {
        UNROLL for (int d = 0; d <= top; d++)
            if (d == job->push || d == job->pull || d == job->outer)
                splines(job->layer, k, &job->pieces, d, at, grid, values + d * (k + 2));
        return;
    }
    Sink sink = {.values = values, .stride = job->layer->n_basis + 1};
    dense(job->layer, family, &sink, VALUES, top, x, grid);
}

/* Evaluates one feature of a block of rows, times h unless that is NULL. If `list`, also makes the lists
   of rows; without, only `at` and `base` are of use. */
INLINE void make_live(const Job *job, const int family, const int k, int rows, int i, const V *x, const V *h, int list,
                      Live *live) {
    const Layer *layer = job->layer;
    const Grid grid = grid_of_one(layer, i);
    const int count = family == BSPLINE ? k + 2 : live->count;
    const int highest = job->pull > job->outer ? job->pull : job->outer;
    const int top = highest > job->push ? highest : job->push;
    V p[ORDERS * count];
    for (int r = 0; r < (rows + LANES - 1) / LANES; r++) {
        V b[ORDERS], scale = h ? h[r] : splat(1);
        base_values(layer->base, x[r], b);
        for (int d = 0; d < ORDERS; d++) live->base[d][r] = b[d];
        if (family == BSPLINE) {
            live->at[r] = find(layer, x[r], grid);
            I cell = __builtin_convertvector(live->at[r].cell, I);
            memcpy(live->cell + r * LANES, &cell, sizeof cell);
        }
        if (!list) continue;
        if (top == 0) live_values(job, family, k, 0, x[r], live->at[r], grid, p);
        else if (top == 1) live_values(job, family, k, 1, x[r], live->at[r], grid, p);
        else live_values(job, family, k, 2, x[r], live->at[r], grid, p);
        for (int d = 0; d <= top; d++)
            if (d == job->push || d == job->pull || d == job->outer) {
                for (int q = 0; q < count - 1; q++) live->value[d * count + q][r] = p[d * count + q] * scale;
                live->value[d * count + count - 1][r] = b[d] * scale;
            }
    }
    if (!list) return;
    for (int cell = 0; cell < live->cells; cell++) live->head[cell] = -1;
    for (int n = rows - 1; n >= 0; n--) {
        int32_t *head = live->head + (family == BSPLINE ? live->cell[n] : 0);
        live->next[n] = *head;
        *head = n;
    }
}

/* All functions as polynomials; NULL where another way is faster, or memory short. */
static REAL *make_tables(const Job *job, const int k, long rows) {
    const Layer *layer = job->layer;
    const size_t size = (size_t)(k + 1) * LANES;
    if (layer->family != BSPLINE || job->width > FEW || n_cells(layer) > LANES || rows < WORTH_TABLES) return NULL;
    REAL *tables = calloc(layer->in * job->width * size, sizeof(REAL));
    for (int i = 0; tables && i < layer->in; i++)
        for (int o = 0; o < job->width; o++) {
            REAL c[layer->n_basis];
            for (int j = 0; j < layer->n_basis; j++)
                c[j] = job->c[i * feature_size(job) + (size_t)(padding(layer) + j) * job->width + o];
            make_polynomials(layer, k, &job->pieces, c, LANES, tables + ((size_t)i * job->width + o) * size);
        }
    return tables;
}

/* From tables: adds derivative `order` of all functions of a feature to the outputs, y[output][row], or,
   times g[output][row], to x_gradient[row]. */
INLINE void run_tables(const Job *job, const int k, const int order, const int pull, const Live *live, int rows, int i,
                       const V *h, const Tile g, Tile y, V *x_gradient) {
    const size_t size = (size_t)(k + 1) * LANES;
    const REAL *base = job->c + i * feature_size(job) + (size_t)n_slots(job->layer) * job->width;
    for (int o = 0; o < job->width; o++) {
        const Function function = {grid_of_one(job->layer, i), base[o], 0,
                                   job->tables + ((size_t)i * job->width + o) * size, LANES};
        for (int r = 0; r < (rows + LANES - 1) / LANES; r++) {
            V f[ORDERS];
            spline(job->layer, &function, k, order, live->at[r], f);
            V value = f[order] + function.base * live->base[order][r];
            if (h) value *= h[r];
            if (pull) x_gradient[r] += g[o][r] * value;
            else y[o][r] += value;
        }
    }
}

INLINE void any_run_tables(const Job *job, const int k, int order, const int pull, const Live *live, int rows, int i,
                           const V *h, const Tile g, Tile y, V *x_gradient) {
    if (order == 0) run_tables(job, k, 0, pull, live, rows, i, h, g, y, x_gradient);
    else if (order == 1) run_tables(job, k, 1, pull, live, rows, i, h, g, y, x_gradient);
    else run_tables(job, k, 2, pull, live, rows, i, h, g, y, x_gradient);
}

#endif
