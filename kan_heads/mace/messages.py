"""One line instead of a traceback in MACE's programs."""

import os
import sys
import traceback
from types import TracebackType
from typing import Optional, Type

from kan_heads.errors import ModelError, exit_with_one_line, runs_in

_PROGRAMS = ("mace_", "mace/cli/")


def speak_in_one_line() -> None:
    """Makes MACE's programs print our errors, and what to do about a model of e3nn 0.4, as one line.

    In any other process, and for any other error, nothing changes.
    """
    if not runs_in(*_PROGRAMS) or getattr(sys.excepthook, "explains_old_models", False):
        return
    exit_with_one_line(*_PROGRAMS)
    previous = sys.excepthook

    def hook(kind: Type[BaseException], error: BaseException, trace: Optional[TracebackType]) -> None:
        if _reads_old_code(error, trace):
            error = ModelError(
                f"{_foundation_model(trace)}: saved under another e3nn than the one that is installed; if "
                "you trust it, run `kan-heads migrate-mace OLD.model NEW.model --trust` and use NEW.model"
            )
            kind = ModelError
        previous(kind, error, trace)

    hook.explains_old_models = hook.one_line = True
    sys.excepthook = hook


def _reads_old_code(error: BaseException, trace: Optional[TracebackType]) -> bool:
    """Tells whether e3nn failed to read the code that it had stored in a model."""
    last = traceback.extract_tb(trace)[-1:]
    at_fault = bool(last) and last[0].filename.replace(os.sep, "/").endswith("e3nn/util/codegen/_mixin.py")
    return at_fault and isinstance(error, ValueError)


def _foundation_model(trace: Optional[TracebackType]) -> str:
    """Returns the file that MACE was reading, from its arguments."""
    for frame, _ in traceback.walk_tb(trace):
        path = getattr(frame.f_locals.get("args"), "foundation_model", None)
        if path is not None:
            return str(path)
    return "the model"
