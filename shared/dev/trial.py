"""A guard to try policies on: the real scripts on a Redis of its own, at whatever time a question is about.

It decides nothing itself, so that what it answers is what the guard would answer. It must never meet a Redis that
anybody else uses: every trial begins by emptying it.
"""

import heapq
import itertools
import json
import os
import secrets
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, Literal, Self

from shared import clock
from shared.dev import redis as embedded
from shared.guard.flat import flat
from shared.guard.policy import Policy
from shared.secrets import Secrets
from shared.settings import Redis, Settings
from shared.state.client import PREFIX, Store
from shared.state.transitions import Admitted, Cause, State

TENANT, CLUSTER = "trial", "trial"
_SECOND, _DAY = 1000, 86_400_000
_ANEW: Final = 4 * _DAY  # windows are expanded again long before they run out
_VERDICT: Final = {
    "verified": {"healthy": True, "worse": False},
    "ineffective": {"healthy": False, "worse": False},
    "harmful": {"healthy": False, "worse": True},
}

Ended = Literal["verified", "ineffective", "harmful", "failed", "running"]


class Trial:
    """A context manager. Times are ms and only go forward between two calls of `begin`."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._numbers = itertools.count()
        self._later: list[tuple[int, int, Callable[[], None]]] = []
        self._undoable: dict[str, str] = {}  # scope to its last attempt
        self._now = self._loaded = 0

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="akeso-trial-")))
            self._clock = folder / "clock.json"
            before = os.environ.get("AKESO_CLOCK_FILE")
            os.environ["AKESO_CLOCK_FILE"] = str(self._clock)
            stack.callback(_put_back, before)
            server = stack.enter_context(embedded.start(folder / "redis"))
            settings = Settings(dev=True, redis=Redis(url=server.url, timeout_ms=5000))
            self._state = State(Store(settings, Secrets(folder / "secrets")))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def begin(self, policy: Policy, at: int) -> None:
        """Forget everything; from `at` on that policy is in force."""
        self._state.store.read("FLUSHALL")
        self._later, self._undoable, self._policy = [], {}, policy
        self._jump(at)
        self._load()

    def ask(self, asked: dict[str, Any], at: int) -> Admitted:
        """Ask only: nothing is moved. `asked` are `admit`'s arguments; about an incident that nobody has opened yet."""
        self._until(at)
        return self._state.admit(self._cause("guard"), **asked | {"incident": "", "dry": True})

    def decide(self, asked: dict[str, Any], at: int, ended: Ended = "verified") -> Admitted:
        """Let it be decided for real, and carry what is approved to the end that is named."""
        self._until(at)
        incident = str(asked.get("incident") or f"trial-{next(self._numbers)}")
        self._open(incident, asked)
        asked = asked | {"incident": incident}
        if asked.get("mode") == "undo":
            asked["of"] = self._undoable.get(asked["scope"], asked.get("of", ""))
        answer = self._state.admit(self._cause("guard"), **asked)
        if grant := answer.get("grant"):
            if asked.get("mode") != "undo":
                self._undoable[asked["scope"]] = grant
            if ended != "running":
                self._carry(grant, answer, asked, ended)
        return answer

    def _open(self, incident: str, asked: dict[str, Any]) -> None:
        """An incident that is open and at rest, which is what every proposal is about."""
        key = f"{PREFIX}:{TENANT}:{CLUSTER}:incident:{incident}"
        told = {"id": incident, "state": "open", "scope": asked["scope"], "people": ""}
        told |= {name: str(asked.get(name) or "") for name in ("family", "severity")}
        told["severities"] = json.dumps(asked["severities"]) if asked.get("severities") else ""
        write = self._state.store.read
        write("HSET", key, *itertools.chain.from_iterable(told.items()))
        write("HDEL", key, "attempt", "soak", "undo", "hold", "stage")

    def _carry(self, grant: str, answer: Admitted, asked: dict[str, Any], ended: Ended) -> None:
        step = {
            "attempt": grant, "step": 0, "run": "run", "run_for": 30 * _SECOND, "deadline": 90 * _SECOND,
            "grant": "", "epoch": answer.get("epoch", ""), "fence": answer.get("fence", 0),
        }  # fmt: skip
        self._state.begin(self._cause("executor"), **step)

        def verdict() -> None:
            self._state.store.read("HSET", f"{PREFIX}:{TENANT}:{CLUSTER}:heartbeat", "at", self._now, "since", 0)
            told = {"known": True, "text": "", "patience": 0, "again": _SECOND, **_VERDICT[ended]}
            self._state.settle(self._cause("verifier"), "verdict", attempt=grant, **told)

        def finish() -> None:
            outcome = "failed" if ended == "failed" else "succeeded"
            self._state.finish(self._cause("executor"), grant, outcome, run="run", step=0, writes=1)
            if outcome == "succeeded" and asked.get("mode") != "undo":
                self._at(self._now + int(asked.get("soak", 0)), verdict)

        self._at(self._now + _SECOND, finish)

    def _at(self, moment: int, what: Callable[[], None]) -> None:
        heapq.heappush(self._later, (moment, next(self._numbers), what))

    def _until(self, at: int) -> None:
        """Let pass what ends by then, each at its own time."""
        at = max(at, self._now)
        while self._later and self._later[0][0] <= at:
            moment, _, what = heapq.heappop(self._later)
            self._jump(max(moment, self._now))
            what()
        self._jump(at)
        if at - self._loaded > _ANEW:
            self._load()

    def _jump(self, to: int) -> None:
        self._now = to
        clock.stand_still(self._clock, to)

    def _load(self) -> None:
        self._loaded = self._now
        stop = {"mode": "run", "reason": "", "by": "", "since": ""}
        self._state.load(
            self._cause("sweeper"), mode="dev", fresh=secrets.token_hex(16), stop=stop, hydrate=True, embargo=0,
            people_before=False, policy=flat(self._policy, "trial", self._now),
        )  # fmt: skip

    def _cause(self, function: str) -> Cause:
        return Cause(function, "/trial", f"trial-{next(self._numbers)}", TENANT, CLUSTER)


def _put_back(before: str | None) -> None:
    if before is None:
        os.environ.pop("AKESO_CLOCK_FILE", None)
    else:
        os.environ["AKESO_CLOCK_FILE"] = before
