"""The session of the README, run as written, and the configurations that it names."""

import os
import pathlib
import re
import shlex
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
CONFIGS = sorted((ROOT / "configs" / "mace").glob("*.yaml"))


def blocks(kind):
    """Returns the code blocks of one kind in the README's section on a session with MACE."""
    section = (
        (ROOT / "README.md").read_text().split("## MACE\n")[1].split("### A session\n")[1].split("\n### ")[0]
    )
    return re.findall(rf"```{kind}\n(.*?)```", section, re.DOTALL)


@pytest.mark.slow
def test_session_as_written(tmp_path):
    """Trains on carbon, evaluates, relaxes diamond: a lattice constant and a bulk modulus come out."""
    data = pathlib.Path(os.environ.get("KAN_HEADS_DATA", "nowhere")) / "carbon"
    if not data.is_dir():
        pytest.skip("needs the carbon data: set KAN_HEADS_DATA")
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    bin_folder = pathlib.Path(sys.executable).parent
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PATH": f"{bin_folder}:{os.environ['PATH']}"}
    environment["PYTHONPATH"] = str(ROOT)  # as in the clone, where it is to be run
    (shell,) = blocks("sh")
    (python,) = blocks("python")
    said = []
    for command in (["bash", "-e", "-c", shell], [sys.executable, "-c", python]):
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        said.append(done.stdout + done.stderr)
    forces = [float(error) for error in re.findall(r"Epoch \d+: .*RMSE_F= *([\d.]+)", said[0])]
    assert len(forces) == 12
    assert forces[-1] < 0.6 * forces[0]
    assert (tmp_path / "runs" / "diamond" / "test.extxyz").exists()
    assert (tmp_path / "runs" / "diamond" / "diamond_compiled.model").exists()
    a, modulus = (float(x) for x in re.search(r"a = ([\d.]+) Å, bulk modulus = (\d+) GPa", said[1]).groups())
    assert a == pytest.approx(3.53, rel=0.05)
    assert modulus == pytest.approx(465, rel=0.5)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_configuration_equals_the_command_line_in_its_head(config):
    from mace.tools import build_default_arg_parser

    parser = build_default_arg_parser()
    lines = [
        line[1:].strip().rstrip("\\") for line in config.read_text().splitlines() if line.startswith("#   ")
    ]
    by_name, by_words = (
        parser.parse_args(["--config", str(config)]),
        parser.parse_args(shlex.split(" ".join(lines[1:]))[1:]),
    )
    by_name.config = None
    assert vars(by_name) == vars(by_words)


def test_rows_of_table_7_differ_in_the_readout_only():
    import yaml

    rows = {path.stem: yaml.safe_load(path.read_text()) for path in CONFIGS}
    assert set(rows) == {
        "carbon-mlp",
        "carbon-output-published",
        "carbon-output-bspline",
        "carbon-output-mlp",
    }
    readout = {"kan", "kan_preset", "MLP_irreps", "name", "work_dir"}
    common = [{key: value for key, value in row.items() if key not in readout} for row in rows.values()]
    assert all(row == common[0] for row in common)
    assert rows["carbon-output-published"]["kan_preset"] == "published"
    assert not readout & set(rows["carbon-mlp"]) - {"name", "work_dir"}


def test_control_has_as_many_parameters_as_the_kan(double):
    """The counts that the head of carbon-output-mlp.yaml tells, from models of its size."""
    import mace_models
    from e3nn import o3

    size = {"hidden_irreps": o3.Irreps("64x0e+64x1o"), "correlation": 2}
    kan = mace_models.kan(stir=False, **size, MLP_irreps=o3.Irreps("16x0e"))
    mlp = mace_models.stock(**size, MLP_irreps=o3.Irreps("37x0e"))
    counts = [sum(p.numel() for p in model.readouts.parameters()) for model in (kan, mlp)]
    assert counts[0] == 2480
    assert counts[1] == pytest.approx(counts[0], rel=0.02)
