"""``kan-heads lammps``: molecular dynamics in LAMMPS with a trained model."""

from __future__ import annotations

import contextlib
import json as json_module
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kan_heads.cli.stage import stage
from kan_heads.errors import ConfigError
from kan_heads.lammps.progress import Progress
from kan_heads.progress import Bar

if TYPE_CHECKING:
    from ase import Atoms

    from kan_heads.lammps import Result, Thermo

app = typer.Typer(help="Run molecular dynamics in LAMMPS with a trained model.", no_args_is_help=True)

# Eighty columns hold it.
_COLUMNS = "    step     T(K)      E_pot(eV) E_kin(eV)    E_total(eV)"


@app.callback()
def _verbs() -> None:
    """Keeps ``run`` a verb of its own."""


@app.command()
def run(
    model: Annotated[
        str,
        typer.Argument(
            help="Compiled (.nequip.pt2), checkpoint (.ckpt), package (.nequip.zip), MACE's .model"
        ),
    ],
    structure: Annotated[str, typer.Argument(help="Where to start: any file that ASE reads.")],
    index: Annotated[str, typer.Option(help="Which of several structures: 0 first, -1 last.")] = "-1",
    ensemble: Annotated[str, typer.Option(help="nvt or npt (Nose-Hoover), or nve.")] = "nvt",
    temperature: Annotated[float | None, typer.Option(help="K; default 300.")] = None,
    pressure: Annotated[float | None, typer.Option(help="bar, for npt; default 0.")] = None,
    coupling: Annotated[
        str | None, typer.Option(help="How npt changes the cell: iso (default), aniso or tri (angles too).")
    ] = None,
    steps: Annotated[int, typer.Option(help="Number of steps; 0 evaluates once.")] = 1000,
    timestep: Annotated[float, typer.Option(help="fs.")] = 1.0,
    tdamp: Annotated[float | None, typer.Option(help="Thermostat's time, fs; default 100 steps.")] = None,
    pdamp: Annotated[float | None, typer.Option(help="Barostat's time, fs; default 1000 steps.")] = None,
    keep_velocities: Annotated[
        bool, typer.Option("--keep-velocities", help="Start with the velocities in STRUCTURE.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of the velocities.")] = 1,
    thermo: Annotated[int, typer.Option(help="Steps from one line of output to the next.")] = 100,
    dump: Annotated[str | None, typer.Option(help="Trajectory to write, *.lammpstrj.")] = None,
    dump_every: Annotated[int, typer.Option(help="Steps from one of its frames to the next.")] = 100,
    final: Annotated[str | None, typer.Option(help="Last structure with velocities, *.extxyz.")] = None,
    json: Annotated[
        str | None, typer.Option(help="File for the results as JSON; - for standard output.")
    ] = None,
    log: Annotated[str | None, typer.Option(help="File for LAMMPS' own log.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    threads: Annotated[
        int | None, typer.Option(help="Threads of torch; a compiled model keeps those of its compilation.")
    ] = None,
    dtype: Annotated[str | None, typer.Option(help="MACE: float64 (default) or float32.")] = None,
    head: Annotated[str | None, typer.Option(help="MACE: which head.")] = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="MACE: load a .model, a pickle that can run code.")
    ] = False,
) -> None:
    """Molecular dynamics: LAMMPS moves the atoms, the model gives forces; one process, one device.

    The trajectory of --dump is in LAMMPS' frame (first cell vector along x), --final in that of
    STRUCTURE; neither wraps atoms into the cell. The pressure includes the kinetic part; LAMMPS
    counts 3N - 3 degrees of freedom. For several processes or GPUs compile the model for LAMMPS' own
    pair styles: kan-heads compile --target pair_allegro or pair_nequip.
    """
    from kan_heads.lammps import DynamicsConfig
    from kan_heads.lammps import run as run_lammps
    from kan_heads.lammps.models import check_kind

    config = DynamicsConfig(
        ensemble=ensemble,
        temperature=temperature,
        pressure=pressure,
        coupling=coupling,
        steps=steps,
        timestep=timestep,
        tdamp=tdamp,
        pdamp=pdamp,
        keep_velocities=keep_velocities,
        seed=seed,
        thermo=thermo,
        dump=dump,
        dump_every=dump_every,
        log=log,
        device=device,
        dtype=dtype,
        head=head,
        threads=threads,
        trust=trust,
    )
    config.check()
    check_kind(model, dtype, head, trust)
    outputs = {"--dump": dump, "--final": final, "--json": None if json == "-" else json, "--log": log}
    _check_outputs(outputs, (model, structure))
    atoms = _read(structure, index)
    stream = "stderr" if json == "-" else "stdout"
    screen = _Screen(stream)
    try:
        result = run_lammps(model, atoms, config, screen)
    except KeyboardInterrupt:
        kept = "" if dump is None else f"; {dump} holds the frames up to there"
        typer.echo(f"interrupted at step {screen.last}{kept}", err=True)
        raise typer.Exit(130) from None
    if final is not None:
        import ase.io

        ase.io.write(final, result.atoms, format="extxyz")
    text = json_module.dumps({**result.as_dict(), "structure": structure}, indent=1)
    if json == "-":
        typer.echo(text)
    elif json is not None:
        Path(json).write_text(text + "\n", encoding="utf-8")
    for line in _summary(result):
        typer.echo(line, err=json == "-")
    written = ", ".join(path for path in outputs.values() if path is not None)
    if written:
        typer.echo(f"written: {written}", err=json == "-")


def _read(structure: str, index: str) -> Atoms:
    from kan_heads.data.reading import read_frames

    frames = read_frames(structure, index)
    if len(frames) > 1:
        raise ConfigError(f"--index {index}: chooses {len(frames)} structures, a run starts from one")
    return frames[0][1]


def _check_outputs(outputs: dict[str, str | None], inputs: tuple[str, ...]) -> None:
    from kan_heads.lammps.config import check_output

    taken: dict[str, str] = {}
    for option, path in outputs.items():
        if path is None:
            continue
        check_output(option, path, inputs)
        resolved = str(Path(path).resolve())
        if resolved in taken:
            raise ConfigError(f"{option} {path}: {taken[resolved]} writes there already; name another file")
        taken[resolved] = option
    final = outputs["--final"]
    if final is not None and not final.endswith((".extxyz", ".xyz")):
        raise ConfigError(f"--final {final}: holds a structure with velocities; call it *.extxyz")


def _summary(result: Result) -> Iterator[str]:
    times = f"{result.steps} steps in {result.seconds:.1f} s"
    if result.ms_per_step is not None:
        times += f", {result.ms_per_step:.3g} ms per step (median)"
    memory = f"peak memory {_megabytes(result.peak_memory_bytes)}"
    if result.cuda_peak_memory_bytes is not None:
        memory += f", on the GPU {_megabytes(result.cuda_peak_memory_bytes)}"
    yield f"{times}; {memory}"
    if result.drift_meV_per_atom_per_ps is not None:
        yield f"drift of the total energy: {result.drift_meV_per_atom_per_ps:.3g} meV/atom/ps"
    elif result.steps > 0:
        yield f"mean temperature of the second half: {result.mean_temperature_K:.1f} K"


def _megabytes(number: int) -> str:
    return f"{number / 1e6:,.0f} MB"


class _Screen(Progress):
    """Prints the thermo lines, and in a terminal a bar below them."""

    def __init__(self, stream: str) -> None:
        self._stream, self._out = stream, getattr(sys, stream)
        self._bar: Bar | None = None
        self.last = 0

    def stage(self, text: str, total: int | None = None) -> contextlib.AbstractContextManager[object]:
        if total is None:
            return stage(text)
        self._say(f"# {text}")
        self._bar = Bar("running", total)
        return self._bar

    def step(self, number: int, what: str = "") -> None:
        self.last = number
        if self._bar is not None:
            self._bar.update(number)

    def thermo(self, row: Thermo) -> None:
        if row.step == 0:
            pressure = "    P(bar)" if row.pressure_bar is not None else ""
            self._say(_COLUMNS + pressure + ("     V(A^3)" if row.volume_A3 is not None else ""))
        line = f"{row.step:8d} {row.temperature_K:8.2f}"
        line += f" {row.potential_eV:14.6f} {row.kinetic_eV:9.4f} {row.total_eV:14.6f}"
        if row.pressure_bar is not None:
            line += f" {row.pressure_bar:9.1f}"
        if row.volume_A3 is not None:
            line += f" {row.volume_A3:10.3f}"
        self._say(line)

    def _say(self, line: str) -> None:
        # While a bar stands it takes to the terminal what is printed; what is for a file must not get there.
        typer.echo(line, file=getattr(sys, self._stream) if self._out.isatty() else self._out)
