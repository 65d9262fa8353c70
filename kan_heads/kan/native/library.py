"""Compiles the C kernels on first use, in a few seconds, and keeps the result in the cache.

The sources are plain C: no header of Python or torch, so one compiler call makes them and no
release of either can break them. They are compiled for the processor at hand. Where that is not
possible, layers run on the torch formulas, and one warning says why.
"""

import ctypes
import functools
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import warnings
from pathlib import Path
from typing import List, Optional

import torch

from kan_heads.paths import cache_dir

#: Set to ``off`` to run on the torch formulas.
SWITCH = "KAN_HEADS_KERNELS"
_SOURCES = Path(__file__).parent
_FLAGS = ["-std=gnu11", "-O2", "-ftree-vectorize", "-fPIC", "-shared"]
_FLAGS += ["-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast"]
# With gcc, and torch from PyPI, this is the OpenMP library that torch has loaded, and its threads.
_OPENMP = ["-fopenmp"]
_TIMEOUT = 300  # seconds


@functools.cache
def library(dtype: torch.dtype) -> Optional[ctypes.CDLL]:
    """Returns the kernels for numbers of one precision, or ``None`` where there are none.

    Args:
        dtype: ``torch.float32`` or ``torch.float64``.
    """
    if os.environ.get(SWITCH, "on").lower() in ("off", "0", "false"):
        return None
    if not (_SOURCES / "kernels.c").is_file():  # inside a packaged model, which holds Python only
        return None
    try:
        return _load(dtype)
    except (OSError, subprocess.SubprocessError, RuntimeError) as error:
        warnings.warn(
            f"kan-heads: no fast CPU kernels ({error}); KAN layers run on torch formulas, 10 to 30 times"
            f" slower. Install gcc or clang, or set {SWITCH}=off to hide this warning.",
            RuntimeWarning,
            stacklevel=2,
        )
        return None


def describe(dtype: torch.dtype) -> str:
    """Says in a few words what layers of this precision run on."""
    return "torch formulas" if library(dtype) is None else f"C kernels ({' '.join(_compiler())})"


def _load(dtype: torch.dtype) -> ctypes.CDLL:
    compiler = _compiler()
    flags = [*_FLAGS, _processor_flag(), *(["-DKAN_HEADS_DOUBLE"] if dtype == torch.float64 else [])]
    name = f"{_key(compiler, flags)}.so"
    try:
        return ctypes.CDLL(str(cache_dir() / "kernels" / name))
    except (OSError, RuntimeError):  # not there, made for another system, or there is no home folder
        pass
    program = " ".join(compiler)
    sys.stderr.write(f"kan-heads: compiling CPU kernels for {dtype} with {program}, once, some seconds\n")
    try:
        folder = cache_dir() / "kernels"
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="building-", dir=folder) as scratch:
            built = _compile(compiler, flags, Path(scratch) / name)
            os.replace(built, folder / name)  # whole or not at all: others may be doing the same
        return ctypes.CDLL(str(folder / name))
    except CompilerError:
        raise
    except (OSError, RuntimeError):  # no cache: for this process alone, then
        with tempfile.TemporaryDirectory(prefix="kan-heads-") as scratch:
            return ctypes.CDLL(str(_compile(compiler, flags, Path(scratch) / name)))


class CompilerError(RuntimeError):
    """The compiler is missing or rejects the sources."""


def _compile(compiler: List[str], flags: List[str], target: Path) -> Path:
    for extra in (_OPENMP, []):  # some compilers come without OpenMP
        command = [*compiler, *flags, *extra, str(_SOURCES / "kernels.c"), "-o", str(target)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT, check=False)
        if done.returncode == 0:
            return target
    lines = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines()
    reason = lines[0].strip() if lines else f"exit status {done.returncode}"
    raise CompilerError(f"{' '.join(compiler)}: {reason}")


def _compiler() -> List[str]:
    """The command of the compiler: ``$CC``, arguments and all, or the first that is there."""
    named = shlex.split(os.environ.get("CC", ""))
    if named and not shutil.which(named[0]):
        raise CompilerError(f"CC={os.environ['CC']}: not found; correct or unset it")
    if named:
        return named
    own = (sysconfig.get_config_var("CC") or "").split(" ")[0]  # the one that made this Python
    for name in (own, "gcc", "clang", "cc"):
        if name and shutil.which(name):
            return [name]
    raise CompilerError("no C compiler found")


def _processor_flag() -> str:
    return "-march=native" if platform.machine().lower() in ("x86_64", "amd64") else "-mcpu=native"


def _key(compiler: List[str], flags: List[str]) -> str:
    """Names what the result depends on: sources, compiler, flags and processor."""
    command = [*compiler, "--version"]
    version = subprocess.run(command, capture_output=True, timeout=_TIMEOUT, check=False).stdout
    digest = hashlib.sha256(version)
    for source in sorted(_SOURCES.glob("*.[ch]")):
        digest.update(source.read_bytes())
    digest.update(
        " ".join([*compiler, *flags, *platform.libc_ver(), platform.machine(), _processor()]).encode()
    )
    return digest.hexdigest()[:24]


def _processor() -> str:
    """What the processor can do: a home folder may be shared by several kinds."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    kinds = ("model name", "flags", "Features", "CPU part")
    return "\n".join(dict.fromkeys(line for line in lines if line.startswith(kinds)))
