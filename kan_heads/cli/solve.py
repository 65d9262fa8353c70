"""``kan-heads solve``: the best head for some data, in one pass over them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kan_heads.cli.stage import stage
from kan_heads.errors import ConfigError

if TYPE_CHECKING:
    from kan_heads.head import Point, Solution

_UNITS = {"energy": (1e3, "meV/atom"), "forces": (1e3, "meV/Å"), "stress": (1e3, "meV/Å^3")}
_VAL_SHARE = 10


def solve(
    model: Annotated[str, typer.Argument(help="Checkpoint of nequip-train (.ckpt) or MACE .model.")],
    data: Annotated[Path, typer.Option(help="Labelled structures to solve with, e.g. train.extxyz.")],
    out: Annotated[Path, typer.Option(help="File to write, of the same kind as MODEL.")],
    val: Annotated[
        Path | None, typer.Option(help="Labelled structures to choose by; default: every tenth of --data.")
    ] = None,
    directions: Annotated[
        int | None, typer.Option(help="Directions of forces for each frame; default: enough.", min=1)
    ] = None,
    energy_weight: Annotated[
        float | None, typer.Option(help="Weight of energies against forces; default: the best of a list.")
    ] = None,
    allow: Annotated[
        float, typer.Option(help="How much errors of forces and stresses may grow, as a share.")
    ] = 0.01,
    seed: Annotated[int, typer.Option(help="Seed of the directions.", min=0)] = 0,
    picture: Annotated[
        Path | None, typer.Option(help="Picture of energy against force errors to write, *.png.")
    ] = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="Load a .model, a pickle that may run code.")
    ] = False,
) -> None:
    """Solve the last layer of a trained readout by least squares; never worse on the held-out frames.

    The frames of --val choose between solutions; judge the result by others. If no solution lowers the
    energy error without raising the others by more than --allow, nothing is written.
    """
    from kan_heads.data.reading import read_frames
    from kan_heads.head import files
    from kan_heads.head import solve as solve_head
    from kan_heads.loading import check_file, load

    check_file(model, files.ENDINGS, files.KINDS, trust)
    _check_target(model, out, picture)
    frames = [atoms for _, atoms in read_frames(data, ":")]
    if val is None:
        if len(frames) < _VAL_SHARE:
            raise ConfigError(f"--data {data}: {len(frames)} frames are too few to keep some; give --val")
        held_out, frames = frames[::_VAL_SHARE], [a for i, a in enumerate(frames) if i % _VAL_SHARE]
        typer.echo(
            f"warning: every tenth frame of {data} is held out to choose by, and the backbone may have seen "
            "it; --val names others",
            err=True,
        )
    else:
        held_out = [atoms for _, atoms in read_frames(val, ":")]
    with stage("Loading the model"):
        loaded = load(model, trust=trust)
    solution = solve_head(
        loaded, frames, held_out, directions=directions, energy_weight=energy_weight, allow=allow, seed=seed
    )
    for line in _table(solution):
        typer.echo(line)
    if picture is not None:
        from kan_heads.head.pictures import draw

        draw(solution, picture)
        typer.echo(f"written: {picture}")
    if solution.chosen is None:
        raise ConfigError(
            "no solution lowers the held-out energy error within --allow; the model is best as it is, and "
            f"{out} was not written"
        )
    files.save(loaded, model, out)
    typer.echo(f"written: {out}")


def _check_target(model: str, out: Path, picture: Path | None) -> None:
    for path in (out, picture):
        if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
            raise ConfigError(f"{path}: is a folder, or lies in none that exists; name another file")
    if out.suffix != Path(model).suffix:
        raise ConfigError(f"--out {out}: is of the same kind as {model}; name it *{Path(model).suffix}")
    if out.exists() and os.path.samefile(model, out):
        raise ConfigError(f"--out {out}: this is the input, and would be lost; name another file")
    if picture is not None and picture.suffix != ".png":
        raise ConfigError(f"--picture {picture}: a PNG is written; name it *.png")


def _table(solution: Solution) -> Iterator[str]:
    size = f"{solution.rows} rows for {solution.unknowns} unknowns"
    yield f"{size}, {solution.n_directions} directions of forces for each frame"
    yield "held-out frames, root mean squared errors:"
    kinds = list(solution.before.rmse)
    yield f"  {'':28}" + "".join(f"{f'{kind} ({_UNITS[kind][1]})':>22}" for kind in kinds)
    yield _line("before", solution.before)
    best = solution.chosen
    for point in solution.front():
        mark = " <- chosen" if point is best else ""
        yield _line(f"energy x {point.energy_weight:g}, penalty {point.penalty:g}", point) + mark


def _line(name: str, point: Point) -> str:
    return f"  {name:28}" + "".join(f"{_UNITS[kind][0] * e:22.2f}" for kind, e in point.rmse.items())
