"""``kan-heads compile``: compile a trained model for dynamics, its B-splines frozen to polynomials."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kan_heads.cli.stage import stage

if TYPE_CHECKING:
    from kan_heads.compiling import CompileResult


def compile_(
    source: Annotated[
        str, typer.Argument(metavar="INPUT", help="Checkpoint (.ckpt) or package (.nequip.zip).")
    ],
    output: Annotated[Path, typer.Argument(help="File to write: .nequip.pt2, with torchscript .nequip.pth.")],
    mode: Annotated[str, typer.Option(help="aotinductor or torchscript (up to torch 2.9).")] = "aotinductor",
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    target: Annotated[
        str | None,
        typer.Option(
            help="What will load it: ase (default for potentials), pair_allegro, pair_nequip, ...; "
            "a model of a tensor has one target, the tensor."
        ),
    ] = None,
    freeze: Annotated[bool, typer.Option(help="Turn one-output B-spline layers into polynomials.")] = True,
) -> None:
    """Compile a trained model; the result works where kan-heads is not installed."""
    from kan_heads.compiling import compile_model

    result = compile_model(source, str(output), mode, device, target, freeze, stage)
    for line in _summary(result, output):
        typer.echo(line)


def _summary(result: CompileResult, output: Path) -> Iterator[str]:
    if result.untrained:
        yield f"warning: no training structure held {', '.join(result.untrained)}; the model does not know it"
    if result.note:
        yield f"frozen: none; {result.note}"
    elif result.freezing is not None:
        frozen, left = result.freezing.frozen, result.freezing.left
        if not frozen and not left:
            yield "frozen: none; the model holds no KAN layers"
        else:
            reasons = "".join(f"; left: {count} ({reason})" for reason, count in _counted(left).items())
            yield f"frozen: {len(frozen)} of {len(frozen) + len(left)} KAN layers{reasons}"
    agreement = ", ".join(
        f"{name} {result.differences[name]:.1e} (relative {result.relative[name]:.0e})"
        for name in result.differences
    )
    if agreement:
        yield f"largest difference from the original, {result.n_atoms} atoms: {agreement}"
    yield f"written: {output}"


def _counted(left: dict[str, str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for reason in left.values():
        counts[reason] = counts.get(reason, 0) + 1
    return counts
