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
    if library(dtype) is None:
        return "torch formulas"
    try:
        return f"C kernels ({' '.join(_compiler())})"
    except CompilerError:
        return "C kernels (compiled before)"


def _load(dtype: torch.dtype) -> ctypes.CDLL:
    flags = [*_FLAGS, _processor_flag(), *(["-DKAN_HEADS_DOUBLE"] if dtype == torch.float64 else [])]
    key = _key(flags)
    folder = _folder()
    try:
        compiler = _compiler()
        own = f"{key}-{_identity(compiler)}"
        found = _kept(folder, own)
        if found is not None:
            return found
        program = " ".join(compiler)
        sys.stderr.write(f"kan-heads: compiling CPU kernels for {dtype} with {program}, once, some seconds\n")
        return _build(compiler, flags, folder, own)
    except CompilerError:  # where programs run there may be none, unlike where they were first tried
        found = _kept(folder, key)
        if found is None:
            raise
        return found


def _folder() -> Optional[Path]:
    """Where compiled kernels are kept: a folder that nobody else can put a library into, or ``None``."""
    try:
        folder = cache_dir() / "kernels"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder if _is_safe(folder) else None
    except (OSError, RuntimeError):  # not to be written, or there is no home folder
        return None


def _is_safe(path: Path) -> bool:
    """Whether only this user and root can change a file or folder; warns if others can."""
    if not hasattr(os, "geteuid"):
        return True
    status = path.stat()
    if status.st_uid not in (0, os.geteuid()):
        fault, remedy = f"belongs to user {status.st_uid}", "set KAN_HEADS_CACHE to a folder of your own"
    elif status.st_mode & 0o022:
        fault, remedy = "can be changed by others", f"run: chmod go-w {shlex.quote(str(path))}"
    else:
        return True
    warnings.warn(
        f"kan-heads: {path} {fault}, so no compiled kernels are kept or used there; {remedy}",
        RuntimeWarning,
        stacklevel=2,
    )
    return False


def _kept(folder: Optional[Path], prefix: str) -> Optional[ctypes.CDLL]:
    """A library whose name begins so; it ends in a checksum, since loading a damaged file is a bus error."""
    for path in sorted(folder.glob(f"{prefix}-*.so")) if folder else ():
        try:
            if path.stem.endswith(f"-{_checksum(path)}") and _is_safe(path):
                return ctypes.CDLL(str(path))
        except OSError:  # not to be read, or what it needs is not there
            pass
    return None


def _checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:32]


def _build(compiler: List[str], flags: List[str], folder: Optional[Path], prefix: str) -> ctypes.CDLL:
    if folder is not None:
        try:
            with tempfile.TemporaryDirectory(prefix="building-", dir=folder) as scratch:
                built = _compile(compiler, flags, Path(scratch) / "kernels.so")
                built.chmod(0o644)  # compilers follow the umask, which may let a group write
                path = folder / f"{prefix}-{_checksum(built)}.so"
                os.replace(built, path)  # whole or not at all: others may be doing the same
            return ctypes.CDLL(str(path))
        except OSError:  # no room, or not to be written: for this process alone, then
            pass
    with tempfile.TemporaryDirectory(prefix="kan-heads-") as scratch:
        return ctypes.CDLL(str(_compile(compiler, flags, Path(scratch) / "kernels.so")))


class CompilerError(RuntimeError):
    """The compiler is missing or rejects the sources."""


def _compile(compiler: List[str], flags: List[str], target: Path) -> Path:
    for extra in (_OPENMP, []):  # some compilers come without OpenMP
        command = [*compiler, *flags, *extra, str(_SOURCES / "kernels.c"), "-o", str(target)]
        done = _run(command)
        if done.returncode == 0:
            return target
    lines = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines()
    reason = lines[0].strip() if lines else f"exit status {done.returncode}"
    raise CompilerError(f"{' '.join(compiler)}: {reason}")


def _run(command: List[str]) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise CompilerError(f"{command[0]}: {error}") from error


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


def _key(flags: List[str]) -> str:
    """Names what the result must agree with: sources, flags and processor."""
    digest = hashlib.sha256()
    for source in sorted(_SOURCES.glob("*.[ch]")):
        digest.update(source.read_bytes())
    digest.update(" ".join([*flags, *platform.libc_ver(), platform.machine(), _processor()]).encode())
    return digest.hexdigest()[:24]


def _identity(compiler: List[str]) -> str:
    version = _run([*compiler, "--version"]).stdout
    return hashlib.sha256(" ".join([*compiler, version]).encode()).hexdigest()[:12]


def _processor() -> str:
    """What the processor can do: a home folder may be shared by several kinds."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    kinds = ("model name", "flags", "Features", "CPU part")
    return "\n".join(dict.fromkeys(line for line in lines if line.startswith(kinds)))
