"""Times a force-training step of a readout: KANs against the MLP that they replace.

A step is what training does to the block: energy, forces by differentiation, and the gradient of
a loss on both. All models take turns within one run, and the figures are ratios of medians.

    python benchmarks/readout.py --rows 20000 --features 64 --threads 1
"""

import argparse
import json
import statistics
import time

import torch

from kan_heads.kan import KAN, KANConfig, basis_names


def step(model: torch.nn.Module, x: torch.Tensor) -> None:
    """Runs one force-training step."""
    x = x.clone().requires_grad_()
    energy = model(x).sum()
    (forces,) = torch.autograd.grad(energy, x, create_graph=True)
    (forces.square().mean() + energy.square()).backward()


def main() -> None:
    """Prints a table of ratios, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=20000)
    parser.add_argument("--features", type=int, default=64)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    generator = torch.Generator().manual_seed(0)
    x = torch.randn(options.rows, options.features, generator=generator)
    models = {
        "MLP [in, 32, 1]": torch.nn.Sequential(
            torch.nn.Linear(options.features, 32, bias=False),
            torch.nn.SiLU(),
            torch.nn.Linear(32, 1, bias=False),
        )
    }
    for basis in basis_names():
        for hidden in ((), (8,), (32,)):
            dims = [options.features, *hidden, 1]
            name = f"KAN {['in', *hidden, 1]} {basis}".replace("'", "")
            models[name] = KAN(dims, KANConfig(basis=basis), generator=generator)
    times = {name: [] for name in models}
    for repeat in range(options.repeats + 1):
        for name, model in models.items():
            start = time.perf_counter()
            step(model, x)
            if repeat:
                times[name].append(time.perf_counter() - start)
    medians = {name: 1e3 * statistics.median(seconds) for name, seconds in times.items()}
    mlp = medians["MLP [in, 32, 1]"]
    rows = [{"model": name, "median_ms": ms, "ratio_to_mlp": ms / mlp} for name, ms in medians.items()]
    if options.json:
        print(json.dumps({**vars(options), "torch": torch.__version__, "results": rows}, indent=1))
        return
    print(f"{options.rows} rows x {options.features} features, {options.threads} thread(s), float32")
    for row in rows:
        print(f"{row['model']:28s} {row['median_ms']:9.1f} ms  {row['ratio_to_mlp']:6.1f} x MLP")


if __name__ == "__main__":
    main()
