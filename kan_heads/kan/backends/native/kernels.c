/* One translation unit, so that everything can be inlined. */
#include "sum.c"

#include "layer.c"
