"""What torch offers under private names only; every such call of kan-heads stands here.

Layers were tried with torch 2.6, 2.10, 2.13 and 2.14.1, compiled models and archives with 2.13. What the
layers ask has a fall-back where a release lacks it, and a wrong guess costs speed, never a number: whoever is
told that something follows the operations runs plain formulas. The rest fails with torch's own error.
"""

import functools
import warnings
from typing import Any, Callable, List, Optional

import torch
from torch import Tensor

__all__ = ["archived_names", "follows_operations", "has_memory", "load_aotinductor", "will_run"]


def follows_operations(x: Tensor) -> bool:
    """Tells whether something follows operations on x one by one, and may not be handed a kernel.

    This is so in TorchScript and make_fx tracing, torch.compile and export, torch.func transforms and
    forward-mode differentiation.
    """
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return True
    return _proxied() or _transformed(x) or _forward_mode()


def has_memory(*tensors: Optional[Tensor]) -> bool:
    """Tells whether all tensors have an address; those inside a ``vmap``, old or new, have none."""
    for tensor in tensors:
        try:
            if tensor is not None and tensor.data_ptr() == 0 and tensor.numel() > 0:
                return False
        except (NotImplementedError, RuntimeError):
            return False
    return True


def will_run(node: Any) -> bool:
    """Tells whether the backward pass that is running will visit a node of the graph.

    ``needs_input_grad`` is true for parameters in a pass for forces too, where their gradients are
    computed and thrown away. Where torch does not tell, they are computed.
    """
    try:
        return torch._C._will_engine_execute_node(node)
    except (AttributeError, RuntimeError, TypeError):
        return True


def load_aotinductor(path: str) -> Callable[..., Any]:
    """Loads a package that AOTInductor compiled for the device at hand."""
    return torch._inductor.aoti_load_package(path)


def archived_names(path: str) -> List[str]:
    """Lists what a zip archive of ``torch.save`` or ``torch.jit.save`` holds, as ``torch.load`` would see it.

    Raises:
        RuntimeError: if it is damaged.
    """
    return torch._C.PyTorchFileReader(path).get_all_records()


def _proxied() -> bool:
    """Tells whether make_fx is recording."""
    mode = _get_proxy_mode()
    return mode is None or mode() is not None


@functools.cache
def _get_proxy_mode() -> Optional[Callable[[], Any]]:
    # Imported late: it takes half a second, and whoever traces has it already.
    try:
        from torch.fx.experimental.proxy_tensor import get_proxy_mode
    except ImportError:
        warnings.warn(
            f"kan-heads: torch {torch.__version__} does not say whether make_fx is recording; KAN layers run "
            "on plain formulas, 10 to 30 times slower. Use a release of torch that the README names.",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    return get_proxy_mode


def _transformed(x: Tensor) -> bool:
    """Tells whether a transform of torch.func is at work."""
    try:
        return torch._C._functorch.peek_interpreter_stack() is not None
    except AttributeError:
        return not has_memory(x)


def _forward_mode() -> bool:
    """Tells whether a level of forward-mode differentiation is open."""
    try:
        return torch.autograd.forward_ad._current_level >= 0
    except AttributeError:  # an operation that has no forward mode says so itself
        return False
