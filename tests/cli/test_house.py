"""The plan of the house: who may import whom."""

import ast
import pathlib
import re
import subprocess
import sys

import pytest

import kan_heads

ROOT = pathlib.Path(kan_heads.__file__).parents[1]
PRIVATE = re.compile(r"\btorch\.(_[a-z]\w*|\w+\._[a-z]\w*)")


def files():
    """The sources of the package and of the benchmarks, by the name of the module."""
    found = {}
    for top in ("kan_heads", "benchmarks"):
        for path in sorted((ROOT / top).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


FILES = files()


def imports(name):
    """The modules that a module imports by statement, also inside of functions."""
    found = set()
    for node in ast.walk(ast.parse(FILES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = name if FILES[name].stem == "__init__" else name.rpartition(".")[0]
            for _ in range(node.level - 1):
                package = package.rpartition(".")[0]
            base = ".".join(filter(None, (package if node.level else "", node.module)))
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                found.add(inner if inner in FILES else base)
    return found


ARROWS = {name: imports(name) for name in FILES}


def reached(name):
    """A module and all that it imports, and so on."""
    found, ahead = set(), [name]
    while ahead:
        here = ahead.pop()
        if here in FILES and here not in found:
            found.add(here)
            ahead += ARROWS[here]
    return found


def test_the_walk_sees_imports_of_all_kinds():
    assert "kan_heads.kan.network" in ARROWS["kan_heads.kan"]
    assert "kan_heads.loading" in ARROWS["kan_heads.lammps.models"]
    assert "kan_heads.eam" in ARROWS["kan_heads.loading"]  # inside of a function


def test_no_module_imports_itself_by_a_circle():
    circles = {name: sorted(t for t in ARROWS[name] if name in reached(t)) for name in FILES}
    assert not any(circles.values()), [f"{name} -> {', '.join(to)}" for name, to in circles.items() if to]


def test_the_package_needs_nothing_of_the_benchmarks():
    guilty = {
        name
        for name, targets in ARROWS.items()
        if name.startswith("kan_heads") and any(target.split(".")[0] == "benchmarks" for target in targets)
    }
    assert not guilty


def test_the_layers_import_torch_only():
    allowed = {"kan_heads", "torch", *sys.stdlib_module_names}
    for name, targets in ARROWS.items():
        if name.startswith("kan_heads.kan"):
            assert {target.split(".")[0] for target in targets} <= allowed, name


def test_private_names_of_torch_stand_in_one_file():
    guilty = {
        f"{name}: {found[0]}"
        for name, path in FILES.items()
        if name.startswith("kan_heads.") and name != "kan_heads._compat"
        for found in PRIVATE.finditer(path.read_text(encoding="utf-8"))
    }
    assert not guilty


def test_files_take_their_names_in_one_place():
    writes = re.compile(r"\bos\.(replace|rename)\(|\.rename\(\w+\)|\bmkstemp\(|\bNamedTemporaryFile\(")
    found = {name for name, path in FILES.items() if writes.search(path.read_text(encoding="utf-8"))}
    # Folders, a download that may be resumed, and a library that a compiler has written.
    others = (".data.folder", ".demo.records", ".unpack", ".download", ".native.library")
    assert {name for name in found if not name.endswith(others)} == {"kan_heads.writing"}


def test_swap_knows_no_backbone():
    backbones = tuple(f"kan_heads.{name}" for name in ("backbones", "nequip", "allegro", "mace", "etgnn"))
    for name in FILES:
        if name.startswith("kan_heads.swap"):
            assert not [found for found in reached(name) if found.startswith(backbones)], name


def test_the_essentials_come_when_they_are_asked_for():
    code = (
        "import sys, kan_heads\n"
        "assert not {'torch', 'numpy', 'nequip', 'mace'} & set(sys.modules)\n"
        "names = dir(kan_heads)\n"
        "from kan_heads import KAN, KANConfig, KANLayer, calibrate, load, refine, replace_mlps, solve\n"
        "wanted = 'KAN KANConfig KANLayer calibrate load refine replace_mlps solve __version__'.split()\n"
        "assert set(wanted) == set(kan_heads.__all__) and set(wanted) <= set(names)\n"
        "assert not {'nequip', 'mace', 'ase', 'scipy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    assert kan_heads.KANLayer is sys.modules["kan_heads.kan"].KANLayer


def test_an_unknown_name_lists_what_there_is():
    with pytest.raises(AttributeError, match=r"kan_heads has no 'KANs'; it offers KAN, .*replace_mlps"):
        _ = kan_heads.KANs
    with pytest.raises(ImportError, match="cannot import name 'KANs'"):
        exec("from kan_heads import KANs")
