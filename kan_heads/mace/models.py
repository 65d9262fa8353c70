"""MACE models with KANs: made out of a stock model, and rebuilt wherever MACE rebuilds one."""

import contextlib
import copy
import re
from typing import Any, Mapping, Optional

import mace  # noqa: F401  before e3nn, whose release 0.4 needs a setting that mace makes
import torch
from e3nn import o3
from e3nn.util.jit import compile_mode
from mace import modules

from kan_heads.errors import ModelError
from kan_heads.mace import epochs, readouts, sites
from kan_heads.mace.messages import speak_in_one_line
from kan_heads.mace.settings import MACEKANConfig

speak_in_one_line()


__all__ = ["ScaleShiftMACE", "record_of", "restore", "to_kan"]


@readouts.serve
@compile_mode("script")
class ScaleShiftMACE(modules.ScaleShiftMACE):
    """MACE's model of that name with KANs; MACE's own code knows its kind by the name.

    Do not construct it: :func:`to_kan` makes it out of a stock model. MACE calls the constructor with what
    ``extract_config_mace_model`` has read from such a model.
    """

    def __init__(self, *args: Any, readout_cls: Optional[type] = None, **kwargs: Any) -> None:
        settings = getattr(readout_cls, "settings", None)
        if settings is None:
            raise ModelError("a KAN model of MACE is made by kan_heads.mace.models.to_kan")
        super().__init__(*args, readout_cls=readout_cls.stock_class, **kwargs)
        sites.insert(self, settings)

    def kan_settings(self) -> MACEKANConfig:
        """Returns where the KANs are and what they are made of."""
        return type(self.readouts[-1]).settings

    def select_head(self, index: int) -> "ScaleShiftMACE":
        """Returns a model of one head only, with the predictions of that head.

        Args:
            index: place of the head in ``heads``.
        """
        from mace.tools.scripts_utils import remove_pt_head

        settings = self.kan_settings()
        single = to_kan(remove_pt_head(_stock_twin(self), self.heads[index]), settings)
        single = single.to(next(self.parameters()))
        for mine, its in zip(self.readouts, single.readouts, strict=True):
            its.kans[0] = copy.deepcopy(mine.kans[index])
            if hasattr(mine, "linear_kan"):
                weight = mine.linear_kan.weight.detach().reshape(-1, len(self.heads), settings.features)
                with torch.no_grad():
                    its.linear_kan.weight.copy_(weight[:, index].flatten())
        _copy_radial(self, single)
        return single

    def after_epoch(self, epoch: int, train_loader: Any, rank: int = 0, ema: Any = None, **more: Any) -> None:
        """Logs what of the KANs' inputs lies off their grids; the patched ``train`` of MACE calls this.

        Args:
            epoch: number of the epoch whose validation and checkpoint are done.
            train_loader: MACE's loader; only its data set is read, so no random state moves.
            rank: of this process; the first one logs.
            ema: the average of the weights that was validated, if MACE keeps one.
            more: what else MACE passes: ``valid_loaders``, ``optimizer``, ``loss_fn``.
        """
        if rank == 0:
            with contextlib.nullcontext() if ema is None else ema.average_parameters():
                epochs.log_off_grid(self, epoch, train_loader)

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Loads weights as usual.

        Raises:
            ModelError: if they belong to other functions, whatever their shapes, or were cut by an unpatched
                MACE, which does not know KANs with several heads.
        """
        found, expected = record_of(state_dict), self.kan_settings().record()
        if found is not None and found != expected:
            if len(found) < len(expected) and found in expected:
                raise ModelError(
                    "the weights of one head were cut out of a KAN model by a MACE that is not patched; run "
                    "`kan-heads patch apply mace` first"
                )
            raise ModelError(f"the weights are those of KANs {found}, the model has {expected}")
        return super().load_state_dict(state_dict, *args, **kwargs)


def record_of(state_dict: Mapping[str, Any]) -> Optional[str]:
    """Returns what kind of KANs weights belong to, ``None`` for those of a stock model."""
    records = (value for name, value in state_dict.items() if name.endswith(".record"))
    record = next(records, None)
    return None if record is None else bytes(record.tolist()).decode()


def to_kan(
    model: torch.nn.Module,
    settings: MACEKANConfig,
    features: Optional[int] = None,
    keep_function: bool = True,
) -> ScaleShiftMACE:
    """Puts KANs into a stock model, in place.

    Args:
        model: MACE's ``ScaleShiftMACE``, fresh or trained.
        settings: where the KANs go and what they are made of.
        features: width of the features of each readout, for each head; the last readout's if ``None``.
        keep_function: start with the predictions of ``model``; without it the readouts' KANs start
            random, as published.

    Returns:
        The same object, now a KAN model.

    Raises:
        ModelError: if the model is of another class or holds parts that cannot be extended.
        ConfigError: if the settings do not fit the model.
    """
    if isinstance(model, ScaleShiftMACE):
        raise ModelError("the model holds KANs already")
    if type(model).__name__ != modules.ScaleShiftMACE.__name__:
        raise ModelError(
            f"the model is a {type(model).__name__}; only ScaleShiftMACE, which --model MACE and --model "
            "ScaleShiftMACE build, can hold KANs"
        )
    if len(model.readouts) == 0:
        raise ModelError(
            "the model has no readout: one interaction, and --use_last_readout_only leaves it out"
        )
    if settings.features is None:
        found = sites.features(model) or features
        if not found:
            raise ModelError(
                "the readout has no scalar features for KANs; give it some, e.g. MLP_irreps 16x0e"
            )
        settings = settings.for_features(found)
    sites.insert(model, settings)
    if keep_function:
        sites.silence(model)
    model.__class__ = ScaleShiftMACE
    return model


def _stock_twin(model: ScaleShiftMACE) -> torch.nn.Module:
    """Returns a stock model with the weights of ``model`` where it has such parts."""
    from mace.tools.scripts_utils import extract_config_mace_model

    config = extract_config_mace_model(model)
    config["readout_cls"] = config["readout_cls"].stock_class
    twin = modules.ScaleShiftMACE(**config).to(next(model.parameters()))
    state = {re.sub(r"^(readouts\.\d+)\.stock\.", r"\1.", name): v for name, v in model.state_dict().items()}
    twin.load_state_dict(state, strict=False)
    return twin


def restore(model: ScaleShiftMACE, foundation: ScaleShiftMACE) -> None:
    """Gives the model that MACE has built for fine-tuning the KANs of its foundation model.

    MACE itself copies parameters of equal shape, but neither grids nor, for several heads, KAN readouts.
    Every head starts with the readout of the foundation's only head, as MACE does it with its own readouts;
    also with ``--foundation_filter_elements False``, for which MACE leaves its own ones new.
    """
    from mace.tools.finetuning_utils import load_foundations_elements
    from mace.tools.utils import AtomicNumberTable

    weight = next(model.parameters())
    twin = load_foundations_elements(
        _stock_twin(model),
        _stock_twin(foundation),
        AtomicNumberTable([int(z) for z in model.atomic_numbers]),
        load_readout=True,
        max_L=o3.Irreps(str(model.products[0].linear.irreps_out)).lmax,
        default_dtype=weight.dtype,
    )
    model.readouts.load_state_dict(twin.readouts.state_dict(), strict=False)
    for mine, its in zip(model.readouts, foundation.readouts, strict=True):
        for i in range(len(mine.kans)):
            mine.kans[i] = copy.deepcopy(its.kans[0]).to(weight)
        if hasattr(mine, "linear_kan"):
            columns = its.linear_kan.weight.detach().reshape(-1, mine.features)  # (n_channels, features)
            with torch.no_grad():
                mine.linear_kan.weight.copy_(columns.repeat(1, len(mine.kans)).flatten())
    _copy_radial(foundation, model)


def _copy_radial(source: ScaleShiftMACE, target: ScaleShiftMACE) -> None:
    """Copies the radial KANs, if there are any, into another model of the same settings."""
    if source.kan_settings().scope == "all":
        for its, mine in zip(source.interactions, target.interactions, strict=True):
            mine.conv_tp_weights = copy.deepcopy(its.conv_tp_weights).to(next(target.parameters()))
