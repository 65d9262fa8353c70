"""Runs the programs of the environment, each in a process of its own, without importing everything each time.

A start of ``nequip-train`` or ``mace_run_train`` spends most of its time on imports. A server, one for each
family of programs, imports what they share once and forks for each call. The fork has the directory, the
environment, the arguments, the output files and the end of an ordinary process: its excepthook, its exit
handlers and its exit status. ``fresh=True`` starts the program itself.
"""

import contextlib
import importlib.metadata
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import types

BIN = pathlib.Path(sys.executable).parent

# Neither kan_heads' own modules, some of which look at the name of the program when they are imported, nor
# nequip.scripts.train, which remembers the directory in which it is imported.
SHARED = {
    "nequip": (
        *("torch", "torch._dynamo", "e3nn.o3", "e3nn.nn", "lightning", "hydra", "matscipy.neighbours"),
        *("torchmetrics", "pandas", "ase.io.extxyz", "typer", "rich.console", "nequip.data", "nequip.model"),
        *("nequip.train", "nequip.nn", "nequip.scripts.package", "nequip.integrations.ase", "kan_heads.kan"),
    ),
    "mace": (
        *("torch", "torch._dynamo", "mace.cli.run_train", "mace.cli.eval_configs", "mace.calculators"),
        *("ase.io.extxyz", "kan_heads.kan"),
    ),
}

_servers = {}


def run(program, *arguments, cwd, expect=0, family=None, fresh=False, **environment):
    """Runs a program of the environment that runs the tests, as a user does.

    Args:
        program: its name; ``python`` takes ``-c`` and code.
        arguments: its arguments.
        cwd: the directory that it is started in.
        expect: the exit status that it must have.
        family: the server that forks; that of MACE for MACE's programs, else that of nequip.
        fresh: start the program itself, for what only a new interpreter shows.
        environment: variables to set for it.

    Returns:
        What it wrote to standard output and to standard error.
    """
    command = [str(BIN / program), *map(str, arguments)]
    variables = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    if fresh:
        done = subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, check=False)
        status, output, errors = done.returncode, done.stdout, done.stderr
    else:
        family = family or ("mace" if program.startswith("mace_") else "nequip")
        status, output, errors = fork(family, command, cwd, variables)
    assert status == expect, f"{' '.join(command)}: {status}\n{output[-3000:]}\n{errors[-3000:]}"
    return output, errors


def fork(family, command, cwd, environment):
    """Runs a command in a fork of a server; returns exit status, standard output and standard error."""
    if family not in _servers or _servers[family].poll() is not None:
        _servers[family] = subprocess.Popen(
            [sys.executable, __file__, *SHARED[family]],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
    server = _servers[family]
    with tempfile.TemporaryDirectory() as folder:
        files = [os.path.join(folder, name) for name in ("stdout", "stderr")]
        request = {"command": command, "cwd": str(cwd), "environment": dict(environment), "files": files}
        server.stdin.write(json.dumps(request) + "\n")
        server.stdin.flush()
        status = int(server.stdout.readline())
        return status, *(pathlib.Path(file).read_text(errors="replace") for file in files)


def serve(modules):
    """Imports modules, then forks for each request; returns in the fork, with the request."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what modules say when they are imported is no reply
    for module in modules:
        with contextlib.suppress(ImportError):  # an extra that is not installed
            importlib.import_module(module)
    threads = os.listdir("/proc/self/task") if os.path.isdir("/proc/self/task") else [""]
    assert len(threads) == 1, "a fork would lose the other threads"
    while line := sys.stdin.readline():
        child = os.fork()
        if not child:
            replies.close()
            return json.loads(line)
        replies.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")
        replies.flush()
    os._exit(0)


def take_over(request):
    """Makes this process the one of a request, as far as a new interpreter would be."""
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    for number, file in enumerate((os.devnull, *request["files"])):
        opened = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    asked = request["environment"].get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:1] = [str(BIN), *(path for path in asked if path and path not in sys.path)]


def become(command):
    """Does what the interpreter does with a command; returns the exit status of its program."""
    program = os.path.basename(command[0])
    if program == "python":
        _, flag, code, *rest = command
        sys.argv, sys.path[0] = [flag, *rest], ""
        sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(code, "<string>", "exec"), vars(sys.modules["__main__"]))
        return 0
    sys.argv = command
    (entry,) = importlib.metadata.entry_points(group="console_scripts", name=program)
    return entry.load()()


if __name__ == "__main__":
    asked = serve(sys.argv[1:])
    take_over(asked)
    sys.exit(become(asked["command"]))
