"""``kan-heads migrate-mace``: make a MACE model of an older e3nn load under the one that is installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from kan_heads.mace.migrate import MigrationResult


def migrate_mace(
    old: Annotated[Path, typer.Argument(metavar="OLD.model", help="Model file that MACE has saved.")],
    new: Annotated[Path, typer.Argument(metavar="NEW.model", help="File to write; it must not exist.")],
    trust: Annotated[
        bool, typer.Option("--trust", help="Load OLD.model, a pickle that can run code.")
    ] = False,
) -> None:
    """Make a MACE model of e3nn 0.4, e.g. a foundation model, load with the e3nn that is installed.

    MACE rebuilds it with every parameter, and energies and forces of old and new model are compared.

    A file that loads as it is, is copied unchanged. If a check fails, nothing is written.
    """
    from kan_heads.mace.migration_files import check_paths
    from kan_heads.trust import require_trust

    check_paths(str(old), str(new))
    require_trust(str(old), trust)
    from kan_heads.mace.migrate import migrate

    for line in _summary(migrate(str(old), str(new), trust=trust), new):
        typer.echo(line)


def _summary(result: MigrationResult, new: Path) -> Iterator[str]:
    elements = " ".join(result.elements) if len(result.elements) <= 10 else f"{len(result.elements)} elements"
    heads = f"head{'s' if len(result.heads) > 1 else ''} {', '.join(result.heads)}"
    yield (
        f"found: {result.model_class}, {elements}, {heads}, {result.n_parameters:,} parameters, "
        f"{result.dtype}, saved for {result.origin}"
    )
    if not result.migrated:
        yield "no migration is needed: the file loads as it is; copied unchanged"
        yield f"written: {new}"
        return
    yield "checked: every parameter and buffer is in the new file, unchanged"
    if result.recomputed:
        yield f"added: {len(result.recomputed)} constants that the old version of MACE did not save"
    if result.note:
        yield (f"not compared: the old model does not run here ({result.note}); check energies that you know")
    else:
        yield (
            f"largest difference from the old model, {result.n_atoms} atoms, each head: "
            f"energy {result.differences['energy']:.1e} eV, forces {result.differences['forces']:.1e} eV/Å"
        )
    yield f"written: {new}"
