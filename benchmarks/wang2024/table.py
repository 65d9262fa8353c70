"""The declared tables: which configurations stand in their rows, what is measured, what the paper claims."""

from __future__ import annotations

import csv
import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kan_heads.errors import ConfigError, unknown_name

#: ``training``: rows are trained. ``dynamics``: rows run in LAMMPS with the models of another table.
#: ``literature``: rows of another table beside published ones. ``summary``: what the configurations are.
KINDS = ("training", "dynamics", "literature", "summary")
EXPECTATIONS = ("lower", "higher", "similar")


@dataclass(frozen=True)
class Column:
    """A measured quantity.

    Args:
        metric: its name in the records, e.g. ``val_force_mae``.
        label: heading.
        unit: unit, the published one.
        digits: digits after the point.
    """

    metric: str
    label: str
    unit: str
    digits: int


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Args:
        id: its name in the table and in the file of published values.
        label: what stands in the first column.
        config: configuration below ``configs``, without ``.yaml``; empty if nothing of it is run here.
        control: whether the paper does not have it.
    """

    id: str
    label: str
    config: str = ""
    control: bool = False


@dataclass(frozen=True)
class Claim:
    """A statement of the paper about one row against the baseline.

    Args:
        text: the statement.
        row: the row's id.
        metric: the metric, or ``seconds_per_epoch``.
        expect: ``lower``, ``higher`` or ``similar``.
        against: id of the row that it is compared with; empty for the baseline of the table.
    """

    text: str
    row: str
    metric: str
    expect: str
    against: str = ""


@dataclass(frozen=True)
class Table:
    """A declared table, see the folder ``tables``.

    Args:
        number: its number in the paper.
        title: what it shows.
        kind: one of :data:`KINDS`.
        data: data set; empty where there are several.
        rows: its rows; the paper's first, then the controls.
        columns: what is measured.
        claims: what the paper says about it.
        baseline: id of the row that the others are compared with.
        figure: number of the paper's bar chart of it, or ``None``.
        notes: what a reader has to know.
        published: published values by row id, then by seed (``None`` where the paper names none), then by
            metric.
        published_times: published training times by row id, as printed.
        published_parts: what the paper says of a configuration, by row id; of a ``summary`` only.
    """

    number: int
    title: str
    kind: str
    data: str
    rows: tuple[Row, ...]
    columns: tuple[Column, ...]
    claims: tuple[Claim, ...]
    baseline: str
    figure: int | None
    notes: tuple[str, ...]
    published: dict[str, dict[int | None, dict[str, float]]]
    published_times: dict[str, list[str]]
    published_parts: dict[str, dict[str, str]] = dataclasses.field(default_factory=dict)


def load_tables(folder: Path) -> dict[int, Table]:
    """Reads all tables of ``folder/tables`` with what ``folder/published`` holds.

    Raises:
        ConfigError: a file is missing, or declares what makes no sense.
    """
    files = sorted((folder / "tables").glob("table-*.yaml"))
    if not files:
        raise ConfigError(
            f"{folder}/tables holds no table-*.yaml; run in a checkout, or name its folder by --benchmarks"
        )
    tables = [_load(path, folder / "published" / f"{path.stem}.csv") for path in files]
    return {table.number: table for table in tables}


def _load(path: Path, published: Path) -> Table:
    content = read_yaml(path)
    fields = {"title", "kind", "data", "figure", "baseline", "columns", "rows", "controls", "claims", "notes"}
    for key in content:
        if key not in fields:
            raise unknown_name(str(path), key, sorted(fields))
    if content.get("kind") not in KINDS:
        raise unknown_name(f"{path}: kind", str(content.get("kind")), KINDS)
    rows = [_make(Row, row, path) for row in content.get("rows", [])]
    rows += [_make(Row, {**row, "control": True}, path) for row in content.get("controls", [])]
    columns = tuple(_make(Column, column, path) for column in content.get("columns", []))
    claims = tuple(_make(Claim, claim, path) for claim in content.get("claims", []))
    ids = [row.id for row in rows]
    baseline = content.get("baseline", "")
    if content["kind"] != "summary" and not baseline:
        raise ConfigError(f"{path} lacks 'baseline', the row that the others are compared with")
    metrics = [column.metric for column in columns] + ["seconds_per_epoch"]
    named = [claim.row for claim in claims] + [claim.against for claim in claims if claim.against]
    for name in named + [baseline] * bool(baseline):
        if name not in ids:
            raise unknown_name(f"{path}: row", name, ids)
    for claim in claims:
        if claim.metric not in metrics:
            raise unknown_name(f"{path}: metric", claim.metric, metrics)
        if claim.expect not in EXPECTATIONS:
            raise unknown_name(f"{path}: expect", claim.expect, EXPECTATIONS)
    values, times = _read_published(published, content["kind"], metrics, ids)
    return Table(
        number=int(path.stem.removeprefix("table-")),
        title=content["title"],
        kind=content["kind"],
        data=content.get("data", ""),
        rows=tuple(rows),
        columns=columns,
        claims=claims,
        baseline=baseline,
        figure=content.get("figure"),
        notes=tuple(content.get("notes", [])),
        published=values,
        published_times=times,
        published_parts=_read_parts(published, ids) if content["kind"] == "summary" else {},
    )


def _read_published(path: Path, kind: str, metrics: list[str], ids: list[str]) -> tuple[dict, dict]:
    values: dict[str, dict[int | None, dict[str, float]]] = {}
    times: dict[str, list[str]] = {}
    if kind == "summary" or not path.exists():
        return values, times
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["row"] not in ids:
                raise unknown_name(f"{path}: row", row["row"], ids)
            seed = int(row["seed"]) if row.get("seed") else None
            cells = {name: float(row[name]) for name in metrics if row.get(name)}
            values.setdefault(row["row"], {})[seed] = cells
            if row.get("training_time"):
                times.setdefault(row["row"], []).append(row["training_time"])
    return values, times


def _read_parts(path: Path, ids: list[str]) -> dict[str, dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        parts = {row.pop("row"): row for row in csv.DictReader(file)}
    for name in parts:
        if name not in ids:
            raise unknown_name(f"{path}: row", name, ids)
    return parts


def read_yaml(path: Path) -> dict[str, Any]:
    """Reads a mapping.

    Raises:
        ConfigError: the file is missing, is not YAML, or holds something else.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())[:200]}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} must hold a mapping, not {type(content).__name__}")
    return content


def _make(kind: type, content: dict[str, Any], path: Path) -> Any:
    fields = {f.name: f for f in dataclasses.fields(kind)}
    for key in content:
        if key not in fields:
            raise unknown_name(f"{path}: {kind.__name__.lower()}", key, list(fields))
    missing = [n for n, f in fields.items() if f.default is dataclasses.MISSING and n not in content]
    if missing:
        raise ConfigError(f"{path}: a {kind.__name__.lower()} lacks {missing[0]!r}: {content}")
    return kind(**content)
