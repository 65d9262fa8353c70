"""What the patch makes of MACE: nothing without kan-heads, hooks that kan-heads fills with it."""

import ast
import contextlib
import importlib.metadata
import py_compile
import re
import subprocess
import sys
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
from mace_site import FILES, MODEL_SCRIPT_UTILS, SCRIPTS_UTILS, TRAIN, find, needs_mace

from kan_heads.patching import State

pytestmark = needs_mace


def test_the_pin_of_e3nn_lets_both_frameworks_in(site):
    pins = [r for r in find_requirements(site) if r.startswith("e3nn")]
    assert pins == ["e3nn==0.4.4"]
    others = [r for r in find_requirements(site) if r not in pins]
    find(site).change(State.PATCHED)
    assert [r for r in find_requirements(site) if r not in others] == ["e3nn>=0.4.4,<0.7"]


def find_requirements(site):
    (found,) = importlib.metadata.distributions(name="mace-torch", path=[str(site)])
    return found.requires


def test_the_patched_files_compile(site, tmp_path):
    find(site).change(State.PATCHED)
    for name in FILES[:-1]:
        py_compile.compile(str(site / name), cfile=str(tmp_path / "out.pyc"), doraise=True)


def options(site, kan_heads):
    """What the parser of mace_run_train offers, next to a given kan_heads (``None``: not installed)."""
    if kan_heads is None:
        setting = "sys.modules['kan_heads'] = None"
    else:  # an editable installation would find what the given one lacks
        setting = (
            "sys.meta_path = [f for f in sys.meta_path if 'editable' not in getattr(f, '__module__', '')]"
        )
        setting += f"\nsys.path.insert(0, {str(kan_heads)!r})"
    code = (
        f"import sys\nsys.path.insert(0, {str(site)!r})\n{setting}\n"
        "from mace.tools.arg_parser import build_default_arg_parser as build\n"
        "print(*map(repr, build()._actions), sep='\\n')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=site, check=False)
    return re.sub(" at 0x[0-9a-f]+", "", done.stdout).splitlines(), done.stderr


def package(folder, arguments):
    """A kan_heads with the given ``mace/arguments.py``; without ``mace`` if that is ``None``."""
    root = folder / "kan_heads"
    root.mkdir()
    (root / "__init__.py").touch()
    if arguments is not None:
        (root / "mace").mkdir()
        (root / "mace/__init__.py").touch()
        (root / "mace/arguments.py").write_text(arguments)
    return folder


def test_the_options_are_the_same_without_kan_heads(site, tmp_path):
    before, errors = options(site, None)
    assert len(before) > 100, errors
    find(site).change(State.PATCHED)
    assert options(site, None) == (before, errors)
    assert options(site, package(tmp_path, None)) == (before, errors)


def test_kan_heads_adds_its_options(site, tmp_path):
    before, _ = options(site, None)
    find(site).change(State.PATCHED)
    fake = package(tmp_path, "def add_arguments(parser):\n    parser.add_argument('--kan', nargs=1)\n")
    after, errors = options(site, fake)
    assert after[:-1] == before, errors
    assert "--kan" in after[-1]


def test_an_error_inside_kan_heads_is_shown(site, tmp_path):
    find(site).change(State.PATCHED)
    _, errors = options(site, package(tmp_path, "import a_library_that_is_not_there\n"))
    assert "No module named 'a_library_that_is_not_there'" in errors


def function(site, file, name, **names):
    """One function of a patched file, without the imports of that file."""
    find(site).change(State.PATCHED)
    tree = ast.parse((site / file).read_text())
    (found,) = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name)
    found.returns = None
    for argument in found.args.args:
        argument.annotation = None
    exec(compile(ast.Module([found], []), file, "exec"), names)  # the point of this test
    return names[name]


def test_the_readout_class_names_the_model_class(site):
    build = function(
        site, MODEL_SCRIPT_UTILS, "_build_model", modules=SimpleNamespace(ScaleShiftMACE=lambda **_: "stock")
    )
    args = SimpleNamespace(model="FoundationMACE")
    plain, named = type("Plain", (), {}), type("Named", (), {"model_class": dict})
    assert build(args, None, {"readout_cls": plain, "r_max": 5.0}, None) == "stock"
    assert build(args, None, {"readout_cls": named, "r_max": 5.0}, None) == {
        "readout_cls": named,
        "r_max": 5.0,
    }


def test_a_model_that_can_selects_its_head_itself(site):
    class Stock:
        heads = ("pt_head", "Default")

    class Own(Stock):
        def select_head(self, index):
            return f"head {index}"

    def stop(model):
        raise LookupError("MACE's own way")

    remove = function(site, SCRIPTS_UTILS, "remove_pt_head", extract_config_mace_model=stop)
    assert remove(Own()) == "head 1"
    with pytest.raises(LookupError, match="own way"):
        remove(Stock())


class Arguments:
    """The arguments of mace_run_train, as far as ``configure_model`` looks at them."""

    loss, scaling, mean, std = "weighted", "std", 0.0, 1.0
    r_max, num_interactions, correlation, hidden_irreps = 5.0, 2, 3, "32x0e"

    def __getattr__(self, name):
        if name == "kan":
            raise AttributeError(name)


@pytest.mark.parametrize(
    ("kan", "expected"), [(None, "stock"), (False, "seen: stock"), (True, "seen: stock")]
)
def test_configure_model_asks_kan_heads_where_its_options_exist(site, monkeypatch, kan, expected):
    asked = SimpleNamespace(configure=lambda model, args, loader, foundation: f"seen: {model}")
    monkeypatch.setitem(sys.modules, "kan_heads.mace", SimpleNamespace(training=asked))
    monkeypatch.setitem(sys.modules, "kan_heads.mace.training", asked)
    irreps = MagicMock(return_value=[SimpleNamespace(mul=32)])
    names = {name: MagicMock() for name in ("logging", "modules")}
    configure = function(
        site,
        MODEL_SCRIPT_UTILS,
        "configure_model",
        **names,
        o3=SimpleNamespace(Irreps=irreps),
        _build_model=lambda *_: "stock",
    )
    args = Arguments()
    if kan is not None:
        args.kan = kan
    model, _ = configure(args, None, None, z_table=MagicMock())
    assert model == expected


def run_epochs(site, model, losses, **options):
    """MACE's loop over epochs with everything around it replaced; returns what happened, in order."""
    events, losses = options.pop("events", []), iter(losses)
    names = {
        "np": SimpleNamespace(inf=float("inf")),
        "nullcontext": contextlib.nullcontext,
        "logging": MagicMock(),
        "valid_err_log": MagicMock(),
        "evaluate": lambda **_: (next(losses), MagicMock()),
        "train_one_epoch": lambda epoch, **_: events.append(f"train {epoch}"),
        "CheckpointState": MagicMock(),
    }
    arguments = {
        **dict.fromkeys(["loss_fn", "device", "logger", "output_args", "optimizer"]),
        "train_loader": "the train loader",
        "valid_loaders": {"Default": "a valid loader"},
        "lr_scheduler": MagicMock(),
        "checkpoint_handler": SimpleNamespace(save=lambda epochs, **_: events.append(f"save {epochs}")),
        "start_epoch": 0,
        "patience": 10,
        "eval_interval": 1,
        "log_errors": "",
        "max_grad_norm": None,
    }
    function(site, TRAIN, "train", **names)(model, **{**arguments, **options})
    return events


class Watched:
    """A model that wants to be called."""

    def __init__(self):
        self.calls = []

    def after_epoch(self, **given):
        self.calls.append(given)


def test_a_model_that_asks_for_it_is_called_after_each_epoch(site):
    events, averages, calls = [], [], []

    @contextlib.contextmanager
    def average():
        averages.append("open")
        yield
        averages.pop()

    ema = SimpleNamespace(average_parameters=average)
    model = SimpleNamespace(after_epoch=lambda **given: calls.append((list(events), list(averages), given)))
    options = {"max_num_epochs": 2, "ema": ema, "optimizer": "an optimizer", "loss_fn": "a loss"}
    run_epochs(site, model, [9, 4, 3], events=events, **options)
    assert [call[:2] for call in calls] == [
        (["train 0", "save 0"], []),
        (["train 0", "save 0", "train 1", "save 1"], []),
    ], "the checkpoint comes first, and the weights are those that are trained, not their average"
    given = {
        "train_loader": "the train loader",
        "valid_loaders": {"Default": "a valid loader"},
        "loss_fn": "a loss",
        "optimizer": "an optimizer",
        "ema": ema,
        "rank": 0,
    }
    assert [call[2] for call in calls] == [{"epoch": 0, **given}, {"epoch": 1, **given}]


def test_epochs_without_validation_are_passed_over(site):
    model = Watched()
    run_epochs(site, model, [9, 4, 3], max_num_epochs=4, eval_interval=2)
    assert [call["epoch"] for call in model.calls] == [0, 2]


def test_an_early_second_stage_does_not_change_the_number_of_the_epoch(site):
    model, swa = Watched(), SimpleNamespace(start=5, loss_fn=None, model=MagicMock(), scheduler=MagicMock())
    run_epochs(site, model, [9, 4, 5, 1], max_num_epochs=7, patience=1, swa=swa)
    assert [call["epoch"] for call in model.calls] == [0, 1, 6]


def test_a_stock_model_trains_as_before(site):
    events = run_epochs(site, object(), [9, 4, 5, 3], max_num_epochs=3)
    assert events == ["train 0", "save 0", "train 1", "train 2", "save 2"]
