"""Named places where a test may kill or pause a process, because a crash between two lines is what the design is about.

`AKESO_FAILPOINT` names a folder; a file in it with a failpoint's name is taken away and obeyed when the place is
reached: `kill`, or `pause <seconds>`, which is over as soon as somebody removes what it was renamed to. Without the
variable, and outside dev, a failpoint is nothing.
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
        word, _, seconds = order.read_text().partition(" ")  # before anybody can take away what it becomes
        order.rename(taken)
    except FileNotFoundError:
        return
    if word == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    ends = time.monotonic() + float(seconds or 1)
    while taken.exists() and time.monotonic() < ends:
        time.sleep(0.01)
