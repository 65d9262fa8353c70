"""From labelled structures to a fitted potential and its errors."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from kan_heads.data.structure import is_free_atom
from kan_heads.eam.binding import floor_frames, rose_frames
from kan_heads.eam.config import EAMConfig
from kan_heads.eam.data import Frame, lowest_frame
from kan_heads.eam.potential import Potential
from kan_heads.eam.training import Errors, FitConfig, errors_of, fit
from kan_heads.errors import DataError, SettingError

Parts = tuple[Sequence[Frame], Sequence[Frame], Sequence[Frame]]


def fit_potential(
    config: EAMConfig,
    parts: Parts,
    settings: FitConfig,
    cohesive_energy: float | None = None,
    bulk_modulus: float | None = None,
    say: Callable[[int, float, float], None] = lambda epoch, train, validation: None,
) -> tuple[Potential, dict[str, Errors]]:
    """Fits a potential and measures it.

    Args:
        config: of the potential.
        parts: training, validation and test set; single free atoms among them (in a box larger than
            the cutoff, or in none) give the cohesive energy.
        settings: of the fit.
        cohesive_energy: eV per atom of the structure of lowest energy below free atoms.
        bulk_modulus: GPa; with it the stretched crystal follows the universal binding curve, and open
            structures are kept above the crystal. These are given to the fit only and count in no error.
        say: hears the number of the round and both losses.

    Returns:
        The potential, and its errors on the sets ``training``, ``validation`` and ``test``.

    Raises:
        ConfigError: if the cohesive energy is not positive.
        DataError: if no cohesive energy is given and no structure is a single atom, or all are.
    """
    free = [f.energy for part in parts for f in part if is_free_atom(f.atoms, config.cutoff)]
    train, validation, test = ([f for f in p if not is_free_atom(f.atoms, config.cutoff)] for p in parts)
    for part, name in ((train, "training"), (validation, "validation")):
        if not part:
            raise DataError(
                f"the {name} set holds free atoms only, whose energies say nothing of how atoms bind; add "
                "crystals or molecules"
            )
    lowest = lowest_frame(train)
    if cohesive_energy is None:
        if not free:
            raise DataError(
                "the data hold no free atom, so nothing says how deep the crystal is bound; pass "
                "--cohesive-energy in eV per atom (e.g. from ase or a handbook), or add a single atom"
            )
        cohesive_energy = free[0] - lowest.energy_per_atom
    if not 0.0 < cohesive_energy < float("inf"):
        raise SettingError("cohesive_energy", f"{cohesive_energy:g} eV per atom", "must be above 0")
    potential = Potential(config)
    beyond = []
    if bulk_modulus is not None:
        beyond = rose_frames(lowest, cohesive_energy, bulk_modulus) + floor_frames(lowest, cohesive_energy)
    curve = fit(potential, [*train, *beyond], validation, settings, cohesive_energy, say)
    potential.history = {
        "rounds": len(curve),
        "best_round": 1 + min(range(len(curve)), key=lambda k: curve[k][1]),
        "settings": dataclasses.asdict(settings),
        "cohesive_energy_eV": cohesive_energy,
        "bulk_modulus_GPa": bulk_modulus,
        "n_training": len(train),
    }
    names = ("training", "validation", "test")
    errors = {name: errors_of(potential, p) for name, p in zip(names, (train, validation, test), strict=True)}
    potential.history["errors"] = {name: dataclasses.asdict(error) for name, error in errors.items()}
    return potential, errors
