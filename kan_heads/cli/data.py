"""``kan-heads data``: check, convert and split a user's own structures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kan_heads.errors import ConfigError

app = typer.Typer(help="Check, convert and split labelled structures.", no_args_is_help=True)

Mace = Annotated[
    bool, typer.Option("--mace", help="Name the labels as MACE does: REF_energy, REF_forces, REF_stress.")
]


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="Extended XYZ or another file that ASE reads.")],
    r_max: Annotated[float | None, typer.Option(help="Cutoff in Angstrom to test for neighbours.")] = None,
    require: Annotated[
        str | None,
        typer.Option(
            help="Labels that every frame must have; default: energy,forces, or what the first frame has in "
            "their place (REF_energy,REF_forces of MACE, tensors of ETGNN)."
        ),
    ] = None,
) -> None:
    """Look for what would break or spoil a training."""
    from kan_heads import data

    labels, tensors = data.purpose_of(file)
    if require is not None:
        labels = tuple(name.strip() for name in require.split(",") if name.strip())
    r = data.check_file(file, r_max, labels, tensors=tensors)
    for note in (*r.notes, *r.partial(r.labels).values()):
        typer.echo(f"note: {note}", err=True)
    atoms = f"{r.n_atoms_min}" if r.n_atoms_min == r.n_atoms_max else f"{r.n_atoms_min} to {r.n_atoms_max}"
    found = ", ".join(f"{k} ({n})" for k, n in r.labels.items()) or "none"
    typer.echo(f"{file}: sound; {r.n_frames} frames, {atoms} atoms, {' '.join(r.elements)}; labels: {found}")


@app.command()
def convert(
    file: Annotated[Path, typer.Argument(help="File that ASE reads: vasprun.xml, OUTCAR, .traj, .db, ...")],
    out: Annotated[Path, typer.Argument(help="Extended XYZ file to write.")],
    index: Annotated[str, typer.Option(help="Which structures, as ASE counts: -1, 0, :, ::10.")] = ":",
    mace: Mace = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
) -> None:
    """Write structures as extended XYZ, with the labels' names that nequip and Allegro, or MACE, read."""
    from kan_heads import data

    if out.suffix not in (".xyz", ".extxyz"):
        raise ConfigError(f"{out}: extended XYZ is written; name it {out.with_suffix('.extxyz').name}")
    if out.exists() and not force:
        raise ConfigError(f"{out} exists; name another file, or add --force to replace it")
    count = data.convert(file, out, index, mace)
    typer.echo(f"{out}: {count} frames")


@app.command()
def split(
    file: Annotated[Path, typer.Argument(help="Labelled structures in a file that ASE reads.")],
    out: Annotated[Path, typer.Option(help="Folder for train.extxyz, val.extxyz, test.extxyz, split.json.")],
    train: Annotated[int | None, typer.Option(help="Frames to train on; default: 80 %.")] = None,
    val: Annotated[int | None, typer.Option(help="Frames to validate on; default: 10 %.")] = None,
    test: Annotated[int | None, typer.Option(help="Frames to test on; default: 10 %.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the draw.", min=0)] = 0,
    group: Annotated[
        str | None,
        typer.Option(help="Key of the frames; those of one value, e.g. of one trajectory, stay together."),
    ] = None,
    mace: Mace = False,
) -> None:
    """Check labelled structures and draw train, validation and test sets; the same call, the same bytes."""
    from kan_heads import data

    sizes = data.split(file, out, train, val, test, seed, group, mace)
    typer.echo(f"{out}: {', '.join(f'{n} {name}' for name, n in sizes.items())}")
