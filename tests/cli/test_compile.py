"""What ``kan-heads compile`` says before it compiles anything; real models are in tests/backbones."""

import pytest
from test_program import program

pytest.importorskip("typer")


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "best.ckpt"
    path.write_text("no model")
    return str(path)


@pytest.mark.parametrize(
    ("output", "options", "message"),
    [
        ("m.pt2", (), "must end in .nequip.pt2"),
        ("m.nequip.pt2", ("--mode", "torchscript"), "must end in .nequip.pth"),
        ("m.nequip.pt2", ("--mode", "aotinducter"), "did you mean 'aotinductor'"),
        ("m.nequip.pt2", ("--device", "gpu0"), "no device of torch"),
        ("none/m.nequip.pt2", (), "there is no folder"),
    ],
)
def test_a_wrong_option_is_one_line(output, options, message, model):
    done = program("compile", model, output, *options)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert message in done.stderr


def test_a_missing_file_is_one_line():
    done = program("compile", "none.ckpt", "m.nequip.pt2")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "none.ckpt: no such file" in done.stderr


@pytest.mark.slow
def test_an_unknown_target_lists_the_known_ones(model):
    pytest.importorskip("nequip")
    done = program("compile", model, "m.nequip.pt2", "--target", "asse")
    assert done.returncode == 2
    assert "did you mean 'ase'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_file_that_is_no_model_is_one_line(model):
    pytest.importorskip("nequip")
    done = program("compile", model, "m.nequip.pt2")
    assert done.returncode == 2
    assert f"{model}: cannot be loaded" in done.stderr
    assert "Traceback" not in done.stderr
