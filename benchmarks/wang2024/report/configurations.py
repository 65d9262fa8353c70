"""Table 1: what the configurations replace, read from the files themselves."""

from __future__ import annotations

from pathlib import Path

from benchmarks.wang2024.table import Table, read_yaml

PARTS = ("besides_output", "output", "basis")
_KANS = {"output": ("MLP", "KAN"), "embedding_latent": ("KAN", "MLP"), "all": ("KAN", "KAN")}


def parts_of(configs: Path, config: str) -> dict[str, str]:
    """What stands besides the output block, in it, and the basis, as the paper's table says it.

    Raises:
        ConfigError: the file is missing or its settings are no valid ones.
    """
    from kan_heads.mace.settings import MACEKANConfig
    from kan_heads.swap.config import SwapConfig

    content = read_yaml(configs / f"{config}.yaml")
    settings = None
    if config.startswith("mace/"):
        if content.get("kan"):
            names = [key for key in content if key.startswith("kan_") and key != "kan_config"]
            settings = MACEKANConfig.from_dict({key.removeprefix("kan_"): content[key] for key in names})
    else:
        model = (content.get("training_module") or {}).get("model") or {}
        if "kan" in model:
            settings = SwapConfig.from_dict(model["kan"])
    if settings is None:
        return dict(zip(PARTS, ("MLP", "MLP", ""), strict=True))
    besides, output = _KANS.get(settings.scope, ("other", "other"))
    return dict(zip(PARTS, (besides, output, settings.kan.basis), strict=True))


def rows(table: Table, configs: Path) -> list[tuple[str, str, dict[str, str], dict[str, str]]]:
    """For each row its label, its configuration, what that is, and what the paper says."""
    return [
        (row.label, row.id, parts_of(configs, row.id), table.published_parts.get(row.id, {}))
        for row in table.rows
    ]
