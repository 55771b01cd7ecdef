"""Named places where a test may kill or pause a process, because a crash between two lines is what the design is about.

`AKESO_FAILPOINT` names a folder; a file in it with a failpoint's name is taken away and obeyed when the place is
reached: `kill`, or `pause <seconds>`. Without the variable, and outside dev, a failpoint is nothing.
"""

import os
import signal
import time
from pathlib import Path


def hit(name: str) -> None:
    folder = os.environ.get("AKESO_FAILPOINT")
    if not folder or os.environ.get("AKESO_DEV") != "1":
        return
    order = Path(folder) / name
    taken = order.with_suffix(f".{os.getpid()}.taken")
    try:
        order.rename(taken)
    except FileNotFoundError:
        return
    word, _, seconds = taken.read_text().partition(" ")
    if word == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(float(seconds or 1))
