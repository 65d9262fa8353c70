"""ETGNN: one coefficient of a tensor for each edge and each triplet."""

from typing import Mapping

import torch

from kan_heads.backbones.graph import GraphAdapter
from kan_heads.swap.adapter import Scope


class ETGNNAdapter(GraphAdapter):
    """Scope ``output`` is both regressions, ``projections`` the maps to and from messages.

    ``embedding_latent`` is the residual layers and the projections.
    """

    name = "ETGNN"
    mark = "ETGNN"

    def is_mlp(self, path: str, mlp: torch.nn.Module) -> bool:
        """Projections are MLPs too, although each is a single map."""
        return super().is_mlp(path, mlp) or _is_projection(path)

    def scopes(self) -> Mapping[str, Scope]:
        """Returns those of the framework and ``projections``."""
        return {**super().scopes(), "projections": lambda path, mlp: _is_projection(path)}


def _is_projection(path: str) -> bool:
    return path.endswith(".projection")
