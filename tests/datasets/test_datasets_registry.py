import json
import os
import subprocess
import sys

import pytest

from benchmarks.datasets import availability, get, list_datasets, lookup
from benchmarks.datasets.files import data_dir, find
from kan_heads.data.folder import digest
from kan_heads.errors import ConfigError, DataError


def test_the_six_sets_are_there_and_say_what_they_are():
    names = [d.name for d in list_datasets()]
    assert sorted(names) == ["ag", "ag-emt", "carbon", "hfo2", "ru", "sio2"]
    for d in list_datasets():
        assert d.what
        assert d.licence
        assert d.citation
        assert d.relation
        assert d.units
        assert bool(d.stand_in) == (d.name == "ag-emt")
        if d.pools:
            assert sum(d.pools) <= d.frames


def test_an_unknown_name_lists_the_valid_ones():
    with pytest.raises(ConfigError, match=r"silver.*ag, ag-emt, hfo2, carbon, sio2, ru"):
        lookup("silver")


def test_every_file_can_be_had_or_says_how():
    for d in list_datasets():
        for f in d.files:
            assert f.url or (f.fallback and f.fallback.url) or "KAN_HEADS_DATA" in f.how_to_get
            if f.url:  # a url promises the same bytes, so they must be verifiable
                assert f.sha256 or f.md5


@pytest.mark.skipif(
    not os.environ.get("KAN_HEADS_DATA"), reason="KAN_HEADS_DATA is not set: no real data to test with"
)
@pytest.mark.parametrize("file", [f for d in list_datasets() for f in d.files], ids=lambda f: f.path)
def test_stored_copies_match_the_registry(file):
    found = find(file.path)
    if found is None:
        pytest.skip(f"{file.path} is not stored here")
    assert digest(found[0]) == file.sha256 or digest(found[0], "md5") == file.md5
    assert file.size in (None, found[0].stat().st_size)


def test_a_wrong_kan_heads_data_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("KAN_HEADS_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match=r"KAN_HEADS_DATA is set to '.*nowhere'"):
        data_dir()


@pytest.mark.parametrize(("name", "hint"), [("hfo2", "git clone"), ("ru", "recovered")])
def test_sets_without_a_public_address_say_how_to_get_them(name, hint, monkeypatch, cache):
    from benchmarks.datasets import prepare

    monkeypatch.delenv("KAN_HEADS_DATA", raising=False)
    assert availability(lookup(name)) == "not public"
    with pytest.raises(DataError, match=hint) as e:
        prepare(name, cache / "out")
    assert "KAN_HEADS_DATA" in str(e.value)
    assert "\n" not in str(e.value)


def test_silver_that_cannot_be_downloaded_points_to_the_stand_in(monkeypatch, cache):
    from benchmarks.datasets import fetch

    def offline(url, *args, **kwargs):
        raise DataError(f"cannot reach {url}")

    monkeypatch.delenv("KAN_HEADS_DATA", raising=False)
    monkeypatch.setattr(fetch, "download", offline)
    with pytest.raises(DataError, match=r"archive.materialscloud.org.*ag-emt"):
        get("ag")


def test_a_damaged_stored_file_is_refused(monkeypatch, tmp_path, cache):
    (tmp_path / "sio2").mkdir()
    for name in ("SiO2_prim.zip", "id_prop_born.csv"):
        (tmp_path / "sio2" / name).write_bytes(b"damaged")
    monkeypatch.setenv("KAN_HEADS_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"SiO2_prim.zip is damaged.*expected 53d67b26"):
        get("sio2")


def test_importing_the_package_imports_neither_ase_nor_torch():
    code = "import sys, json, kan_heads.data; print(json.dumps([m in sys.modules for m in ('ase', 'torch')]))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert json.loads(out) == [False, False]
