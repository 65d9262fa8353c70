"""NequIP and Allegro pass what every backbone passes."""

import torch
from ase.build import bulk
from models import STOCK, build
from nequip.data import compute_neighborlist_, from_ase

from kan_heads.backbones.allegro import AllegroAdapter
from kan_heads.backbones.graph import GraphAdapter
from kan_heads.backbones.nequip import NequIPAdapter
from kan_heads.swap import adapter_of
from kan_heads.testing import BackboneTests


class GraphTests(BackboneTests):
    """Copper without symmetry; the stock builders give random weights by their seed."""

    def batch(self):
        atoms = bulk("Cu", a=3.6, cubic=True)
        atoms.rattle(0.1, seed=3)
        data = compute_neighborlist_(from_ase(atoms), r_max=4.0)
        data["atom_types"] = torch.full((len(atoms),), 3)
        return data

    def predict(self, model):
        out = model(self.batch())
        return {name: out[name].detach() for name in ("total_energy", "atomic_energy", "forces", "stress")}

    def output(self, model):
        return model.train()(self.batch())["total_energy"].sum()


class TestNequIP(GraphTests):
    adapter = NequIPAdapter
    readout = "per_atom_energy_readout.mlp_module"
    radial = frozenset({"layer0_convnet.conv.edge_mlp", "layer1_convnet.conv.edge_mlp"})
    scopes = {"output": {readout}, "embedding_latent": radial, "all": {readout} | radial}  # noqa: RUF012

    def build(self):
        return build(STOCK["nequip"])

    def test_its_readout_is_one_of_atoms(self):
        (rows,) = self.adapter().readouts(self.stock()).values()
        assert rows == "atoms"


class TestAllegro(GraphTests):
    adapter = AllegroAdapter
    readout = "edge_readout.mlp_module"
    others = frozenset({"scalar_embed_mlp.mlp_module", "allegro.latents.0"})
    scopes = {"output": {readout}, "embedding_latent": others, "all": {readout} | others}  # noqa: RUF012

    def build(self):
        return build(STOCK["allegro"])

    def test_its_readout_is_one_of_edges(self):
        (rows,) = self.adapter().readouts(self.stock()).values()
        assert rows == "edges"


def test_another_model_of_the_framework_has_the_adapter_of_the_framework():
    """Convolutions make NequIP; without them only what all models share is known."""
    model = build(STOCK["nequip"])
    graph = model.get_submodule("model.func")
    for name in [name for name, _ in graph.named_children() if "convnet" in name]:
        delattr(graph, name)
    assert type(adapter_of(model)) is GraphAdapter
    assert set(GraphAdapter().find(model)) == {"model.func.per_atom_energy_readout.mlp_module"}
