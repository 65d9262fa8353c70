"""Becomes another program, which ends when its parent does: ``python tether.py PARENT PROGRAM ...``.

For Linux. It runs by its path and imports nothing of this package. To do the same between fork and exec
(``preexec_fn`` of ``subprocess``) may hang a parent that has threads.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ties this process to its parent, then replaces it by the program."""
    parent, program, *arguments = sys.argv[1:]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):  # it ended before this took effect
        sys.exit(f"{program}: not started, the process that asked for it has ended")
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and so would the program
        signal.signal(number, signal.SIG_DFL)
    os.execv(program, [program, *arguments])


if __name__ == "__main__":
    main()
