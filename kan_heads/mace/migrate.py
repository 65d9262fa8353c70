"""Carry a MACE model file from e3nn 0.4 to the e3nn that is installed.

MACE saves whole Python objects. e3nn 0.4 kept the code that it generates as bare bytes, later versions keep
pairs of a kind and bytes, so that the new one fails on an old file with ``too many values to unpack``.
Here such a file is read with the old form accepted, and the model is built anew by MACE's own constructor.
"""

import contextlib
import dataclasses
import io
import logging
import shutil
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn

from kan_heads.errors import ConfigError, ModelError, first_line
from kan_heads.global_state import default_dtype
from kan_heads.mace.migration_check import compare, dtype_of, heads_of
from kan_heads.mace.migration_files import appears_whole, check_paths
from kan_heads.quiet import quiet
from kan_heads.trust import require_trust


@dataclasses.dataclass(frozen=True)
class MigrationResult:
    """What :func:`migrate` found and did.

    Args:
        model_class: class of the model, e.g. ``ScaleShiftMACE``.
        n_parameters: how many numbers were trained.
        elements: chemical symbols that the model knows.
        heads: names of its heads.
        dtype: precision of the parameters, e.g. ``float64``.
        origin: the e3nn that the file needs, as far as the file tells.
        migrated: false if the file loads as it is and was copied.
        recomputed: buffers that the file does not hold (older versions of MACE) and the constructor filled.
        differences: largest difference from the old model in ``energy`` (eV) and ``forces`` (eV/Å); empty if
            the two were not compared.
        n_atoms: atoms of the structure on which they were compared.
        note: why they were not compared, or empty.
    """

    model_class: str
    n_parameters: int
    elements: Tuple[str, ...]
    heads: Tuple[str, ...]
    dtype: str
    origin: str
    migrated: bool
    recomputed: Tuple[str, ...] = ()
    differences: Dict[str, float] = dataclasses.field(default_factory=dict)
    n_atoms: int = 0
    note: str = ""


def migrate(old: str, new: str, device: str = "cpu", trust: bool = False) -> MigrationResult:
    """Writes a MACE model file that the installed e3nn loads.

    A file that loads as it is, is copied byte for byte. Nothing is written unless every check passes.

    Args:
        old: the model file, saved by MACE with any e3nn from 0.4.
        new: file to write; it must not exist.
        device: where the old and the new model are compared. The new one is always saved for a CPU.
        trust: load the old file although it is a pickle, see :func:`kan_heads.trust.require_trust`.

    Returns:
        What was found, and how far the new model is from the old one.

    Raises:
        ConfigError: if ``new`` exists or cannot be written, or ``trust`` is not given.
        ModelError: if the file is missing, damaged or no MACE model, or the new model differs from the old.
    """
    check_paths(old, new)
    require_trust(old, trust)
    with quiet(logging.WARNING):
        try:
            model, origin, migrated = _load(old)
        except ImportError as error:
            raise ModelError(
                f"{old}: needs a package that is not installed ({first_line(error, with_item=True)})"
            ) from error
        _check_model(old, model)
        if not migrated:
            with appears_whole(new) as part:
                shutil.copyfile(old, part)
            return MigrationResult(**_facts(model), origin=origin, migrated=False)
        rebuilt, recomputed = _rebuild(old, model)
        with appears_whole(new) as part:
            try:
                torch.save(rebuilt, part)
            except RuntimeError as error:  # torch's own form of an OSError
                raise ConfigError(
                    f"{new}: cannot be written ({first_line(error, with_item=True)})"
                ) from error
            written = torch.load(part, map_location="cpu", weights_only=False)
            _check_state(old, model, written)
            differences, n_atoms, note = compare(old, model.to(device), written.to(device))
            if note and recomputed:
                raise ModelError(
                    f"{old}: does not hold {_listed(recomputed)}, and the old model cannot be run to see "
                    f"whether the values that MACE fills in are right ({note})"
                )
        return MigrationResult(
            **_facts(written),
            origin=origin,
            migrated=True,
            recomputed=recomputed,
            differences=differences,
            n_atoms=n_atoms,
            note=note,
        )


def _load(path: str) -> Tuple[Any, str, bool]:
    """Returns the object, the e3nn that its file needs, and whether it must be migrated."""
    from e3nn import __version__

    with contextlib.redirect_stdout(io.StringIO()):  # MACE prints that an accelerator is missing
        import mace.modules  # noqa: F401

    try:
        return torch.load(path, map_location="cpu", weights_only=False), f"e3nn {__version__}", False
    except ModuleNotFoundError:
        raise
    except Exception as error:
        failure = first_line(error, with_item=True)
    with old_code_accepted() as found:
        try:
            model = torch.load(path, map_location="cpu", weights_only=False)
        except Exception as error:
            raise ModelError(
                f"{path}: cannot be loaded; it may be damaged, or need another version of a package "
                f"({first_line(error, with_item=True)})"
            ) from error
    return model, "e3nn 0.4" if found else f"another version or device than here ({failure})", True


@contextlib.contextmanager
def old_code_accepted() -> Iterator[List[str]]:
    """Lets modules of e3nn 0.4 be unpickled while it lasts; their code is put on the CPU.

    Yields:
        A list that receives the name of each piece of code in the old form.
    """
    from e3nn.util.codegen import CodeGenMixin

    present = CodeGenMixin.__setstate__
    found: List[str] = []

    def setstate(module: nn.Module, state: Dict[str, Any]) -> None:
        state = dict(state)
        code = state.pop("__codegen__", None) or {}
        scripts = {}
        for name, entry in code.items():
            if isinstance(entry, bytes):
                found.append(name)
                scripts[name] = entry
            elif entry[0] == "torchscript":
                scripts[name] = entry[1]
        others = {name: entry for name, entry in code.items() if name not in scripts}
        present(module, {**state, "__codegen__": others} if code else state)
        for name, script in scripts.items():
            # e3nn itself gives no map_location, so that code saved on a GPU would need one here.
            setattr(module, name, torch.jit.load(io.BytesIO(script), map_location="cpu"))
        if code:
            module.__codegen__ = list(code)

    CodeGenMixin.__setstate__ = setstate
    try:
        yield found
    finally:
        CodeGenMixin.__setstate__ = present


def _check_model(path: str, model: Any) -> None:
    if isinstance(model, dict):
        raise ModelError(
            f"{path}: holds a dictionary (a state dict or a training checkpoint), not a model; give the "
            "NAME.model that MACE writes when training ends"
        )
    if not (isinstance(model, nn.Module) and hasattr(model, "r_max") and hasattr(model, "atomic_numbers")):
        raise ModelError(f"{path}: holds a {type(model).__name__}, not a MACE model")


def _facts(model: nn.Module) -> Dict[str, Any]:
    from ase.data import chemical_symbols

    return {
        "model_class": type(model).__name__,
        "n_parameters": sum(parameter.numel() for parameter in model.parameters()),
        "elements": tuple(chemical_symbols[int(z)] for z in model.atomic_numbers),
        "heads": tuple(heads_of(model)),
        "dtype": str(dtype_of(model)).replace("torch.", ""),
    }


def _rebuild(path: str, model: nn.Module) -> Tuple[nn.Module, Tuple[str, ...]]:
    """Returns the model constructed anew with its state, and the buffers that the old one does not have."""
    from mace.tools.scripts_utils import extract_config_mace_model

    with default_dtype(dtype_of(model)):
        try:
            config = extract_config_mace_model(model)
            if "error" in config:
                raise ModelError(f"{path}: MACE cannot rebuild a {type(model).__name__} ({config['error']})")
            rebuilt = type(model)(**config)
            missing, unexpected = rebuilt.load_state_dict(model.state_dict(), strict=False)
        except ModelError:
            raise
        except Exception as error:
            kind = type(model).__name__
            raise ModelError(
                f"{path}: MACE cannot rebuild this {kind} ({first_line(error, with_item=True)})"
            ) from error
    lost = sorted({*unexpected, *(set(missing) & {name for name, _ in rebuilt.named_parameters()})})
    if lost:
        raise ModelError(
            f"{path}: MACE does not rebuild the same model; old and new do not share {_listed(lost)}"
        )
    _keep_precision(model, rebuilt)
    old = dict(model.named_parameters())
    for name, parameter in rebuilt.named_parameters():
        parameter.requires_grad_(old[name].requires_grad)
    return rebuilt.train(model.training), tuple(sorted(missing))


def _keep_precision(model: nn.Module, rebuilt: nn.Module) -> None:
    """Gives tensors whose precision is not that of the first parameter their own one back."""
    new = {**dict(rebuilt.named_parameters()), **dict(rebuilt.named_buffers())}
    for name, value in model.state_dict().items():
        if value.is_floating_point() and new[name].is_floating_point() and new[name].dtype != value.dtype:
            new[name].data = value.clone()


def _check_state(path: str, model: nn.Module, written: nn.Module) -> None:
    """Checks that the file written holds every number of the old model.

    It may hold more: e3nn multiplies constants of generated code together while it unpickles them.
    """
    new = written.state_dict()
    wrong = [name for name, value in model.state_dict().items() if not _same(value, new.get(name))]
    if wrong:
        raise ModelError(
            f"{path}: did not arrive whole in the new file: {_listed(wrong)}; please report this"
        )


def _same(old: Tensor, new: Optional[Tensor]) -> bool:
    if new is None or new.shape != old.shape:
        return False
    # MACE 0.3.4 kept the exponent of the cutoff as a float; it is an integer now.
    kept = old.dtype == new.dtype or not new.is_floating_point()
    return kept and torch.equal(old, new.to(old.dtype))


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
