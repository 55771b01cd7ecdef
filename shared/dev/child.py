"""What every program that `akeso dev` starts is told first: to die with its parent, however that dies."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


def die_with_parent() -> Callable[[], None] | None:
    """For `preexec_fn`: two system calls in the child, with nothing left to load. None where there is no prctl.

    The signal follows the thread that starts the child: start it from one that lives as long as it is needed.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl  # before the fork: after it nothing may be loaded
    parent = os.getpid()

    def child() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)

    return child
