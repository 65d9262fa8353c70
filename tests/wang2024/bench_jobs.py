"""One job of the quick budget and its record."""

from bench_records import BENCHMARKS, ROOT

from benchmarks.wang2024 import record
from benchmarks.wang2024.budget import load_budget
from benchmarks.wang2024.jobs import Job

QUICK = load_budget(BENCHMARKS, "quick")
CONFIGS = ROOT / "configs"
JOB = Job("training", "allegro/hfo2-mlp", 1, "hfo2", QUICK)


def record_of(job, **changes):
    content = dict.fromkeys(key for key in record.KEYS if key != "format")
    return {**content, "job": job.name, "settings_sha256": job.settings_sha256(CONFIGS), **changes}
