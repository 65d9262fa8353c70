import json

import pytest

from benchmarks.demo import report


def test_table_shows_the_numbers_of_the_results(results):
    mlp, kan = report.rows(results)
    assert mlp == ("MLP", "0.3124", "12.35", "0.3224", "13.35", "2,080", "8,816", "7.65", "—")
    assert kan[5:] == ("768", "7,504", "7.65", "-0.012")


def test_markdown_has_a_cell_for_each_column(results):
    lines = [line for line in report.markdown(results).splitlines() if line.startswith("|")]
    assert len(lines) == 4
    assert {line.count("|") for line in lines} == {len(report.COLUMNS) + 1}


def test_notes_name_system_frames_machine_and_versions(results):
    text = report.markdown(results)
    for fact in ("Hf32O64", "200 to train", "50 to validate", "3 epochs", "seed 1", "A Processor", "2.13.0"):
        assert fact in text


def test_stand_in_is_called_one(results):
    results["settings"]["system_name"] = "stand-in: silver labelled with ASE's EMT"
    assert "stand-in: silver labelled with ASE's EMT" in report.markdown(results)


def test_lost_atoms_show_in_table_and_notes(results):
    results["dynamics"] |= {"stable": False, "steps": 37, "drift_meV_per_atom_per_ps": None}
    assert report.rows(results)[1][-1] == "— (broke off after 37 steps)"
    assert "NOT STABLE" in report.markdown(results)


def test_files_hold_the_results(results, tmp_path):
    report.write(results, tmp_path)
    assert json.loads((tmp_path / "results.json").read_text()) == results
    assert (tmp_path / "table.md").read_text() == report.markdown(results)


def test_nan_never_reaches_the_file(results, tmp_path):
    results["dynamics"]["ms_per_step"] = float("nan")
    with pytest.raises(ValueError, match="JSON"):
        report.write(results, tmp_path)
