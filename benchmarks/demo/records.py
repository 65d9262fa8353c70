"""``run.json``: the settings of a run, and its result once it is done."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from kan_heads.errors import ConfigError
from kan_heads.writing import write_text

RECORD = "run.json"


def read_record(folder: Path, settings: dict[str, Any]) -> dict[str, Any] | None:
    """What a finished run with these settings recorded; None where there is none."""
    record = read_json(folder / RECORD)
    return record.get("result") if record.get("done") is True and record.get("settings") == settings else None


def start_record(folder: Path, settings: dict[str, Any]) -> None:
    """Empties the folder of a run and notes the settings, without the mark that says done.

    Raises:
        ConfigError: the folder is not one of a run.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / RECORD).is_file():
        raise ConfigError(
            f"{folder} holds files but no {RECORD}, so the demo did not write it; choose another --out"
        )
    fresh = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    write_json(fresh / RECORD, {"settings": settings, "done": False})
    # The record goes last: a folder that is left half empty still counts as ours.
    for entry in sorted(folder.iterdir() if folder.exists() else [], key=lambda p: p.name == RECORD):
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    os.replace(fresh, folder)


def finish_record(folder: Path, result: dict[str, Any]) -> None:
    """Notes the result of a run and that it is done."""
    settings = read_json(folder / RECORD).get("settings")
    write_json(folder / RECORD, {"settings": settings, "done": True, "result": result})


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file; empty where the file is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes an object, indented, in a file of its own."""
    write_text(path, json.dumps(content, indent=1) + "\n")
