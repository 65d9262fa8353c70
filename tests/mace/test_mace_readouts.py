"""What other programs find in a KAN readout, and models and weights of release 0.1."""

import copy
import io
import pickle

import mace_models
import pytest
import torch
from e3nn.util import jit
from mace.modules.blocks import LinearReadoutBlock, NonLinearBiasReadoutBlock, NonLinearReadoutBlock
from mace.tools.checkpoint import CheckpointHandler, CheckpointState
from mace.tools.scripts_utils import extract_config_mace_model, extract_model

pytestmark = pytest.mark.usefixtures("double")

#: The parameters of a small model in release 0.1, in their order.
OF_0_1 = [
    "readouts.0.linear.weight",
    "readouts.0.kans.0.layers.0.coefficients",
    "readouts.0.kans.1.layers.0.coefficients",
    "readouts.0.linear_kan.weight",
    "readouts.1.linear_1.weight",
    "readouts.1.linear_mid.weight",
    "readouts.1.linear_mid.bias",
    "readouts.1.linear_2.weight",
    "readouts.1.linear_2.bias",
    "readouts.1.kans.0.layers.0.coefficients",
    "readouts.1.kans.1.layers.0.coefficients",
]
HEADS = ("a", "b")
READOUTS = {"plain": {}, "biases": {"readout_cls": NonLinearBiasReadoutBlock}, "heads": {"heads": HEADS}}
SMALL = {"hidden_irreps": mace_models.o3.Irreps("4x0e"), "max_ell": 1, "radial_MLP": [4]}


def small(kind="plain", seed=0, **changes):
    return mace_models.kan(seed=seed, **SMALL, **READOUTS[kind], **changes)


def predict(model):
    heads = tuple(model.heads) if hasattr(model, "heads") else ("Default",)
    return mace_models.predict(model, mace_models.crystal(), heads=heads, head=heads[-1])


def old_names(state):
    """The weights as release 0.1 has named them."""
    return {name.replace(".stock.", "."): value.clone() for name, value in state.items()}


def as_of_0_1(model):
    """The bytes of a model whose readouts hold the stock parts as their own, as those of release 0.1."""
    model = copy.deepcopy(model)
    for readout in model.readouts:
        modules = dict(readout._modules)
        readout._modules = {**modules.pop("stock")._modules, **modules}
    return pickle.dumps(model)


@pytest.mark.parametrize(
    ("kind", "index", "names", "block"),
    [
        ("plain", 0, ["linear"], LinearReadoutBlock),
        ("plain", 1, ["linear_1", "linear_2"], NonLinearReadoutBlock),
        ("biases", 1, ["linear_1", "linear_mid", "linear_2"], NonLinearBiasReadoutBlock),
    ],
)
def test_a_converter_that_reads_maces_parts_is_stopped(kind, index, names, block):
    readout = small(kind).readouts[index]
    for name in names:
        message = rf"{name}: this readout holds KANs, .* would lose; the stock parts are at \.stock"
        with pytest.raises(AttributeError, match=message):
            _ = getattr(readout, name).weight
        assert getattr(readout.stock, name).weight.numel() > 0
    assert type(readout.stock) is block
    with pytest.raises(AttributeError, match="has no attribute 'linear_3'"):
        _ = readout.linear_3


def test_the_stock_parts_alone_are_the_stock_readout():
    """With silent KANs the whole readout is what stands at ``stock``."""
    model = mace_models.kan(stir=False, **SMALL)
    x = torch.randn(5, 4)
    for readout in model.readouts:
        assert torch.equal(readout(x), readout.stock(x))


def test_parameters_stand_in_the_order_of_release_0_1():
    """Optimisers know the parameters of a checkpoint by their position."""
    model = mace_models.kan(heads=HEADS, readout_cls=NonLinearBiasReadoutBlock, **SMALL)
    names = [name for name, _ in model.named_parameters() if name.startswith("readouts.")]
    assert [name.replace(".stock.", ".") for name in names] == OF_0_1
    assert names[0] == "readouts.0.stock.linear.weight"


@pytest.mark.parametrize("kind", READOUTS)
def test_mace_reads_the_gate_and_the_widths_and_rebuilds_the_model(kind):
    model = small(kind, gate=torch.tanh)
    of_stock = extract_config_mace_model(mace_models.stock(gate=torch.tanh, **SMALL, **READOUTS[kind]))
    found = extract_config_mace_model(model)
    assert found["gate"] is of_stock["gate"] is torch.tanh
    assert found["MLP_irreps"] == of_stock["MLP_irreps"]
    assert mace_models.difference(predict(model), predict(extract_model(model))) == 0.0


@pytest.mark.parametrize("kind", READOUTS)
def test_models_of_release_0_1_load_and_go_on(kind):
    model = small(kind)
    expected = predict(model)
    content = as_of_0_1(model)
    old = pickle.loads(content)
    assert mace_models.difference(expected, predict(old)) == 0.0
    assert [name for name, _ in old.named_parameters()] == [name for name, _ in model.named_parameters()]
    for mine, its in zip(model.readouts, old.readouts, strict=True):
        assert type(its.stock) is type(mine.stock)
    again = pickle.loads(pickle.dumps(old))
    rebuilt = extract_model(old)
    file = io.BytesIO()
    torch.jit.save(jit.compile(copy.deepcopy(old)), file)
    file.seek(0)
    for other in (again, rebuilt):
        assert mace_models.difference(expected, predict(other)) == 0.0
    scripted = mace_models.predict(
        torch.jit.load(file), mace_models.crystal(), heads=tuple(model.heads), head=model.heads[-1]
    )
    assert mace_models.difference(expected, scripted) < 1e-11


@pytest.mark.parametrize("kind", READOUTS)
def test_weights_of_release_0_1_load(kind):
    model, other = small(kind), small(kind, seed=5)
    state = old_names(model.state_dict())
    assert not [name for name in state if ".stock." in name]
    other.load_state_dict(state)
    assert not [name for name in state if ".stock." in name], "the caller's weights stay as they are"
    assert mace_models.difference(predict(model), predict(other)) == 0.0
    state["readouts.0.linear_9.weight"] = torch.zeros(1)
    with pytest.raises(RuntimeError, match=r"Unexpected key.*readouts\.0\.linear_9\.weight"):
        other.load_state_dict(state)
    del state["readouts.0.linear_9.weight"], state["readouts.0.linear.weight"]
    with pytest.raises(RuntimeError, match=r"Missing key.*readouts\.0\.stock\.linear\.weight"):
        other.load_state_dict(state)


def test_a_checkpoint_of_release_0_1_goes_on_with_its_optimiser(tmp_path):
    def step(model, optimizer):
        optimizer.zero_grad()
        found = mace_models.predict(model, mace_models.crystal(), training=True)
        (found["energy"].square().sum() + found["forces"].square().sum()).backward()
        optimizer.step()

    def trained(seed):
        model = small(seed=seed)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2, amsgrad=True)
        return model, optimizer, torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)

    model, optimizer, scheduler = trained(0)
    step(model, optimizer)
    handler = CheckpointHandler(str(tmp_path), "test", keep=True)
    handler.save(CheckpointState(model, optimizer, scheduler), epochs=1)
    (path,) = tmp_path.glob("*.pt")
    content = torch.load(path, weights_only=False)
    torch.save({**content, "model": old_names(content["model"])}, path)
    other, second, its_scheduler = trained(5)
    assert handler.load_latest(CheckpointState(other, second, its_scheduler), strict=True) == 1
    for each in ((model, optimizer), (other, second)):
        step(*each)
    for (name, a), b in zip(model.named_parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b), name


def test_a_readout_compiles_without_a_break():
    """Torch's compiler follows the readout's own way to find its parts."""
    readout = small().readouts[1]
    x = torch.randn(5, 4)
    compiled = torch.compile(readout, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), readout(x))  # the compiled one does without kernels
