"""Small models of every kind for the tests in this folder."""

import copy

from hydra.utils import get_method

COMMON = {"seed": 123, "type_names": ["H", "C", "O", "Cu"], "r_max": 4.0, "avg_num_neighbors": 10.0}

NEQUIP = {
    "_target_": "kan_heads.nequip.KANNequIPGNNModel",
    **COMMON,
    "num_layers": 2,
    "l_max": 1,
    "num_features": 8,
    "radial_mlp_depth": 1,
    "radial_mlp_width": 8,
}

ALLEGRO = {
    "_target_": "kan_heads.allegro.KANAllegroModel",
    **COMMON,
    "radial_chemical_embed": {"_target_": "allegro.nn.TwoBodyBesselScalarEmbed", "num_bessels": 4},
    "l_max": 1,
    "num_layers": 1,
    "num_scalar_features": 8,
    "num_tensor_features": 4,
    "allegro_mlp_hidden_layers_width": 8,
    "scalar_embed_mlp_hidden_layers_width": 8,
    "readout_mlp_hidden_layers_width": 4,
}

GENERIC = {**NEQUIP, "_target_": "kan_heads.nequip.KANModel", "builder": "nequip.model.NequIPGNNModel"}

STOCK = {
    "nequip": {**NEQUIP, "_target_": "nequip.model.NequIPGNNModel"},
    "allegro": {**ALLEGRO, "_target_": "allegro.model.AllegroModel"},
}

KAN_MODELS = {"nequip": NEQUIP, "allegro": ALLEGRO, "generic": GENERIC}

ONE_LAYER = {"scope": "output", "basis": "bspline", "hidden": []}


def build(config, kan=None, dtype="float64", **changes):
    """Builds a model the way ``nequip-train`` does."""
    config = {**copy.deepcopy(config), "model_dtype": dtype, **changes}
    if kan is not None:
        config["kan"] = kan
    return get_method(config.pop("_target_"))(**config)
