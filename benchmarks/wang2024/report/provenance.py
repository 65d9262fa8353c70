"""What ran: budget, data, epochs, seeds, machine, commit. Everything that differs between runs is listed."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from benchmarks.markdown import bullets, escape, table
from benchmarks.wang2024.report.numbers import NONE, number
from benchmarks.wang2024.report.runs import SETS, Record, TableRuns, has_published, split_metric, threads
from benchmarks.wang2024.table import Table

#: Frames that the paper trained on, where it says how many.
_PUBLISHED_TRAINING_FRAMES = {"carbon": 4080}


def what_ran(runs: TableRuns) -> str:
    """One line, and a warning where the data are not the paper's."""
    records = runs.records
    if not records:
        return "Nothing of this table has been run at this budget."
    parts = [
        "Frames: " + _either(records, _frames),
        "epochs: " + _either([r for r in records if r.get("epochs")], lambda r: f"{r['epochs']:,}"),
        "steps: " + _either([r for r in records if r.get("steps")], lambda r: f"{r['steps']:,}"),
        "atoms: " + _either([r for r in records if r.get("n_atoms")], lambda r: f"{r['n_atoms']:,}"),
        "seeds: " + ", ".join(str(seed) for seed in sorted({r["seed"] for r in records})),
        "device: " + _either(records, _device),
        "commit: " + _either(records, _commit),
    ]
    return "; ".join(part for part in parts if not part.endswith(": ")) + "."


def warnings(runs: TableRuns) -> list[str]:
    """What a reader must not overlook, in bold."""
    found = []
    for record in runs.records:
        data = record["data"]
        if data.get("stand_in"):
            text = f"Stand-in data: {data['prepared']} in place of {data['name']}"
        elif not data.get("paper_data"):
            text = f"Not the paper's data: {data['prepared']}"
        else:
            continue
        found.append(f"**{escape(text)}; {escape(data['relation'])}.**")
    found += [
        f"**Not on the same data as the others: {escape(row.row.label)}.**"
        for row in runs.rows
        if any(r["data"]["files"] != runs.records[0]["data"]["files"] for r in row.records.values())
    ]
    found += [
        f"**Runs of {escape(row.row.label)} were made with different settings.**"
        for row in runs.rows
        if len({r["settings_sha256"] for r in row.records.values()}) > 1
    ]
    if any(record["git"].get("dirty") for record in runs.records):
        found.append("**Some runs were made with files that differ from the commit.**")
    return list(dict.fromkeys(found))


def training_data(runs: TableRuns) -> str:
    """How much of the published training data ours had, and what was tested on."""
    published = _PUBLISHED_TRAINING_FRAMES.get(runs.table.data)
    sizes = sorted({(r["data"]["sizes"]["train"], r["data"]["available"]["train"]) for r in runs.records})
    tests = sorted({(r["data"]["sizes"]["test"], r["data"]["available"]["test"]) for r in runs.records})
    if not sizes:
        return ""
    used = " or ".join(f"{a:,} (of {b:,} available to train on)" for a, b in sizes)
    text = f"Training frames, ours: {used}; published: {NONE if published is None else f'{published:,}'}"
    if published is not None:
        text += f"; ours are {number(100 * sizes[-1][0] / published, 1)} % of them"
    on = " or ".join(f"{a:,} of the paper's {b:,}" for a, b in tests)
    return f"{text}. Test frames, ours: {on}."


def all_runs(records: Iterable[Record]) -> str:
    """A table of the runs."""
    headings = (
        "run",
        "seed",
        "commit",
        "settings",
        "epochs",
        "wall time (s)",
        "CPU time (s)",
        "load when it began",
        "peak memory of the host (MB)",
    )
    return table(headings, [_run(record) for record in sorted(records, key=lambda r: r["job"])])


def _run(record: Record) -> tuple[str, ...]:
    memory = record.get("peak_memory_mb", record["metrics"].get("peak_memory_mb"))
    load = record["device"].get("load_average_1min")
    return (
        escape(record["job"]),
        str(record["seed"]),
        _commit(record),
        escape(record["settings_sha256"][:10]),
        f"{record['epochs']:,}" if record.get("epochs") else NONE,
        *(
            number(record[k], 0) if record.get(k) is not None else NONE
            for k in ("total_wall_s", "total_cpu_s")
        ),
        NONE if load is None else number(load, 1),
        NONE if memory is None else number(memory, 0),
    )


def overrides(records: Iterable[Record]) -> str:
    """What the budget changes in the configurations."""
    by_text: dict[str, set[str]] = {}
    for record in records:
        by_text.setdefault(" ".join(record.get("overrides") or ["nothing"]), set()).add(record["config"])
    lines = [f"{escape(', '.join(sorted(configs)))}: {escape(text)}" for text, configs in by_text.items()]
    return bullets(sorted(lines))


def versions(records: Iterable[Record]) -> str:
    """The releases that ran."""
    found = {(name, str(v)) for record in records for name, v in record["versions"].items()}
    return "Releases: " + ", ".join(escape(f"{name} {version}") for name, version in sorted(found)) + "."


def _either(records: list[Record], text: Callable[[Record], str]) -> str:
    found = {text(record) for record in records}
    return " or ".join(sorted(found, key=lambda t: (len(t), t)))  # so that 9 comes before 10


def _frames(record: Record) -> str:
    sizes = record["data"]["sizes"]
    counts = ", ".join(f"{sizes[name]:,} {SETS[name]}" for name in SETS if sizes.get(name))
    return f"{counts} ({escape(record['data']['prepared'])})"


def _device(record: Record) -> str:
    device = record["device"]
    n = threads(device)
    where = device.get("card", device["cpu"])
    return f"{escape(device['device'])} ({escape(where)}, {n} thread{'s' * (n != 1)})"


def _commit(record: Record) -> str:
    commit = record["git"].get("commit")
    return (escape(commit[:10]) if commit else "unknown") + (
        " with changes" if record["git"].get("dirty") else ""
    )


def published_sets(table: Table) -> str:
    """A sentence on the sets for which the paper prints nothing, if it prints something for others."""
    lacking = [c for c in table.columns if not has_published(table, c.metric)]
    if len(lacking) in (0, len(table.columns)):
        return ""
    names = sorted({SETS.get(split_metric(c.metric)[0], c.label) for c in lacking})
    return f"The paper prints no {' and '.join(names)} errors in this table."
