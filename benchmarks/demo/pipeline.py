"""The demonstration from data to pictures, one stage after the other."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import find_configs
from benchmarks.demo.config import (
    N_TEST,
    SYSTEM_NAMES,
    DemoConfig,
    choose_system,
    require_packages,
)
from kan_heads.errors import ConfigError
from kan_heads.machine import machine
from kan_heads.progress import Progress

READOUTS = {"mlp": "mlp", "kan": "output-bspline"}
_COMPARED_FRAMES = 5
_FUNCTION_FRAMES = 10


def run(settings: DemoConfig, progress: Progress | None = None) -> dict[str, Any]:
    """Trains, compiles, evaluates and draws; finished trainings are taken from an earlier call.

    Args:
        settings: what to do.
        progress: hears how it goes.

    Returns:
        The content of ``results.json``.

    Raises:
        ConfigError: a setting, or the folder of the configurations, is not as it must be.
        DataError: the data cannot be had.
        ModelError: a program of nequip failed.
    """
    from benchmarks.datasets.files import file_lock

    progress = Progress() if progress is None else progress
    settings.check()
    require_packages()
    system = choose_system(settings.system)
    names = {key: f"{system}-{readout}" for key, readout in READOUTS.items()}
    configs = find_configs(settings.configs, [f"demo/{name}" for name in names.values()])
    out = Path(settings.out).expanduser().absolute()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise ConfigError(f"cannot write to --out {out} ({e.strerror}); choose another folder") from e
    with file_lock(out / ".demo"):
        return _Demo(settings, system, names, configs, out, progress).run()


class _Demo:
    """One run of the demonstration; collects the results as it goes."""

    def __init__(
        self,
        settings: DemoConfig,
        system: str,
        names: dict[str, str],
        configs: Path,
        out: Path,
        progress: Progress,
    ) -> None:
        self.settings, self.names, self.configs, self.out = settings, names, configs, out
        self.system, self.progress = system, progress
        self.seconds: dict[str, float] = {}
        self.results: dict[str, Any] = {
            "settings": {
                "system": system,
                "system_name": SYSTEM_NAMES[system],
                "stand_in": system == "ag-emt",
                "train": settings.train,
                "val": settings.val,
                "test": N_TEST,
                "epochs": settings.epochs,
                "seed": settings.seed,
            },
            "machine": machine(),
            "models": {},
            "stage_seconds": self.seconds,
        }

    def run(self) -> dict[str, Any]:
        self._note_machine()
        with self._stage("data", f"preparing {SYSTEM_NAMES[self.system]}"):
            self._prepare()
        runs = {key: self._train(key) for key in self.names}
        with self._stage("compile", "compiling the KAN for ASE"):
            compiled, seconds = self._compile(runs["kan"])
        self.results["compile_seconds"] = seconds
        with self._stage("evaluate", "evaluating both models on the test frames"):
            self._evaluate(runs, compiled)
        with self._stage("dynamics", f"{self.settings.steps} fs of dynamics with the compiled KAN"):
            self._dynamics()
        with self._stage("pictures", "drawing"):
            self._draw()
        from benchmarks.demo import report

        report.write(self.results, self.out)
        return self.results

    def _note_machine(self) -> None:
        m = self.results["machine"]
        load, threads = m["load_average_1min"], m["torch_threads"]
        if load is not None and threads > 1 and load > m["cores"] / 2:
            self.progress.note(
                f"other work keeps this machine busy (load {load:.1f} on {m['cores']} cores); "
                "threads that wait for each other can make training many times slower: "
                "OMP_NUM_THREADS=1 python -m benchmarks.demo may be faster"
            )
        if self.results["settings"]["stand_in"]:
            self.progress.note(f"data: {SYSTEM_NAMES['ag-emt']}; its errors say nothing about real silver")

    @contextlib.contextmanager
    def _stage(self, key: str, text: str) -> Iterator[None]:
        began = time.monotonic()
        with self.progress.stage(text):
            yield
        self.seconds[key] = round(time.monotonic() - began, 2)

    def _prepare(self) -> None:
        from benchmarks import datasets

        s = self.settings
        datasets.prepare(self.system, self.out / "data", s.train, s.val, N_TEST, say=lambda _: None)

    def _train(self, key: str) -> Any:
        from benchmarks.demo import training

        name, s = self.names[key], self.settings
        began = time.monotonic()
        with self.progress.stage(name, s.epochs):
            run = training.train(
                self.out / name,
                f"demo/{name}",
                self.configs,
                self.out / "data",
                s.epochs,
                s.seed,
                s.force,
                lambda done, mae: self.progress.step(done, f"force MAE {mae:.3f} eV/Å"),
            )
        self.seconds[f"train_{key}"] = round(time.monotonic() - began, 2)
        if run.reused:
            self.progress.note(f"{name}: finished before with the same settings; --force trains it again")
        r = run.record
        later = sorted(r["epoch_seconds"][1:] or r["epoch_seconds"])
        self.results["models"][key] = {
            "config": f"demo/{name}",
            "reused": run.reused,
            "machine": r["machine"],
            "training_seconds": r["seconds"],
            "median_seconds_per_epoch": (later[(len(later) - 1) // 2] + later[len(later) // 2]) / 2,
            "validation_force_mae_eV_per_A": r["best_validation_force_mae_eV_per_A"],
            "validation_energy_mae_meV_per_atom": r["best_validation_energy_mae_meV_per_atom"],
            "history": {
                k: r[k]
                for k in (
                    "epoch_seconds",
                    "validation_force_mae_eV_per_A",
                    "validation_energy_mae_meV_per_atom",
                )
            },
        }
        return run

    def _compile(self, run: Any) -> tuple[Path, float]:
        from benchmarks.demo import training

        return training.compile_model(run, self.settings.force)

    def _evaluate(self, runs: dict[str, Any], compiled: Path) -> None:
        from benchmarks.demo import evaluation

        self.frames, self.reference = evaluation.read_reference(self.out / "data" / "test.extxyz")
        eager = {key: evaluation.eager_calculator(run.checkpoint) for key, run in runs.items()}
        self.calculator = evaluation.compiled_calculator(compiled)
        used = {"mlp": eager["mlp"], "kan": self.calculator}
        self.predictions = {key: evaluation.predict(c, self.frames) for key, c in used.items()}
        for key, prediction in self.predictions.items():
            model = self.results["models"][key]
            errors = prediction.errors(self.reference)
            model.update({f"test_{k}": v for k, v in errors.items()})
            model.update(evaluation.count_parameters(eager[key].model))
        few = self.frames[:_COMPARED_FRAMES]
        pair = [evaluation.predict(c, few) for c in (self.calculator, eager["kan"])]
        self.results["compiled_against_eager"] = {
            "frames": len(few),
            **evaluation.largest_difference(*pair),
        }
        self.functions = evaluation.learned_functions(eager["kan"], self.frames[:_FUNCTION_FRAMES])
        self.results["functions"] = {
            "names": self.functions.names,
            "spread": self.functions.spread.tolist(),
            "share_of_inputs_outside_grid": self.functions.outside.tolist(),
        }

    def _dynamics(self) -> None:
        from kan_heads import dynamics

        self.trajectory = dynamics.run_nve(
            self.calculator, self.frames[0], self.settings.steps, self.settings.seed
        )
        self.results["dynamics"] = self.trajectory.summary()

    def _draw(self) -> None:
        from benchmarks.demo import plots

        plots.learning_curves(self.results, self.out / "learning-curves.png")
        plots.parity(self.results, self.reference, self.predictions, self.out / "parity.png")
        plots.functions(self.results, self.functions, self.out / "functions.png")
        plots.dynamics(self.results, self.trajectory, self.out / "dynamics.png")
