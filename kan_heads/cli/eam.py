"""``kan-heads eam``: pair and embedded-atom potentials made of KAN functions."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kan_heads.cli import eam_md
from kan_heads.cli.options import given, names_options
from kan_heads.errors import ConfigError, unknown_name

if TYPE_CHECKING:
    from kan_heads.eam.data import Frame

app = typer.Typer(
    help="Fit, look at and run pair and embedded-atom potentials made of KAN functions.", no_args_is_help=True
)

app.command("export")(eam_md.export)
app.command("heat")(eam_md.heat)
app.command("melt")(eam_md.melt)

Output = Annotated[str, typer.Option("--out", "-o", help="Potential to write, *.json.")]


@app.command()
@names_options()
def train(
    data: Annotated[str, typer.Argument(help="Labelled structures of one element, e.g. extxyz; eV, Å.")],
    out: Output = "potential.json",
    kind: Annotated[str | None, typer.Option(help="eam (default), or pair for a pair potential.")] = None,
    cutoff: Annotated[float | None, typer.Option(help="Å; default 6.")] = None,
    inner: Annotated[
        float | None, typer.Option(help="Å, where the grids start; default 0.9 of the shortest distance.")
    ] = None,
    grid_size: Annotated[
        int | None, typer.Option(help="Intervals of the grids over distances; default 16.")
    ] = None,
    density_grid_size: Annotated[
        int | None, typer.Option(help="Intervals of the grid over densities; default 12.")
    ] = None,
    order: Annotated[int | None, typer.Option(help="Order of the B-splines, 3 to 5; default 3.")] = None,
    cohesive_energy: Annotated[
        float | None,
        typer.Option(
            help="eV per atom of the lowest structure below free atoms; default: from a structure of one "
            "atom alone in DATA."
        ),
    ] = None,
    bulk_modulus: Annotated[
        float | None,
        typer.Option(help="GPa, for metals: bounds and a binding curve where there are no labels."),
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option(help="Key of the header; structures that share all keys stay in one set. Repeatable."),
    ] = None,
    relax: Annotated[
        str | None,
        typer.Option(help="KEY=VALUE of structures relaxed at their cells with positions not known."),
    ] = None,
    rounds: Annotated[
        int | None,
        typer.Option(help="Rounds of least squares; the atoms are relaxed between; default 8."),
    ] = None,
    energy_tolerance: Annotated[float | None, typer.Option(help="meV per atom; default 1.")] = None,
    stress_tolerance: Annotated[
        float | None, typer.Option(help="GPa that count as much; default 0.2.")
    ] = None,
    stress_weight: Annotated[
        float | None, typer.Option(help="Factor of the stresses; 0: energies alone; default 1.")
    ] = None,
    softening: Annotated[
        float | None,
        typer.Option(help="meV per atom above the lowest structure that double the tolerances; default 50."),
    ] = None,
    smoothness: Annotated[
        float | None, typer.Option(help="Price of curvature of the functions; default 0.0001.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the split.")] = 0,
) -> None:
    """Fits a potential to energies and stresses; the split keeps groups of like structures together."""
    from kan_heads.eam.config import KINDS, EAMConfig
    from kan_heads.eam.data import read_labelled, split_by_group
    from kan_heads.eam.fitting import fit_potential
    from kan_heads.eam.training import FitConfig
    from kan_heads.elastic import GPA
    from kan_heads.lammps.config import check_output
    from kan_heads.locks import claimed

    if not out.endswith(".json"):
        raise ConfigError(f"--out {out}: a potential is a JSON file; call it *.json")
    check_output("--out", out, (data,))
    if kind not in (None, *KINDS):
        raise unknown_name("--kind", kind, KINDS)
    if seed < 0:
        raise ConfigError(f"--seed {seed}: must be 0 or more")
    settings = given(
        FitConfig,
        rounds=rounds,
        energy_tolerance=None if energy_tolerance is None else 1e-3 * energy_tolerance,
        stress_tolerance=None if stress_tolerance is None else stress_tolerance / GPA,
        stress_weight=stress_weight,
        softening=None if softening is None else 1e-3 * softening,
        smoothness=smoothness,
    )
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        frames = read_labelled(data, group or (), relax, stress=settings.stress_weight > 0)
    for note in notes:
        typer.echo(f"warning: {note.message}", err=True)
    parts = split_by_group(frames, seed=seed)
    config = given(
        EAMConfig,
        element=frames[0].atoms.get_chemical_symbols()[0],
        kind=kind,
        cutoff=cutoff,
        inner=_inner(frames) if inner is None else inner,
        grid_size=grid_size,
        density_grid_size=density_grid_size,
        order=order,
    )
    sizes = " + ".join(str(len(part)) for part in parts)
    typer.echo(f"{len(frames)} structures of {config.element}: {sizes} for training, validation, test")

    def say(number: int, of_train: float, of_validation: float) -> None:
        typer.echo(f"round {number}: loss {of_train:.5g}, validation {of_validation:.5g}")

    with claimed(out, is_folder=False):
        potential, errors = fit_potential(config, parts, settings, cohesive_energy, bulk_modulus, say)
        potential.history["data"] = Path(data).name
        potential.save(out)
    for name, error in errors.items():
        stress = f", stress {error.stress:.3f} GPa ({error.n_stresses})" if error.n_stresses else ""
        typer.echo(f"{name:10s} MAE: energy {error.energy:.3f} meV/atom ({error.n_frames}){stress}")
    typer.echo(f"written: {out}")


def _inner(frames: list[Frame]) -> float:
    from kan_heads.eam.batch import make_batch

    for reach in (4.0, 8.0, 16.0):
        vectors = make_batch([frame.atoms for frame in frames], reach).vectors
        if len(vectors):
            return round(0.9 * float(vectors.norm(dim=-1).min()), 2)
    raise ConfigError("no two atoms of the data are within 16 Å; a potential has nothing to learn there")


@app.command()
def plot(
    potential: Annotated[str, typer.Argument(help="What kan-heads eam train wrote.")],
    out: Annotated[str, typer.Option("--out", "-o", help="Picture to write, *.png.")] = "functions.png",
) -> None:
    """Draws the learned functions, with the distance of the lowest pair energy."""
    from kan_heads.eam import load_potential
    from kan_heads.eam.plots import draw_functions
    from kan_heads.lammps.config import check_output

    if not out.endswith((".png", ".pdf", ".svg")):
        raise ConfigError(f"--out {out}: is no picture; call it *.png, *.pdf or *.svg")
    check_output("--out", out)
    draw_functions(load_potential(potential), out)
    typer.echo(f"written: {out}")


@app.command()
def elastic(
    potential: Annotated[str, typer.Argument(help="What kan-heads eam train wrote.")],
    structure: Annotated[str, typer.Argument(help="A crystal, any file that ASE reads; its cell is kept.")],
) -> None:
    """Prints the elastic constants of a crystal at its cell, atoms at rest, and moduli (GPa)."""
    from kan_heads.data.reading import read_frames
    from kan_heads.data.structure import check_structure
    from kan_heads.eam import load_potential
    from kan_heads.eam.relaxed import relaxed_energy_and_stress
    from kan_heads.elastic import GPA, elastic_constants, voigt_reuss_hill
    from kan_heads.errors import DataError

    fitted = load_potential(potential)
    ((_, crystal),) = read_frames(structure)
    check_structure(crystal, structure)
    element = fitted.config.element
    if not crystal.pbc.all() or set(crystal.get_chemical_symbols()) != {element}:
        raise DataError(f"{structure}: expected a crystal of {element}, periodic in three directions")
    stress = relaxed_energy_and_stress(fitted, crystal)[1]
    constants = elastic_constants(lambda atoms: relaxed_energy_and_stress(fitted, atoms)[1], crystal)
    typer.echo(f"pressure {-GPA * stress.trace() / 3:.3f} GPa; C (xx, yy, zz, yz, xz, xy):")
    for row in constants:
        typer.echo("".join(f"{value:9.2f}" for value in row))
    moduli = voigt_reuss_hill(constants)
    typer.echo(
        f"bulk {moduli.bulk:.2f}, shear {moduli.shear:.2f}, Young's {moduli.young:.2f}, "
        f"Poisson's ratio {moduli.poisson:.3f} (Voigt, Reuss, Hill)"
    )
