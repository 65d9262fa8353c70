"""What a layer keeps beside its parameters, so that weights are never read as those of other functions.

A state dict holds numbers; which functions they belong to is recorded in it too, as the layer's extra state.
States and pickled modules of releases that knew no such record keep loading.
"""

import json
from typing import Any, Dict, List, Mapping

import torch
from torch import Tensor

from kan_heads.errors import ModelError

_RECORD = "_extra_state"  # where torch puts what get_extra_state returns
_UNIT = "unit"


class Recorded:
    """Base of a layer whose state names its functions.

    The layer has a method ``functions`` that returns a dictionary of plain values, and a buffer ``unit``
    that is ``None`` where coefficients are in units of their values.
    """

    def get_extra_state(self) -> Tensor:
        """Returns the record as bytes, since programs expect tensors in a state dict."""
        record = json.dumps(self.functions(), sort_keys=True)
        return torch.tensor(list(record.encode()), dtype=torch.uint8)

    def set_extra_state(self, state: Tensor) -> None:
        """Does nothing: the record has been compared before anything was loaded."""

    def _load_from_state_dict(
        self,
        state_dict: Dict[str, Any],
        prefix: str,
        local_metadata: Mapping[str, Any],
        strict: bool,
        missing_keys: List[str],
        unexpected_keys: List[str],
        error_msgs: List[str],
    ) -> None:
        record = state_dict.get(prefix + _RECORD)
        if record is not None:
            self._refuse_others(record, prefix)
        unit = state_dict.get(prefix + _UNIT)
        if unit is not None and self.unit is None:
            self.unit = torch.ones_like(self.coefficients[0]).detach()
        elif unit is None and self.unit is not None:
            self.unit.fill_(1.0)
        arguments = (local_metadata, strict, missing_keys, unexpected_keys, error_msgs)
        super()._load_from_state_dict(state_dict, prefix, *arguments)
        for name, value in ((_RECORD, record), (_UNIT, unit)):
            if value is None and prefix + name in missing_keys:
                missing_keys.remove(prefix + name)

    def _refuse_others(self, record: Tensor, prefix: str) -> None:
        # Whole numbers, also where somebody has cast every tensor of the state to another precision.
        found = json.loads(bytes(int(byte) for byte in record.tolist()).decode())
        mine = self.functions()
        differ = [name for name in found if name in mine and found[name] != mine[name]]
        if differ:
            what = "; ".join(f"{name} {found[name]}, here {mine[name]}" for name in differ)
            raise ModelError(
                f"{prefix.rstrip('.') or 'KANLayer'}: the weights are those of other functions ({what}); "
                "build the model with the options that they were trained with"
            )

    def __setstate__(self, state: Dict[str, Any]) -> None:
        """Brings a layer that an earlier release has pickled into the present form."""
        super().__setstate__(state)
        self.__dict__.setdefault("slope_units", False)
        self._buffers.setdefault(_UNIT, None)
