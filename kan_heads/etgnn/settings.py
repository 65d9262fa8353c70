"""The options of an ETGNN model: strict, with the published ones as a preset."""

import dataclasses
from typing import Any, Dict, Mapping, Optional

from kan_heads.errors import ConfigError, unknown_name

ACTIVATIONS = ("elu", "gelu", "mish", "silu", "tanh")
CUTOFFS = ("cosine", "polynomial")
TRIPLET_ENVELOPES = ("smooth", "step")


@dataclasses.dataclass(frozen=True)
class ETGNNConfig:
    """Sizes, cutoffs and switches.

    Args:
        r_max: length of the longest edges in Angstrom.
        triplet_r_max: both edges of a triplet that contributes to a tensor are shorter, in Angstrom.
        angular_r_max: both edges of a triplet that carries messages are shorter, in Angstrom; ``None``
            stands for ``triplet_r_max``, with ``faithful`` for ``r_max``.
        max_neighbors: keep only so many nearest neighbours of an atom. Cuts shells apart, and some edges
            lose their reverse; ``None`` keeps all.
        num_layers: update blocks.
        num_features: features of an edge.
        num_triplet_features: features of a triplet.
        projection_width: width of the messages between edges.
        basis_width: width of the embedding of the radial and angular bases in a block.
        num_bessels: radial functions, and radial functions of each angular momentum.
        l_max: highest angular momentum of the angular basis.
        readout_mlp_hidden_layers_depth: hidden layers of both regressions.
        readout_mlp_hidden_layers_width: their width; ``None`` stands for the number of features.
        activation: ``silu``, ``elu``, ``gelu``, ``mish`` or ``tanh``.
        cutoff: ``polynomial`` (two derivatives vanish at the cutoff) or ``cosine`` (one).
        edge_envelope: let the tensor of an edge vanish at ``r_max``.
        triplet_envelope: ``smooth``, or ``step``: the tensor of a triplet is cut off at full height.
        angular_cutoff_in_angstrom: ``False`` feeds the cutoff of the angular basis with d / r instead of
            d, as published: it never cuts.
        sum_rule: subtract the mean over the crystal from the tensors of its atoms; ``None`` does it
            for Born charges only.

    Source: Zhong et al., J. Phys. Chem. Lett. 14, 6339 (2023); the sizes are the published ones. The
    published network also has outputs for nodes, which tensors do not use; they are left out.
    """

    r_max: float
    triplet_r_max: float = 4.0
    angular_r_max: Optional[float] = None
    max_neighbors: Optional[int] = None
    num_layers: int = 4
    num_features: int = 128
    num_triplet_features: int = 128
    projection_width: int = 64
    basis_width: int = 8
    num_bessels: int = 8
    l_max: int = 7
    readout_mlp_hidden_layers_depth: int = 2
    readout_mlp_hidden_layers_width: Optional[int] = None
    activation: str = "silu"
    cutoff: str = "polynomial"
    edge_envelope: bool = True
    triplet_envelope: str = "smooth"
    angular_cutoff_in_angstrom: bool = True
    sum_rule: Optional[bool] = None

    def __post_init__(self) -> None:
        """Checks each value and fills in those that follow from others."""
        for name in ("num_layers", "num_features", "num_triplet_features", "projection_width"):
            self._check_whole(name, 1)
        for name in ("basis_width", "num_bessels"):
            self._check_whole(name, 1)
        for name in ("l_max", "readout_mlp_hidden_layers_depth"):
            self._check_whole(name, 0)
        if self.max_neighbors is not None:
            self._check_whole("max_neighbors", 1)
        for name, valid in (
            ("activation", ACTIVATIONS),
            ("cutoff", CUTOFFS),
            ("triplet_envelope", TRIPLET_ENVELOPES),
        ):
            if getattr(self, name) not in valid:
                raise unknown_name(name, getattr(self, name), valid)
        self._check_lengths()
        if self.readout_mlp_hidden_layers_width is None:
            object.__setattr__(self, "readout_mlp_hidden_layers_width", self.num_features)
        self._check_whole("readout_mlp_hidden_layers_width", 1)
        for name in ("edge_envelope", "angular_cutoff_in_angstrom", "sum_rule"):
            value = getattr(self, name)
            if not isinstance(value, bool) and not (name == "sum_rule" and value is None):
                raise ConfigError(f"{name}: {value!r} must be true or false")

    def _check_whole(self, name: str, least: int) -> None:
        value = getattr(self, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ConfigError(f"{name}: {value!r} must be a whole number of at least {least}")

    def _check_lengths(self) -> None:
        if self.angular_r_max is None:
            object.__setattr__(self, "angular_r_max", self.triplet_r_max)
        for name in ("r_max", "triplet_r_max", "angular_r_max"):
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value < float("inf"):
                raise ConfigError(f"{name}: {value!r} must be a length in Angstrom")
        if not self.triplet_r_max <= self.angular_r_max <= self.r_max:
            raise ConfigError(
                f"cutoffs: triplet_r_max {self.triplet_r_max:g} <= angular_r_max {self.angular_r_max:g} <= "
                f"r_max {self.r_max:g} must hold; set triplet_r_max of the model to at most {self.r_max:g}"
            )

    @classmethod
    def from_preset(cls, preset: str, options: Mapping[str, Any]) -> "ETGNNConfig":
        """Takes a preset and changes some of its options.

        Args:
            preset: ``sound`` or ``faithful``.
            options: names and values; ``r_max`` must be among them.

        Raises:
            ConfigError: if the preset or an option is unknown, or a value is not valid.
        """
        if preset not in PRESETS:
            raise unknown_name("preset", preset, PRESETS)
        names = [field.name for field in dataclasses.fields(cls)]
        for name in options:
            if name not in names:
                raise unknown_name("model option", name, names)
        chosen = {**PRESETS[preset], **options}
        if preset == "faithful" and chosen.get("angular_r_max") is None:
            chosen["angular_r_max"] = chosen["r_max"]
        return cls(**chosen)


#: What the presets change in the defaults above. ``faithful`` is what was published, quirks included.
PRESETS: Dict[str, Dict[str, Any]] = {
    "sound": {},
    "faithful": {
        "max_neighbors": 32,
        "activation": "elu",
        "cutoff": "cosine",
        "edge_envelope": False,
        "triplet_envelope": "step",
        "angular_cutoff_in_angstrom": False,
        "sum_rule": False,
    },
}
