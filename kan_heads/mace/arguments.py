"""The options that ``mace_run_train`` gets from ``patches/``: ``--kan`` and those that begin with it.

Imported while MACE parses its arguments, so neither MACE nor torch is imported at the top.
"""

import argparse
import ast
from pathlib import Path
from typing import Any, Callable, Dict, List

from kan_heads.errors import ConfigError
from kan_heads.mace.messages import speak_in_one_line

#: Options that change what ``--kan`` builds, by their names in the file of ``--kan_config``.
_DETAILS = ("preset", "scope", "basis", "grid_size", "hidden", "calibrate")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options to MACE's parser; the patched MACE calls this.

    Each is checked as it is read, before MACE spends time on data.

    Args:
        parser: what MACE's ``build_default_arg_parser`` returns.
    """
    speak_in_one_line()
    group = parser.add_argument_group("KAN (kan-heads)")
    add = group.add_argument
    switch = {"type": _yes_or_no("--kan"), "nargs": "?", "const": True, "default": False, "metavar": "BOOL"}
    add("--kan", **switch, help="add KANs to the readouts")
    add("--kan_config", metavar="FILE.yaml", type=_read_config, help="YAML file of KAN options")
    add("--kan_preset", type=_checked("preset"), help="recommended or published (Wang et al. 2024)")
    add("--kan_scope", type=_checked("scope"), help="output (all readouts) or all (the radial MLPs too)")
    add(
        "--kan_basis",
        type=_checked("basis"),
        help="bspline, gaussian, fourier, chebyshev or a registered one",
    )
    add("--kan_grid_size", type=_checked("grid_size", _literal), help="grid intervals, harmonics or degree")
    hidden = 'hidden widths of the readouts: 8, 8 4, "[8, 4]"; "[]" or nothing is one layer'
    add("--kan_hidden", nargs="*", action=_Widths, metavar="WIDTH", help=hidden)
    calibrate = "fit the grids to training data first: True or False"
    add("--kan_calibrate", type=_yes_or_no("--kan_calibrate"), metavar="BOOL", help=calibrate)
    freeze = {**switch, "type": _yes_or_no("--kan_freeze_backbone")}
    add("--kan_freeze_backbone", **freeze, help="train the KANs and their readouts only")
    _check_files_after_parsing(parser)


def _check_files_after_parsing(parser: argparse.ArgumentParser) -> None:
    """Lets the parser look at the data of a run with ``--kan``, which MACE reads without looking."""
    parse = parser.parse_args

    def parse_and_check(*words: Any, **options: Any) -> argparse.Namespace:
        args = parse(*words, **options)
        if args.kan:
            from kan_heads.mace.data_check import check_files

            check_files(args)
        return args

    parser.parse_args = parse_and_check


def settings_from(args: argparse.Namespace) -> Any:
    """Merges the file and the options, which win.

    Returns:
        A :class:`kan_heads.mace.settings.MACEKANConfig`.

    Raises:
        ConfigError: if options contradict each other.
    """
    from kan_heads.mace.settings import MACEKANConfig

    given = {name: getattr(args, f"kan_{name}") for name in _DETAILS}
    return MACEKANConfig.from_dict({**(args.kan_config or {}), **_set(given)})


def check_without_kan(args: argparse.Namespace) -> None:
    """Stops where options describe KANs but ``--kan`` is missing.

    Raises:
        ConfigError: names the first such option.
    """
    for name in _set({name: getattr(args, f"kan_{name}") for name in ("config", *_DETAILS)}):
        raise ConfigError(f"--kan_{name} needs --kan; add it, or leave --kan_{name} out")


def _set(options: Dict[str, Any]) -> Dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _check(name: str, value: Any) -> Any:
    """Returns the value of an option if it is valid on its own."""
    from kan_heads.mace.settings import MACEKANConfig

    try:
        MACEKANConfig.from_dict({name: value})
    except ConfigError as error:
        raise ConfigError(f"--kan_{name}: {error}") from error
    return value


def _checked(name: str, convert: Callable[[str], Any] = str) -> Callable[[str], Any]:
    return lambda word: _check(name, convert(word))


class _Widths(argparse.Action):
    """Joins the words of ``--kan_hidden``: ``8 4`` as well as ``"[8, 4]"``, as MACE spells lists."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, words: Any, option: Any = None
    ) -> None:
        widths: List[Any] = []
        for word in words:
            value = _literal(word)
            widths += list(value) if isinstance(value, (list, tuple)) else [value]
        setattr(namespace, self.dest, _check("hidden", widths))


def _literal(word: str) -> Any:
    try:
        return ast.literal_eval(word)
    except (ValueError, SyntaxError):
        return word


def _yes_or_no(option: str) -> Callable[[str], bool]:
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}

    def convert(word: str) -> bool:
        if word.strip().lower() not in words:
            raise ConfigError(f"{option} {word!r} must be True or False")
        return words[word.strip().lower()]

    return convert


def _read_config(path: str) -> Dict[str, Any]:
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
