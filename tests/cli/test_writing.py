"""Files that are there as a whole or not at all."""

import os

import pytest

from kan_heads.writing import whole, write_bytes, write_files, write_text


def test_a_file_is_written_with_its_folders_and_nothing_beside_it(tmp_path):
    path = tmp_path / "a" / "b" / "energies.txt"
    write_text(path, "Å\n")
    assert path.read_bytes() == "Å\n".encode()
    assert list(path.parent.iterdir()) == [path]


def test_an_error_keeps_the_old_file_and_leaves_nothing_beside_it(tmp_path):
    path = tmp_path / "energies.txt"
    write_text(path, "old")

    def write_half():
        with whole(path) as new:
            new.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_reader_finds_the_old_file_until_all_of_the_new_one_is_there(tmp_path):
    path = tmp_path / "energies.extxyz"
    write_text(path, "old")
    with whole(path) as new:
        assert (new.parent, new.suffix) == (path.parent, path.suffix)
        new.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


def test_a_file_keeps_its_permissions(tmp_path):
    path = tmp_path / "energies.txt"
    path.write_text("old")
    path.chmod(0o640)
    write_bytes(path, b"new")
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_new_file_has_the_permissions_of_any_other(tmp_path):
    (tmp_path / "other").touch()
    write_bytes(tmp_path / "energies.txt", b"new")
    assert (tmp_path / "energies.txt").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_of_several_files_none_changes_unless_all_can_be_written(tmp_path):
    (tmp_path / "taken").touch()
    write_text(tmp_path / "first", "old")
    with pytest.raises(FileExistsError):
        write_files({tmp_path / "first": b"new", tmp_path / "taken" / "second": b"new"})
    assert (tmp_path / "first").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "taken"]


def test_several_files_take_their_names_in_order_once_all_are_written(tmp_path, monkeypatch):
    real, order = os.replace, []

    def replace(new, path):
        assert len(list(tmp_path.glob(".kan-heads.*"))) == 3 - len(order)
        order.append(path.name)
        real(new, path)

    monkeypatch.setattr(os, "replace", replace)
    names = ["model", "parser", "list"]
    write_files({tmp_path / name: name.encode() for name in names})
    assert order == names
    assert [(tmp_path / name).read_text() for name in names] == names
