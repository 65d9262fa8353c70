"""``kan-heads predict``: tensors of structures, such as Born effective charges."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from kan_heads.cli.stage import stage
from kan_heads.cli.tensors import Screen
from kan_heads.errors import ConfigError, KanHeadsError, ModelError, unknown_name

if TYPE_CHECKING:
    import numpy as np
    from ase import Atoms


FORMATS = ("extxyz", "born")
_NOTABLE_CHANGE = 0.05  # e, about ten times the error of a good model


def predict(
    model: Annotated[str, typer.Argument(help="Checkpoint (.ckpt), package (.nequip.zip) or .nequip.pt2.")],
    structure: Annotated[str, typer.Argument(help="POSCAR, CIF, XYZ or another file that ASE reads.")],
    out: Annotated[str | None, typer.Option(help="File to write: *.extxyz, or BORN for phonopy.")] = None,
    format_: Annotated[
        str | None, typer.Option("--format", help="extxyz or born; default: by the name of --out.")
    ] = None,
    index: Annotated[str, typer.Option(help="Which of several structures: 0 first, -1 last, : all.")] = "-1",
    dielectric: Annotated[
        str | None, typer.Option(help='For BORN: dielectric tensor, 1, 3 or 9 numbers, e.g. "2.4 2.4 2.5".')
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    symprec: Annotated[float, typer.Option(help="For BORN: tolerance of the symmetry in Angstrom.")] = 1e-5,
) -> None:
    """Predict Born effective charges, or whatever tensor a model was trained on.

    Atoms are numbered from 1. Where the output is no terminal, it is one table
    with blanks between columns; all other lines begin with #. Several structures
    are only written if there is --out.

    A file is written when all structures are predicted. In extended XYZ the
    prediction has the name of the tensor. Labels of the input get the ending
    _label there, and the comment line says predicted_by=MODEL.
    """
    form = None if out is None else _format(out, format_)
    if out is None and format_ is not None:
        raise ConfigError(f"--format {format_}: is about a file; name it by --out")
    epsilon = _check_options(out, form, (model, structure), dielectric, symprec)
    import numpy as np

    from kan_heads.data.reading import read_frames
    from kan_heads.etgnn import structures
    from kan_heads.progress import track

    frames = read_frames(structure, index)
    if form == "born" and len(frames) > 1:
        raise ConfigError(f"--index {index}: chooses {len(frames)} structures, BORN is of one; choose one")
    with stage("Loading the model"):
        from kan_heads.etgnn.predict import TensorPredictor

        predictor = TensorPredictor(model, device)
    if form == "born" and predictor.per != "atom":
        raise ConfigError(f"{model}: predicts {predictor.field} of the crystal; BORN holds charges of atoms")
    screen = Screen(predictor.field, predictor.per)
    alone = len(frames) == 1
    predicted, errors = [], []
    for number, atoms in frames if alone or out is None else track(frames, "predicting", len(frames)):
        name = structure if alone and number == 0 else f"{structure}, frame {number}"
        try:
            tensors = predictor.predict(atoms)
        except KanHeadsError as error:
            raise type(error)(f"{name}: {error}") from error
        labels = structures.find_labels(atoms, predictor.field, predictor.per)
        if labels is not None and np.isfinite(labels).any():
            errors.append(np.abs(tensors - labels)[np.isfinite(labels)])
        if alone or out is None:
            screen.tensors(name, number, atoms, tensors)
        if form == "extxyz":
            notes = {"predicted_by": os.path.basename(model)}
            predicted.append(structures.with_prediction(atoms, predictor.field, tensors, labels, notes))
    if errors:
        mae = f"{np.concatenate(errors).mean():.4f} {screen.unit}".strip()
        screen.line(f"MAE against the labels of {len(errors)} structure{'s' * (len(errors) > 1)}: {mae}")
    if form == "extxyz":
        structures.write_extxyz(out, predicted)
        screen.line(f"written: {out}")
    elif form == "born":
        for line in _write_born(out, frames[0][1], tensors, epsilon, symprec):
            screen.line(line)


def _format(out: str, wanted: str | None) -> str:
    name = os.path.basename(out).lower()
    if wanted is None and (name == "born" or name.endswith(".born")):
        return "born"
    if wanted is None and name.endswith((".extxyz", ".xyz")):
        return "extxyz"
    if wanted is None:
        raise ConfigError(f"--out {out}: the name says no format; call it *.extxyz or BORN, or add --format")
    if wanted.lower() not in FORMATS:
        raise unknown_name("--format", wanted, FORMATS)
    return wanted.lower()


def _check_options(
    out: str | None, form: str | None, inputs: tuple[str, ...], dielectric: str | None, symprec: float
) -> np.ndarray | None:
    """Finds what is wrong before anything long begins; returns the dielectric tensor."""
    if not os.path.isfile(inputs[0]):
        raise ModelError(f"{inputs[0]}: no such file; give a checkpoint, a package or a compiled model")
    if out is not None:
        folder = os.path.dirname(out) or "."
        if not os.path.isdir(folder):
            raise ConfigError(f"--out {out}: there is no folder {folder}; make it first")
        if os.path.isdir(out):
            raise ConfigError(f"--out {out}: is a folder; name a file")
        if any(
            os.path.exists(path) and os.path.exists(out) and os.path.samefile(path, out) for path in inputs
        ):
            raise ConfigError(f"--out {out}: this is the input, and would be lost; name another file")
    if form != "born":
        if dielectric is not None:
            raise ConfigError("--dielectric: only a BORN file holds it; add --out BORN")
        return None
    from kan_heads.etgnn.born_file import parse_dielectric, require_phonopy

    if dielectric is None:
        raise ConfigError(
            f'--out {out}: a BORN file needs the dielectric tensor; add e.g. --dielectric "2.4 2.4 2.5"'
        )
    if not symprec > 0:
        raise ConfigError(f"--symprec: {symprec:g} must be a length in Angstrom, e.g. 1e-5")
    require_phonopy()
    return parse_dielectric(dielectric)


def _write_born(
    out: str, atoms: Atoms, charges: np.ndarray, dielectric: np.ndarray, symprec: float
) -> list[str]:
    from kan_heads.etgnn.born_file import write_born

    born = write_born(out, atoms, charges, dielectric, symprec)
    numbers = " ".join(map(str, born.independent))
    lines = [f"written: {out}, atoms {numbers} stand for all {len(atoms)}; phonopy reads it"]
    if born.change > _NOTABLE_CHANGE:
        lines.append(
            f"note: symmetry and sum rule changed charges by up to {born.change:.2f} e; is the structure as "
            f"symmetric as --symprec {symprec:g} takes it to be, and has the model the sum rule?"
        )
    return lines
