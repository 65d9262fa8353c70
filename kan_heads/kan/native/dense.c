/* Bases without locality, Gaussians say: their values one by one, for matrix products. */
#include <stdlib.h>

#include "basis.h"

/* The functions that a layer sums: the basis, then the base function if there is one. */
INLINE int n_functions(const Layer *layer) { return layer->n_basis + (layer->base != NO_BASE); }

INLINE void values_of(const Layer *layer, const int family, const int order, V x, Grid grid, V *values) {
    Sink sink = {.values = values};
    V b[ORDERS];
    dense(layer, family, &sink, VALUES, order, x, grid);
    base_values(layer->base, x, b);
    if (layer->base != NO_BASE) values[layer->n_basis] = b[order];
}

static void all_values(const Layer *layer, int order, V x, Grid grid, V *values) {
    if (order == 0) WITH_BASIS(layer, values_of(layer, family, 0, x, grid, values));
    else if (order == 1) WITH_BASIS(layer, values_of(layer, family, 1, x, grid, values));
    else WITH_BASIS(layer, values_of(layer, family, 2, x, grid, values));
}

/* Functions (anchored, if the layer is) or their derivatives: (rows, n_functions, in). */
int kan_evaluate(const Layer *layer, long rows, int order, const REAL *x, REAL *values) {
    const int in = layer->in, count = n_functions(layer), width = padded(in);
    V *shift = NULL;
    if (posix_memalign((void **)&shift, sizeof(V), (size_t)count * width * sizeof(REAL))) return 0;
    memset(shift, 0, (size_t)count * width * sizeof(REAL));
    if (layer->anchored && order == 0)
        for (int i = 0; i < in; i += LANES)
            all_values(layer, 0, splat(0), grid_of(layer, i), shift + i / LANES * count);
#pragma omp parallel for schedule(static) num_threads(layer->threads)
    for (long n = 0; n < rows; n++)
        for (int i = 0; i < in; i += LANES) {
            V p[count];
            all_values(layer, order, load_some(x + n * in + i, in - i), grid_of(layer, i), p);
            for (int j = 0; j < count; j++)
                store_some(values + (n * count + j) * in + i, p[j] - shift[i / LANES * count + j], in - i);
        }
    free(shift);
    return 1;
}

/* sum_j weights_nji f_j^(order)(x_ni), weights (rows, n_functions, in): (rows, in). */
int kan_reduce(const Layer *layer, long rows, int order, const REAL *x, const REAL *weights, REAL *y) {
    const int in = layer->in, count = n_functions(layer);
#pragma omp parallel for schedule(static) num_threads(layer->threads)
    for (long n = 0; n < rows; n++)
        for (int i = 0; i < in; i += LANES) {
            V p[count], sum = {0};
            all_values(layer, order, load_some(x + n * in + i, in - i), grid_of(layer, i), p);
            for (int j = 0; j < count; j++)
                sum += p[j] * load_some(weights + (n * count + j) * in + i, in - i);
            store_some(y + n * in + i, sum, in - i);
        }
    return 1;
}
