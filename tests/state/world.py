"""One tenant's world over a real Redis: shortcuts to every transition, and looks at all that they leave behind."""

import hashlib
import itertools
import json
from collections.abc import Iterable
from typing import Any

import redis

from shared.audit.chain import verify_links
from shared.guard.load import flat
from shared.guard.policy import Policy
from shared.state.client import PREFIX
from shared.state.transitions import Admitted, Begun, Cause, Entry, Finished, Opened, Put, Settled, State
from tests.conftest import CALM, CLUSTER, TENANT, SimulatedTime

SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000
SCOPE, FAMILY, NAMESPACE = "Deployment/shop/web", "replicas-missing", "shop"
START_IN, RUN_IN, COOLDOWN, SOAK = 3 * MINUTE, 10 * MINUTE, 5 * MINUTE, MINUTE

# Keys without a time to live: what they hold is bounded by itself, or must outlive every incident.
FOR_EVER = ("epoch", "stop", "policy", "due", "due:entries", "counters", "open", "audit:unsealed")


def sha1(text: str) -> str:
    """As the scripts name scopes, which may hold any character."""
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class World:
    """Ids and fingerprints are unique unless given. `now` is the world's time in ms."""

    def __init__(self, state: State, sim: SimulatedTime, connection: "redis.Redis[str]") -> None:
        self.state, self.sim, self.redis = state, sim, connection
        self._numbers = itertools.count(1)

    # Time and causes -------------------------------------------------------------------------------------------------

    @property
    def now(self) -> int:
        return self.sim.now

    def advance(self, ms: int) -> int:
        return self.sim.advance(ms)

    def age(self, ms: int) -> None:
        """Time goes on, and what has outlived its time to live by then is gone, as by Redis' own clock."""
        self.sim.jump(self.now + ms)
        names = list(self.redis.scan_iter(count=10_000))
        with self.redis.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.pttl(name)
            left = [(name, lives) for name, lives in zip(names, pipe.execute(), strict=True) if lives >= 0]
            for name, lives in left:
                pipe.pexpire(name, lives - ms)
            pipe.execute()

    def cause(self, fn: str = "test", id: str = "") -> Cause:  # noqa: A002
        return Cause(fn, f"/akeso/{fn}", id or f"e{next(self._numbers)}", TENANT, CLUSTER)

    # Transitions -----------------------------------------------------------------------------------------------------

    def load(self, **more: Any) -> dict[str, Any]:
        fresh = {"mode": "dev", "fresh": f"epoch-{next(self._numbers)}", "embargo": 0, "people_before": False}
        return self.state.load(self.cause("sweeper"), **{**fresh, "hydrate": True, **more})

    def policy(self, **more: Any) -> None:
        self.load(policy=flat(Policy(**{**CALM, **more}), f"policy-{next(self._numbers)}"))

    def stop(self, mode: str, reason: str = "") -> dict[str, Any]:
        since = f"since-{next(self._numbers)}"
        return self.load(stop={"mode": mode, "reason": reason, "by": "tests", "since": since})

    def take(self, *ledgers: str, taken: Iterable[str] = (), watchdog: bool = False, lease: int = MINUTE) -> list[str]:
        alerts = [{"ledger": name, "watchdog": watchdog, "event": f"draft of {name}"} for name in ledgers]
        marks = self.state.take(self.cause("intake"), alerts=alerts, taken=list(taken), lease=lease)
        return [mark for mark, _ in marks]

    def heartbeat(self) -> None:
        self.take("watchdog", watchdog=True)

    def fire(self, fingerprint: str = "", **more: Any) -> Opened:
        """An alert goes from the ledger to triage's `open`."""
        number = next(self._numbers)
        fingerprint = fingerprint or f"fp{number}"
        cause = more.pop("cause", None) or self.cause("triage")
        request = {
            "fingerprint": fingerprint, "starts": self.now, "ledger": f"firing-{number}", "scope": SCOPE,
            "family": FAMILY, "severity": "warning", "object": SCOPE, "namespace": NAMESPACE, "people": "",
            "alert": '{"a":1}', **more,
        }  # fmt: skip
        self.take(request["ledger"])
        return self.state.open(cause, "firing", **request)

    def resolve(self, fingerprint: str, **more: Any) -> Opened:
        number = next(self._numbers)
        cause = more.pop("cause", None) or self.cause("triage")
        request = {
            "fingerprint": fingerprint, "starts": self.now, "ledger": f"resolved-{number}", "truncated": 0, **more,
        }  # fmt: skip
        self.take(request["ledger"])
        return self.state.open(cause, "resolved", **request)

    def request(self, incident: str, **more: Any) -> Opened:
        cause = more.pop("cause", None) or self.cause("triage")
        request = {
            "run": cause.id, "scope": "", "namespace": "", "hold": "", "action": "", "approvers": [], "look": False,
            **more,
        }  # fmt: skip
        return self.state.open(cause, "request", incident=incident, **request)

    def person_runs(self, scope: str = SCOPE, **more: Any) -> Opened:
        return self.request("", scope=scope, namespace=NAMESPACE, **more)

    def proposal(self, incident: str, **more: Any) -> dict[str, Any]:
        return {
            "incident": incident, "scope": SCOPE, "namespace": NAMESPACE, "action": "scale_deployment",
            "kind": "write", "mode": "do", "of": "", "plan_hash": "hash-1", "plan": '{"writes":[]}',
            "params": '{"replicas":3}', "expires": 0, "taken_at": self.now, "autonomy": "auto", "approvers": [],
            "approved_hash": "", "manual": False, "command": "akeso run scale_deployment", "start_in": START_IN,
            "run_in": RUN_IN, "cooldown": COOLDOWN, "soak": SOAK, "until_in": 0, "paused": False,
            "rolling_out": False, "changed_by": "", "changed_at": 0, "protected": False, "namespace_pods": 0,
            "touches": {"unit": "none", "count": 0, "population": 0, "pool": "", "pool_population": 0},
            "width": "scope", "turn": "", "resources": False, "risk": {}, "price": "{}", "author": "", **more,
        }  # fmt: skip

    def admit(self, incident: str, **more: Any) -> Admitted:
        cause = more.pop("cause", None) or self.cause("guard")
        return self.state.admit(cause, **self.proposal(incident, **more))

    def undo(self, of: str, incident: str, **more: Any) -> Admitted:
        return self.admit(incident, mode="undo", of=of, soak=0, **more)

    def begin(self, grant: Admitted | str, step: int = 0, run: str = "run-1", **more: Any) -> Begun:
        name = grant if isinstance(grant, str) else grant["grant"]
        request = {
            "attempt": name, "step": step, "run": run, "run_for": 30 * SECOND, "deadline": 90 * SECOND,
            "grant": f"signed {name}", "epoch": more.pop("epoch", None) or self.epoch(),
            "fence": more.pop("fence", None) or int(self.attempt(name).get("fence", 0)), **more,
        }  # fmt: skip
        return self.state.begin(self.cause("executor"), **request)

    def finish(self, grant: Admitted | str, outcome: str = "succeeded", **more: Any) -> Finished:
        name = grant if isinstance(grant, str) else grant["grant"]
        request = {"run": "run-1", "step": 0, "writes": 1 if outcome == "succeeded" else 0, **more}
        return self.state.finish(self.cause("executor"), name, outcome, **request)

    def verdict(self, grant: Admitted | str, **more: Any) -> Settled:
        name = grant if isinstance(grant, str) else grant["grant"]
        cause = more.pop("cause", None) or self.cause("verifier")
        request = {
            "known": True, "healthy": True, "worse": False, "text": "", "patience": 8 * MINUTE, "again": MINUTE, **more,
        }  # fmt: skip
        return self.state.settle(cause, "verdict", attempt=name, **request)

    def answer(self, word: str, incident: str, hold: str, **more: Any) -> Settled:
        request = {"who": "ann", "reason": "because", **more}
        return self.state.settle(self.cause("api"), word, incident=incident, hold=hold, **request)

    def put(self, fn: str = "escalate", **more: Any) -> Put:
        cause = more.pop("cause", None) or self.cause(fn)
        return self.state.put(cause, **more)

    def claim(self, limit: int = 100) -> list[Entry]:
        return self.state.claim(self.cause("sweeper"), limit=limit)[0]

    # Ways to a place -------------------------------------------------------------------------------------------------

    def opened(self, fingerprint: str = "", **more: Any) -> str:
        """An incident that triage carries on with."""
        opened = self.fire(fingerprint, **more)
        assert opened["result"] == "triage", opened
        return opened["incident"]

    def granted(self, incident: str, **more: Any) -> str:
        admitted = self.admit(incident, **more)
        assert admitted["decision"] == "approved", admitted
        return admitted["grant"]

    def begun(self, incident: str, **more: Any) -> str:
        grant = self.granted(incident, **more)
        assert self.begin(grant)["go"]
        return grant

    def soaking(self, incident: str, *, inverse: bool = True, admit: dict[str, Any] | None = None, **more: Any) -> str:
        grant = self.begun(incident, **(admit or {}))
        undo = {"inverse": '{"writes":["back"]}', "inverse_hash": "hash-back"} if inverse else {}
        assert self.finish(grant, **undo, **more)["outcome"] == "succeeded"
        return grant

    # What came of it -------------------------------------------------------------------------------------------------

    def key(self, *parts: str) -> str:
        return ":".join((PREFIX, TENANT, CLUSTER, *parts))

    def incident(self, name: str) -> dict[str, str]:
        return self.redis.hgetall(self.key("incident", name))

    def attempt(self, name: str) -> dict[str, str]:
        return self.redis.hgetall(self.key("attempt", name))

    def epoch(self) -> str:
        return self.redis.hget(f"{PREFIX}:epoch", "value") or ""

    def counter(self, name: str) -> int:
        return int(self.redis.hget(f"{PREFIX}:counters", name) or 0)

    def counters(self, prefix: str) -> dict[str, int]:
        found = self.redis.hgetall(f"{PREFIX}:counters")
        return {name: int(value) for name, value in found.items() if name.startswith(prefix)}

    def due(self, kind: str = "") -> dict[str, int]:
        """Ref of each entry of that kind, or kind and ref of all, to the ms from now at which it is up."""
        found = {}
        for member, at in self.redis.zrange(f"{PREFIX}:due", 0, -1, withscores=True):
            its_kind, _, _, ref = member.split("|", 3)
            if its_kind == kind or not kind:
                found[ref if kind else f"{its_kind} {ref}"] = int(at) - self.now
        return found

    def entry(self, kind: str, ref: str) -> dict[str, Any]:
        return dict(json.loads(self.redis.hget(f"{PREFIX}:due:entries", f"{kind}|{TENANT}|{CLUSTER}|{ref}") or "{}"))

    def told(self, incident: str) -> list[str]:
        """What a person is to be told about it, in the order in which it came up."""
        found = [json.loads(text) for text in self.redis.hgetall(f"{PREFIX}:due:entries").values() if text[0] == "{"]
        tells = [entry for entry in found if entry["kind"] == "tell" and entry["incident"] == incident]
        return [entry["reason"] for entry in sorted(tells, key=lambda entry: int(entry["token"]))]

    def deliver(self, incident: str, ticket: str = "T-1") -> list[str]:
        """A person is told everything that waits; what it was."""
        reasons = self.told(incident)
        self.put(told={"incident": incident, "reasons": reasons, "ticket": ticket, "state": "open"})
        return reasons

    def audit(self, incident: str) -> list[dict[str, Any]]:
        return [json.loads(line.partition(" ")[2]) for line in self.redis.lrange(self.key("audit", incident), 0, -1)]

    def words(self, incident: str) -> list[str]:
        return [line["what"] for line in self.audit(incident)]

    def budget(self) -> dict[str, Any]:
        """All that limits and leases are made of."""
        names = ("rate", "attempts:", "scope:", "live", "breaker:")
        parts = tuple(self.key(name) for name in names)
        return self._contents([name for name in self.redis.scan_iter(count=10_000) if name.startswith(parts)])

    def dump(self) -> dict[str, Any]:
        """Every key with all that it holds; only the clock, which every call moves, is left out."""
        found = self._contents(sorted(self.redis.scan_iter(count=10_000)))
        found.get(f"{PREFIX}:epoch", {}).pop("clock", None)
        return found

    def _contents(self, names: list[str]) -> dict[str, Any]:
        with self.redis.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.type(name)
            kinds = pipe.execute()
            for name, kind in zip(names, kinds, strict=True):
                read = {
                    "hash": pipe.hgetall, "zset": lambda name: pipe.zrange(name, 0, -1, withscores=True),
                    "set": pipe.smembers, "list": lambda name: pipe.lrange(name, 0, -1), "string": pipe.get,
                }  # fmt: skip
                read[kind](name)
            return dict(zip(names, pipe.execute(), strict=True))

    # What must hold after every story --------------------------------------------------------------------------------

    def chains(self) -> dict[str, list[str]]:
        """Audit lines by incident."""
        start = self.key("audit", "")
        names = [
            name for name in self.redis.scan_iter(match=start + "*", count=10_000) if ":" not in name[len(start) :]
        ]
        return {name.removeprefix(start): lines for name, lines in self._contents(names).items()}

    def broken_chains(self) -> list[str]:
        return [incident for incident, lines in self.chains().items() if not verify_links(lines).ok]

    def immortal(self) -> list[str]:
        """Keys without a time to live that should have one."""
        mine = {f"{PREFIX}:{name}" for name in FOR_EVER}
        names = [
            name
            for name in self.redis.scan_iter(count=10_000)
            if name not in mine and not name.startswith(self.key("audit", ""))
        ]
        with self.redis.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.ttl(name)
            return [name for name, lives in zip(names, pipe.execute(), strict=True) if lives == -1]

    def orphans(self) -> list[str]:
        """Due entries without a time, or times without an entry."""
        members = set(self.redis.zrange(f"{PREFIX}:due", 0, -1))
        return sorted(members ^ (set(self.redis.hkeys(f"{PREFIX}:due:entries")) - {"#"}))

    def silent(self) -> list[str]:
        """Open incidents that nothing in `due` carries on and about which nobody was or is to be told."""
        quiet = []
        carried = {
            json.loads(text).get("incident")
            for text in self.redis.hgetall(f"{PREFIX}:due:entries").values()
            if text.startswith("{")
        }
        for member in self.redis.smembers(f"{PREFIX}:open"):
            incident = member.split("|", 2)[2]
            if incident not in carried and not self.redis.exists(self.key("told", incident)):
                quiet.append(incident)
        return quiet
