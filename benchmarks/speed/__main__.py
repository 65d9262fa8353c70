"""``python -m benchmarks.speed``: what KANs cost in whole models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kan_heads.cli.running import OPTIONS, run_app
from kan_heads.cli.speed import Cases, Device, Dtype, Json, Seconds, Threads, measure_and_show, names

app = typer.Typer(**OPTIONS | {"no_args_is_help": False})


@app.command()
def speed(
    cases: Cases = None,
    basis: Annotated[list[str] | None, typer.Option(help="Bases, with commas; default: bspline.")] = None,
    threads: Threads = None,
    dtype: Dtype = "float32",
    device: Device = "cpu",
    seconds: Seconds = None,
    quick: Annotated[bool, typer.Option("--quick", help="Less time for each figure.")] = False,
    json: Json = None,
    configs: Annotated[
        Path | None, typer.Option(help="Folder of the configurations; default: the checkout's.")
    ] = None,
) -> None:
    """Time whole models with KANs against those with MLPs; about 10 minutes on 2 cores."""
    from benchmarks.speed.config import ModelSpeedConfig
    from benchmarks.speed.pipeline import run
    from benchmarks.speed.report import ModelReport

    config = ModelSpeedConfig(
        cases=names(cases),
        bases=names(basis),
        dtype=dtype,
        device=device,
        threads=threads,
        seconds=seconds,
        quick=quick,
        configs=configs,
    )
    config.check()
    measure_and_show(lambda screen: run(config, screen), ModelReport, json)


if __name__ == "__main__":
    run_app(app, "python -m benchmarks.speed")
