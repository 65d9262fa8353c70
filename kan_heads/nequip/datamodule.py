"""A data module that looks at its files before a model is built on them."""

import functools
import logging
import os
from typing import Any, Dict, Iterable, List, Mapping, Optional, Set, Tuple

import torch
from ase.calculators.calculator import all_properties
from nequip.data.datamodule import ASEDataModule
from nequip.train import MetricsManager

from kan_heads.data import Report, check_file
from kan_heads.data.labels import TensorLabel
from kan_heads.data.reading import AS_NAMED
from kan_heads.errors import DataError

logger = logging.getLogger(__name__)

#: What nequip calls the labels that ASE calls otherwise.
_NEQUIP_NAMES = {"energy": "total_energy"}


class CheckedASEDataModule(ASEDataModule):
    """``nequip.data.datamodule.ASEDataModule`` that first checks every file it is given.

    A missing file, an empty one, NaN or missing labels, atoms on one another, or a cutoff without neighbours
    stops the run before it starts, with one line that names file and frame (see
    :func:`kan_heads.data.check_frames`). A file is read once more for that; the result is remembered as long
    as the process lives and the file does not change.

    Labels that some frames have and others lack, which nequip cannot batch, are left out with a warning; a
    loss or metric of them stops the run in one line. Elements of the model without training data, and
    stresses that look wrong, cause a warning. ``@`` has no meaning in names of files.

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
        kwargs["ase_args"] = {**AS_NAMED, **(kwargs.get("ase_args") or {})}
        self._fields = mapping = dict(kwargs.get("key_mapping") or {})
        names = {target: key for key, target in mapping.items()}
        labels = tuple(names.get(_NEQUIP_NAMES.get(label, label), label) for label in check_labels)
        options = (
            check_r_max,
            tuple(kwargs["ase_args"].items()),
            tuple((check_tensors or {}).items()),
            None if check_elements is None else tuple(check_elements),
        )
        labelled = {path: _check(path, labels, options) for path in _labelled(kwargs)}
        for path in _list(kwargs.get("predict_file_path")):
            _check(path, (), options)
        for path, report in labelled.items():
            for note in report.notes:
                logger.warning(f"{path}: {note}")
        excluded = list(kwargs.get("exclude_keys") or ())
        read = {*all_properties, *mapping, *(kwargs.get("include_keys") or ())} - set(excluded)
        self._left_out = _on_some_frames(labelled, sorted(read))
        kwargs["exclude_keys"] = [*excluded, *self._left_out]
        _warn_of_types_without_data(kwargs, labelled)
        super().__init__(**kwargs)
        for label, words in self._left_out.items():
            logger.warning(f"{words}; nequip cannot batch that, so {label} is left out")

    def setup(self, stage: str) -> None:
        """Sets up the data of a stage, see nequip.

        Raises:
            DataError: if a loss or metric needs a label that was left out.
        """
        needed = _fields_of(getattr(getattr(self, "trainer", None), "lightning_module", None))
        for label, words in self._left_out.items():
            if self._fields.get(label, label) in needed:
                raise DataError(
                    f"{words}, but the loss or a metric needs it; label all frames, or remove those without, "
                    f"or leave {label} out of loss and metrics"
                )
        super().setup(stage)


def _check(path: str, labels: Tuple[str, ...], options: tuple) -> Report:
    state = os.stat(path) if os.path.exists(path) else None
    stamp = None if state is None else (state.st_mtime_ns, state.st_size)
    return _check_once(path, stamp, labels, options)


@functools.cache
def _check_once(path: str, stamp: Any, labels: tuple, options: tuple) -> Report:
    r_max, ase_args, tensors, elements = options
    return check_file(path, r_max, labels, dict(ase_args), tensors=dict(tensors), elements=elements)


def _on_some_frames(reports: Mapping[str, Report], read: Iterable[str]) -> Dict[str, str]:
    """Returns the labels that nequip would read and that some frames lack, and where that is so.

    Labels that are on all frames of one file and on none of another do no harm: a batch is of one file.
    """
    found: Dict[str, str] = {}
    for path, report in reports.items():
        for label, words in report.partial(read).items():
            found.setdefault(label, f"{path}: {words}")
    return found


def _fields_of(module: Optional[torch.nn.Module]) -> Set[str]:
    """Returns the fields that losses and metrics of a training look at."""
    managers = [] if module is None else [m for m in module.modules() if isinstance(m, MetricsManager)]
    entries = [entry for manager in managers for entry in getattr(manager, "entries", {}).values()]
    return {field for entry in entries if (field := getattr(entry.field, "field", None)) is not None}


def _warn_of_types_without_data(options: Mapping[str, Any], reports: Mapping[str, Report]) -> None:
    held = {element for path in _training_files(options) for element in reports[path].elements}
    names: List[str] = []
    for transform in _list(options.get("transforms")):
        if hasattr(transform, "get"):
            names = list(transform.get("model_type_names") or names)
    # Names of types need not be symbols; which are, only those that occur tell.
    missing = [name for name in names if name not in held]
    if set(names) & held and missing:
        logger.warning(
            f"type_names: no training structure holds {', '.join(missing)}; the model will not know it"
        )


def _training_files(options: Mapping[str, Any]) -> List[str]:
    splits = [split for split in _list(options.get("split_dataset")) if split.get("train")]
    return [*_list(options.get("train_file_path")), *(split["file_path"] for split in splits)]


def _labelled(options: Mapping[str, Any]) -> List[str]:
    """Collects the files with labels that the stock class will read."""
    paths = [path for kind in ("train", "val", "test") for path in _list(options.get(f"{kind}_file_path"))]
    return paths + [split["file_path"] for split in _list(options.get("split_dataset"))]


def _list(entry: Any) -> List[Any]:
    if not entry:
        return []
    return [entry] if isinstance(entry, str) or hasattr(entry, "keys") else list(entry)
