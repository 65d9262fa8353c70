"""The test suites that nequip ships for extensions.

Equivariance, numerical gradients, smoothness, batching, isolated atoms; ``nequip-train``,
``nequip-package`` and ``nequip-compile`` with ASE; train-time compilation, which nequip itself
skips on CPU (see test_compile_mode.py). Its LAMMPS ML-IAP suite needs a LAMMPS with Python inside.
"""

import pytest
from models import ALLEGRO, GENERIC, NEQUIP, ONE_LAYER
from nequip.utils.unittests.model_tests_ase_integration import ASEIntegrationMixin
from nequip.utils.unittests.model_tests_basic import EnergyModelTestsMixin
from nequip.utils.unittests.model_tests_train_time_compile import TrainTimeCompileMixin

ALL_GAUSSIAN = {"scope": "all", "basis": "gaussian", "grid_size": 5}
ALL_FOURIER = {"scope": "all", "basis": "fourier", "grid_size": 3}


class Suite(TrainTimeCompileMixin, ASEIntegrationMixin):
    """All of them, with the one training configuration that needs no download."""

    @pytest.fixture(scope="class", params=["minimal_toy_emt.yaml"])
    @classmethod
    def conffile(cls, request):
        return request.param


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
