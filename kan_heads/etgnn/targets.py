"""What a saved model says about its tensor, and how such a model is compiled."""

from typing import Optional

import torch


def find_network(model: torch.nn.Module) -> Optional[torch.nn.Module]:
    """Finds the module of a model that makes a tensor.

    It goes by the attributes ``tensor_field`` and ``per``, not by the class, since a packaged model brings
    copies of the classes.

    Args:
        model: any model of the nequip framework.

    Returns:
        The module, or ``None`` if the model predicts no tensor.
    """
    for module in model.modules():
        if isinstance(getattr(module, "tensor_field", None), str) and hasattr(module, "per"):
            return module
    return None


def register_target(field: str) -> str:
    """Makes a tensor a target of ``nequip-compile``, with the inputs of the target ``ase``.

    Args:
        field: name of the tensor.

    Returns:
        The name of the target, which is that of the field.
    """
    from nequip.scripts import _compile_utils as utils

    utils.register_compile_targets({field: {**utils.ASE_TARGET, "output": [field]}})
    return field
