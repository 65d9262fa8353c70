"""Tables 1 to 3 in one go, as records and as Markdown."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import markdown
from benchmarks.an2025 import mechanics, rendering
from benchmarks.an2025.published import NOTE_ON_TABLE_2, TABLE_2, TABLE_3
from benchmarks.an2025.table1 import row_of, table1_rows
from kan_heads.elastic import HEXAGONAL
from kan_heads.machine import machine

_KINDS = ("eam", "pair")
_STYLES = {"eam": "eam/fs", "pair": "table"}
_UNITS = {"Poisson's ratio": "", "thermal expansion": " (1e-6/K)"}


def make_tables(
    out: Path, path: Path | None = None, seed: int = 0, say: Callable[[str], None] = lambda _: None
) -> Path:
    """Trains, fits and measures all that Tables 1 to 3 hold.

    Args:
        out: folder for ``tables.md``, ``tables.json``, both potentials, LAMMPS' files and the plots.
        path: strained cells; None for the registered file.
        seed: of weights and splits.
        say: hears what is going on.

    Returns:
        The Markdown file.
    """
    from kan_heads.eam.plots import draw_functions

    began = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    frames = mechanics.read_frames(path)
    cell = mechanics.reference_cell(frames).atoms
    record: dict[str, Any] = {"seed": seed, "machine": machine()}
    values, spread = mechanics.label_constants(frames)
    record["labels"] = {"constants": values, "standard_errors": spread}
    record["potentials"] = {}
    for kind in _KINDS:
        say(f"fitting the {kind} potential")
        potential, errors = mechanics.fit_ruthenium(frames, kind, seed, say)
        potential.save(out / f"ru-{kind}.json")
        draw_functions(potential, out / f"ru-{kind}.png")
        say(f"elastic constants and thermal expansion of the {kind} potential")
        found = mechanics.properties(potential, cell)
        record["potentials"][kind] = {
            "errors": {name: dataclasses.asdict(error) for name, error in errors.items()},
            "properties": dataclasses.asdict(found),
            "lammps": mechanics.by_lammps(potential, cell, _STYLES[kind], out),
        }
    rows = table1_rows(path, seed, say=say)
    record["table1"] = [row.to_dict() for row in rows]
    record["seconds"] = time.monotonic() - began
    (out / "tables.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    (out / "tables.md").write_text(render(record), encoding="utf-8")
    return out / "tables.md"


def render(record: dict[str, Any]) -> str:
    """Lays out what ``tables.json`` holds as Markdown."""
    rows = [row_of(plain) for plain in record["table1"]]
    sections = ["# Ruthenium: Tables 1 to 3", "## Table 1", rendering.as_markdown(rows)]
    sections += ["## Errors of the potentials", _errors(record)]
    sections += ["## Table 2: properties from the potentials' own stresses", _table2(record), _notes(record)]
    sections += ["## Table 3: elastic constants from LAMMPS (GPa)", _table3(record)]
    return markdown.document(sections)


def _errors(record: dict[str, Any]) -> str:
    lines = []
    for kind, found in record["potentials"].items():
        for name, error in found["errors"].items():
            counts = f"{error['n_frames']} ({error['n_stresses']} stresses)"
            lines.append((kind, name, counts, f"{error['energy']:.1f}", f"{error['stress']:.3f}"))
    heading = ("potential", "set", "structures", "energy MAE (meV/atom)", "stress MAE (GPa)")
    return markdown.table(heading, lines, left=3)


def _table2(record: dict[str, Any]) -> str:
    labels = mechanics.Properties(record["labels"]["constants"]).rows()
    ours = {
        kind: mechanics.Properties(**found["properties"]).rows()
        for kind, found in record["potentials"].items()
    }
    lines = []
    for name, label in labels.items():
        unit = _UNITS.get(name, " (GPa)")
        published, reference = TABLE_2.get(name, (None, None))
        cells = [_against(ours[kind][name], label, name) for kind in _KINDS]
        lines.append((name + unit, *cells, *(_plain(v, name) for v in (label, reference, published))))
    heading = ("property", "KAN-EAM", "KAN pair", "DFT labels", "paper's reference", "published*")
    return markdown.table(heading, lines)


def _table3(record: dict[str, Any]) -> str:
    lines = []
    for name in HEXAGONAL:
        published = TABLE_3.get(name, (None,) * 3)
        label = record["labels"]["constants"][name]
        ours = [record["potentials"][kind]["lammps"][name] for kind in _KINDS]
        cells = [_against(value, label, name) for value in ours]
        lines.append((name, *cells, *(_plain(v, name) for v in (label, *published))))
    heading = ("", "eam/fs", "table", "DFT labels", "published table*", "published FS", "paper's reference")
    return markdown.table(heading, lines)


def _notes(record: dict[str, Any]) -> str:
    errors = record["labels"]["standard_errors"]
    largest = max(errors.values())
    notes = [
        "In brackets: deviation from the DFT labels. Labels and potentials are at the labels' own cell "
        "(a = 2.708 Å, c = 4.268 Å, slightly compressed), with the atoms at rest at each strain; the labels' "
        f"constants are fitted to their energies (largest standard error {largest:.1f} GPa). The paper's "
        "reference is of a crystal without stress; constants that it prints without a unit are read as Mbar. "
        "Moduli and Poisson's ratio by Voigt, Reuss and Hill from the same constants; expansion at 300 K in "
        "the quasi-harmonic approximation.",
        f"*{NOTE_ON_TABLE_2}",
    ]
    for kind, found in record["potentials"].items():
        if found["properties"]["note"]:
            notes.append(f"No thermal expansion of the {kind} potential: {found['properties']['note']}.")
    return "\n\n".join(notes)


def _plain(value: float | None, name: str) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if name in _UNITS else f"{value:.1f}"


def _against(value: float | None, label: float | None, name: str) -> str:
    if value is None or label is None:
        return _plain(value, name)
    return f"{_plain(value, name)} ({100.0 * (value / label - 1.0):+.1f} %)"
