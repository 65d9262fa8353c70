"""The options that ``mace_run_train`` gets from ``patches/``: ``--kan`` and those that begin with it.

Imported while MACE parses its arguments, so neither MACE nor torch is imported here.
"""

import argparse
import ast
from pathlib import Path
from typing import Any, Dict

from kan_heads.errors import ConfigError, exit_with_one_line
from kan_heads.mace.messages import explain_old_models

#: Names of the options that change what ``--kan`` builds; each needs ``--kan``.
_DETAILS = (
    "kan_config",
    "kan_preset",
    "kan_scope",
    "kan_basis",
    "kan_grid_size",
    "kan_hidden",
    "kan_calibrate",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options to MACE's parser; the patched MACE calls this.

    Args:
        parser: what MACE's ``build_default_arg_parser`` returns.
    """
    exit_with_one_line("mace_")
    explain_old_models()
    group = parser.add_argument_group("KAN (kan-heads)")
    add = group.add_argument
    add("--kan", action="store_true", help="add KANs to the readouts (kan-heads)")
    add("--kan_config", metavar="FILE.yaml", type=_read_config, help="YAML file of KAN options")
    add("--kan_preset", help="recommended or published (Wang et al. 2024)")
    add("--kan_scope", help="output (all readouts) or all (the radial MLPs too)")
    add("--kan_basis", type=_basis, help="bspline, gaussian, fourier or chebyshev")
    add("--kan_grid_size", type=_whole_number, help="grid intervals, harmonics or degree")
    add("--kan_hidden", type=_widths, help='hidden widths of the readouts, e.g. "[]" or "[8]"')
    add("--kan_calibrate", type=_yes_or_no, help="fit the grids to training data first: True or False")
    add("--kan_freeze_backbone", action="store_true", help="train the KANs and their readouts only")


def settings_from(args: argparse.Namespace) -> Any:
    """Merges the file and the options, which win.

    Returns:
        A :class:`kan_heads.mace.settings.MACEKANConfig`.

    Raises:
        ConfigError: if an option or its value is unknown.
    """
    from kan_heads.mace.settings import MACEKANConfig

    options: Dict[str, Any] = dict(args.kan_config or {})
    for name in _DETAILS[1:]:
        value = getattr(args, name)
        if value is not None:
            options[name.removeprefix("kan_")] = value
    return MACEKANConfig.from_dict(options)


def check_without_kan(args: argparse.Namespace) -> None:
    """Stops where options describe KANs but ``--kan`` is missing.

    Raises:
        ConfigError: names the first such option.
    """
    for name in _DETAILS:
        if getattr(args, name) is not None:
            raise ConfigError(f"--{name} needs --kan; add it, or leave --{name} out")


def _read_config(path: str) -> Dict[str, Any]:
    """Reads and checks the file while arguments are parsed, before MACE spends time on data."""
    import yaml

    from kan_heads.mace.settings import MACEKANConfig

    try:
        options = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"--kan_config {path}: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        first = " ".join(str(error).split())
        raise ConfigError(f"--kan_config {path}: not valid YAML: {first}") from error
    try:
        MACEKANConfig.from_dict(options)
    except ConfigError as error:
        raise ConfigError(f"--kan_config {path}: {error}") from error
    return options or {}


def _basis(name: str) -> str:
    from kan_heads.kan import basis_names
    from kan_heads.kan.config import unknown_name

    if name not in basis_names():
        raise unknown_name("--kan_basis", name, basis_names())
    return name


def _whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ConfigError(f"--kan_grid_size {text!r} must be a whole number, e.g. 8") from None


def _widths(text: str) -> Any:
    try:
        widths = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        widths = None
    if isinstance(widths, int) and not isinstance(widths, bool):
        return [widths]
    if not isinstance(widths, (list, tuple)):
        raise ConfigError(f'--kan_hidden {text!r} must be a list of widths, e.g. "[]" or "[8]"')
    return list(widths)


def _yes_or_no(text: str) -> bool:
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if text.strip().lower() not in words:
        raise ConfigError(f"--kan_calibrate {text!r} must be True or False")
    return words[text.strip().lower()]
