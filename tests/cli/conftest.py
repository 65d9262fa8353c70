import mace_site
import pytest


@pytest.fixture
def site(tmp_path):
    """A folder that looks like site-packages with mace-torch as released."""
    return mace_site.build(tmp_path / "site-packages")
