"""The ``kan:`` section of a model: which MLPs to replace, and by what."""

import dataclasses
from typing import Any, Mapping, Optional, Tuple, Union

from kan_heads.errors import ConfigError, unknown_name
from kan_heads.kan import KANConfig, basis_names


@dataclasses.dataclass(frozen=True)
class SwapConfig:
    """Where KANs go and what they are made of; a backbone with options of its own extends it.

    Args:
        scope: a name that the model's adapter knows, such as ``output`` (the readout) or ``all``, a module
            path, or a tuple of module paths; paths may hold shell-style wildcards.
        kan: the layers. ``kan.hidden: []`` is one layer, features -> output; without it each KAN
            has the widths of the MLP that it replaces.
    """

    scope: Union[str, Tuple[str, ...]]
    kan: KANConfig

    @classmethod
    def from_dict(cls, section: Optional[Mapping[str, Any]]) -> "SwapConfig":
        """Reads the section of a YAML file.

        Args:
            section: ``scope`` (default ``output``) and any option of :class:`KANConfig`. Whether the scope
                exists is known once there is a model, see :meth:`kan_heads.swap.Adapter.select`.

        Raises:
            ConfigError: if an option or the basis is unknown, or the scope is neither name nor paths.
        """
        section = {} if section is None else section
        if not isinstance(section, Mapping):
            raise ConfigError(f"kan: {section!r} must be a mapping of options, e.g. {{scope: output}}")
        options = dict(section)
        scope = options.pop("scope", "output")
        if not isinstance(scope, str):
            if not _is_list(scope) or not all(isinstance(path, str) for path in scope):
                raise ConfigError(
                    f"kan.scope: {scope!r} must be a name, such as output, or a list of module paths"
                )
            scope = tuple(scope)
        kan = KANConfig.from_dict(options)
        if kan.basis not in basis_names():
            raise unknown_name("kan.basis", kan.basis, basis_names())
        return cls(scope, kan)


def _is_list(scope: object) -> bool:
    # By their methods: nequip may hand over omegaconf's lists, which are not Python's.
    return hasattr(scope, "__iter__") and not hasattr(scope, "keys") and bool(scope)
