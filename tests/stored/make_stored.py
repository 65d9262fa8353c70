"""Makes the archive of models that every later release must load, with what they predict.

Run once for a release, by hand: ``python tests/stored/make_stored.py 0.1``. Everything in the archive is
generated here: random weights, silver labelled with EMT, toy crystals. Archives of earlier releases are never
made again.
"""

import io
import json
import pathlib
import sys
import tarfile
import tempfile

HERE = pathlib.Path(__file__).parent
for folder in ("backbones", "etgnn", "mace"):
    sys.path.insert(0, str(HERE.parent / folder))

import numpy as np  # noqa: E402
import torch  # noqa: E402

BASES = ("bspline", "gaussian", "fourier", "chebyshev")

#: Configurations of bare networks, by name.
NETWORKS = {
    **{f"{basis}-one": ([5, 1], {"basis": basis}) for basis in BASES},
    **{f"{basis}-two": ([5, 3, 2], {"basis": basis, "grid_size": 5}) for basis in BASES},
    "bspline-zero": ([5, 1], {"extrapolation": "zero", "order": 2}),
    "bspline-free": ([5, 4, 1], {"zero_at_origin": False, "bias": True, "layer_norm": True}),
    "gaussian-tanh": ([5, 1], {"basis": "gaussian", "base": "tanh"}),
    "fourier-baseless": ([5, 1], {"basis": "fourier", "base": None, "grid_range": [-1.0, 3.0]}),
}

_TINY = "training_module.model."
SIZES = {
    "allegro": {"num_scalar_features": 6, "num_tensor_features": 2, "scalar_embed_mlp_hidden_layers_width": 6,
                "allegro_mlp_hidden_layers_width": 6, "readout_mlp_hidden_layers_width": 4},
    "nequip": {"num_features": 3, "radial_mlp_width": 4, "num_layers": 1},
    "etgnn": {"triplet_r_max": 3.0, "num_layers": 1, "num_features": 4, "num_triplet_features": 4,
              "projection_width": 4},
}  # fmt: skip
_CALIBRATE = "+callbacks.calibrate={_target_: kan_heads.nequip.CalibrateGrids}"
#: Runs of nequip-train: configuration, overrides of ``kan``, more overrides.
RUNS = {
    "allegro-bspline": ("allegro/ag-output-gaussian", {"basis": "bspline", "hidden": "[]"}, [_CALIBRATE]),
    "allegro-gaussian": ("allegro/ag-output-gaussian", {}, []),
    "allegro-fourier": ("allegro/ag-output-gaussian", {"basis": "fourier", "scope": "all"}, []),
    "allegro-chebyshev": ("allegro/ag-output-gaussian", {"basis": "chebyshev"}, [_CALIBRATE]),
    "nequip-bspline": ("nequip/ag-output-bspline", {"scope": "all"}, [_CALIBRATE]),
    "nequip-gaussian": ("nequip/ag-output-gaussian", {}, []),
    "nequip-fourier": ("nequip/ag-output-gaussian", {"basis": "fourier", "hidden": "[]"}, []),
    "nequip-chebyshev": ("nequip/ag-output-gaussian", {"basis": "chebyshev", "hidden": "[2]"}, []),
    "etgnn-bspline": ("etgnn/sio2-output-bspline-1layer", {}, []),
    "etgnn-gaussian": ("etgnn/sio2-output-gaussian", {"scope": "all"}, [_CALIBRATE]),
    "etgnn-fourier": ("etgnn/sio2-output-gaussian", {"basis": "fourier", "hidden": "[]"}, []),
    "etgnn-chebyshev": ("etgnn/sio2-output-gaussian", {"basis": "chebyshev", "scope": "projections"}, []),
}
PACKAGED = ("allegro-bspline", "nequip-gaussian")

MACE_MODELS = {
    "mace-bspline": {"scope": "all"},
    "mace-gaussian": {"basis": "gaussian", "hidden": [3]},
    "mace-fourier": {"basis": "fourier"},
    "mace-chebyshev": {"basis": "chebyshev"},
    "mace-published": {"preset": "published"},
    "mace-heads": {},
}
MACE_HEADS = {"mace-heads": ("a", "b")}


def networks(folder):
    """Bare networks: state, inputs, outputs, gradients."""
    from kan_heads.kan import KAN, KANConfig

    stored = {}
    for index, (name, (dims, options)) in enumerate(NETWORKS.items()):
        torch.manual_seed(index)
        model = KAN(dims, KANConfig.from_dict(options))
        if not options.get("layer_norm"):
            model.calibrate(0.3 + 0.7 * torch.randn(64, dims[0]))
        x = (2.0 * torch.randn(9, dims[0])).requires_grad_()
        y = model(x)
        (gradient,) = torch.autograd.grad(y.sum(), x)
        state = {key: value.clone() for key, value in model.state_dict().items()}
        stored[name] = {"dims": dims, "options": options, "state": state, "x": x.detach(), "y": y.detach(),
                        "gradient": gradient}  # fmt: skip
    torch.save(stored, folder / "networks.pt")


def potentials(folder):
    """Checkpoints of nequip-train, two packages, and their predictions."""
    import ase.io
    import etgnn_runs
    import workflow

    from benchmarks.datasets.ag_emt import generate

    silver, silica = folder / "silver", folder / "silica"
    silver.mkdir()
    silica.mkdir()
    frames = generate(n_frames=6, seed=0, equilibration=20)
    ase.io.write(silver / "train.extxyz", frames[:4])
    ase.io.write(silver / "val.extxyz", frames[4:])
    crystals = etgnn_runs.born_frames(11)
    etgnn_runs.write_sets(silica, crystals)
    results = {}
    for name, (config, kan, more) in RUNS.items():
        kind = config.split("/")[0]
        data = silica if kind == "etgnn" else silver
        out = folder / name
        arguments = ["-cp", workflow.CONFIGS, "-cn", config, f"data_dir={data}", f"hydra.run.dir={out}"]
        arguments += ["n_epochs=1", "trainer.enable_progress_bar=false", "batch_size=2", "r_max=4.0"]
        arguments += [f"{_TINY}{key}={value}" for key, value in SIZES[kind].items()]
        for key, value in kan.items():
            new = "+" if key == "hidden" and "hidden" not in _own(config) else ""
            arguments.append(f"{new}{_TINY}kan.{key}={value}")
        workflow.run("nequip-train", *arguments, *more, cwd=data)
        checkpoint = torch.load(out / "best.ckpt", weights_only=False)
        for state in checkpoint["optimizer_states"]:
            state["state"] = {}  # a half of the file, and nothing that a prediction needs
        target = folder / f"{name}.ckpt"
        torch.save(checkpoint, target)
        if name in PACKAGED:
            workflow.run(
                "nequip-package", "build", out / "best.ckpt", folder / f"{name}.nequip.zip", cwd=data
            )
        results[name] = predict_potential(target, kind)
    np.savez(
        folder / "potentials.npz", **{f"{n}/{k}": v for n, found in results.items() for k, v in found.items()}
    )
    return [f"{name}.ckpt" for name in RUNS] + [f"{name}.nequip.zip" for name in PACKAGED]


def _save(path, results):
    np.savez(
        path, **{f"{name}/{key}": value for name, found in results.items() for key, value in found.items()}
    )


def _own(config):
    return (HERE.parents[1] / "configs" / f"{config}.yaml").read_text()


def predict_potential(path, kind):
    """Returns what a checkpoint or package predicts for a toy structure."""
    if kind == "etgnn":
        import etgnn_models
        import etgnn_runs
        from nequip.model.saved_models import load_saved_model

        model = load_saved_model(str(path))
        atoms, _ = etgnn_runs.silica(5)
        return {"tensor": etgnn_models.predict(model, atoms).numpy()}
    import workflow
    from ase.build import bulk

    atoms = bulk("Ag", cubic=True).repeat((2, 1, 1))
    atoms.rattle(0.2, seed=3)
    energy, forces = workflow.predict(path, atoms)
    return {"energy": np.array(energy), "forces": forces}


def mace(folder):
    """Files of MACE, whole pickles, and a state of one; with predictions."""
    import mace_models

    from kan_heads.global_state import default_dtype
    from kan_heads.kan.grid import inputs_seen
    from kan_heads.swap import kans_of

    results, state = {}, None
    with default_dtype(torch.float64):
        for index, (name, settings) in enumerate(MACE_MODELS.items()):
            heads = MACE_HEADS.get(name, ("Default",))
            small = {"hidden_irreps": mace_models.o3.Irreps("4x0e"), "max_ell": 1, "radial_MLP": [4]}
            model = mace_models.kan(settings, seed=index, heads=heads, **small)
            if settings.get("preset") != "published":
                kans = kans_of(model)
                with inputs_seen(kans) as seen:
                    mace_models.predict(model, mace_models.crystal(), heads=heads, head=heads[0])
                for path, kan in kans.items():
                    kan.calibrate(torch.cat(seen[path]))
            torch.save(model, folder / f"{name}.model")
            if name == "mace-bspline":
                state = model.state_dict()
            results[name] = predict_mace(model, heads)
    torch.save(state, folder / "mace-bspline.state.pt")
    _save(folder / "mace.npz", results)
    return [f"{name}.model" for name in MACE_MODELS] + ["mace-bspline.state.pt", "mace.npz"]


def predict_mace(model, heads=("Default",)):
    """Returns what a model of MACE predicts for a toy structure."""
    import mace_models

    found = mace_models.predict(model, mace_models.crystal(), heads=heads, head=heads[-1])
    return {key: found[key].detach().numpy() for key in ("energy", "forces", "stress")}


def main(release):
    """Writes ``<release>.tar.xz`` beside this file."""
    from kan_heads._version import __version__

    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        names = ["networks.pt", "potentials.npz", "made.json"]
        networks(folder)
        names += mace(folder)
        names += potentials(folder)
        made = {"kan_heads": __version__, "torch": torch.__version__}
        (folder / "made.json").write_text(json.dumps(made))
        # Same kinds side by side: what they share is packed once.
        names.sort(key=lambda name: (name.split(".", 1)[1], name))
        target = HERE / f"{release}.tar.xz"
        with tarfile.open(target, "w:xz", preset=9) as archive:
            for name in names:
                content = (folder / name).read_bytes()
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))


if __name__ == "__main__":
    main(sys.argv[1])
