"""``kan-heads eam export``, ``heat`` and ``melt``: a potential in LAMMPS."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kan_heads.cli.options import given, names_options
from kan_heads.cli.stage import stage
from kan_heads.errors import ConfigError
from kan_heads.progress import Bar

if TYPE_CHECKING:
    from ase import Atoms

    from kan_heads.eam import Potential

_Potential = Annotated[str, typer.Argument(help="What kan-heads eam train wrote.")]
_Out = Annotated[Path, typer.Option(help="Folder for results; a run that was killed goes on there.")]
_Structure = Annotated[
    str | None, typer.Option(help="sc, fcc, bcc, hcp or diamond; default: the element's own.")
]
_A = Annotated[float | None, typer.Option("--a", help="Lattice constant, Å; default: ASE's table.")]
_C = Annotated[float | None, typer.Option("--c", help="Second lattice constant of hcp, Å.")]
_Quick = Annotated[
    bool, typer.Option("--quick", help="A smaller box and a shorter run: minutes on one core.")
]
_Seed = Annotated[int, typer.Option(help="Seed of the velocities.")]
_Timestep = Annotated[float | None, typer.Option(help="fs; default 2.")]


@names_options(n="points", n_rho="points", n_r="points")
def export(
    potential: _Potential,
    out: Annotated[Path, typer.Option(help="File to write; for overlay a folder.")],
    form: Annotated[
        str,
        typer.Option("--format", help="eam/fs; for pair potentials also table or overlay (table + lj/cut)."),
    ] = "eam/fs",
    inner: Annotated[float | None, typer.Option(help="Where a table starts, Å; LAMMPS stops below.")] = None,
    points: Annotated[int, typer.Option(help="Points of the tables.")] = 10_000,
    structure: Annotated[
        str | None, typer.Option(help="Structures that are to be run: warns of distances out of range.")
    ] = None,
) -> None:
    """Write files for LAMMPS' own pair styles, with an example input beside them.

    They run wherever LAMMPS does: under MPI, with -sf omp on threads, with -sf kk on GPUs.
    """
    from kan_heads.data.reading import read_frames
    from kan_heads.eam import load_potential
    from kan_heads.eam.export import export as write

    loaded = load_potential(potential)
    structures = [] if structure is None else [atoms for _, atoms in read_frames(structure, ":")]
    try:
        made = write(loaded, form, out, inner, points)
    except OSError as error:
        raise ConfigError(f"--out {out}: cannot be written ({error.strerror})") from error
    for line in ["units metal", *made.commands()]:
        typer.echo(line)
    typer.echo(f"written: {made.file}, {made.example}", err=True)
    _check_distances(structure, structures, made, loaded)


@names_options(hot="to")
def heat(
    potential: _Potential,
    out: _Out,
    size: Annotated[
        int | None, typer.Option(help="Rectangular cells each way; published 10, quick 6.")
    ] = None,
    to: Annotated[float, typer.Option("--to", help="K; a finished run goes on to a higher one.")] = 4000.0,
    rate: Annotated[float | None, typer.Option(help="K/ps; default 5, quick 20.")] = None,
    rdf: Annotated[
        list[float] | None, typer.Option("--rdf", help="K of a radial distribution function; repeatable.")
    ] = None,
    structure: _Structure = None,
    a: _A = None,
    c: _C = None,
    timestep: _Timestep = None,
    seed: _Seed = 1,
    quick: _Quick = False,
) -> None:
    """Heat a crystal from 300 K at pressure 0 until it changes or melts, as published.

    Writes heating.json, heating.csv, rdf.csv and two pictures. A perfect crystal melts above its melting
    point; kan-heads eam melt finds that.
    """
    from kan_heads.eam.heating import HeatingConfig
    from kan_heads.eam.heating import heat as run

    standard = (*HeatingConfig.distributions[:-1], max(to - 100.0, 300.0))
    settings = given(
        HeatingConfig.quick if quick else HeatingConfig,
        size=size,
        rate=rate,
        hot=to,
        distributions=tuple(kelvin for kelvin in standard if kelvin <= to) if rdf is None else tuple(rdf),
        structure=structure,
        a=a,
        c=c,
        timestep=timestep,
        seed=seed,
    )
    loaded = _load(potential, out)
    with Bar() as bar:
        result = run(loaded, out, settings, lambda name, step, steps: bar.update(step, name, steps))
    _draw(out, {"heating.png": ("heating", result), "rdf.png": ("distributions", result)})
    if result["change_K"] is not None:
        typer.echo(f"turns into {result['change_to']} at {result['change_K']:.0f} K")
    if result["melting_K"] is not None:
        typer.echo(
            f"melts at {result['melting_K']:.0f} K, heated at {settings.rate:g} K/ps without a surface"
        )
    else:
        typer.echo(f"does not melt up to {settings.end:.0f} K; heat on with a higher --to")
    _mention(result["element"])
    typer.echo(f"written: {out}/heating.json, heating.csv, heating.png, rdf.csv, rdf.png")


@names_options()
def melt(
    potential: _Potential,
    out: _Out,
    guess: Annotated[
        float | None,
        typer.Option(help="K, where to start; default: from heating.json in --out, or the energy."),
    ] = None,
    run: Annotated[
        float | None, typer.Option("--ps", help="ps with both phases; default 200, quick 60.")
    ] = None,
    attempts: Annotated[
        int | None, typer.Option(help="Starts before it gives up; default 6, quick 4.")
    ] = None,
    structure: _Structure = None,
    a: _A = None,
    c: _C = None,
    timestep: _Timestep = None,
    seed: _Seed = 1,
    quick: _Quick = False,
) -> None:
    """Find the melting point from crystal and liquid side by side at constant enthalpy.

    Writes coexistence.json and a picture. Where one phase vanishes, the temperature is a bound, and the
    next attempt starts from it.
    """
    from kan_heads.eam.coexistence import CoexistenceConfig
    from kan_heads.eam.coexistence import melt as coexist

    settings = given(
        CoexistenceConfig.quick if quick else CoexistenceConfig,
        guess=guess,
        run=run,
        attempts=attempts,
        structure=structure,
        a=a,
        c=c,
        timestep=timestep,
        seed=seed,
    )
    loaded = _load(potential, out)
    with Bar() as bar:
        result = coexist(
            loaded,
            out,
            settings,
            lambda number, name, step, steps: bar.update(step, f"attempt {number}, {name}", steps),
        )
    _draw(out, {"coexistence.png": ("coexistence", result)})
    for row in result["attempts"]:
        typer.echo(
            f"started at {row['guess_K']:.0f} K: {row['outcome']}, {row['temperature_K']:.0f} K at the end"
        )
    if result["melting_K"] is not None:
        typer.echo(f"melting point {result['melting_K']:.0f} +- {result['error_K']:.0f} K (statistical)")
        if not result["settled"]:
            typer.echo("one phase was still growing; run it longer: --ps, with another --out", err=True)
    else:
        low, high = ("none" if k is None else f"{k:.0f} K" for k in (result["lower_K"], result["upper_K"]))
        typer.echo(f"no coexistence; bounds of the melting point: lower {low}, upper {high}")
    _mention(result["element"])
    typer.echo(f"written: {out}/coexistence.json, coexistence.png")


def _load(potential: str, out: Path) -> Potential:
    from kan_heads.eam import load_potential

    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out}: is a file; name a folder")
    return load_potential(potential)


def _check_distances(path: str | None, structures: list[Atoms], made: Any, loaded: Potential) -> None:
    import warnings

    from kan_heads.eam.export import check_range

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number, atoms in enumerate(structures):
            for table in (made, loaded):
                found = check_range(table, atoms)
                if found is not None:
                    typer.echo(f"warning: structure {number} of {path}: {found}", err=True)


def _draw(out: Path, pictures: dict[str, tuple[str, dict[str, Any]]]) -> None:
    from kan_heads.eam import md_plots

    with stage("Drawing"):
        for name, (function, result) in pictures.items():
            getattr(md_plots, function)(result, out / name)


def _mention(element: str) -> None:
    from kan_heads.eam.md_plots import MARKS

    if element in MARKS:
        typer.echo("for comparison: " + "; ".join(label for label, *_ in MARKS[element]))
