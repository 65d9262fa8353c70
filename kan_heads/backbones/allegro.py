"""Allegro: one energy for each edge, from its features."""

from kan_heads.backbones.graph import GraphAdapter


class AllegroAdapter(GraphAdapter):
    """Scope ``output`` is the readout of edges, ``embedding_latent`` the two-body and latent MLPs."""

    name = "Allegro"
    mark = "Allegro_Module"
