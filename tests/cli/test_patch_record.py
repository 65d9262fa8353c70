"""The list of installed files, RECORD, tells the truth before, after and between changes."""

import base64
import csv
import hashlib
import io
import os
import shutil
import signal

import pytest
from mace_site import DIST_INFO, FILES, METADATA, build, contents, find, killed_after, needs_mace, program

from kan_heads.patching import State, find_installation

pytestmark = needs_mace

RECORD = f"{DIST_INFO}/RECORD"


def checksum(content):
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def listing(site, end="\n", size=len):
    """RECORD as an installer writes it, with a program outside site-packages and a name that needs quotes."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator=end)
    writer.writerow(["../../../bin/mace_run_train", checksum(b"#!python"), 8])
    writer.writerow(['mace/a, "strange" name.py', checksum(b""), 0])
    for name, content in contents(site).items():
        writer.writerow([name, checksum(content), size(content)])
    writer.writerow(["mace/__pycache__/tools.cpython-312.pyc", "", ""])
    writer.writerow([RECORD, "", ""])
    return text.getvalue().encode()


def wrong(site):
    """Files of the patch whose entry in RECORD is not true; every file has an entry."""
    rows = csv.reader((site / RECORD).read_text().splitlines())
    entries = {name: (digest, size) for name, digest, size in rows}
    files = {name: (site / name).read_bytes() for name in FILES}
    return [name for name, c in files.items() if entries[name] != (checksum(c), str(len(c)))]


@pytest.fixture(params=["\n", "\r\n"], ids=["lf", "crlf"])
def listed(request, tmp_path):
    """A folder like site-packages with mace-torch as released and its RECORD."""
    site = build(tmp_path / "site-packages")
    (site / RECORD).write_bytes(listing(site, request.param))
    return site


def test_it_is_true_after_apply_and_as_installed_after_revert(listed):
    before = contents(listed)
    assert find(listed).change(State.PATCHED) == [*FILES, RECORD]
    assert wrong(listed) == []
    lines = [file[RECORD].splitlines(keepends=True) for file in (before, contents(listed))]
    assert sum(old != new for old, new in zip(*lines, strict=True)) == len(FILES)
    assert find(listed).change(State.PATCHED) == []
    assert find(listed).change(State.PRISTINE) == [*FILES, RECORD]
    assert contents(listed) == before


def test_it_is_corrected_where_an_older_kan_heads_has_patched(listed):
    before = (listed / RECORD).read_bytes()
    find(listed).change(State.PATCHED)
    true = (listed / RECORD).read_bytes()
    (listed / RECORD).write_bytes(before)
    assert "patched, but its RECORD has other checksums; run: kan-heads patch apply mace" in (
        program(listed, "status").stdout
    )
    assert find(listed).change(State.PATCHED) == [RECORD]
    assert (listed / RECORD).read_bytes() == true
    assert program(listed, "status").stdout.endswith(": patched\n")


@pytest.mark.parametrize("verb", ["apply", "revert"])
@pytest.mark.parametrize("last", [*FILES, RECORD])
def test_a_killed_process_leaves_what_the_next_one_completes(last, verb, tmp_path):
    site = build(tmp_path / "site-packages")
    (site / RECORD).write_bytes(listing(site))
    before = contents(site)
    assert program(site, "apply", prelude=killed_after(last)).returncode == -signal.SIGKILL
    assert program(site, verb).returncode == 0
    assert wrong(site) == []
    left = [path for path in contents(site) if "/.kan-heads." in path]
    for path in left:
        (site / path).unlink()
    assert (contents(site) == before) == (verb == "revert")


def test_an_entry_of_somebody_else_stays(listed):
    ours, theirs = checksum((listed / METADATA).read_bytes()), checksum(b"theirs")
    before = (listed / RECORD).read_bytes()
    (listed / RECORD).write_bytes(before.replace(ours.encode(), theirs.encode()))
    find(listed).change(State.PATCHED)
    assert theirs in (listed / RECORD).read_text()
    assert wrong(listed) == [METADATA]


def test_an_entry_without_size_gets_none(tmp_path):
    site = build(tmp_path / "site-packages")
    (site / RECORD).write_bytes(listing(site, size=lambda content: ""))
    find(site).change(State.PATCHED)
    assert f"{METADATA},{checksum((site / METADATA).read_bytes())},\n" in (site / RECORD).read_text()


def test_a_hard_link_keeps_its_content(listed, tmp_path):
    before = (listed / RECORD).read_bytes()
    os.link(listed / RECORD, tmp_path / "cache")
    find(listed).change(State.PATCHED)
    assert (tmp_path / "cache").read_bytes() == before


def test_the_installed_one_is_understood(site):
    installed = find_installation("mace").root / RECORD
    if not installed.is_file():
        pytest.skip("this installer has written no RECORD")
    shutil.copy(installed, site / RECORD)
    find(site).change(State.PATCHED)
    assert wrong(site) == []
    find(site).change(State.PRISTINE)
    assert wrong(site) == []
