/* Layers with several outputs: sums over (row, feature, function) with the coefficients of each output.

   Coefficients have shape (in, n_slots + 1, width): width is the number of outputs, padded; the slots
   of a feature are its basis functions and then the base function. Blocks of rows are taken feature by
   feature. Of a B-spline basis only the functions alive at an input are touched: the rows of a block are
   taken knot interval by knot interval, and rows that share an interval share the coefficients, which
   stay in registers for them. Splines with few outputs are tables of polynomials instead. */
#include <stdlib.h>

#include "live.h"

#define SLOTS (MAX_LIVE + 1) /* functions whose coefficients are in registers together: B-splines and base */
#define GROUP 5              /* the same for other bases */
#define CHUNK 4              /* vectors of outputs that are kept in registers */

/* The sum over the lanes of each vector. */
INLINE V totals(const V a[LANES]) {
#ifdef QUADS
    Quad quads[LANES];
    UNROLL_LANES for (int l = 0; l < LANES; l++) {
        Quad part[4];
        memcpy(part, &a[l], sizeof part);
        quads[l] = (part[0] + part[1]) + (part[2] + part[3]);
    }
    V v[4];
    from_quads(quads, v);
    return (v[0] + v[1]) + (v[2] + v[3]);
#else
    V sums;
    for (int l = 0; l < LANES; l++) sums[l] = total(a[l]);
    return sums;
#endif
}

enum operation { PUSH, PULL, OUTER };

/* Wide layers fill whole vectors; the rest of the outputs, and narrow layers, half of one. */
typedef REAL H __attribute__((vector_size(32), aligned(sizeof(REAL)), may_alias));
#define HALF (LANES / 2)

#define W V
#define STEP step
#include "step.h"
#undef W
#undef STEP

#define W H
#define STEP half_step
#include "step.h"
#undef W
#undef STEP

/* All outputs for some functions of the rows of one interval, given where their coefficients are. */
INLINE void run_group(const Job *job, const int operation, const int live_count, int n, const int32_t *next,
                      const V (*value)[ROWS / LANES], REAL *own[SLOTS], const REAL *g, REAL *y, V *dot) {
    const REAL(*rows)[ROWS] = (const REAL(*)[ROWS])value;
    for (int o = 0, outputs; o < job->width; o += outputs) {
        const int left = job->width - o;
        outputs = left >= CHUNK * LANES ? CHUNK * LANES : left >= LANES ? LANES : HALF;
        if (outputs == CHUNK * LANES)
            step(job, operation, live_count, CHUNK, n, next, rows, own, g + o, y + o, dot);
        else if (outputs == LANES)
            step(job, operation, live_count, 1, n, next, rows, own, g + o, y + o, dot);
        else
            half_step(job, operation, live_count, 1, n, next, rows, own, g + o, y + o, dot);
        UNROLL for (int q = 0; q < live_count; q++) own[q] += outputs;
    }
}

/* All rows, functions and outputs of one feature, whose coefficients (or gradients by them) start at c. */
INLINE void run(const Job *job, const int operation, const int family, const int k, const Live *live, int order,
                REAL *c, const REAL *g, REAL *y, V *dot) {
    const V(*value)[ROWS / LANES] = live->value + order * live->count;
    const size_t width = job->width;
    REAL *own[SLOTS];
    if (family == BSPLINE) {
        for (int cell = 0; cell < live->cells; cell++) {
            if (live->head[cell] < 0) continue;
            UNROLL for (int q = 0; q <= k; q++) own[q] = c + (cell + q) * width;
            own[k + 1] = c + n_slots(job->layer) * width;
            run_group(job, operation, k + 2, live->head[cell], live->next, value, own, g, y, dot);
        }
        return;
    }
    for (int first = 0, size; first < live->count; first += size) {
        size = first + GROUP <= live->count ? GROUP : 1;
        UNROLL for (int q = 0; q < GROUP; q++) own[q] = c + (first + q) * width;
        if (size == GROUP) run_group(job, operation, GROUP, 0, live->next, value + first, own, g, y, dot);
        else run_group(job, operation, 1, 0, live->next, value + first, own, g, y, dot);
    }
}

/* At most ROWS rows, at least one. */
INLINE void block(const Job *job, const int family, const int k, int rows, const REAL *x, const REAL *g,
                  const REAL *h, REAL *y, REAL *gx, REAL *gc) {
    const int in = job->layer->in, width = job->width, tables = job->tables != NULL;
    const int cells = family == BSPLINE ? n_cells(job->layer) : 1, count = n_live(job->layer);
    int32_t head[cells];
    V value[ORDERS * count][ROWS / LANES];
    Live live = {.count = count, .cells = cells, .head = head, .value = value};
    Tile at, scale, result, wide_g, wide_y;
    V dot[ROWS];
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
            make_live(job, family, k, rows, i + l, at[l], own_h, !tables || gc, &live);
            if (gc) run(job, OUTER, family, k, &live, job->outer, gc + start, g, y, dot);
            if (tables) {
                if (y) any_run_tables(job, k, job->push, 0, &live, rows, i + l, own_h, wide_g, wide_y, NULL);
                if (gx) any_run_tables(job, k, job->pull, 1, &live, rows, i + l, own_h, wide_g, wide_y, result[l]);
                continue;
            }
            if (y) run(job, PUSH, family, k, &live, job->push, c, g, y, dot);
            if (!gx) continue;
            memset(dot, 0, sizeof dot);
            run(job, PULL, family, k, &live, job->pull, c, g, y, dot);
            for (int r = 0; r < (rows + LANES - 1) / LANES; r++) result[l][r] = totals(dot + r * LANES);
        }
        if (gx) scatter(result, in, some, rows, gx + i);
    }
    if (tables && y) scatter(wide_y, width, width, rows, y);
}

static void any_block(const Job *job, int rows, const REAL *x, const REAL *g, const REAL *h, REAL *y, REAL *gx,
                      REAL *gc) {
    WITH_BASIS(job->layer, block(job, family, k, rows, x, g, h, y, gx, gc));
}

/* Rows first .. last - 1. `zero` holds a row of zeros, `zero_y` what it gives. */
static void layer_rows(const Job *job, long first, long last, const REAL *x, const REAL *g, const REAL *h,
                       const REAL *zero, const REAL *zero_y, REAL *y, REAL *gx, REAL *gc) {
    const int in = job->layer->in, width = job->width, anchored = job->layer->anchored;
    REAL sum[width];
    memset(sum, 0, sizeof sum);
    for (long n = first; n < last; n += ROWS) {
        const int rows = last - n < ROWS ? last - n : ROWS;
        const REAL *up = g ? g + n * width : NULL;
        REAL *out = y ? y + n * width : NULL;
        if (y) memset(out, 0, sizeof(REAL) * width * rows);
        any_block(job, rows, x + n * in, up, h ? h + n * in : NULL, out, gx ? gx + n * in : NULL, gc);
        if (y && anchored && job->push == 0)
            for (int m = 0; m < rows; m++) {
                const int zero_row = is_zero(x + (n + m) * in, in);
                for (int o = 0; o < width; o++) out[m * width + o] = zero_row ? 0 : out[m * width + o] - zero_y[o];
            }
        if (gc && anchored && job->outer == 0)
            for (int m = 0; m < rows; m++)
                for (int o = 0; o < width; o++) sum[o] -= up[m * width + o];
    }
    /* An anchored function is less its value at 0: as if a row of zeros had the opposite weight. */
    if (gc && anchored && job->outer == 0) any_block(job, 1, zero, sum, NULL, NULL, NULL, gc);
}

/* The parameters in the order in which this file reads them, or gradients by them brought back. */
INLINE void pack(const Job *job, int n_out, const REAL *c, const REAL *base, REAL *packed) {
    const int in = job->layer->in, n_basis = job->layer->n_basis, width = job->width;
    const int pad = padding(job->layer), last = n_slots(job->layer);
    for (int o = 0; o < n_out; o++)
        for (int i = 0; i < in; i++) {
            REAL *to = packed + i * feature_size(job) + o;
            for (int j = 0; j < n_basis; j++) to[(pad + j) * width] = c[((size_t)o * in + i) * n_basis + j];
            if (base) to[last * width] = base[(size_t)o * in + i];
        }
}

INLINE void unpack(const Job *job, int n_out, const REAL *packed, REAL *c, REAL *base) {
    const int in = job->layer->in, n_basis = job->layer->n_basis, width = job->width;
    const int pad = padding(job->layer), last = n_slots(job->layer);
    for (int o = 0; o < n_out; o++)
        for (int i = 0; i < in; i++) {
            const REAL *from = packed + i * feature_size(job) + o;
            for (int j = 0; j < n_basis; j++) c[((size_t)o * in + i) * n_basis + j] = from[(pad + j) * width];
            if (base) base[(size_t)o * in + i] = from[last * width];
        }
}

/* Does up to three things in one pass, each with a derivative of some order (0, 1, 2) of the functions,
   those of the basis with the coefficients c (n_out, in, n_basis) and the base function with those in
   base (n_out, in), unless that is NULL:

     push   y_no  = sum_is h_ni f_s^(push)(x_ni) c_ois           unless y is NULL
     pull   gx_ni = sum_so h_ni f_s^(pull)(x_ni) c_ois g_no      unless gx is NULL
     outer  gc_ois = sum_n h_ni f_s^(outer)(x_ni) g_no           unless gc is NULL; gb likewise

   with h = 1 if it is NULL. y and g have `width` columns, n_out of them in use. Returns 0 when memory
   is short. */
int kan_layer(const Layer *layer, long rows, int n_out, int width, const REAL *x, const REAL *c,
              const REAL *base, const REAL *g, const REAL *h, int push, REAL *y, int pull, REAL *gx, int outer,
              REAL *gc, REAL *gb) {
    Job job = {.layer = layer, .width = width, .push = push, .pull = pull, .outer = outer};
    const int threads = layer->threads;
    const size_t size = feature_size(&job) * layer->in, sums = gc ? threads * size : 0;
    REAL *packed = calloc(size + sums + layer->in + width, sizeof(REAL));
    if (!packed) return 0;
    REAL *own = packed + size, *zero = own + sums, *zero_y = zero + layer->in;
    pack(&job, n_out, c, base, packed);
    job.c = packed;
    if (layer->family == BSPLINE) make_pieces(layer, &job.pieces);
    REAL *tables = y || gx ? make_tables(&job, run_order(layer), rows) : NULL;
    job.tables = tables;
    if (y && layer->anchored && push == 0) any_block(&job, 1, zero, NULL, NULL, zero_y, NULL, NULL);
#pragma omp parallel for schedule(static, 1) num_threads(threads)
    for (int part = 0; part < threads; part++)
        layer_rows(&job, rows * part / threads, rows * (part + 1) / threads, x, g, h, zero, zero_y, y, gx,
                   gc ? own + part * size : NULL);
    if (gc) {
        for (int part = 1; part < threads; part++)
            for (size_t m = 0; m < size; m++) own[m] += own[part * size + m];
        unpack(&job, n_out, own, gc, gb);
    }
    free(tables);
    free(packed);
    return 1;
}
