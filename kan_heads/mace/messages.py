"""One line instead of a traceback where ``mace_run_train`` meets a model file of an older e3nn."""

import os
import sys
import traceback
from types import TracebackType
from typing import Optional, Type

from kan_heads.errors import ModelError


def explain_old_models() -> None:
    """Makes MACE's programs say what to do about a model that was saved under e3nn 0.4.

    In any other process, and for any other error, nothing changes.
    """
    if not os.path.basename(sys.argv[0]).startswith("mace_"):
        return
    previous = sys.excepthook

    def hook(kind: Type[BaseException], error: BaseException, trace: Optional[TracebackType]) -> None:
        if _reads_old_code(error, trace):
            error = ModelError(
                f"{_foundation_model(trace)}: saved under another e3nn than the one that is installed; run "
                "`kan-heads migrate-mace OLD.model NEW.model` and use NEW.model"
            )
            kind = ModelError
        previous(kind, error, trace)

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
