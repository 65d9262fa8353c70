"""What a KAN model of MACE is made of: the file of ``--kan_config`` and the record inside a model."""

import dataclasses
import json
from typing import Any, Dict, Mapping, Optional, Tuple

from kan_heads.errors import ConfigError, unknown_name
from kan_heads.kan.config import KANConfig
from kan_heads.kan.layer import KANLayer, unused_generator
from kan_heads.swap.config import SwapConfig

SCOPES = ("output", "all")

#: What an option is where neither the file nor the command line sets it, by preset.
PRESETS: Dict[str, Dict[str, Any]] = {
    # One layer beside MACE's own readout, whose linear map is the base branch already. The features of an
    # untrained model are about 0.1 and grow tenfold in training, so grids that are fitted to them at the
    # start are too narrow ever after: benchmarks/grids has the figures.
    "recommended": {
        "hidden": (),
        "grid_size": 8,
        "grid_range": (-1.5, 1.5),
        "base": None,
        "calibrate": False,
    },
    # The code of Wang et al. (mace-kan): pykan layers [m, m/2, m/4, 1] on a grid that never moves. The
    # factor that pykan puts on each spline besides its coefficients is part of the coefficients here.
    "published": {
        "hidden": None,
        "grid_size": 3,
        "order": 3,
        "grid_range": (-1.0, 1.0),
        "extrapolation": "zero",
        "base": "silu",
        "zero_at_origin": False,
        "units": "value",
        "calibrate": False,
    },
}

_OF_BSPLINES = ("order", "extrapolation")
_OF_THE_START = ("grid_range", "spline_fraction", "units")


@dataclasses.dataclass(frozen=True)
class MACEKANConfig(SwapConfig):
    """Where KANs go in a MACE model and what they are made of.

    Args:
        scope: ``output`` (all readouts) or ``all`` (the radial MLPs, ``conv_tp_weights``, as well).
        kan: the layers; ``kan.hidden`` holds the hidden widths of the readouts. Radial KANs have the
            widths of the MLPs that they replace.
        preset: ``recommended`` (phi(0) = 0, grids on [-1.5, 1.5], one layer, starts as the stock model)
            or ``published`` (Wang et al. 2024: [m, m/2, m/4, 1], grid 3, order 3, SiLU base, random start).
        calibrate: fit the grids to training data before training starts.
        features: width of the features that enter each readout's KAN, for each head; MACE's
            ``MLP_irreps`` sets it, and it is ``None`` until a model is known.
    """

    preset: str
    calibrate: bool
    features: Optional[int] = None

    @classmethod
    def from_dict(cls, options: Optional[Mapping[str, Any]]) -> "MACEKANConfig":
        """Reads plain data, such as the file of ``--kan_config``.

        Args:
            options: ``preset``, ``scope``, ``calibrate`` and any option of :class:`KANConfig`.

        Raises:
            ConfigError: if an option or its value is unknown; the message lists what there is.
        """
        options = {} if options is None else options
        if not isinstance(options, Mapping):
            raise ConfigError(f"{options!r} must be a mapping of options, e.g. {{basis: gaussian}}")
        options = dict(options)
        preset = options.pop("preset", "recommended")
        if not isinstance(preset, str) or preset not in PRESETS:
            raise unknown_name("preset", preset, PRESETS)
        layers = [field.name for field in dataclasses.fields(KANConfig)]
        valid = ["preset", "scope", "calibrate", *layers]
        for name in options:
            if name not in valid:
                raise unknown_name("kan option", name, valid)
        chosen = {**PRESETS[preset], **options}
        if chosen.get("basis", KANConfig.basis) != "bspline":
            for name in _OF_BSPLINES:
                if name not in options:
                    chosen.pop(name, None)
        scope, calibrate = chosen.pop("scope", "output"), chosen.pop("calibrate")
        if not isinstance(scope, str) or scope not in SCOPES:
            raise unknown_name("scope", scope, SCOPES)
        if not isinstance(calibrate, bool):
            raise ConfigError(f"calibrate: {calibrate!r} must be true or false")
        if chosen["hidden"] is None and preset != "published":
            raise ConfigError("hidden: null must be a list of widths, e.g. [8], or [] for one layer")
        kan = KANConfig.from_dict(chosen)
        kan.check_smooth()
        KANLayer(1, 1, kan, unused_generator())  # the basis and the base check what only they know
        if calibrate and kan.layer_norm:
            raise ConfigError(
                "calibrate: layer_norm normalises the inputs of the basis already; set one to false"
            )
        return cls(scope, kan, preset, calibrate)

    def for_features(self, features: int) -> "MACEKANConfig":
        """Returns the settings of a model whose readouts have that many features for each head.

        Raises:
            ConfigError: if the published widths cannot be made of so few features.
        """
        hidden = self.kan.hidden
        if hidden is None:
            hidden = (features // 2, features // 4)
            if features < 4:
                raise ConfigError(
                    "preset published: hidden widths [m/2, m/4] need m of at least 4, MLP_irreps gives "
                    f"{features}; choose kan_hidden or larger MLP_irreps"
                )
        return dataclasses.replace(self, features=features, kan=dataclasses.replace(self.kan, hidden=hidden))

    def record(self) -> str:
        """Returns what decides the function that given parameters make; how they start is left out."""
        options = {"scope": self.scope, "features": self.features, **self.kan.to_dict()}
        return json.dumps({k: v for k, v in options.items() if k not in _OF_THE_START}, sort_keys=True)

    @property
    def widths(self) -> Tuple[int, ...]:
        """The widths of a readout's KAN, from features to energy."""
        return (self.features, *self.kan.hidden, 1)

    def to_dict(self) -> Dict[str, Any]:
        """Returns the settings as plain data, fit for YAML; without ``features``, for :meth:`from_dict`."""
        own = {"preset": self.preset, "scope": self.scope, "calibrate": self.calibrate}
        return {**own, **self.kan.to_dict()}
