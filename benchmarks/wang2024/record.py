"""Records: one file for each run, written when the run is over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kan_heads.errors import ConfigError
from kan_heads.writing import write_text

FORMAT = 1

#: What every record holds; see :mod:`benchmarks.wang2024.worker`, which writes them.
KEYS = (
    "format",  # of the record
    "job",  # its name, that of the file
    "kind",  # training or dynamics
    "config",  # e.g. allegro/hfo2-mlp
    "budget",
    "seed",
    "settings_sha256",  # of everything that decides what is run
    "git",  # commit, and whether files differed from it
    "data",  # name, paper_data, stand_in, relation, sizes, sha256 of the files
    "device",  # processor or graphics card, cores, threads
    "versions",
    "metrics",  # by name; null where a value is not finite
)


def read_records(folder: Path) -> dict[str, dict[str, Any]]:
    """Reads the records of a folder, by the name of the job.

    Raises:
        ConfigError: a file is damaged or of another format.
    """
    return {path.stem: read_record(path) for path in sorted(folder.glob("*.json"))}


def read_record(path: Path) -> dict[str, Any]:
    """Reads one record.

    Raises:
        ConfigError: the file is damaged or of another format.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{path} is damaged ({error}); remove it to repeat the run") from error
    missing = [key for key in KEYS if not isinstance(record, dict) or key not in record]
    if missing or record["format"] != FORMAT:
        what = f"lacks {missing[0]!r}" if missing else f"is of format {record['format']}, not {FORMAT}"
        raise ConfigError(f"{path} {what}; remove it to repeat the run")
    return record


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Writes a record so that a reader finds all of it or nothing, also after a crash of the machine."""
    write_text(path, json.dumps({"format": FORMAT, **record}, indent=1, allow_nan=False) + "\n")
