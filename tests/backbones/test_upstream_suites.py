"""The test suites that nequip ships for extensions: equivariance, gradients, smoothness, batching."""

import pytest
from models import ALLEGRO, GENERIC, NEQUIP, ONE_LAYER
from nequip.utils.unittests.model_tests_basic import EnergyModelTestsMixin

ALL_GAUSSIAN = {"scope": "all", "basis": "gaussian", "grid_size": 5}
ALL_FOURIER = {"scope": "all", "basis": "fourier", "grid_size": 3}


class TestNequIPOutput(EnergyModelTestsMixin):
    @pytest.fixture(scope="class")
    @classmethod
    def config(cls):
        return {**NEQUIP, "kan": ONE_LAYER}

    @pytest.fixture
    def strict_locality(self):
        return False


class TestGenericBuilderAll(TestNequIPOutput):
    @pytest.fixture(scope="class")
    @classmethod
    def config(cls):
        return {**GENERIC, "kan": ALL_FOURIER}


class TestAllegroOutput(EnergyModelTestsMixin):
    @pytest.fixture(scope="class")
    @classmethod
    def config(cls):
        return {**ALLEGRO, "kan": ONE_LAYER}

    @pytest.fixture
    def strict_locality(self):
        return True


class TestAllegroAll(TestAllegroOutput):
    @pytest.fixture(scope="class")
    @classmethod
    def config(cls):
        return {**ALLEGRO, "kan": ALL_GAUSSIAN}
