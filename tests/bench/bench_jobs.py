"""One job of the quick budget and its record."""

from bench_records import BENCHMARKS, ROOT

from kan_heads.bench import records
from kan_heads.bench.budgets import load_budget
from kan_heads.bench.jobs import Job

QUICK = load_budget(BENCHMARKS, "quick")
CONFIGS = ROOT / "configs"
JOB = Job("training", "allegro/hfo2-mlp", 1, "hfo2", QUICK)


def record_of(job, **changes):
    content = dict.fromkeys(key for key in records.KEYS if key != "format")
    return {**content, "job": job.name, "settings_sha256": job.settings_sha256(CONFIGS), **changes}
