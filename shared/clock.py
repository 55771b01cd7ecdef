"""The one source of wall-clock time, so that tests and `akeso dev` can move it.

Simulated time is a line on the real clock: `sim = at_sim + (real - at_real) * speed`, read from the JSON file that
`AKESO_CLOCK_FILE` names. It must never be set in production, and even if it were, the Redis scripts honour a
caller's time only while the stored epoch says dev.
"""

import json
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

_ENV = "AKESO_CLOCK_FILE"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _real_ms() -> int:
    return time.time_ns() // 1_000_000


def simulated_ms() -> int | None:
    """Simulated time in ms since the Unix epoch, or None when real time is in force."""
    name = os.environ.get(_ENV)
    if not name:
        return None
    try:
        line = json.loads(Path(name).read_text())
    except FileNotFoundError:
        return None
    return int(line["at_sim"] + (_real_ms() - line["at_real"]) * line["speed"])


def now_ms() -> int:
    """Now in ms since the Unix epoch, simulated where simulation is on."""
    simulated = simulated_ms()
    return _real_ms() if simulated is None else simulated


def now() -> datetime:
    return datetime.fromtimestamp(now_ms() / 1000, UTC)


def iso(ms: int) -> str:
    """RFC 3339 in UTC with whole seconds, the form that survives brokers which trim fractions."""
    return datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def iso_ms(ms: int) -> str:
    """RFC 3339 in UTC with milliseconds, where a moment must come back exactly."""
    return (_EPOCH + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_ms(text: str) -> int:
    """RFC 3339 to ms since the Unix epoch; year 1 (AlertManager's "not yet") becomes a negative number.

    Raises ValueError.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(milliseconds=1)  # a float would lose one far from now


def simulate(file: Path, *, speed: float | None = None, advance_ms: int = 0) -> None:
    """Write `file` so that every process that reads it goes on from its present time at `speed`, `advance_ms` later."""
    at_real = _real_ms()
    at_sim, old_speed = float(at_real), 1.0
    if file.exists():
        line = json.loads(file.read_text())
        old_speed = line["speed"]
        at_sim = line["at_sim"] + (at_real - line["at_real"]) * old_speed
    _put(file, at_real, at_sim + advance_ms, old_speed if speed is None else speed)


def stand_still(file: Path, at_ms: int) -> None:
    """Write `file` so that it is that moment, in ms since the Unix epoch, for every process that reads it."""
    _put(file, 0, at_ms, 0.0)


def _put(file: Path, at_real: int, at_sim: float, speed: float) -> None:
    scratch = file.with_suffix(f".{os.getpid()}.tmp")
    scratch.write_text(json.dumps({"at_real": at_real, "at_sim": at_sim, "speed": speed}))
    scratch.replace(file)  # whoever reads meanwhile sees the one or the other


def sleep(seconds: float) -> None:
    """Wait that many seconds of clock time: a simulated minute is short where time runs fast."""
    name = os.environ.get(_ENV)
    speed = 1.0
    if name and Path(name).exists():
        speed = max(json.loads(Path(name).read_text())["speed"], 0.001)
    time.sleep(seconds / speed)
