"""A data module that looks at its files before a model is built on them."""

import functools
import os
from typing import Any, Iterable, List, Mapping, Optional, Tuple

from nequip.data.datamodule import ASEDataModule

from kan_heads.data import check_file
from kan_heads.data.check import TensorLabel

#: What nequip calls the labels that ASE calls otherwise.
_NEQUIP_NAMES = {"energy": "total_energy"}


class CheckedASEDataModule(ASEDataModule):
    """``nequip.data.datamodule.ASEDataModule`` that first checks every file it is given.

    A missing file, an empty one, NaN or missing labels, or a cutoff without neighbours stops the
    run before it starts, with one line that names file and frame. A file is read once more for
    that; the result is remembered as long as the process lives and the file does not change.

    Args:
        check_r_max: cutoff in Angstrom within which atoms must have neighbours; not checked if
            ``None``.
        check_labels: labels that every frame must have, by their ASE names; a ``key_mapping`` is
            followed, and files to predict need none.
        check_tensors: what 3 x 3 labels must look like, by their names in the file.
        check_elements: the elements that may occur; any if ``None``.
        **kwargs: every argument of the stock class.

    Raises:
        DataError: if a file fails the check.
    """

    def __init__(
        self,
        check_r_max: Optional[float] = None,
        check_labels: Iterable[str] = ("energy", "forces"),
        check_tensors: Optional[Mapping[str, TensorLabel]] = None,
        check_elements: Optional[Iterable[str]] = None,
        **kwargs: Any,
    ) -> None:
        names = {target: key for key, target in (kwargs.get("key_mapping") or {}).items()}
        labels = tuple(names.get(_NEQUIP_NAMES.get(label, label), label) for label in check_labels)
        options = (
            check_r_max,
            tuple((kwargs.get("ase_args") or {}).items()),
            tuple((check_tensors or {}).items()),
            None if check_elements is None else tuple(check_elements),
        )
        for path in _labelled(kwargs):
            _check(path, labels, options)
        for path in _list(kwargs.get("predict_file_path")):
            _check(path, (), options)
        super().__init__(**kwargs)


def _check(path: str, labels: Tuple[str, ...], options: tuple) -> None:
    state = os.stat(path) if os.path.exists(path) else None
    stamp = None if state is None else (state.st_mtime_ns, state.st_size)
    _check_once(path, stamp, labels, options)


@functools.cache
def _check_once(path: str, stamp: Any, labels: tuple, options: tuple) -> None:
    r_max, ase_args, tensors, elements = options
    check_file(path, r_max, labels, dict(ase_args), tensors=dict(tensors), elements=elements)


def _labelled(options: Mapping[str, Any]) -> List[str]:
    """Collects the files with labels that the stock class will read."""
    paths = [path for kind in ("train", "val", "test") for path in _list(options.get(f"{kind}_file_path"))]
    return paths + [split["file_path"] for split in _list(options.get("split_dataset"))]


def _list(entry: Any) -> List[Any]:
    if not entry:
        return []
    return [entry] if isinstance(entry, str) or hasattr(entry, "keys") else list(entry)
