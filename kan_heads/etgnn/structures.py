"""Predictions of structures, beside the labels that these have: compared and written."""

import contextlib
from pathlib import Path
from typing import Any, Iterator, Mapping, Optional, Sequence

import numpy as np
from ase import Atoms

from kan_heads.data.labels import stores
from kan_heads.errors import DataError, first_line
from kan_heads.writing import whole

#: Ending of the name that a label gets where a prediction takes its place.
LABEL = "_label"


def find_labels(atoms: Atoms, field: str, per: str) -> Optional[np.ndarray]:
    """Looks for the tensors that a file gives, wherever ASE puts them.

    In a file that holds a prediction already (``predicted_by``), these are the ones that end in ``_label``.

    Args:
        atoms: a structure.
        field: name of the tensor.
        per: ``atom`` or ``crystal``.

    Returns:
        Shape ``(n_atoms, 3, 3)`` or ``(3, 3)``; ``None`` if there are none of that shape.
    """
    shape = (len(atoms), 3, 3) if per == "atom" else (3, 3)
    name = field + LABEL if "predicted_by" in atoms.info else field
    for store in stores(atoms):
        value = np.asarray(store.get(name, ()))
        if value.shape == (*shape[:-2], 6):  # xx, yy, zz, yz, xz, xy
            value = value[..., [0, 5, 4, 5, 1, 3, 4, 3, 2]]
        if value.dtype.kind in "fiu" and value.size == np.prod(shape) and value.size:
            return value.astype(float).reshape(shape)
    return None


def with_prediction(
    atoms: Atoms, field: str, tensors: np.ndarray, labels: Optional[np.ndarray], notes: Mapping[str, Any]
) -> Atoms:
    """Returns a copy with the prediction in place of labels, which go to a name with ``_label``.

    Args:
        atoms: the structure.
        field: name of the tensor.
        tensors: the prediction, ``(n_atoms, 3, 3)`` or ``(3, 3)``.
        labels: the labels, if there are any.
        notes: more entries for the comment line.
    """
    from ase.calculators.singlepoint import SinglePointCalculator

    copy = atoms.copy()
    results = dict(atoms.calc.results) if atoms.calc else {}
    for store in (results, copy.arrays, copy.info):
        old = store.pop(field, None)
        if old is not None and labels is None and "predicted_by" not in copy.info:
            kept = copy.info if store is results else store
            kept[field + LABEL] = old  # of another shape; not ours to drop
    for name, values in ((field, tensors), (field + LABEL, labels)):
        if values is not None and values.ndim == 3:
            copy.arrays[name] = values.reshape(len(copy), 9)
        elif values is not None:
            copy.info[name] = values
    copy.info.update(notes)
    if results:
        copy.calc = SinglePointCalculator(copy, **results)
    return copy


@contextlib.contextmanager
def whole_file(path: str) -> Iterator[Path]:
    """Gives a name to write to, and moves what was written to ``path`` only if nothing went wrong.

    Args:
        path: the file to make.

    Raises:
        DataError: if it cannot be written.
    """
    try:
        with whole(path) as new:
            yield new
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written ({error.strerror or error}); name another file"
        ) from error


def write_extxyz(path: str, frames: Sequence[Atoms]) -> None:
    """Writes frames as extended XYZ, the whole file or nothing.

    Args:
        path: the file.
        frames: structures, see :func:`with_prediction`.

    Raises:
        DataError: if it cannot be written.
    """
    import ase.io

    with whole_file(path) as part:
        try:
            ase.io.write(part, list(frames), format="extxyz")
        except OSError:
            raise
        except Exception as error:  # columns of the input that the format cannot hold
            raise DataError(f"{path}: ASE cannot write these structures ({first_line(error)})") from error
