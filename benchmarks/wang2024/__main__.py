"""``python -m benchmarks.wang2024``: regenerate the tables of the paper."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchmarks import find_configs
from kan_heads.cli.running import OPTIONS, run_app
from kan_heads.errors import ConfigError, ModelError, unknown_name

if TYPE_CHECKING:
    from benchmarks.wang2024.budget import Budget
    from benchmarks.wang2024.table import Table

FOLDER = Path(__file__).parent

app = typer.Typer(help="Regenerate the tables of Wang et al. (2024).", **OPTIONS)

Tables = Annotated[str | None, typer.Option(help="Numbers with commas, e.g. 3,5; default: all.")]
BudgetName = Annotated[str, typer.Option("--budget", help="A file of benchmarks/wang2024/budgets.")]
Seeds = Annotated[str | None, typer.Option(help="Seeds with commas; default: those of the budget.")]
Jobs = Annotated[int, typer.Option(help="Runs at the same time.", min=1)]
Executor = Annotated[str, typer.Option(help="local or slurm.")]
Slurm = Annotated[
    list[str] | None, typer.Option(help="A parameter of submitit for Slurm, e.g. slurm_partition=gpu.")
]
Records = Annotated[
    Path | None, typer.Option(help="Folder of the records; default: benchmarks/wang2024/records/BUDGET.")
]
Work = Annotated[
    Path | None, typer.Option(help="Folder of frames, checkpoints and logs; default: runs/wang2024/BUDGET.")
]
Benchmarks = Annotated[
    Path | None, typer.Option(help="Folder of tables, budgets and published values; default: the checkout's.")
]
Configs = Annotated[Path | None, typer.Option(help="Folder of the configurations; default: the checkout's.")]


@app.command()
def run(
    tables: Tables = None,
    budget: BudgetName = "quick",
    seeds: Seeds = None,
    jobs: Jobs = 1,
    executor: Executor = "local",
    slurm: Slurm = None,
    records: Records = None,
    work: Work = None,
    benchmarks: Benchmarks = None,
    configs: Configs = None,
) -> None:
    """Do the runs that have no record yet. Kill it whenever you like; the same command continues."""
    from benchmarks.wang2024 import run as bench
    from benchmarks.wang2024.folders import Folders
    from benchmarks.wang2024.jobs import jobs_of

    if executor not in bench.EXECUTORS:
        raise unknown_name("--executor", executor, bench.EXECUTORS)
    parameters = _parameters(slurm, executor)
    folder = benchmarks or FOLDER
    chosen, limits = _load(folder, tables, budget)
    wanted = jobs_of(chosen.values(), limits, _numbers("--seeds", seeds))
    found = find_configs(configs, [job.config for job in wanted])
    places = Folders(
        configs=found,
        records=(records or folder / "records" / budget).absolute(),
        work=(work or Path("runs") / "wang2024" / budget).absolute(),
        data={},
    )
    screen = _Screen()
    missing = bench.check_records(wanted, places)
    screen.note(f"{len(wanted)} runs, {len(wanted) - len(missing)} of them done")
    data, absent = bench.prepare_data(missing, places.work, screen.note)
    places.data.update(data)
    possible = [job for job in wanted if job not in missing or job.data in data]
    try:
        outcome = bench.run(possible, places, jobs, executor, parameters, screen)
    except KeyboardInterrupt:
        screen.note("stopped; the same command goes on")
        raise typer.Exit(130) from None
    for name, why in absent.items():
        numbers = ", ".join(str(number) for number, table in chosen.items() if table.data == name)
        screen.note(f"left out for want of data: tables {numbers} ({name}: {why})")
    if outcome.failed:
        raise ModelError(f"{len(outcome.failed)} of {len(wanted)} runs failed: {', '.join(outcome.failed)}")


@app.command()
def report(
    tables: Tables = None,
    budget: BudgetName = "quick",
    records: Records = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the report; default: benchmarks/wang2024/reports/BUDGET.")
    ] = None,
    benchmarks: Benchmarks = None,
    configs: Configs = None,
) -> None:
    """Write the report of the records as Markdown and HTML; the same records give the same bytes."""
    from benchmarks.wang2024 import report as reports
    from benchmarks.wang2024.record import read_records

    if tables is not None and out is None:
        raise ConfigError(
            "--tables: a report of some tables only needs a folder of its own; add --out FOLDER"
        )
    folder = benchmarks or FOLDER
    chosen, limits = _load(folder, tables, budget)
    source = records or folder / "records" / budget
    found = read_records(source)
    if not found:
        raise ConfigError(
            f"{source} holds no records; 'python -m benchmarks.wang2024 run --budget {budget}' makes them"
        )
    target = out or folder / "reports" / budget
    for path in reports.write(chosen, found, limits, target, find_configs(configs, [])):
        if path.suffix in (".md", ".html"):
            typer.echo(f"written: {path}")


def _load(folder: Path, tables: str | None, budget: str) -> tuple[dict[int, Table], Budget]:
    from benchmarks.wang2024.budget import load_budget
    from benchmarks.wang2024.table import load_tables

    known = load_tables(folder)
    numbers = _numbers("--tables", tables) or list(known)
    for number in numbers:
        if number not in known:
            raise unknown_name("--tables", number, map(str, known))
    return {number: known[number] for number in sorted(numbers)}, load_budget(folder, budget)


def _numbers(option: str, text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        return [int(word) for word in text.split(",")]
    except ValueError:
        raise ConfigError(f"{option} {text}: whole numbers with commas are wanted, e.g. 1,2") from None


def _parameters(slurm: list[str] | None, executor: str) -> dict[str, Any]:
    if slurm and executor != "slurm":
        raise ConfigError("--slurm is for --executor slurm; leave one of them out")
    pairs = [word.partition("=") for word in slurm or []]
    for key, equals, _ in pairs:
        if not equals:
            raise ConfigError(f"--slurm {key}: KEY=VALUE is wanted, e.g. slurm_partition=gpu")
    return {key: int(value) if value.isdecimal() else value for key, _, value in pairs}


class _Screen:
    """A line on stderr for each thing that happens: runs may take days and be logged."""

    def started(self, job: Any, n_done: int, n_jobs: int) -> None:
        self.note(f"[{n_done}/{n_jobs}] {job.name} ...")

    def finished(self, job: Any, n_done: int, n_jobs: int, seconds: float) -> None:
        self.note(f"[{n_done}/{n_jobs}] {job.name}: done after {seconds:.0f} s")

    def failed(self, job: Any, why: str) -> None:
        self.note(f"{job.name}: failed: {why}")

    def note(self, text: str) -> None:
        typer.echo(text, err=True)


if __name__ == "__main__":
    run_app(app, "python -m benchmarks.wang2024")
