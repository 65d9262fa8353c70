"""Put KANs in place of the MLPs of a model."""

from typing import Any, Dict, List, Mapping, Optional, Sequence, Union

import torch

from kan_heads.errors import ConfigError
from kan_heads.kan import KANConfig
from kan_heads.swap.adapter import Adapter
from kan_heads.swap.registry import adapter_of


def find_mlps(model: torch.nn.Module) -> Dict[str, torch.nn.Module]:
    """Lists the MLPs that a KAN can replace, by module path."""
    return adapter_of(model).find(model)


def replace_mlps(
    model: torch.nn.Module,
    scope: Union[str, Sequence[str], None] = None,
    kan: Union[KANConfig, Mapping[str, Any], None] = None,
    *,
    keep_function: bool = False,
    adapter: Optional[Adapter] = None,
) -> List[str]:
    """Replaces the MLPs in scope, in place.

    Args:
        model: a model of a known backbone, or any torch model, whose ``torch.nn.Linear`` and
            ``torch.nn.Sequential`` of linear maps and activations are its MLPs.
        scope: the name of a scope, or module paths, which may hold shell-style wildcards; ``None`` leaves it
            to ``kan``.
        kan: options of the layers, or a whole ``kan:`` section of a YAML file, see
            :class:`kan_heads.swap.SwapConfig`.
        keep_function: start from the trained MLPs instead of new random weights.
        adapter: what knows the model; found by :func:`kan_heads.swap.adapter_of` if ``None``.

    Returns:
        The paths of the modules that are KANs now.

    Example:
        >>> model = torch.nn.ModuleDict({"head": torch.nn.Linear(16, 1, bias=False)})
        >>> replace_mlps(model, "head", {"basis": "gaussian"}, keep_function=True)
        ['head']

    Raises:
        ConfigError: if the options are not valid, match nothing, or ask for widths that cannot
            keep the function.
        ModelError: if an MLP is one whose function no KAN can keep.
    """
    section = _changed(kan) if isinstance(kan, KANConfig) else kan
    if scope is not None:
        if isinstance(section, Mapping) and "scope" in section:
            raise ConfigError(f"scope: {scope!r} is given, and kan has one as well; leave one of them out")
        section = {"scope": scope, **section} if isinstance(section, Mapping) else section or {"scope": scope}
    adapter = adapter_of(model) if adapter is None else adapter
    config = adapter.complete(model, adapter.settings.from_dict(section))
    return adapter.replace(model, config, keep_function)


def _changed(config: KANConfig) -> Dict[str, Any]:
    """Returns the options that differ from their defaults, so that presets of a backbone stay in force."""
    plain, default = config.to_dict(), KANConfig().to_dict()
    return {name: value for name, value in plain.items() if value != default[name]}
