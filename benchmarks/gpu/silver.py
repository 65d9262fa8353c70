"""Allegro on silver: steps of training and inference, eager and compiled as nequip trains."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.compare import MLP, compare
from benchmarks.gpu.log import Log
from benchmarks.speed.config import ModelSpeedConfig

_KAN = "training_module.model.kan"
_ONE_LAYER = f"+{_KAN}.hidden=[]"
_BSPLINE = f"{_KAN}.basis=bspline"
_COMPILE = "+training_module.model.compile_mode=compile"
_OUTPUT = "allegro/ag-output-gaussian"
#: Configuration and overrides of each model, the most important first; the readout has 128 features.
MODELS: dict[str, tuple[str, tuple[str, ...]]] = {
    MLP: ("allegro/ag-mlp", ()),
    "bspline [in, 1]": (_OUTPUT, (_BSPLINE, _ONE_LAYER)),
    "gaussian [in, 1]": (_OUTPUT, (_ONE_LAYER,)),
    "gaussian [in, 32, 1]": (_OUTPUT, ()),
    "all gaussian": ("allegro/ag-all-gaussian", ()),
    "all bspline": ("allegro/ag-all-bspline", ()),
}
#: Those that a cut-off run should have.
FIRST = tuple(MODELS)[:3]
# A batch of the configuration, and one that fills a card.
_STRUCTURES, _MANY = 5, 40
_EQUILIBRATION = 50  # steps of 8 fs


class Silver:
    """Measures Allegro with 71 atoms of silver in each structure.

    Args:
        log: takes the rows.
        small: the width of the demonstration, one size of batch, few repetitions.
    """

    def __init__(self, log: Log, small: bool) -> None:
        self._log = log
        self._rounds = 3 if small else 21
        self._sizes = (2,) if small else (_STRUCTURES, _MANY)
        self._shared = _small() if small else ()

    @cached_property
    def _start(self) -> tuple[dict[tuple[str, bool], Any], Any]:
        """Configurations by name and whether training is compiled, and the frames; read once."""
        import ase.io
        from hydra import compose

        from benchmarks.datasets.ag_emt import generate
        from benchmarks.speed.nequip_models import configurations, read_frames

        configs = sorted({config for config, _ in MODELS.values()})
        with configurations(ModelSpeedConfig(device=self._log.device), configs) as (folder, shared):
            shared = [*shared, *self._shared]
            composed = {
                (name, compiled): compose(config, overrides=[*shared, *overrides, *[_COMPILE] * compiled])
                for name, (config, overrides) in MODELS.items()
                for compiled in (False, True)
            }
            frames = generate(n_frames=_STRUCTURES + 1, equilibration=_EQUILIBRATION)
            ase.io.write(folder / "train.extxyz", frames[:-1])
            ase.io.write(folder / "val.extxyz", frames[-1:])
            return composed, read_frames(composed[MLP, False])

    def module(self, name: str, compiled: bool = False) -> Any:
        """Builds the training module of a model on the device, always with the same weights."""
        from benchmarks.speed.nequip_models import build_module

        composed, frames = self._start
        return build_module(composed[name, compiled], frames).to(self._log.device)

    def batch(self, structures: int) -> dict[str, torch.Tensor]:
        """Returns a batch on the device; frames repeat where there are too few."""
        from nequip.data import AtomicDataDict

        graphs = (self._start[1].graphs * structures)[:structures]
        return AtomicDataDict.to_(AtomicDataDict.batched_from_list(graphs), torch.device(self._log.device))

    def compare(self, names: tuple[str, ...], compiled: bool) -> None:
        """Measures models against the one with MLPs, one after the other."""
        section = "allegro, compiled" if compiled else "allegro, eager"
        base = self._steps(section, MLP, compiled)
        for name in names:
            steps = base if name == MLP else self._steps(section, name, compiled)
            if base is None or steps is None:
                continue
            for structures in self._sizes:
                for phase in ("train",) if compiled else ("train", "inference"):
                    about = {"structures": structures, "phase": phase}
                    work = {MLP: base[structures][phase], name: steps[structures][phase]}
                    compare(self._log, section, work, about, self._rounds, 0.0, memory=phase == "train")
            self._log.release()

    def _steps(self, section: str, name: str, compiled: bool) -> dict[int, dict[str, Any]] | None:
        from benchmarks.speed.nequip_models import steps

        def build() -> dict[int, dict[str, Any]]:
            module = self.module(name, compiled)
            # All before the first runs: they copy the module, which a compiled one cannot be.
            return {structures: steps(module, self.batch(structures)) for structures in self._sizes}

        return self._log.attempt(section, name, build, seconds=10.0)

    def compile_training(self, name: str) -> None:
        """Takes one compiled step, so that what is compiled lies in the cache."""
        from benchmarks.speed.nequip_models import steps

        steps(self.module(name, compiled=True), self.batch(self._sizes[0]))["train"]()

    def export(self, name: str, path: Path, frozen: bool) -> None:
        """Writes a model for ASE, as ``nequip-compile --mode aotinductor --target ase`` does.

        Args:
            name: of the model.
            path: file to write, ``*.nequip.pt2``.
            frozen: turn B-spline layers into polynomials first, as ``kan-heads compile`` does.
        """
        from nequip.data import AtomicDataDict
        from nequip.scripts._compile_utils import COMPILE_TARGET_DICT
        from nequip.utils import aoti_metadata
        from nequip.utils.aot import aot_export_model
        from nequip.utils.global_state import get_latest_global_state

        from kan_heads.kan.freeze import freeze

        (model,) = self.module(name).model.values()
        model = model.eval().requires_grad_(False)
        if frozen:
            freeze(model)
        target = COMPILE_TARGET_DICT["ase"]
        metadata = {**model.metadata, **get_latest_global_state(only_metadata_related=True)}
        metadata = {key: str(int(v)) if isinstance(v, bool) else str(v) for key, v in metadata.items()}
        for key, fields in (
            (aoti_metadata.NEQUIP_AOTI_INPUTS_KEY, target["input"]),
            (aoti_metadata.NEQUIP_AOTI_OUTPUTS_KEY, target["output"]),
        ):
            metadata[key] = aoti_metadata.serialize_aoti_keys(fields)
        sizes = {
            key: torch.export.dynamic_shapes.Dim(f"num_{key}s", min=2, max=torch.inf)
            for key in ("frame", "node", "edge")
        }
        sizes["graph"] = sizes.pop("frame")
        data = AtomicDataDict.to_(dict(self._start[1].graphs[0]), torch.device(self._log.device))
        aot_export_model(
            model=model,
            device=torch.device(self._log.device),
            input_fields=target["input"],
            output_fields=target["output"],
            data=target["data_settings"](data),
            batch_map=target["batch_map_settings"](sizes),
            output_path=str(path),
            inductor_configs={"aot_inductor.metadata": metadata},
        )


def _small() -> tuple[str, ...]:
    model = "training_module.model"
    widths = ("num_scalar_features=8", "num_tensor_features=2", "allegro_mlp_hidden_layers_width=8")
    return (*(f"{model}.{width}" for width in widths), f"{model}.scalar_embed_mlp_hidden_layers_width=8")
