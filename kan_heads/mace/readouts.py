"""Readouts of MACE with a KAN beside their linear map.

MACE rebuilds a model from the *classes* of its parts and nothing else (``extract_config_mace_model``), for
``torch.compile``, fine-tuning and the selection of a head. So each readout's class carries the settings
of its model: it is bound to them, as :func:`bound` tells, and pickles with them.
"""

import copyreg
import functools
from typing import Any, Dict, Mapping, Optional, Type

import mace  # noqa: F401  before e3nn, whose release 0.4 needs a setting that mace makes
import torch
from e3nn import o3
from e3nn.util.jit import compile_mode
from mace.modules.blocks import LinearReadoutBlock, NonLinearBiasReadoutBlock, NonLinearReadoutBlock
from mace.modules.irreps_tools import mask_head
from torch import Tensor

from kan_heads.errors import ModelError
from kan_heads.kan import KAN
from kan_heads.mace.settings import MACEKANConfig


class _Bindable(type):
    """Class of the readout classes: they may be bound to settings, and then pickle with these.

    Args:
        model_class: the model class that such readouts belong to, which sets it; MACE's patch asks for it.
    """

    model_class: type

    def __repr__(cls) -> str:
        bound_to = "" if cls.settings is None else f" {cls.settings.to_dict()}"
        return f"<class '{cls.__module__}.{cls.__qualname__}'{bound_to}>"


@functools.cache
def bound(block: type, settings: MACEKANConfig) -> type:
    """Returns the subclass of a readout class that carries ``settings``; always the same one."""
    body = {"settings": settings, "__module__": block.__module__, "__doc__": block.__doc__}
    return type(block)(block.__name__, (block,), body)


def _reduce(block: "_Bindable") -> Any:
    return block.__qualname__ if block.settings is None else (bound, (block.__base__, block.settings))


copyreg.pickle(_Bindable, _reduce)

#: The parts of a stock readout that hold weights.
_LINEAR_MAPS = ("linear", "linear_1", "linear_mid", "linear_2")


class _KANReadout(torch.nn.Module, metaclass=_Bindable):
    """A stock readout, kept as ``stock``, and one KAN for each head, on the head's own features.

    The linear maps of a stock readout are not found where MACE has them: a converter that reads them part by
    part, and knows no KANs, shall stop there and not leave the KANs out.

    Args:
        stock: the readout of MACE that it replaces.
        irreps_in: irreps of the node features.
        num_heads: number of heads of the model.
        signature_of_mace: what only MACE passes, which must not build such a readout.

    Source: Wang et al. 2024, Figure 4; their code, mace-kan.
    """

    settings: Optional[MACEKANConfig] = None
    stock_class: Type[torch.nn.Module] = NonLinearReadoutBlock

    def __init__(
        self, stock: torch.nn.Module, irreps_in: o3.Irreps, num_heads: int, *signature_of_mace: object
    ) -> None:
        super().__init__()
        if signature_of_mace or not isinstance(stock, torch.nn.Module):
            raise ModelError(
                "MACE builds a model of its own around a readout of a KAN model and would lose the other "
                "KANs; if MACE is not patched, run `kan-heads patch apply mace`; only --model MACE and "
                "--model ScaleShiftMACE can start from a KAN model"
            )
        if self.settings is None:
            raise TypeError(
                f"{type(self).__name__} must be bound to settings, see kan_heads.mace.readouts.bound"
            )
        self.stock = stock
        self._add_kans(num_heads, next(stock.parameters()))

    def _add_kans(self, num_heads: int, like: Tensor) -> None:
        settings = self.settings
        self.features = settings.features
        self.num_heads = num_heads
        # MACE reads the width of the features from here.
        self.hidden_irreps = o3.Irreps(f"{num_heads * settings.features}x0e")
        kans = [KAN(settings.widths, settings.kan) for _ in range(num_heads)]
        self.kans = torch.nn.ModuleList(kans).to(like)
        columns = torch.eye(num_heads).to(like)  # (n_heads, n_heads)
        self.register_buffer("columns", columns, persistent=False)
        # In the state too, so that weights are never read as those of other functions.
        self.register_buffer("record", torch.tensor(list(settings.record().encode()), dtype=torch.uint8))

    def __getattr__(self, name: str) -> Any:
        """Refuses the linear maps of the stock readout; MACE may read its non-linearity."""
        if name in _LINEAR_MAPS:
            raise AttributeError(
                f"{name}: this readout holds KANs, which a converter that reads MACE's own parts would lose; "
                f"the stock parts are at .stock (.stock.{name})"
            )
        if name == "non_linearity":
            return getattr(self.stock, name)
        return super().__getattr__(name)

    def __setstate__(self, state: Dict[str, Any]) -> None:
        """Brings readouts of release 0.1, which were stock readout and KANs in one, into the present form."""
        super().__setstate__(state)
        if "stock" in self._modules:
            return
        parts, own = dict(self._modules), {}
        for name in ("kans", "linear_kan"):
            if name in parts:
                own[name] = parts.pop(name)
        linear = "linear" in parts
        stock = _assembled(LinearReadoutBlock if linear else self.stock_class, parts)
        stock.training = self.training
        if not linear:
            stock.hidden_irreps, stock.num_heads = self.hidden_irreps, self.num_heads
        # The stock parts come first, as before: optimisers know parameters by their position.
        self._modules = {"stock": stock, **own}

    def _load_from_state_dict(
        self, state_dict: Dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        """Takes weights of release 0.1, and of a stock model, whose names lack ``stock``."""
        for name in [name for name in state_dict if name.startswith(prefix)]:
            part = name[len(prefix) :]
            if part.split(".")[0] in (*_LINEAR_MAPS, "non_linearity"):
                state_dict[f"{prefix}stock.{part}"] = state_dict.pop(name)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def _kan_energies(self, features: Tensor) -> Tensor:
        """Applies each head's KAN: (n_atoms, n_heads * features) -> (n_atoms, n_heads)."""
        if self.num_heads == 1:
            return self.kans[0](features)
        # A sum, not a stack: TorchScript's profiler drops gradients through lists of tensors.
        energies = torch.zeros_like(features[:, : self.num_heads])  # (n_atoms, n_heads)
        for head, kan in enumerate(self.kans):
            own = features[:, head * self.features : (head + 1) * self.features]  # (n_atoms, features)
            energies = energies + kan(own) * self.columns[head]
        return energies


def _assembled(block: Type[torch.nn.Module], parts: Mapping[str, torch.nn.Module]) -> torch.nn.Module:
    """Returns a stock readout of parts that exist, which its constructor would make anew."""
    stock = block.__new__(block)
    torch.nn.Module.__init__(stock)
    for name, part in parts.items():
        stock.add_module(name, part)
    return stock


@compile_mode("script")
class LinearKANReadoutBlock(_KANReadout):
    r"""Readout of an intermediate layer, :math:`W x + \mathrm{KAN}(W' x)`.

    :math:`W` is that of MACE's ``LinearReadoutBlock``.
    """

    def __init__(
        self, stock: torch.nn.Module, irreps_in: o3.Irreps, num_heads: int, *signature_of_mace: object
    ) -> None:
        super().__init__(stock, irreps_in, num_heads, *signature_of_mace)
        self.linear_kan = o3.Linear(irreps_in, self.hidden_irreps).to(next(stock.parameters()))

    def forward(self, x: Tensor, heads: Optional[Tensor] = None) -> Tensor:
        """Returns the energy of each atom for each head.

        Args:
            x: node features, shape ``(n_atoms, irreps_in.dim)``.
            heads: not used; each atom's own column is chosen by the model.

        Returns:
            Energies, shape ``(n_atoms, n_heads)``.
        """
        return self.stock(x) + self._kan_energies(self.linear_kan(x))


@compile_mode("script")
class NonLinearKANReadoutBlock(_KANReadout):
    r"""Readout of the last layer, :math:`W_2 h + \mathrm{KAN}(h)` with :math:`h = \sigma(W_1 x)`.

    :math:`W_1`, :math:`W_2` and :math:`\sigma` are those of MACE's ``NonLinearReadoutBlock``.
    """

    def forward(self, x: Tensor, heads: Optional[Tensor] = None) -> Tensor:
        """Returns the energy of each atom for each head.

        Args:
            x: node features, shape ``(n_atoms, irreps_in.dim)``.
            heads: head of each atom, shape ``(n_atoms,)``; only the features of that head count.

        Returns:
            Energies, shape ``(n_atoms, n_heads)``.
        """
        stock = self.stock
        h = self._masked(stock.non_linearity(stock.linear_1(x)), heads)  # (n_atoms, n_heads * features)
        return stock.linear_2(h) + self._kan_energies(h)

    def _masked(self, h: Tensor, heads: Optional[Tensor]) -> Tensor:
        if self.num_heads > 1 and heads is not None:
            return mask_head(h, heads, self.num_heads)
        return h


@compile_mode("script")
class NonLinearBiasKANReadoutBlock(NonLinearKANReadoutBlock):
    r"""The same beside MACE's readout with biases, :math:`h = \sigma(W_m \sigma(W_1 x) + b_m)`."""

    stock_class = NonLinearBiasReadoutBlock

    def forward(self, x: Tensor, heads: Optional[Tensor] = None) -> Tensor:
        """As that of :class:`NonLinearKANReadoutBlock`."""
        stock = self.stock
        h = self._masked(stock.non_linearity(stock.linear_1(x)), heads)  # (n_atoms, n_heads * features)
        h = self._masked(stock.non_linearity(stock.linear_mid(h)), heads)
        return stock.linear_2(h) + self._kan_energies(h)


def serve(model_class: type) -> type:
    """Tells all readouts which class of model they belong to; decorates that class."""
    _Bindable.model_class = model_class
    return model_class


_BY_STOCK_CLASS = {
    LinearReadoutBlock.__name__: LinearKANReadoutBlock,
    NonLinearReadoutBlock.__name__: NonLinearKANReadoutBlock,
    NonLinearBiasReadoutBlock.__name__: NonLinearBiasKANReadoutBlock,
}


def kan_readout(
    stock: torch.nn.Module, settings: MACEKANConfig, irreps_in: o3.Irreps, num_heads: int
) -> torch.nn.Module:
    """Builds the readout that replaces a stock one and takes over its weights.

    Raises:
        ModelError: if there is none for that class of readout.
    """
    name = type(stock).__name__
    if name not in _BY_STOCK_CLASS:
        raise ModelError(
            f"a readout is a {name}, which kan-heads cannot extend; known: {', '.join(_BY_STOCK_CLASS)}"
        )
    return bound(_BY_STOCK_CLASS[name], settings)(stock, irreps_in, num_heads)


def features_of(readout: torch.nn.Module, num_heads: int) -> Optional[int]:
    """Returns the number of features for each head of a readout, ``None`` for a linear one."""
    irreps = getattr(readout, "hidden_irreps", None)
    return None if irreps is None else o3.Irreps(str(irreps)).count((0, 1)) // num_heads
