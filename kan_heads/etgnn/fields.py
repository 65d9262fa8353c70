"""The tensors that a model can predict, as fields of the nequip framework."""

import dataclasses
from typing import Optional

from nequip.data import _key_registry, register_fields

from kan_heads.errors import ConfigError, unknown_name

KINDS = {"atom": "node", "crystal": "graph"}


@dataclasses.dataclass(frozen=True)
class TensorField:
    """A rank-2 Cartesian tensor for each atom or each crystal.

    Args:
        name: name of the field, in data and in the output of the model.
        per: ``atom`` or ``crystal``.
        symmetric: whether the tensor equals its transpose.
    """

    name: str
    per: str
    symmetric: bool


def tensor_field(name: str, per: Optional[str] = None, symmetric: Optional[bool] = None) -> TensorField:
    """Looks a tensor up among the fields of nequip, and registers it there if it is new.

    Args:
        name: ``born_effective_charges``, ``dielectric_tensor`` or a name of your own.
        per: ``atom`` or ``crystal``; must be given for a new name.
        symmetric: whether the tensor equals its transpose; ``False`` for a new name unless given.

    Raises:
        ConfigError: if ``per`` is missing, unknown, or differs from what the name stands for already.
    """
    if not isinstance(name, str) or not name:
        raise ConfigError(f"field: {name!r} is no name; give that of the tensor, as in the data file")
    if symmetric is not None and not isinstance(symmetric, bool):
        raise ConfigError(f"symmetric: {symmetric!r} must be true or false")
    if per is not None and per not in KINDS:
        raise unknown_name("per", per, KINDS)
    kind = _key_registry.get_field_type(name, error_on_unregistered=False)
    formula = _key_registry._CARTESIAN_TENSOR_FIELDS.get(name)
    if kind is None:
        if per is None:
            raise ConfigError(f"field: {name!r} is new; say whether it is per: atom or per: crystal")
        _register(name, per, bool(symmetric))
        return TensorField(name, per, bool(symmetric))
    if formula is None:
        raise ConfigError(f"field: {name!r} is a field of nequip, but no 3 x 3 tensor; choose another name")
    known = TensorField(name, next(k for k, v in KINDS.items() if v == kind), formula == "ij=ji")
    for option, wanted, found in (("per", per, known.per), ("symmetric", symmetric, known.symmetric)):
        if wanted is not None and wanted != found:
            raise ConfigError(
                f"{option}: {wanted} contradicts field {name!r}, which has {option}: {str(found).lower()}; "
                f"leave {option} out or choose another name"
            )
    return known


def _register(name: str, per: str, symmetric: bool) -> None:
    if "." in name:
        raise ConfigError(f"field: {name!r} cannot name a field; use letters, digits and underscores")
    tensors = {name: "ij=ji" if symmetric else "ij"}
    if per == "atom":
        register_fields(node_fields=[name], cartesian_tensor_fields=tensors)
    else:
        register_fields(graph_fields=[name], cartesian_tensor_fields=tensors)
