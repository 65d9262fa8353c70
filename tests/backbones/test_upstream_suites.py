"""The test suites that nequip ships for extensions.

Equivariance, numerical gradients, smoothness, batching, isolated atoms; ``nequip-train``,
``nequip-package`` and ``nequip-compile`` with ASE; train-time compilation, which nequip itself
skips on CPU (see test_compile_mode.py). Its LAMMPS ML-IAP suite needs a LAMMPS with Python inside.
"""

import pathlib
import subprocess

import programs
import pytest
from models import ALLEGRO, GENERIC, NEQUIP, ONE_LAYER
from nequip.utils.unittests import utils
from nequip.utils.unittests.model_tests_ase_integration import ASEIntegrationMixin
from nequip.utils.unittests.model_tests_basic import EnergyModelTestsMixin
from nequip.utils.unittests.model_tests_train_time_compile import TrainTimeCompileMixin
from omegaconf import OmegaConf

ALL_GAUSSIAN = {"scope": "all", "basis": "gaussian", "grid_size": 5}
ALL_FOURIER = {"scope": "all", "basis": "fourier", "grid_size": 3}


class Forked:
    """What nequip's suites need of the module ``subprocess``."""

    PIPE = subprocess.PIPE

    @staticmethod
    def run(command, cwd, env, **_):
        status, *said = programs.fork("nequip", command, cwd, env)
        return subprocess.CompletedProcess(command, status, *(text.encode() for text in said))


@pytest.fixture(scope="module", autouse=True)
def forked():
    """Lets nequip's suites run its programs without importing everything anew."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utils, "subprocess", Forked)
        yield


class Suite(TrainTimeCompileMixin, ASEIntegrationMixin):
    """All, with the one training configuration that needs no download, on fewer and smaller crystals."""

    test_ase_compile = pytest.mark.slow(ASEIntegrationMixin.test_ase_compile)

    @pytest.fixture(scope="class")
    @classmethod
    def conffile(cls, tmp_path_factory):
        config = OmegaConf.load(pathlib.Path(utils.__file__).parent / "minimal_toy_emt.yaml")
        config.data.split_dataset.update(train=4, val=2, test=2)
        config.data.split_dataset.dataset.update(num_frames=8, supercell=[3, 3, 2])
        path = tmp_path_factory.mktemp("toy") / "minimal_toy_emt.yaml"
        OmegaConf.save(config, path)
        return str(path)


class TestNequIPOutput(Suite):
    @pytest.fixture(scope="class")
    @classmethod
    def config(cls):
        return {**NEQUIP, "kan": ONE_LAYER}

    @pytest.fixture(scope="class", params=["fresh"])
    @classmethod
    def model_source(cls, request):
        return request.param

    @pytest.fixture
    def strict_locality(self):
        return False


class TestAllegroOutput(Suite):
    @pytest.fixture(scope="class")
    @classmethod
    def config(cls):
        return {**ALLEGRO, "kan": ONE_LAYER}

    @pytest.fixture(scope="class", params=["package"])
    @classmethod
    def model_source(cls, request):
        return request.param

    @pytest.fixture
    def strict_locality(self):
        return True


class TestGenericBuilderAll(EnergyModelTestsMixin):
    @pytest.fixture(scope="class")
    @classmethod
    def config(cls):
        return {**GENERIC, "kan": ALL_FOURIER}

    @pytest.fixture
    def strict_locality(self):
        return False


class TestAllegroAll(EnergyModelTestsMixin):
    @pytest.fixture(scope="class")
    @classmethod
    def config(cls):
        return {**ALLEGRO, "kan": ALL_GAUSSIAN}

    @pytest.fixture
    def strict_locality(self):
        return True
