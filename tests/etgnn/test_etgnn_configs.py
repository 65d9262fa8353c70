"""Every configuration composes, builds the model that its name says, and differs only where it should."""

import pathlib

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import get_method
from omegaconf import OmegaConf

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"
NAMES = sorted(path.stem for path in (CONFIGS / "etgnn").glob("sio2-*.yaml"))
STATISTICS = {
    "num_neighbors_mean": 64.0,
    "per_type_isotropic_mean": {"O": -1.7, "Si": 3.4},
    "deviation_rms": 0.6,
}
OWN = ("data_dir=/somewhere", "type_names=[Na, Cl]", "field=polarizability", "per=crystal")


@pytest.fixture(scope="module")
def composed():
    # nequip fills these in when it has seen the data.
    OmegaConf.register_new_resolver("training_data_stats", STATISTICS.__getitem__, replace=True)
    with initialize_config_dir(str(CONFIGS), version_base=None):
        configs = {name: compose(f"etgnn/{name}") for name in NAMES}
        configs["own"] = compose("etgnn/own", overrides=list(OWN))
    yield configs
    OmegaConf.clear_resolver("training_data_stats")


def model_of(config):
    """Builds the model of a composed configuration, with made-up statistics of the data."""
    model = OmegaConf.to_container(config.training_module.model, resolve=True)
    return get_method(model.pop("_target_"))(**model)


def flatten(tree, prefix=""):
    """Turns nested mappings into one, with dotted keys."""
    if not isinstance(tree, dict):
        return {prefix: tree}
    return {k: v for key, sub in tree.items() for k, v in flatten(sub, f"{prefix}.{key}").items()}


def heads_of(model):
    return {p: m for p, m in model.named_modules() if p.endswith("_readout.mlp_module")}


def network_of(model):
    return next(module for module in model.modules() if type(module).__name__ == "ETGNN")


def test_there_is_a_configuration_for_every_row():
    kans = {"output-gaussian", "output-bspline", "output-bspline-1layer"}
    rows = {"mlp", "mlp-faithful", "output-mlp", "output-linear", *kans}
    assert {f"sio2-{row}" for row in rows} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_both_regressions_are_what_the_name_says(name, composed):
    heads = heads_of(model_of(composed[name]))
    assert len(heads) == 2
    for head in heads.values():
        assert (type(head).__name__ == "KAN") == ("gaussian" in name or "bspline" in name)
        if type(head).__name__ == "KAN":
            assert head.config.basis == ("gaussian" if "gaussian" in name else "bspline")
            assert head.dims == ([128, 1] if "1layer" in name else [128, 128, 128, 1])


@pytest.mark.parametrize("name", [name for name in NAMES if name != "sio2-mlp"])
def test_rows_differ_from_the_first_in_the_model_only(name, composed):
    row, first = (flatten(OmegaConf.to_container(composed[n], resolve=False)) for n in (name, "sio2-mlp"))
    differing = {key for key in row.keys() | first.keys() if row.get(key) != first.get(key)}
    model = ".training_module.model."
    allowed = [".callbacks.calibrate.", *(f"{model}{part}" for part in ("kan.", "readout_mlp_"))]
    if "faithful" in name:
        allowed += [".preset", ".watched", ".data.train_dataloader.shuffle", ".training_module.ema_decay"]
        allowed += [f"{model}{part}" for part in ("avg_num_neighbors", "per_type_shifts", "scale")]
    assert differing
    assert all(key.startswith(tuple(allowed)) for key in differing), differing


def test_the_mlp_control_has_as_many_parameters_as_the_kan(composed):
    sizes = {}
    for row in ("output-bspline", "output-mlp"):
        heads = heads_of(model_of(composed[f"sio2-{row}"])).values()
        sizes[row] = sum(parameter.numel() for head in heads for parameter in head.parameters())
    assert sizes["output-mlp"] == pytest.approx(sizes["output-bspline"], rel=0.01)


def test_the_faithful_row_has_the_quirks_of_the_published_one(composed):
    network = network_of(model_of(composed["sio2-mlp-faithful"]))
    assert network.max_neighbors == 32
    assert not network.sum_rule
    assert not network.edge_envelope
    assert not network.smooth_triplets
    assert float(network.scale) == 1.0
    assert network.per_type_shifts.tolist() == [0.0, 0.0]


def test_a_tensor_of_your_own_needs_four_words(composed):
    OmegaConf.update(composed["own"], "training_module.model.per_type_shifts", 2.3)
    model = model_of(composed["own"])
    assert {head.dims[-1] for head in heads_of(model).values()} == {1}
    network = network_of(model)
    assert (network.tensor_field, network.per) == ("polarizability", "crystal")
