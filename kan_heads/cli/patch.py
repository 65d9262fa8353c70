"""``kan-heads patch``: give an installed program the hook that kan-heads needs, or take it away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from kan_heads.patching import Installation, State

app = typer.Typer(help="Give an installed program (mace) the hook that KAN heads need.", no_args_is_help=True)

Target = Annotated[str, typer.Argument(help="Program to patch: mace.")]


@app.command()
def apply(target: Target) -> None:
    """Patch the installed program; without --kan it works as before."""
    from kan_heads.patching import State

    _change(target, State.PATCHED)


@app.command()
def revert(target: Target) -> None:
    """Take the patch out: the files are again as released."""
    from kan_heads.patching import State

    _change(target, State.PRISTINE)


@app.command()
def status(target: Target) -> None:
    """Show which files are patched; changes nothing."""
    from kan_heads.patching import find_installation

    installation = find_installation(target)
    states = installation.states()
    typer.echo(installation.root)
    for name, state in states.items():
        typer.echo(f"  {state.value:8}  {name}")
    typer.echo(f"{_title(installation)}: {_overall(target, installation, states)}")


def _change(target: str, wanted: State) -> None:
    from kan_heads.patching import find_installation

    installation = find_installation(target)
    changed = installation.change(wanted)
    what = f"{len(changed)} files changed" if changed else "nothing to do"
    typer.echo(f"{_title(installation)}: {wanted.value}, {what} in {installation.root}")


def _title(installation: Installation) -> str:
    return f"{installation.distribution} {installation.version}"


def _overall(target: str, installation: Installation, states: dict[str, State]) -> str:
    from kan_heads.patching import State

    found = set(states.values())
    if found & {State.OTHER, State.MISSING}:
        return f"changed by something else; restore with: {installation.restore_command()}"
    if len(found) == 1:
        state = found.pop()
        if installation.record_agrees():
            return state.value
        verb = "apply" if state is State.PATCHED else "revert"
        return f"{state.value}, but its RECORD has other checksums; run: kan-heads patch {verb} {target}"
    return f"partly patched; run: kan-heads patch apply {target}, or: kan-heads patch revert {target}"
