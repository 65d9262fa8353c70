"""Run as a program: makes MACE models under e3nn 0.4.4, or evaluates models as a user does."""

import copy
import io
import pathlib
import sys
import zipfile

import numpy as np

HEADS = ("ground", "other")


def structures():
    """Returns a molecule and a crystal, both without symmetry."""
    import ase

    rng = np.random.default_rng(3)
    corners = np.diag([0.0, 1.3, 1.4])
    molecule = ase.Atoms("CO2", corners + rng.uniform(0.0, 0.5, (3, 3)))
    sites = np.stack(np.meshgrid(*[np.arange(2)] * 3), -1).reshape(-1, 3) * 1.9
    crystal = ase.Atoms("COCOOCOC", sites + rng.normal(0.0, 0.1, (8, 3)), cell=[3.8, 3.9, 4.1], pbc=True)
    return molecule, crystal


def results(path, head=None):
    """Returns energies and forces of the structures by MACE's calculator, in one array."""
    from mace.calculators import MACECalculator

    calculator = MACECalculator(str(path), device="cpu", **({"head": head} if head else {}))
    values = []
    for atoms in structures():
        values += [[calculator.get_potential_energy(atoms)], calculator.get_forces(atoms).ravel()]
    return np.concatenate(values)


def all_results(path):
    """Returns the results of each head, one after the other."""
    heads = HEADS if "heads" in path.name else (None,)
    return np.concatenate([results(path, head) for head in heads])


def small_model(kind="ScaleShiftMACE", **changes):
    """Returns a small untrained model of carbon and oxygen in torch's default precision."""
    import torch
    from e3nn import o3
    from mace import modules

    n_heads = len(changes.get("heads", ["Default"]))
    options = {
        "r_max": 4.5,
        "num_bessel": 6,
        "num_polynomial_cutoff": 5,
        "max_ell": 2,
        "interaction_cls": modules.interaction_classes["RealAgnosticResidualInteractionBlock"],
        "interaction_cls_first": modules.interaction_classes["RealAgnosticInteractionBlock"],
        "num_interactions": 2,
        "num_elements": 2,
        "hidden_irreps": o3.Irreps("8x0e + 8x1o"),
        "MLP_irreps": o3.Irreps("16x0e"),
        "atomic_energies": np.array([[-3.0 - head, -5.0] for head in range(n_heads)]),
        "avg_num_neighbors": 7.3,
        "atomic_numbers": [6, 8],
        "correlation": 2,
        "gate": torch.nn.functional.silu,
        "radial_MLP": [16],
        **changes,
    }
    if kind == "ScaleShiftMACE":
        options["atomic_inter_scale"] = [1.3 + head for head in range(n_heads)]
        options["atomic_inter_shift"] = [0.2 - head for head in range(n_heads)]
    return getattr(modules, kind)(**options)


def as_of_mace_0_3_4(model):
    """Removes what models did not have then: some constants, the heads, an integer exponent."""
    for contraction in [c for product in model.products for c in product.symmetric_contractions.contractions]:
        for name in [name for name in contraction._buffers if name.endswith("_zeroed")]:
            del contraction._buffers[name]
    model.radial_embedding.cutoff_fn.p = model.radial_embedding.cutoff_fn.p.double()
    del model.heads, model.apply_cutoff
    return model


def not_runnable(model):
    """Removes what only the forward pass needs."""
    del model.spherical_harmonics.normalize
    return model


def uneven(model):
    """Changes what MACE does not carry over when it rebuilds a model."""
    model.interactions[1].avg_num_neighbors = 3.0
    return model


def save_as_on_a_gpu(model, path):
    """Saves the model with every tensor, also those inside compiled code, marked as on a GPU."""
    import torch

    save, tag = torch.jit.save, torch.serialization.location_tag

    def save_marked(script, file):
        plain = io.BytesIO()
        save(script, plain)
        with zipfile.ZipFile(plain) as old, zipfile.ZipFile(file, "w") as new:
            for name in old.namelist():
                text = old.read(name)
                if name.endswith(".pkl"):
                    text = text.replace(b"X\x03\0\0\0cpu", b"X\x06\0\0\0cuda:0")
                new.writestr(name, text)

    torch.jit.save, torch.serialization.location_tag = save_marked, lambda storage: "cuda:0"
    try:
        torch.save(model, path)
    finally:
        torch.jit.save, torch.serialization.location_tag = save, tag


def make(folder):
    """Writes the models, and the results of those that are to give the same after migration."""
    import e3nn
    import mace  # noqa: F401  (it comes first, so that torch loads the constants of e3nn 0.4)
    import torch
    from e3nn import o3

    assert e3nn.__version__ == "0.4.4"
    torch.manual_seed(0)
    single = small_model().requires_grad_(False)
    torch.set_default_dtype(torch.float64)
    double = small_model()
    models = {
        "float32": single.eval(),
        "float64": double,
        "heads": small_model(
            heads=list(HEADS),
            pair_repulsion=True,
            distance_transform="Agnesi",
            # Large enough that e3nn folds constants when it loads the new file.
            hidden_irreps=o3.Irreps("16x0e + 16x1o"),
            max_ell=3,
        ),
        "mixed": copy.deepcopy(single),
        "mace-0.3.4": as_of_mace_0_3_4(copy.deepcopy(double)),
        "not-runnable": not_runnable(copy.deepcopy(double)),
        "mace-0.3.4-not-runnable": not_runnable(as_of_mace_0_3_4(copy.deepcopy(double))),
        "uneven": uneven(copy.deepcopy(double)),
        "two-correlations": small_model(correlation=[2, 1]),
        "unscaled": small_model("MACE"),
    }
    models["mixed"].r_max = models["mixed"].r_max.double()
    for name, model in models.items():
        torch.save(model, folder / f"{name}.model")
    save_as_on_a_gpu(double, folder / "gpu.model")
    torch.set_default_dtype(torch.float32)  # as in the process that evaluates the migrated models
    evaluate(folder, folder, ["float32", "float64", "heads"])


def evaluate(source, target, names):
    """Writes the results of the models of these names."""
    for name in names:
        np.save(target / f"{name}.npy", all_results(source / f"{name}.model"))


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(pathlib.Path(sys.argv[2]))
    else:
        evaluate(pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[2]), sys.argv[3:])
