"""Zeros of the spherical Bessel functions; apart from the network, which is packaged without scipy."""

import functools
import itertools
from typing import List

import numpy as np
from scipy.optimize import brentq
from scipy.special import spherical_jn


def spherical_bessel_zeros(l_max: int, n: int) -> List[List[float]]:
    """Returns the first ``n`` positive zeros of j_0 to j_l_max.

    Zeros of neighbouring orders interlace, so those of one order bracket those of the next.
    """
    bounds = np.pi * np.arange(1, n + l_max + 1)  # the zeros of j_0 = sin(x) / x
    rows = [bounds[:n].tolist()]
    for order in range(1, l_max + 1):
        function = functools.partial(spherical_jn, order)
        bounds = np.array([brentq(function, a, b, xtol=1e-14) for a, b in itertools.pairwise(bounds)])
        rows.append(bounds[:n].tolist())
    return rows
