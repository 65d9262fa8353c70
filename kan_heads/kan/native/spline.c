/* B-spline layers with several outputs: only the live coefficients of each input are touched.

   Where there are few outputs, every function is a table of polynomials, and vectors hold rows.
   Otherwise vectors hold outputs. Coefficients have shape (in, n_slots + 1, width): width is the number of outputs, padded; the slots
   of a feature are its B-splines, padded at both ends, and then the base function. Blocks of rows are
   taken feature by feature, and the rows of a block knot interval by knot interval: rows that share an
   interval share the coefficients, which stay in registers for them. */
#include <stdlib.h>

#include "basis.h"
#include "polynomials.h"
#include "tile.h"

#define OUT_LANES ((int)(32 / sizeof(REAL))) /* half the full width: fewer idle lanes in narrow layers */
typedef REAL H __attribute__((vector_size(32), aligned(sizeof(REAL)), may_alias));

#define SLOTS (MAX_LIVE + 1) /* live functions of an input: B-splines and base */
#define CHUNK 4              /* vectors of outputs that are kept in registers */
#define FEW LANES            /* outputs up to which tables are faster */
#define WORTH_TABLES 256     /* rows from which it pays to make them */
#define NARROW 32            /* outputs up to which the larger block of rows stays in the cache */

/* What to do, see kan_spline. */
typedef struct {
    const Layer *layer;
    const REAL *c;
    const REAL *tables; /* of polynomials (in, width, k + 1, LANES), or NULL */
    int width, push, pull, outer;
    Pieces pieces;
} Job;

/* One feature of a block of rows. */
typedef struct {
    V value[ORDERS][SLOTS][ROWS / LANES]; /* of the live functions */
    V base[ORDERS][ROWS / LANES];
    Place at[ROWS / LANES];
    int32_t cell[ROWS];
    int32_t next[ROWS]; /* the next row in the same interval, or -1 */
} Live;

/* Slots for the coefficients of one feature: the splines, and where k is more than the order, zeros. */
INLINE int n_slots(const Layer *layer) {
    return layer->n_basis + (layer->order <= 3 ? 3 : 5) - layer->order + 2 * padding(layer);
}

INLINE size_t feature_size(const Job *job) { return (size_t)(n_slots(job->layer) + 1) * job->width; }
INLINE H hload(const REAL *p) { return *(const H *)p; }

/* The sum over the lanes of each vector. */
INLINE V htotals(const H a[LANES]) {
#ifdef QUADS
    Quad quads[LANES];
    UNROLL_LANES for (int l = 0; l < LANES; l++) {
        Quad half[2];
        memcpy(half, &a[l], sizeof half);
        quads[l] = half[0] + half[1];
    }
    V v[4];
    from_quads(quads, v);
    return (v[0] + v[1]) + (v[2] + v[3]);
#else
    V sums = {0};
    for (int l = 0; l < LANES; l++)
        for (int o = 0; o < OUT_LANES; o++) sums[l] += a[l][o];
    return sums;
#endif
}

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

/* Evaluates one feature, times h unless that is NULL, and may list the rows of each interval. */
INLINE void make_live(const Job *job, const int k, int rows, int i, const V *x, const V *h, int tables, int list,
                      Live *live, int32_t *head) {
    const Layer *layer = job->layer;
    const Grid grid = grid_of_one(layer, i);
    for (int r = 0; r < (rows + LANES - 1) / LANES; r++) {
        V w[MAX_LIVE], b[ORDERS], scale = h ? h[r] : splat(1);
        const Place at = live->at[r] = find(layer, x[r], grid);
        base_values(layer->base, x[r], b);
        for (int d = 0; d < ORDERS; d++) live->base[d][r] = b[d];
        I cell = __builtin_convertvector(at.cell, I);
        memcpy(live->cell + r * LANES, &cell, sizeof cell);
        UNROLL for (int d = 0; d < ORDERS; d++)
            if (list && (d == job->outer || (!tables && (d == job->push || d == job->pull)))) {
                splines(layer, k, &job->pieces, d, at, grid, w);
                UNROLL for (int q = 0; q <= k; q++) live->value[d][q][r] = w[q] * scale;
                live->value[d][k + 1][r] = b[d] * scale;
            }
    }
    if (!list) return;
    for (int cell = 0; cell < n_cells(layer); cell++) head[cell] = -1;
    for (int n = rows - 1; n >= 0; n--) {
        live->next[n] = head[live->cell[n]];
        head[live->cell[n]] = n;
    }
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

enum operation { PUSH, PULL, OUTER };

/* A few vectors of outputs for the rows n, next[n], ... of one interval, whose coefficients are c[q]. */
INLINE void step(const Job *job, const int operation, const int live_count, const int vectors, int n,
                 const int32_t *next, const REAL (*value)[ROWS], REAL *const c[SLOTS], const REAL *g, REAL *y,
                 H *dot) {
    const long width = job->width;
    H a[SLOTS][CHUNK];
    UNROLL for (int q = 0; q < live_count; q++)
        UNROLL for (int v = 0; v < vectors; v++) a[q][v] = operation == OUTER ? (H){0} : hload(c[q] + v * OUT_LANES);
    for (; n >= 0; n = next[n]) {
        if (operation == PULL) {
            H sum = dot[n];
            UNROLL for (int v = 0; v < vectors; v++) {
                H slope = value[0][n] * a[0][v];
                UNROLL for (int q = 1; q < live_count; q++) slope += value[q][n] * a[q][v];
                sum += hload(g + n * width + v * OUT_LANES) * slope;
            }
            dot[n] = sum;
            continue;
        }
        UNROLL for (int v = 0; v < vectors; v++) {
            if (operation == PUSH) {
                H *at = (H *)(y + n * width + v * OUT_LANES), sum = *at;
                UNROLL for (int q = 0; q < live_count; q++) sum += value[q][n] * a[q][v];
                *at = sum;
            } else {
                H at = hload(g + n * width + v * OUT_LANES);
                UNROLL for (int q = 0; q < live_count; q++) a[q][v] += value[q][n] * at;
            }
        }
    }
    if (operation == OUTER)
        UNROLL for (int q = 0; q < live_count; q++)
            UNROLL for (int v = 0; v < vectors; v++) *(H *)(c[q] + v * OUT_LANES) += a[q][v];
}

/* All intervals and outputs of one feature, whose coefficients (or gradients by them) start at c. */
INLINE void run(const Job *job, const int operation, const int k, const int live_count, const Live *live, int order,
                const int32_t *head, REAL *c, const REAL *g, REAL *y, H *dot) {
    const int width = job->width, base = n_slots(job->layer);
    const REAL(*value)[ROWS] = (const REAL(*)[ROWS])live->value[order];
    for (int cell = 0; cell < n_cells(job->layer); cell++) {
        const int n = head[cell];
        if (n < 0) continue;
        REAL *own[SLOTS];
        UNROLL for (int q = 0; q < live_count; q++) own[q] = c + (size_t)(q <= k ? cell + q : base) * width;
        for (int o = 0, vectors; o < width; o += vectors * OUT_LANES) {
            vectors = o + CHUNK * OUT_LANES <= width ? CHUNK : 1;
            if (vectors == CHUNK)
                step(job, operation, live_count, CHUNK, n, live->next, value, own, g + o, y + o, dot);
            else
                step(job, operation, live_count, 1, n, live->next, value, own, g + o, y + o, dot);
            UNROLL for (int q = 0; q < live_count; q++) own[q] += vectors * OUT_LANES;
        }
    }
}

/* At most ROWS rows. */
INLINE void block(const Job *job, const int k, const int live_count, int rows, const REAL *x, const REAL *g,
                  const REAL *h, REAL *y, REAL *gx, REAL *gc) {
    const int in = job->layer->in, width = job->width, tables = job->tables != NULL;
    Live live;
    Tile at, scale, result, wide_g, wide_y;
    int32_t head[n_cells(job->layer)];
    H dot[ROWS];
    if (tables && gx) gather(g, width, width, rows, wide_g);
    if (tables && y) memset(wide_y, 0, sizeof wide_y);
    for (int i = 0; i < in; i += LANES) {
        const int some = in - i < LANES ? in - i : LANES;
        gather(x + i, in, some, rows, at);
        if (h) gather(h + i, in, some, rows, scale);
        if (gx) memset(result, 0, sizeof result);
        for (int l = 0; l < some; l++) {
            const size_t start = (i + l) * feature_size(job);
            const V *own_h = h ? scale[l] : NULL;
            REAL *c = (REAL *)job->c + start;
            make_live(job, k, rows, i + l, at[l], own_h, tables, !tables || gc, &live, head);
            if (gc) run(job, OUTER, k, live_count, &live, job->outer, head, gc + start, g, y, dot);
            if (tables) {
                if (y) any_run_tables(job, k, job->push, 0, &live, rows, i + l, own_h, wide_g, wide_y, NULL);
                if (gx) any_run_tables(job, k, job->pull, 1, &live, rows, i + l, own_h, wide_g, wide_y, result[l]);
                continue;
            }
            if (y) run(job, PUSH, k, live_count, &live, job->push, head, c, g, y, dot);
            if (!gx) continue;
            memset(dot, 0, sizeof dot);
            run(job, PULL, k, live_count, &live, job->pull, head, c, g, y, dot);
            for (int r = 0; r < (rows + LANES - 1) / LANES; r++) result[l][r] = htotals(dot + r * LANES);
        }
        if (gx) scatter(result, in, some, rows, gx + i);
    }
    if (tables && y) scatter(wide_y, width, width, rows, y);
}

static void any_block(const Job *job, int rows, const REAL *x, const REAL *g, const REAL *h, REAL *y, REAL *gx,
                      REAL *gc) {
    if (job->layer->order > 3) block(job, 5, 7, rows, x, g, h, y, gx, gc);
    else block(job, 3, 5, rows, x, g, h, y, gx, gc);
}

/* Rows first .. last - 1. `zero` holds a row of zeros, `zero_y` what it gives. */
static void spline_rows(const Job *job, long first, long last, const REAL *x, const REAL *g, const REAL *h,
                        const REAL *zero, const REAL *zero_y, REAL *y, REAL *gx, REAL *gc) {
    const int in = job->layer->in, width = job->width, anchored = job->layer->anchored;
    const int size = width <= NARROW ? ROWS : ROWS / 2;
    REAL sum[width];
    memset(sum, 0, sizeof sum);
    for (long n = first; n < last; n += size) {
        const int rows = last - n < size ? last - n : size;
        const REAL *up = g ? g + n * width : NULL;
        REAL *out = y ? y + n * width : NULL;
        if (y) memset(out, 0, sizeof(REAL) * width * rows);
        any_block(job, rows, x + n * in, up, h ? h + n * in : NULL, out, gx ? gx + n * in : NULL, gc);
        if (y && anchored && job->push == 0)
            for (int m = 0; m < rows; m++)
                for (int o = 0; o < width; o++) out[m * width + o] -= zero_y[o];
        if (gc && anchored && job->outer == 0)
            for (int m = 0; m < rows; m++)
                for (int o = 0; o < width; o++) sum[o] -= up[m * width + o];
    }
    /* An anchored function is less its value at 0: as if a row of zeros had the opposite weight. */
    if (gc && anchored && job->outer == 0) any_block(job, 1, zero, sum, NULL, NULL, NULL, gc);
}

/* All functions as polynomials; NULL where another way is faster, or memory short. */
static REAL *make_tables(const Job *job, const int k, long rows) {
    const Layer *layer = job->layer;
    const size_t size = (size_t)(k + 1) * LANES;
    if (job->width > FEW || n_cells(layer) > LANES || rows < WORTH_TABLES) return NULL;
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

/* Does up to three things in one pass, each with a derivative of some order (0, 1, 2) of the functions:

     push   y_no  = sum_is h_ni f_s^(push)(x_ni) c_iso           unless y is NULL
     pull   gx_ni = sum_so h_ni f_s^(pull)(x_ni) c_iso g_no      unless gx is NULL
     outer  gc_iso = sum_n h_ni f_s^(outer)(x_ni) g_no           unless gc is NULL; must be 0 before

   with h = 1 if it is NULL. Returns 0 when memory is short. */
int kan_spline(const Layer *layer, long rows, int width, const REAL *x, const REAL *c, const REAL *g,
               const REAL *h, int push, REAL *y, int pull, REAL *gx, int outer, REAL *gc) {
    Job job = {.layer = layer, .c = c, .width = width, .push = push, .pull = pull, .outer = outer};
    const int threads = layer->threads;
    const size_t size = gc ? feature_size(&job) * layer->in : 0;
    REAL *own = calloc((threads - 1) * size + layer->in + width, sizeof(REAL));
    if (!own) return 0;
    REAL *zero = own + (threads - 1) * size, *zero_y = zero + layer->in;
    make_pieces(layer, &job.pieces);
    REAL *tables = y || gx ? make_tables(&job, layer->order > 3 ? 5 : 3, rows) : NULL;
    job.tables = tables;
    if (y && layer->anchored && push == 0) any_block(&job, 1, zero, NULL, NULL, zero_y, NULL, NULL);
#pragma omp parallel for schedule(static, 1) num_threads(threads)
    for (int part = 0; part < threads; part++)
        spline_rows(&job, rows * part / threads, rows * (part + 1) / threads, x, g, h, zero, zero_y, y, gx,
                    gc && part ? own + (part - 1) * size : gc);
    for (int part = 1; part < threads; part++)
        for (size_t m = 0; m < size; m++) gc[m] += own[(part - 1) * size + m];
    free(tables);
    free(own);
    return 1;
}
