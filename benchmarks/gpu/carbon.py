"""MACE on diamond: steps of training and inference, eager as MACE trains."""

from __future__ import annotations

import dataclasses

import torch

from benchmarks.gpu.compare import MLP, compare
from benchmarks.gpu.log import Log
from benchmarks.speed.cases import MODEL_CASES
from benchmarks.speed.config import ModelSpeedConfig
from kan_heads.global_state import default_dtype

SECTION = "mace, eager"


def run(log: Log, small: bool) -> None:
    """Measures MACE with the recommended KANs against stock MACE; no patch is needed for that.

    Args:
        log: takes the rows.
        small: few repetitions, only the readouts.
    """
    from benchmarks.speed.mace_models import build_pair

    settings = ModelSpeedConfig(device=log.device)
    cases = [case for case in MODEL_CASES if case.package == "mace"]
    for case in cases[: 1 if small else None]:
        # Structures that are made here, whatever data there are.
        alone = dataclasses.replace(case, systems=case.systems[-1:])
        with default_dtype(torch.float32):
            name = f"{case.name} bspline"
            pair = log.attempt(SECTION, name, lambda c=alone: build_pair(c, "bspline", settings))
            if pair is None:
                continue
            for phase in ("train", "inference"):
                work = {MLP: pair.mlp[phase], name: pair.kan[phase]}
                about = {"structures": pair.structures, "phase": phase}
                compare(log, SECTION, work, about, 3 if small else 21, 0.0, memory=phase == "train")
        log.release()
