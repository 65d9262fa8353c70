"""The builder of ETGNN models."""

from typing import Any, List, Mapping, Optional, Union

import torch
from nequip.model import model_builder
from nequip.nn import SequentialGraphNetwork
from nequip.nn.embedding import BesselEdgeLengthEncoding, EdgeLengthNormalizer

from kan_heads.errors import ConfigError, exit_with_one_line
from kan_heads.etgnn.bases import make_cutoff
from kan_heads.etgnn.bessel_zeros import spherical_bessel_zeros
from kan_heads.etgnn.fields import tensor_field
from kan_heads.etgnn.network import ETGNN
from kan_heads.etgnn.settings import ETGNNConfig
from kan_heads.swap import replace_mlps

exit_with_one_line("nequip-")

Shifts = Union[float, Mapping[str, float], None]


@model_builder
def ETGNNModel(  # noqa: N802
    r_max: float,
    type_names: List[str],
    field: str = "born_effective_charges",
    per: Optional[str] = None,
    symmetric: Optional[bool] = None,
    preset: str = "sound",
    avg_num_neighbors: Optional[float] = None,
    per_type_shifts: Shifts = None,
    scale: float = 1.0,
    kan: Optional[Mapping[str, Any]] = None,
    **options: Any,
) -> torch.nn.Module:
    """Builds a model that predicts a rank-2 tensor of each atom or crystal.

    Args:
        r_max: length of the longest edges in Angstrom.
        type_names: names of the types of atoms.
        field: the tensor: ``born_effective_charges``, ``dielectric_tensor``, or a name of your own.
        per: ``atom`` or ``crystal``; needed for a name of your own.
        symmetric: whether the tensor equals its transpose.
        preset: ``sound``, or ``faithful``: as published, quirks included.
        avg_num_neighbors: of an atom within ``r_max``; ``None`` leaves sums as they are.
        per_type_shifts: isotropic tensor of each type, in units of the field; one number serves all types.
        scale: spread of the tensors around that, in units of the field.
        kan: ``scope`` (``output``: both regressions; ``projections``: the maps to and from messages; ``all``)
            and the options of :class:`kan_heads.kan.KANConfig`; ``None`` keeps all MLPs.
        **options: any of :class:`kan_heads.etgnn.settings.ETGNNConfig`, over the preset.

    Raises:
        ConfigError: if an option is unknown or not valid.

    Source: Zhong et al., J. Phys. Chem. Lett. 14, 6339 (2023); Wang et al. 2024, Figure 5, Table 9.
    """
    settings = ETGNNConfig.from_preset(preset, {"r_max": r_max, **options})
    for name, value in (("avg_num_neighbors", avg_num_neighbors), ("scale", scale)):
        if value is not None and not (isinstance(value, (int, float)) and 0.0 < value < float("inf")):
            raise ConfigError(f"{name}: {value!r} must be a positive number")
    tensor = tensor_field(field, per, symmetric)
    sum_rule = settings.sum_rule
    if sum_rule is None:
        sum_rule = field == "born_effective_charges"
    if sum_rule and tensor.per == "crystal":
        raise ConfigError(f"sum_rule: {field!r} is one tensor per crystal; the rule is about those of atoms")
    lengths = EdgeLengthNormalizer(r_max=r_max, type_names=type_names)
    basis = BesselEdgeLengthEncoding(
        cutoff=make_cutoff(settings.cutoff), num_bessels=settings.num_bessels, irreps_in=lengths.irreps_out
    )
    network = ETGNN(
        type_names=type_names,
        settings=settings,
        zeros=spherical_bessel_zeros(settings.l_max, settings.num_bessels),
        field=tensor,
        sum_rule=sum_rule,
        avg_num_neighbors=avg_num_neighbors,
        per_type_shifts=_per_type(per_type_shifts, type_names),
        scale=scale,
        irreps_in=basis.irreps_out,
    )
    modules = {"edge_length": lengths, "radial_basis": basis, "etgnn": network}
    model = SequentialGraphNetwork(modules)
    if kan is not None:
        replace_mlps(model, kan=kan)
    return model


def _per_type(shifts: Shifts, type_names: List[str]) -> List[float]:
    """Returns one number for each type."""
    if shifts is None or isinstance(shifts, (int, float)):
        return [float(shifts or 0.0)] * len(type_names)
    missing = [name for name in type_names if name not in shifts]
    if missing:
        raise ConfigError(f"per_type_shifts: nothing for {', '.join(missing)}; give a number for each type")
    return [float(shifts[name]) for name in type_names]
