"""Every configuration composes, builds, and differs from its neighbours only where it should."""

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import get_method
from omegaconf import OmegaConf
from workflow import CONFIGS

from kan_heads.swap import SwapConfig

BACKBONES = ("allegro", "nequip", "demo")
NAMES = sorted(f"{folder}/{path.stem}" for folder in BACKBONES for path in (CONFIGS / folder).glob("*.yaml"))
STATISTICS = {"num_neighbors_mean": 40.0, "per_type_forces_rms": 1.0, "per_atom_energy_mean": -3.0}


@pytest.fixture(scope="module")
def composed():
    with initialize_config_dir(str(CONFIGS), version_base=None):
        return {name: OmegaConf.to_container(compose(name), resolve=False) for name in NAMES}


def flatten(tree, prefix=""):
    """Turns nested mappings into one, with dotted keys."""
    if not isinstance(tree, dict):
        return {prefix: tree}
    flat = {}
    for key, value in tree.items():
        flat.update(flatten(value, f"{prefix}.{key}" if prefix else key))
    return flat


def build(config):
    """Builds the model of a composed configuration, with made-up statistics of the data."""
    model = dict(config["training_module"]["model"])
    names = {"${type_names}": config["type_names"], "${r_max}": config["r_max"], "${seed}": config["seed"]}
    for key, value in model.items():
        if isinstance(value, str) and "training_data_stats" in value:
            model[key] = STATISTICS[value.removeprefix("${training_data_stats:").removesuffix("}")]
        elif isinstance(value, str):
            model[key] = names.get(value, value)
    return get_method(model.pop("_target_"))(**model)


def test_there_is_a_configuration_for_every_row():
    rows = {
        *(f"allegro/ag-{row}" for row in ("mlp", "all-bspline", "all-gaussian", "all-fourier")),
        *(f"allegro/ag-{row}" for row in ("embedding_latent-gaussian", "output-gaussian")),
        *(
            f"allegro/hfo2-{row}"
            for row in ("mlp", "embedding_latent-gaussian", "output-gaussian", "all-gaussian")
        ),
        *(f"nequip/ag-{row}" for row in ("mlp", "output-gaussian", "output-bspline")),
        *(f"allegro/{system}-output-{control}" for system in ("ag", "hfo2") for control in ("linear", "mlp")),
        *(f"nequip/ag-output-{control}" for control in ("linear", "mlp")),
    }
    assert rows <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_configuration_builds_what_its_name_says(name, composed):
    section = composed[name]["training_module"]["model"].get("kan")
    kinds = {type(module).__name__ for module in build(composed[name]).modules()}
    assert ("KAN" in kinds) == (section is not None)
    if section is not None:
        swap = SwapConfig.from_dict(section)
        assert name.endswith(f"-{swap.scope}-{swap.kan.basis}")


@pytest.mark.parametrize("name", [name for name in NAMES if not name.endswith("-mlp") or "output" in name])
def test_rows_of_a_table_differ_in_the_model_only(name, composed):
    system = "ag-emt" if "ag-emt" in name else name.split("/")[1].split("-")[0]
    row, baseline = flatten(composed[name]), flatten(composed[f"{name.split('/')[0]}/{system}-mlp"])
    differing = {key for key in row.keys() | baseline.keys() if row.get(key) != baseline.get(key)}
    parts = ("_target_", "kan.", "readout_mlp_")
    callbacks = ("callbacks.calibrate.", "callbacks.coverage.")
    allowed = (*callbacks, *(f"training_module.model.{part}" for part in parts))
    assert differing
    assert all(key.startswith(allowed) for key in differing), differing


@pytest.mark.parametrize("system", ["allegro/ag", "allegro/hfo2", "nequip/ag"])
def test_the_mlp_control_has_as_many_parameters_as_the_kan(system, composed):
    sizes = {}
    for row in ("output-gaussian", "output-mlp"):
        modules = dict(build(composed[f"{system}-{row}"]).named_modules())
        readout = next(modules[path] for path in modules if path.endswith("readout.mlp_module"))
        sizes[row] = sum(parameter.numel() for parameter in readout.parameters())
    assert sizes["output-mlp"] == pytest.approx(sizes["output-gaussian"], rel=0.05)
