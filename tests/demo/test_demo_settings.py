import subprocess
import sys

import pytest

from benchmarks.demo import DemoConfig, config, run
from kan_heads.errors import ConfigError


def test_missing_configs_name_the_remedy(tmp_path):
    with pytest.raises(ConfigError, match=r"configs/demo/hfo2-mlp\.yaml does not exist; .*--configs"):
        run(DemoConfig(tmp_path / "demo", system="hfo2", configs=tmp_path / "configs"))
    assert not (tmp_path / "demo").exists()


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"train": 0}, {"val": -1}, {"steps": 1}, {"seed": -1}])
def test_bad_number_is_named(wrong):
    (name,) = wrong
    with pytest.raises(ConfigError, match=f"--{name} {wrong[name]} must"):
        DemoConfig(**wrong).check()


def test_unknown_system_lists_the_known():
    with pytest.raises(ConfigError, match="unknown --system 'water'; choose one of: hfo2, ag-emt"):
        DemoConfig(system="water").check()


def test_stand_in_where_hfo2_is_not_here(tmp_path, monkeypatch):
    monkeypatch.setenv("KAN_HEADS_CACHE", str(tmp_path))
    monkeypatch.delenv("KAN_HEADS_DATA", raising=False)
    assert config.choose_system(None) == "ag-emt"
    for file in ("hfo2_0.npz", "hfo2_1.npz"):
        (tmp_path / "hfo2").mkdir(exist_ok=True)
        (tmp_path / "hfo2" / file).touch()
    assert config.choose_system(None) == "hfo2"


def test_missing_package_is_found_before_the_training(monkeypatch):
    monkeypatch.setattr(config, "PACKAGES", ("torch", "no_such_package"))
    with pytest.raises(ModuleNotFoundError) as error:
        config.require_packages()
    assert error.value.name == "no_such_package"


def test_nothing_heavy_at_import():
    heavy = "{'torch', 'matplotlib', 'ase', 'numpy'}"
    code = (
        f"import sys, benchmarks.demo.__main__, benchmarks.demo; sys.exit(bool({heavy} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
