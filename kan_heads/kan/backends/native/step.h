/* The innermost loop of layer.c, for the vectors W of outputs that layer.c chooses. */

/* A few vectors of outputs for the rows n, next[n], ... of one interval, whose coefficients are c[q]. */
INLINE void STEP(const Job *job, const int operation, const int live_count, const int vectors, int n,
                 const int32_t *next, const REAL (*value)[ROWS], REAL *const c[SLOTS], const REAL *g, REAL *y,
                 V *dot) {
    const long width = job->width, lanes = sizeof(W) / sizeof(REAL);
    W a[SLOTS][CHUNK];
    UNROLL for (int q = 0; q < live_count; q++)
        UNROLL for (int v = 0; v < vectors; v++) a[q][v] = operation == OUTER ? (W){0} : *(const W *)(c[q] + v * lanes);
    for (; n >= 0; n = next[n]) {
        if (operation == PULL) {
            W sum = *(W *)&dot[n];
            UNROLL for (int v = 0; v < vectors; v++) {
                W slope = value[0][n] * a[0][v];
                UNROLL for (int q = 1; q < live_count; q++) slope += value[q][n] * a[q][v];
                sum += *(const W *)(g + n * width + v * lanes) * slope;
            }
            *(W *)&dot[n] = sum;
            continue;
        }
        UNROLL for (int v = 0; v < vectors; v++) {
            if (operation == PUSH) {
                W *at = (W *)(y + n * width + v * lanes), sum = *at;
                UNROLL for (int q = 0; q < live_count; q++) sum += value[q][n] * a[q][v];
                *at = sum;
            } else {
                W at = *(const W *)(g + n * width + v * lanes);
                UNROLL for (int q = 0; q < live_count; q++) a[q][v] += value[q][n] * at;
            }
        }
    }
    if (operation == OUTER)
        UNROLL for (int q = 0; q < live_count; q++)
            UNROLL for (int v = 0; v < vectors; v++) *(W *)(c[q] + v * lanes) += a[q][v];
}
