"""NequIP: one energy for each atom, from its features."""

from kan_heads.backbones.graph import GraphAdapter


class NequIPAdapter(GraphAdapter):
    """Scope ``output`` is the readout of atoms, ``embedding_latent`` the radial MLPs of the convolutions."""

    name = "NequIP"
    mark = "ConvNetLayer"
