"""A data module that looks at its files before a model is built on them."""

from typing import Any, Iterable, List, Optional

from nequip.data.datamodule import ASEDataModule

from kan_heads.data import check_file


class CheckedASEDataModule(ASEDataModule):
    """``nequip.data.datamodule.ASEDataModule`` that first checks every file it is given.

    A missing file, an empty one, NaN or missing labels, or a cutoff without neighbours stops the
    run before it starts, with one line that names file and frame.

    Args:
        check_r_max: cutoff in Angstrom within which atoms must have neighbours; not checked if
            ``None``.
        check_labels: labels that every frame must have.
        **kwargs: every argument of the stock class.

    Raises:
        DataError: if a file fails the check.
    """

    def __init__(
        self,
        check_r_max: Optional[float] = None,
        check_labels: Iterable[str] = ("energy", "forces"),
        **kwargs: Any,
    ) -> None:
        for path in _paths(kwargs):
            check_file(path, r_max=check_r_max, require=tuple(check_labels))
        super().__init__(**kwargs)


def _paths(options: dict) -> List[str]:
    """Collects the files that the stock class will read."""
    entries = [options.get(f"{kind}_file_path") for kind in ("train", "val", "test", "predict")]
    splits = options.get("split_dataset") or []
    entries += [split["file_path"] for split in ([splits] if hasattr(splits, "keys") else splits)]
    paths: List[str] = []
    for entry in entries:
        if entry:
            paths += [entry] if isinstance(entry, str) else list(entry)
    return list(dict.fromkeys(paths))
