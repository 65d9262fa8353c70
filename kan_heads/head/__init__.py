"""What a trained head offers: the best coefficients in one pass over the data.

The last layer of a readout is linear in its coefficients, and so are the energies, forces and stresses of the
model. On a trained backbone the best head is therefore the solution of a linear least-squares problem.
"""

from kan_heads.head.solving import Point, Solution, solve
from kan_heads.head.sums import KINDS, Sums

__all__ = ["KINDS", "Point", "Solution", "Sums", "solve"]
