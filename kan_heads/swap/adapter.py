"""The protocol between a model and ``kan_heads.swap``: what a backbone has to tell."""

import abc
import contextlib
import dataclasses
import difflib
import fnmatch
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    ClassVar,
    Dict,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    NoReturn,
    Optional,
    Tuple,
    Type,
)

import torch
from torch import Tensor

from kan_heads.errors import ConfigError, ModelError, unknown_name
from kan_heads.kan import KAN
from kan_heads.swap.config import SwapConfig

if TYPE_CHECKING:
    from ase import Atoms

#: Decides by module path and module whether an MLP is in a scope.
Scope = Callable[[str, torch.nn.Module], bool]


class MLPWeights(NamedTuple):
    """A trained MLP as :meth:`kan_heads.kan.KAN.from_mlp` takes it.

    Args:
        weights: of each layer, first layer first, shape ``(out, in)``, every constant factor included.
        biases: of each layer, shape ``(out,)`` or ``None``; ``None`` if there are none at all.
        nonlinearity: what stands between the layers, one of :data:`kan_heads.kan.layer.BASE_FUNCTIONS`;
            ``None`` if nothing does.
    """

    weights: List[Tensor]
    biases: Optional[List[Optional[Tensor]]]
    nonlinearity: Optional[str]


@dataclasses.dataclass(frozen=True)
class Features:
    """What went through a readout in one pass, see :meth:`Adapter.features`.

    Args:
        rows: what a row stands for: ``atoms``, ``edges`` or ``triplets``.
        x: the readout's inputs, shape ``(n_rows, n_features)``, attached to the graph of autograd.
        y: its outputs, shape ``(n_rows, n_outputs)``, attached as well.
    """

    rows: str
    x: Tensor
    y: Tensor

    def factors(self, output: Tensor) -> Tensor:
        r"""Returns the factors :math:`w` of :math:`E = \sum_r w_r y_r + \text{rest}`.

        An output is linear in what a readout returns; scales of types, norms of sums, envelopes and the
        choice of a head are all in its derivative by that.

        Args:
            output: a number that the same pass has made, such as a total energy. The pass must keep its
                graph; models that differentiate by themselves do so in training mode.

        Returns:
            Shape ``(n_rows, n_outputs)``, in units of the output over those of ``y``; differentiable.
        """
        return torch.autograd.grad(output, self.y, create_graph=True)[0]


class Adapter(abc.ABC):
    """What a kind of model tells about its MLPs; holds no state.

    A subclass has a ``name`` and says by :meth:`fits` which models it knows, by :meth:`find` what a KAN can
    replace, by :meth:`dims` and :meth:`read` what such an MLP is, by :meth:`scopes` what its users call them,
    and by :meth:`readouts` where the output comes from. The page ``docs/new-backbone.md`` shows a whole one.

    Classes of a model are compared by name: a packaged model brings copies of them.
    """

    #: What messages call the backbone.
    name: ClassVar[str]
    #: The record of its settings; a backbone with more options than scope and layers extends it.
    settings: ClassVar[Type[SwapConfig]] = SwapConfig
    #: What may stand in front of a module path and is left out of messages and patterns.
    wrappers: ClassVar[Tuple[str, ...]] = ()

    @abc.abstractmethod
    def fits(self, model: torch.nn.Module) -> bool:
        """Tells whether this adapter knows the model."""

    @abc.abstractmethod
    def find(self, model: torch.nn.Module) -> Dict[str, torch.nn.Module]:
        """Lists the MLPs that a KAN can replace, by module path."""

    @abc.abstractmethod
    def dims(self, mlp: torch.nn.Module) -> List[int]:
        """Returns the widths of an MLP from input to output."""

    @abc.abstractmethod
    def read(self, mlp: torch.nn.Module) -> MLPWeights:
        """Reads a trained MLP.

        Raises:
            ModelError: if it is built in a way that no KAN can start out equal to.
        """

    def scopes(self) -> Mapping[str, Scope]:
        """Returns what each name of a scope stands for."""
        return {"all": lambda path, mlp: True}

    def readouts(self, model: torch.nn.Module) -> Dict[str, str]:
        """Lists the modules, MLP or KAN, whose outputs the model only scales and sums.

        Returns:
            What the rows of each stand for (``atoms``, ``edges``, ``triplets``), by module path.
        """
        return {}

    def complete(self, model: torch.nn.Module, config: SwapConfig) -> SwapConfig:
        """Returns the settings with what only the model tells, after a check of what a model can bear.

        Raises:
            ConfigError: if the settings do not fit the model.
        """
        config.kan.check_smooth()
        return config

    def run(self, model: torch.nn.Module, batch: Any) -> Any:
        """Evaluates a batch, as whoever trains the model holds it, so that hooks see every module."""
        return model(batch)

    def structure(self, model: torch.nn.Module, atoms: "Atoms") -> Any:
        """Returns a structure as :meth:`energy` takes it.

        Args:
            model: the model that it is for.
            atoms: a structure of ASE; its labels are left out.

        Raises:
            ModelError: if the backbone cannot be given structures.
            DataError: if the structure does not fit the model.
        """
        raise ModelError(f"models of {self.name} cannot be given structures of ASE here")

    def energy(self, model: torch.nn.Module, structure: Any) -> Tuple[Tensor, Tensor, Tensor]:
        """Evaluates the energy of one structure, so that it can be differentiated more than once.

        Args:
            model: any model that :meth:`fits`.
            structure: what :meth:`structure` has returned.

        Returns:
            The energy in eV, a number; the positions that it depends on in Angstrom, shape ``(n_atoms, 3)``;
            and a symmetric strain of positions and cell, zeros of shape ``(3, 3)``.
        """
        raise ModelError(f"models of {self.name} cannot be given structures of ASE here")

    def short_path(self, path: str) -> str:
        """Drops the wrappers in front of a module path."""
        while path.startswith(self.wrappers) and self.wrappers:
            path = path.split(".", 1)[1]
        return path

    def matches(self, path: str, pattern: str) -> bool:
        """Tells whether a module path is meant by a pattern of a user."""
        return fnmatch.fnmatchcase(self.short_path(path), self.short_path(pattern))

    def select(self, model: torch.nn.Module, scope: Any) -> Dict[str, torch.nn.Module]:
        """Returns the MLPs in a scope, by module path.

        Args:
            model: the model.
            scope: the name of a scope, a module path, or a tuple of paths; paths may hold wildcards.

        Raises:
            ConfigError: if nothing matches; the message lists what there is.
        """
        mlps, scopes = self.find(model), self.scopes()
        if isinstance(scope, str) and scope in scopes:
            chosen = {path: mlp for path, mlp in mlps.items() if scopes[scope](path, mlp)}
            return chosen or self._refuse(model, scope)
        chosen = {}
        for pattern in (scope,) if isinstance(scope, str) else scope:
            found = {path: mlp for path, mlp in mlps.items() if self.matches(path, pattern)}
            if not found and isinstance(scope, str) and difflib.get_close_matches(scope, scopes):
                raise unknown_name("kan.scope", scope, [*scopes, "a list of module paths"])
            chosen.update(found or self._refuse(model, pattern))
        return chosen

    def _refuse(self, model: torch.nn.Module, wanted: str) -> NoReturn:
        there_is = ", ".join(map(self.short_path, self.find(model))) or "none"
        kans = ", ".join(map(self.short_path, kans_of(model)))
        already = f"; it holds KANs already: {kans}" if kans else ""
        raise ConfigError(
            f"kan.scope: {wanted!r} matches no MLP of this model; there are: {there_is}{already}; scopes of "
            f"{self.name}: {', '.join(self.scopes())}"
        )

    def replace(self, model: torch.nn.Module, config: SwapConfig, keep_function: bool) -> List[str]:
        """Puts KANs in place of the MLPs in scope; see :func:`kan_heads.swap.replace_mlps`."""
        kans = {}
        for path, mlp in self.select(model, config.scope).items():
            try:
                kans[path] = self.make(mlp, config, keep_function)
            except (ConfigError, ModelError) as error:
                raise type(error)(f"{self.short_path(path)}: {error}") from error
        # All are made before the first is put: a failure leaves the model as it was.
        put(model, kans)
        return list(kans)

    def make(self, mlp: torch.nn.Module, config: SwapConfig, keep_function: bool) -> torch.nn.Module:
        """Builds what takes the place of an MLP."""
        if keep_function:
            return KAN.from_mlp(*self.read(mlp), config.kan).train(mlp.training)
        dims = self.dims(mlp)
        hidden = dims[1:-1] if config.kan.hidden is None else config.kan.hidden
        kan = KAN([dims[0], *hidden, dims[-1]], config.kan)
        return kan.to(next(mlp.parameters())).train(mlp.training)

    @contextlib.contextmanager
    def features(self, model: torch.nn.Module) -> Iterator[Dict[str, Features]]:
        """Records what goes through the readouts while it lasts.

        Only modules that are called themselves are seen, not those inside a compiled model.

        Args:
            model: any model that :meth:`fits`.

        Yields:
            The :class:`Features` of the last pass, by the paths of :meth:`readouts`; filled by that pass.
        """
        seen: Dict[str, Features] = {}
        hooks = []
        for path, rows in self.readouts(model).items():

            def keep(_: Any, args: Any, y: Tensor, path: str = path, rows: str = rows) -> None:
                seen[path] = Features(rows, args[0], y)

            hooks.append(model.get_submodule(path).register_forward_hook(keep))
        try:
            yield seen
        finally:
            for hook in hooks:
                hook.remove()


def kans_of(model: torch.nn.Module) -> Dict[str, KAN]:
    """Returns the KANs of a model by module path, also those out of a package, whose class is a copy."""
    return {
        path: module
        for path, module in model.named_modules()
        if any(kind.__name__ == KAN.__name__ for kind in type(module).__mro__)
    }


def put(model: torch.nn.Module, parts: Mapping[str, torch.nn.Module]) -> None:
    """Sets modules at module paths, and wherever else the model holds the modules that stood there."""
    new = {id(model.get_submodule(path)): part for path, part in parts.items()}
    for parent in list(model.modules()):
        for name, child in list(parent._modules.items()):
            if id(child) in new:
                setattr(parent, name, new[id(child)])
