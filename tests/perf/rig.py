"""A Redis of its own with the production settings, a policy in which every check has something to look at, and
proposals as the router makes them.

Time is simulated and runs so fast that the logs hold what an hour of a busy installation leaves, whatever the speed of
the machine. Each decision carries its time itself: reading the simulated clock's file is no part of the guard.
"""

import hashlib
import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import redis

from shared import clock
from shared import settings as bootstrap
from shared.action.catalogue import Catalogue
from shared.cli._examples import Example
from shared.dev import redis as embedded
from shared.guard import judge
from shared.guard.flat import flat
from shared.guard.policy import Policy
from shared.secrets import Secrets
from shared.state.client import PREFIX, Store
from shared.state.transitions import Cause, State

Proposal = tuple[Cause, dict[str, Any]]
TENANT, CLUSTER = "default", "bench"
SPEED: Final = 36_000  # simulated per real time: 1,000 grants a second are 100 an hour, the policy's default
EACH: Final = 25  # targets in a namespace, so that its default budget of 30 holds
FULL: Final = "full"  # the namespace whose budget is spent
BUSY: Final = Policy.model_validate(
    {
        "protected_namespaces": ["vault-*", "payments"],
        "protected_objects": ["Deployment/shop/db", "StatefulSet/*/pg-*"],
        "hold": ["drain_node"],
        "rules": [
            {"name": "nothing at the tills", "namespaces": ["tills-*"], "autonomy": "off"},
            {"name": "two for a node", "kinds": ["Node"], "approvers": 2},
            {"name": "critical is for people", "severities": ["critical"], "autonomy": "approve"},
        ],
        "windows": [
            {"name": "always", "kind": "maintenance", "from": "00:00", "to": "24:00"},
            {"name": "inventory", "kind": "freeze", "namespaces": ["stock-*"], "days": ["sun"], "to": "06:00"},
            {"name": "night", "kind": "freeze", "actions": ["drain_node"], "from": "22:00", "to": "06:00"},
        ],
        "working_hours": {"days": ["mon", "tue", "wed", "thu", "fri"], "from": "08:00", "to": "18:00"},
    }
)
BARE: Final = Policy()
# Room in every budget but the namespace's, so that as many decisions as one likes are approved.
ROOM: Final = {
    "rate_minute": 10**6, "rate_hour": 10**6, "rate_action": 10**6, "concurrency": 10**6, "concurrency_action": 10**6,
    "blast_most": 10**6, "storm_new": 10**6, "risk_approve": 101, "risk_refuse": 101,
}  # fmt: skip


class Rig:
    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder
        self.redis = redis.Redis.from_url(url, decode_responses=True)
        self.state = self.connect()
        self._numbers = itertools.count(1)
        self._template = judge.request(Example(folder, Catalogue.home(), "scale_deployment").proposed())
        self.began, self.base = time.perf_counter(), clock.now_ms()
        self.load()

    def connect(self) -> State:
        """A state with a connection of its own, as each process has."""
        settings = bootstrap.load({"AKESO_DEV": "1", "AKESO_REDIS__URL": self.url, "AKESO_REDIS__TIMEOUT_MS": "5000"})
        return State(Store(settings, Secrets(self.folder)))

    def cause(self, fn: str) -> Cause:
        return Cause(fn, f"/akeso/{fn}", f"event-{next(self._numbers)}", TENANT, CLUSTER)

    def key(self, *parts: str) -> str:
        return ":".join((PREFIX, TENANT, CLUSTER, *parts))

    def scope_key(self, scope: str) -> str:
        return self.key("scope", hashlib.sha1(scope.encode(), usedforsecurity=False).hexdigest())

    def now(self) -> int:
        return self.base + int((time.perf_counter() - self.began) * 1000 * SPEED)

    def load(self, policy: Policy = BUSY, **more: Any) -> None:
        """Load the policy from now on, an hour after whatever was granted before."""
        self.base = max(self.base, int(self.redis.hget(f"{PREFIX}:epoch", "clock") or 0)) + 2 * 3_600_000
        self.began = time.perf_counter()
        fields = {**flat(policy, "bench", self.base), **ROOM, **more}
        self.state.load(
            self.cause("sweeper"), mode="dev", fresh="bench", policy=fields, hydrate=True, embargo=0,
            people_before=False, stop={"mode": "run", "reason": "", "by": "", "since": "bench"}, now=self.base,
        )  # fmt: skip

    def proposals(self, count: int, namespace: str = "", **more: Any) -> list[Proposal]:
        """`count` open incidents, each of a target of its own, and a proposal for each."""
        made = []
        for _ in range(count):
            number = next(self._numbers)
            place = namespace or f"shop-{number // EACH}"
            scope = f"Deployment/{place}/web-{number}"
            opened = self.state.open(
                self.cause("triage"), "firing", ledger=f"l{number}", fingerprint=f"f{number}", starts=1, scope=scope,
                family="replicas", severity="warning", object="", namespace=place, people="", alert="{}",
            )  # fmt: skip
            own = {"incident": opened["incident"], "scope": scope, "namespace": place, "namespace_pods": 1000}
            touches = {"unit": "pod", "count": 1, "population": 10, "pool": "", "pool_population": 0}
            made.append((self.cause("guard"), {**self._template, **own, "touches": touches, **more}))
        return made

    def decide(self, state: State, proposal: Proposal, *, at: int = 0) -> str:
        """The decision, or the check that refuses it."""
        now = at or self.now()
        # Facts of the future: at such a speed a queue of three milliseconds would make any others stale.
        answer = state.admit(proposal[0], **{**proposal[1], "taken_at": now + 86_400_000, "now": now})
        return answer.get("check", answer["decision"])

    def spend(self) -> Proposal:
        """Load the policy anew, grant all that the full namespace may have, then one more proposal for it."""
        self.load()
        for proposal in self.proposals(30, FULL):
            if (word := self.decide(self.state, proposal, at=self.base)) != "approved":
                raise RuntimeError(f"not approved but {word}")
        return self.proposals(1, FULL)[0]


@contextmanager
def rig(folder: Path) -> Iterator[Rig]:
    with embedded.start(folder / "redis") as server:
        made = Rig(server.url, folder)
        if missing := made.state.store.durable():
            raise RuntimeError(f"not as in production: {missing}")
        yield made
