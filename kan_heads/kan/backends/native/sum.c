/* Layers with one output: y_n = sum_i f_i(x_ni), one function per feature, no matrix product.

   One pass gives the values and the slopes f_i'(x_ni), a second one everything that training needs
   from both. Blocks of rows are transposed, so that a vector holds one feature of many rows: its
   parameters stay in registers, and a spline is a table of polynomials small enough for them too. */
#include <stdlib.h>

#include "basis.h"
#include "polynomials.h"
#include "tile.h"

#define COPIES 4 /* of the sums for a spline: lanes that meet in one interval need not wait */

typedef struct {
    Function *features;
    REAL *c;
    size_t size; /* sums of one thread for one feature: coefficients and base weight */
    Pieces pieces;
} Table;

static int make_table(const Layer *layer, const int family, const int k, const REAL *c, const REAL *base, Table *t) {
    const int stride = family == BSPLINE ? padded(n_cells(layer)) : 0;
    const size_t own = family == BSPLINE ? (size_t)(k + 1) * stride : 0;
    const size_t features = sizeof(Function) * layer->in;
    if (posix_memalign((void **)&t->features, sizeof(V), features + own * layer->in * sizeof(REAL))) return 0;
    t->c = memset((char *)t->features + features, 0, own * layer->in * sizeof(REAL));
    t->size = family == BSPLINE ? COPIES * own + LANES : (size_t)(layer->n_basis + 1) * LANES;
    if (family == BSPLINE) make_pieces(layer, &t->pieces);
    for (int i = 0; i < layer->in; i++) {
        const REAL *given = c + (size_t)i * layer->n_basis;
        if (family == BSPLINE) make_polynomials(layer, k, &t->pieces, given, stride, t->c + i * own);
        t->features[i] = (Function){grid_of_one(layer, i), layer->base ? base[i] : 0, 0,
                                   family == BSPLINE ? t->c + i * own : given, stride};
    }
    return 1;
}

INLINE void evaluate(const Layer *layer, const int family, const int k, const int top, const Function *feature,
                     V x, V f[ORDERS]) {
    if (family == BSPLINE) {
        spline(layer, feature, k, top, find(layer, x, feature->grid), f);
        return;
    }
    Sink sink = {.c = feature->c};
    dense(layer, family, &sink, SUM, top, x, feature->grid);
    UNROLL for (int d = 0; d <= top; d++) f[d] = sink.f[d];
}

INLINE void sum_block(const Layer *layer, const int family, const int k, const int top, const Table *t,
                      int rows, const REAL *x, REAL *y, REAL *slope) {
    const int in = layer->in;
    Tile at, slopes;
    V sum[ROWS / LANES] = {{0}};
    for (int i = 0; i < in; i += LANES) {
        const int some = in - i < LANES ? in - i : LANES;
        gather(x + i, in, some, rows, at);
        for (int l = 0; l < some; l++) {
            const Function feature = t->features[i + l];
            for (int r = 0; r < rows; r += LANES) {
                V here = at[l][r / LANES], f[ORDERS], b[ORDERS];
                evaluate(layer, family, k, top, &feature, here, f);
                base_values(layer->base, here, b);
                sum[r / LANES] += (f[0] - feature.shift) + feature.base * b[0];
                if (top) slopes[l][r / LANES] = f[1] + feature.base * b[1];
            }
        }
        if (top) scatter(slopes, in, some, rows, slope + i);
    }
    memcpy(y, sum, rows * sizeof(REAL));
    for (int n = 0; layer->anchored && n < rows; n++)
        if (is_zero(x + (size_t)n * in, in)) y[n] = 0;
}

INLINE int sum(const Layer *layer, const int family, const int k, long rows, const REAL *x, const REAL *c,
               const REAL *base, REAL *y, REAL *slope) {
    Table t;
    const long in = layer->in;
    if (!make_table(layer, family, k, c, base, &t)) return 0;
    if (layer->anchored)
        for (int i = 0; i < in; i++) {
            V f[ORDERS];
            evaluate(layer, family, k, 0, &t.features[i], splat(0), f);
            t.features[i].shift = f[0][0];
        }
#pragma omp parallel for schedule(static) num_threads(layer->threads)
    for (long n = 0; n < rows; n += ROWS) {
        const int some = rows - n < ROWS ? rows - n : ROWS;
        if (slope) sum_block(layer, family, k, 1, &t, some, x + n * in, y + n, slope + n * in);
        else sum_block(layer, family, k, 0, &t, some, x + n * in, y + n, NULL);
    }
    free(t.features);
    return 1;
}

/* Values y (rows,) and, unless NULL, slopes (rows, in). Returns 0 when memory is short. */
int kan_sum(const Layer *layer, long rows, const REAL *x, const REAL *c, const REAL *base, REAL *y,
            REAL *slope) {
    int done = 0;
    WITH_BASIS(layer, done = sum(layer, family, k, rows, x, c, base, y, slope));
    return done;
}

/* Adds, for each lane and power, a[power][lane] to the sums of the interval of that lane. */
INLINE void deposit(const int k, int stride, V cell, V a[MAX_LIVE], REAL *sums) {
    I which = __builtin_convertvector(cell, I);
    int32_t index[LANES];
    memcpy(index, &which, sizeof which);
#ifdef QUADS
    if (k == 3) {
        Quad quads[LANES];
        to_quads(a, quads);
        UNROLL_LANES for (int l = 0; l < LANES; l++)
            *(Quad *)(sums + (l % COPIES * stride + index[l]) * 4) += quads[l];
        return;
    }
#endif
    for (int l = 0; l < LANES; l++) {
        REAL *own = sums + (l % COPIES * stride + index[l]) * (k + 1);
        UNROLL for (int p = 0; p <= k; p++) own[p] += a[p][l];
    }
}

/* Adds the gradients of one vector of rows to `sums` and returns that by x. gy: dL/dy, gs: dL/dslope. */
INLINE V add_gradients(const Layer *layer, const int family, const int k, const Function *feature, V x, V gy,
                       V gs, REAL *sums, REAL *base_sums) {
    V f[ORDERS], b[ORDERS];
    base_values(layer->base, x, b);
    store(base_sums, load(base_sums) + gy * b[0] + gs * b[1]);
    if (family == BSPLINE) {
        Place at = find(layer, x, feature->grid);
        spline(layer, feature, k, 2, at, f);
        V power = gy, slope = gs * feature->grid.inverse + gy * at.excess;
        if (!layer->linear) power = choose(at.outside, splat(0), power), slope = choose(at.outside, splat(0), slope);
        V a[MAX_LIVE] = {power};
        UNROLL for (int p = 1; p <= k; p++) {
            power *= at.r;
            a[p] = power + (REAL)p * slope;
            slope *= at.r;
        }
        deposit(k, feature->stride, at.cell, a, sums);
    } else {
        Sink sink = {.c = feature->c, .gy = gy, .gs = gs, .gradient = (V *)sums};
        dense(layer, family, &sink, GRADIENTS, 2, x, feature->grid);
        UNROLL for (int d = 0; d < ORDERS; d++) f[d] = sink.f[d];
    }
    return gy * (f[1] + feature->base * b[1]) + gs * (f[2] + feature->base * b[2]);
}

INLINE void gradient_block(const Layer *layer, const int family, const int k, const Table *t, int rows,
                           const REAL *x, const REAL *gy, const REAL *gs, REAL *gx, REAL *sums) {
    const int in = layer->in;
    Tile at, along, result;
    V up[ROWS / LANES] = {{0}};
    if (gy) memcpy(up, gy, rows * sizeof(REAL));
    if (!gs) memset(along, 0, sizeof along);
    for (int i = 0; i < in; i += LANES) {
        const int some = in - i < LANES ? in - i : LANES;
        gather(x + i, in, some, rows, at);
        if (gs) gather(gs + i, in, some, rows, along);
        for (int l = 0; l < some; l++) {
            const Function feature = t->features[i + l];
            REAL *own = sums + (i + l) * t->size;
            for (int r = 0; r < rows; r += LANES)
                result[l][r / LANES] =
                    add_gradients(layer, family, k, &feature, at[l][r / LANES], up[r / LANES], along[l][r / LANES],
                                  own, own + t->size - LANES);
        }
        if (gx) scatter(result, in, some, rows, gx + i);
    }
}

INLINE void gradient_rows(const Layer *layer, const int family, const int k, const Table *t, long first,
                          long last, const REAL *x, const REAL *gy, const REAL *gs, const REAL *zeros,
                          REAL *gx, REAL *sums) {
    const long in = layer->in;
    REAL opposite = 0;
    for (long n = first; n < last; n += ROWS) {
        const int some = last - n < ROWS ? last - n : ROWS;
        gradient_block(layer, family, k, t, some, x + n * in, gy ? gy + n : NULL, gs ? gs + n * in : NULL,
                       gx ? gx + n * in : NULL, sums);
        for (int m = 0; gy && m < some; m++) opposite -= gy[n + m];
    }
    /* An anchored function is less its value at 0: as if a row of zeros had the opposite weight. */
    if (layer->anchored) gradient_block(layer, family, k, t, 1, zeros, &opposite, NULL, NULL, sums);
}

/* The sums of all threads as gradients by the coefficients of one feature. */
INLINE void collect(const Layer *layer, const int family, const int k, const Table *t, REAL *sums, REAL *gc) {
    for (int j = 0; j < layer->n_basis; j++) gc[j] = family == BSPLINE ? 0 : total(load(sums + j * LANES));
    if (family != BSPLINE) return;
    const int stride = padded(n_cells(layer));
    for (int cell = 0; cell < n_cells(layer); cell++)
        for (int q = 0; q <= layer->order; q++) {
            const int j = cell + q - padding(layer);
            if (j < 0 || j >= layer->n_basis) continue;
            for (int copy = 0; copy < COPIES; copy++)
                for (int p = 0; p <= k; p++)
                    gc[j] += sums[(copy * stride + cell) * (k + 1) + p] * t->pieces.at[0][p][q];
        }
}

INLINE int gradients(const Layer *layer, const int family, const int k, long rows, const REAL *x,
                     const REAL *c, const REAL *base, const REAL *gy, const REAL *gs, REAL *gx, REAL *gc,
                     REAL *gb) {
    Table t;
    if (!make_table(layer, family, k, c, base, &t)) return 0;
    const int threads = layer->threads;
    const size_t size = t.size * layer->in;
    REAL *sums = calloc(threads * size + layer->in, sizeof(REAL)), *zeros = sums + threads * size;
    if (!sums) {
        free(t.features);
        return 0;
    }
#pragma omp parallel for schedule(static, 1) num_threads(threads)
    for (int part = 0; part < threads; part++)
        gradient_rows(layer, family, k, &t, rows * part / threads, rows * (part + 1) / threads, x, gy, gs, zeros, gx,
                      sums + part * size);
    for (int part = 1; part < threads; part++)
        for (size_t m = 0; m < size; m++) sums[m] += sums[part * size + m];
    for (int i = 0; i < layer->in; i++) {
        collect(layer, family, k, &t, sums + i * t.size, gc + (size_t)i * layer->n_basis);
        if (gb) gb[i] = total(load(sums + (i + 1) * t.size - LANES));
    }
    free(sums);
    free(t.features);
    return 1;
}

/* Gradients by x (unless gx is NULL), c and base (unless gb is NULL), from those by y and slope, either
   of which may be NULL. Returns 0 when memory is short. */
int kan_sum_backward(const Layer *layer, long rows, const REAL *x, const REAL *c, const REAL *base,
                     const REAL *gy, const REAL *gs, REAL *gx, REAL *gc, REAL *gb) {
    int done = 0;
    WITH_BASIS(layer, done = gradients(layer, family, k, rows, x, c, base, gy, gs, gx, gc, gb));
    return done;
}
