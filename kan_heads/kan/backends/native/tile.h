/* Blocks of rows, one vector of features at a time, with the rows in the lanes. */
#ifndef KAN_HEADS_TILE_H
#define KAN_HEADS_TILE_H

#include "vector.h"

#define ROWS 128 /* of a block, at most */

/* Anchored functions are 0 at 0. That a value less the value at 0 is so to the last bit holds only if both are
   rounded alike, and compilers may fuse a product with a sum in one place and not in another. */
INLINE int is_zero(const REAL *row, long in) {
    long i = 0;
    while (i < in && row[i] == 0) i++;
    return i == in;
}

typedef V Tile[LANES][ROWS / LANES]; /* (features, rows) */

/* A vector of features of a block of rows, transposed, and back. Not inlined: large, and the same for all. */
static void gather(const REAL *from, long in, int some, int rows, Tile to) {
    for (int r = 0; r < rows; r += LANES, from += LANES * in) {
        V a[LANES];
        if (some == LANES && r + LANES <= rows)
            UNROLL_LANES for (int n = 0; n < LANES; n++) a[n] = load(from + n * in);
        else
            for (int n = 0; n < LANES; n++) a[n] = r + n < rows ? load_some(from + n * in, some) : splat(0);
        transpose(a);
        UNROLL_LANES for (int l = 0; l < LANES; l++) to[l][r / LANES] = a[l];
    }
}

static void scatter(Tile from, long in, int some, int rows, REAL *to) {
    for (int r = 0; r < rows; r += LANES, to += LANES * in) {
        V a[LANES];
        UNROLL_LANES for (int l = 0; l < LANES; l++) a[l] = from[l][r / LANES];
        transpose(a);
        if (some == LANES && r + LANES <= rows)
            UNROLL_LANES for (int n = 0; n < LANES; n++) store(to + n * in, a[n]);
        else
            for (int n = 0; n < LANES && r + n < rows; n++) store_some(to + n * in, a[n], some);
    }
}

#endif
