"""Looks at the files of a training with KANs before MACE spends time on them."""

import argparse
import ast
import os
import sys
from typing import Any, Dict, Iterator, List, Tuple

from kan_heads.data import check_file
from kan_heads.errors import ConfigError

_OPTIONS = ("train_file", "valid_file", "test_file")
_NO_ASE = (".h5", ".hdf5", ".lmdb", ".aselmdb")


def check_files(args: argparse.Namespace) -> None:
    """Checks every file that MACE will read by ASE, see :func:`kan_heads.data.check_frames`.

    No label is required, since MACE takes frames without one for unlabelled.

    Args:
        args: MACE's arguments.

    Raises:
        ConfigError: if the name of a file has an ``@``, where MACE would read another file.
        DataError: if a file is not sound.
    """
    for option, path in _files(args):
        if not os.path.isfile(path) or path.endswith(_NO_ASE):
            continue  # hdf5, lmdb, a folder; of a file that is not there, MACE speaks itself
        if "@" in os.path.basename(path):
            raise ConfigError(
                f"--{option} {path}: MACE takes what follows an @ for a choice of frames, and would read "
                "another file; rename it"
            )
        for note in check_file(path, args.r_max, require=()).notes:
            sys.stderr.write(f"kan-heads: note: {path}: {note}\n")


def _files(args: argparse.Namespace) -> Iterator[Tuple[str, str]]:
    for settings in [vars(args), *_heads(args)]:
        for option in _OPTIONS:
            paths = settings.get(option) or []
            for path in [paths] if isinstance(paths, str) else paths:
                yield option, str(path)


def _heads(args: argparse.Namespace) -> List[Dict[str, Any]]:
    heads = getattr(args, "heads", None)
    if isinstance(heads, str):
        try:
            heads = ast.literal_eval(heads)
        except (ValueError, SyntaxError):  # MACE says so
            return []
    return [head for head in heads.values() if isinstance(head, dict)] if isinstance(heads, dict) else []
