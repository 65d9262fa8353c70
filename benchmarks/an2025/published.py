"""What An and Yeo 2025 print; never mixed with what is measured here."""

from __future__ import annotations

from dataclasses import dataclass

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class PublishedErrors:
    """A row of the paper's Table 1, in normalised units.

    Args:
        mae: mean absolute errors on training, validation and test sets.
        mse: mean squared errors on the same.
    """

    mae: tuple[float, float, float]
    mse: tuple[float, float, float]


#: Table 1 by the names that this project uses for the models.
TABLE_1 = {
    "kan": PublishedErrors((0.36, 0.30, 0.31), (0.79, 0.50, 0.49)),
    "schnet": PublishedErrors((0.46, 0.38, 0.41), (0.88, 0.55, 0.59)),
    "ani": PublishedErrors((0.79, 0.77, 0.79), (1.01, 0.93, 0.97)),
    "gnn-forces": PublishedErrors((0.15, 0.13, 0.22), (0.11, 0.04, 0.50)),
    "calhousnet": PublishedErrors((0.34, 0.27, 0.29), (0.76, 0.34, 0.51)),
}

#: Figure 2: shares of the variance of structures and of forces, component by component.
STRUCTURE_VARIANCE = (0.805, 0.122, 0.049)
FORCE_VARIANCE = (0.666, 0.288)

#: Section 3.1.1 on Figure 5: medians of the KAN's test errors, in Ry and Ry/bohr.
MEDIAN_ENERGY_ERROR = 0.1
MEDIAN_FORCE_ERROR = 0.0003

#: Table 2: the column of the KAN, and that of reference values (its reference 51), elastic constants in GPa.
#: The table prints them without a unit; its Table 3 says Mbar. Expansion in 1e-6/K.
TABLE_2 = {
    "C11": (572.6, 576.3),
    "C12": (199.5, 187.2),
    "C13": (166.7, 167.3),
    "C44": (196.6, 184.0),
    "thermal expansion": (6.44, 6.4),
    "Poisson's ratio": (0.28, 0.3),
    "bulk modulus": (217.0, 220.0),
    "shear modulus": (167.0, 173.0),
    "Young's modulus": (435.0, 447.0),
}

#: Table 3: the tabulated KAN potential, a Finnis-Sinclair potential, reference values; GPa.
TABLE_3 = {
    "C11": (574.0, 572.0, 576.3),
    "C12": (186.6, 183.1, 187.2),
    "C13": (166.9, 166.8, 167.3),
    "C44": (185.6, 181.7, 184.0),
}

#: What must stand below these values.
NOTE_ON_TABLE_2 = (
    "Published: not reproducible from a trained model. The weights in the published repository are of a "
    "KAN as initialised; its notebook fits slopes to the output for random numbers, and types the moduli, "
    "Poisson's ratio and the expansion as constants."
)
