import hashlib
import stat
import threading
import zipfile

import pytest

from benchmarks.datasets.download import download
from benchmarks.datasets.unpack import unpack_zip
from kan_heads.errors import DataError


def sha(body):
    return hashlib.sha256(body).hexdigest()


@pytest.fixture
def target(tmp_path):
    return tmp_path / "deep" / "file.bin"


def part(target):
    return target.with_name(target.name + ".part")


def test_download_verifies_and_leaves_no_part(server, target):
    assert download(server.url, target, sha(server.body)).read_bytes() == server.body
    assert not part(target).exists()


def test_md5_is_used_where_it_is_all_there_is(server, target):
    with pytest.raises(DataError, match="md5"):
        download(server.url, target, md5="0" * 32)
    assert download(server.url, target, md5=hashlib.md5(server.body).hexdigest()).exists()


def test_wrong_checksum_removes_the_download_and_says_both(server, target):
    with pytest.raises(DataError) as e:
        download(server.url, target, "f" * 64)
    assert sha(server.body) in str(e.value)
    assert "f" * 64 in str(e.value)
    assert "run the command" in str(e.value)
    assert not target.exists()
    assert not part(target).exists()


def test_truncated_download_is_kept_and_resumed(server, target):
    server.stop_at = 100_000
    with pytest.raises(DataError, match=r"100000 .*resume"):
        download(server.url, target, sha(server.body))
    assert not target.exists()
    assert part(target).stat().st_size == 100_000
    server.stop_at = None
    assert download(server.url, target, sha(server.body)).read_bytes() == server.body
    assert server.ranges == [None, "bytes=100000-"]


def test_a_server_that_ignores_range_still_gives_the_right_file(server, target):
    target.parent.mkdir()
    part(target).write_bytes(server.body[:1000])
    server.honour_range = False
    assert download(server.url, target, sha(server.body)).read_bytes() == server.body


def test_a_complete_part_is_accepted(server, target):
    target.parent.mkdir()
    part(target).write_bytes(server.body)
    assert download(server.url, target, sha(server.body)).read_bytes() == server.body


def test_without_a_checksum_nothing_is_resumed_and_the_user_is_told(server, target):
    target.parent.mkdir()
    part(target).write_bytes(b"another version")
    said = []
    assert download(server.url, target, say=said.append).read_bytes() == server.body
    assert server.ranges == [None]
    assert "not verified" in said[0]
    assert sha(server.body) in said[0]


def test_offline_is_one_line_with_a_remedy(server, target):
    server.shutdown()
    server.server_close()
    with pytest.raises(DataError) as e:
        download(server.url, target, "0" * 64)
    message = str(e.value)
    assert "file.bin" in message
    assert server.url in message
    assert "set KAN_HEADS_DATA" in message
    assert "\n" not in message
    assert not target.exists()


def test_an_http_error_names_the_status(server, target):
    server.status = 404
    with pytest.raises(DataError, match="answered 404"):
        download(server.url, target, "0" * 64)


def test_concurrent_downloads_do_not_disturb_each_other(server, target):
    errors = []

    def run():
        try:
            download(server.url, target, sha(server.body))
        except Exception as e:
            errors.append(e)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors
    assert target.read_bytes() == server.body
    assert len(server.ranges) == 1


def zipped(path, *members):
    with zipfile.ZipFile(path, "w") as z:
        for name, content in members:
            z.writestr(name, content)
    return path


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/evil", "C:/evil", "..\\evil"])
def test_zip_members_that_leave_the_folder_are_refused(tmp_path, name):
    archive = zipped(tmp_path / "z.zip", ("good", b"1"), (name, b"2"))
    with pytest.raises(DataError, match="would leave"):
        unpack_zip(archive, tmp_path / "in" / "out")
    assert [p.name for p in tmp_path.rglob("*")] == ["z.zip"]  # not even the good member


def test_zip_symlinks_are_refused(tmp_path):
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(DataError, match="symbolic link"):
        unpack_zip(zipped(tmp_path / "z.zip", (link, "/etc")), tmp_path / "out")


def test_a_damaged_zip_leaves_nothing(tmp_path):
    archive = zipped(tmp_path / "z.zip", ("a", b"x" * 1000), ("b", b"y" * 1000))
    raw = bytearray(archive.read_bytes())
    raw[1200] ^= 0xFF  # inside the second member: found by its CRC after the first is written
    archive.write_bytes(raw)
    with pytest.raises(DataError, match="not a sound zip"):
        unpack_zip(archive, tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["z.zip"]


def test_zip_is_unpacked(tmp_path):
    archive = zipped(tmp_path / "z.zip", ("d/a.txt", b"hello"))
    assert (unpack_zip(archive, tmp_path / "out") / "d/a.txt").read_bytes() == b"hello"
    with pytest.raises(DataError, match="more than 3 bytes"):
        unpack_zip(archive, tmp_path / "other", max_bytes=3)
