"""Drives a whole installation from outside and looks only at the cluster, the tickets and the audit.

Scenes share one world where they can: each has namespaces of its own, and time only goes forward.
"""

import itertools
import json
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import redis
import yaml

from shared import clock
from shared.action.catalogue import Catalogue
from shared.dev.world import CLUSTER, PEOPLE, TENANT, World
from tests.cluster.api import Api
from tests.cluster.real import RealCluster
from tests.flows.emitted import EMITTED

PATIENCE_S = 120.0  # only a story that fails waits so long
# Stories follow each other fast in so small a world: twenty of them, or five patients at once, would be a storm.
# And most of them are about something else than the steps down the ladder that a remedy without effect takes.
# What one of them lets fail must open no breaker for the next.
FEW = {
    "storm_failing_percent": 101, "storm_new_incidents": 1000, "demote_after": 10, "repeats": 16,
    "breaker_failures": 100,
}  # fmt: skip
_BROKEN_OFF = 502  # as the way in to a function says it
_NOT_TAKEN = {_BROKEN_OFF, 503}
_TOLD = ("what", "action", "outcome", "check", "reason", "text")
SLOWER = 2  # a real container takes its time to start
SWEEP_S = 20.0
ZERO = "0001-01-01T00:00:00Z"
# A busy machine is no story of these; `test_redis_unwell` has its own. Stories hold requests to the cluster back, too.
PATIENT = {
    "AKESO_REDIS__TIMEOUT_MS": "5000", "AKESO_KUBE__TIMEOUT_MS": "25000", "AKESO_TICKETS__TIMEOUT_MS": "20000",
}  # fmt: skip
OBJECTS = {
    "deployment", "daemonset", "job_name", "pod", "horizontalpodautoscaler", "persistentvolumeclaim",
    "node", "instance",
}  # fmt: skip
_numbers = itertools.count(1)


class Sent(NamedTuple):
    """One alert as AlertManager knows it."""

    labels: dict[str, str]
    starts_at: str
    fingerprint: str

    def element(self, status: str = "firing") -> dict[str, Any]:
        ends = clock.iso(clock.now_ms()) if status == "resolved" else ZERO
        return {
            "status": status, "labels": self.labels, "annotations": {"summary": "a test"}, "startsAt": self.starts_at,
            "endsAt": ends, "fingerprint": self.fingerprint, "generatorURL": "http://prometheus/graph",
        }  # fmt: skip


def group(*elements: Any, truncated: int = 0, **more: Any) -> dict[str, Any]:
    """A webhook body, version 4; `more` replaces or adds top-level fields."""
    return {
        "version": "4", "groupKey": "{}:{}", "truncatedAlerts": truncated, "status": "firing", "receiver": "akeso",
        "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {}, "externalURL": "http://alertmanager",
        "alerts": list(elements), **more,
    }  # fmt: skip


def waits_in_a_crash_loop(pod: dict[str, Any]) -> bool:
    states = pod["status"].get("containerStatuses") or []
    return any("CrashLoopBackOff" in str(state.get("state")) for state in states)


class Scene:
    """One story in a world. Names are unique, so that scenes do not meet."""

    sweeps = True  # while it waits

    def __init__(self, world: World) -> None:
        self.world = world
        assert world.cluster is not None
        self.cluster = world.cluster
        self.patience_s = PATIENCE_S * (SLOWER if isinstance(world.cluster, RealCluster) else 1)
        self.number = next(_numbers)
        self.redis = redis.Redis.from_url(world.redis_url, decode_responses=True)
        self._open: dict[str, Sent] = {}  # by fingerprint
        self._namespaces: list[str] = []
        self._not_taken: list[str] = []
        self._began_at = clock.now_ms()
        self.heartbeat()
        self.policy()

    def end(self) -> None:
        """Leave nothing that fires and no policy of one's own to the next story."""
        try:
            if self._open:
                self.resolve(*list(self._open.values()))
        finally:
            self.policy()
            self.settle()
            for namespace in self._namespaces:
                self.cluster.delete("Namespace", "", namespace)
            self.redis.close()

    # The cluster ---------------------------------------------------------------------------------------------------

    def namespace(self, autonomy: str = "auto", name: str = "") -> str:
        name = name or f"akeso-test-{self.number}-{secrets.token_hex(3)}"
        self._namespaces.append(name)
        self.cluster.namespace(name, {"akeso.dev/autonomy": autonomy} if autonomy else {})
        return name

    def deployment(self, namespace: str, name: str = "web", replicas: int = 1, minimum: int = 3, **more: Any) -> str:
        notes = {"akeso.dev/minimum-replicas": str(minimum)} if minimum else {}
        self.cluster.deployment(namespace, name, replicas, annotations=notes, **more)
        if not more.get("behaviour"):
            # a rollout that is still going on would be a reason of its own to leave it alone
            self.until(lambda: self.ready(namespace, name) == replicas)
        return name

    def patient(self, autonomy: str = "auto", **more: Any) -> tuple[str, Sent]:
        """A Deployment at rest with one replica of three, in a namespace of its own, and its alert, not sent yet."""
        namespace = self.namespace(autonomy)
        self.deployment(namespace, **{"ready_after": 0, **more})
        return namespace, self.alert(namespace)

    def replicas(self, namespace: str, name: str = "web") -> int:
        found = self.cluster.get("Deployment", namespace, name)
        assert found is not None
        return int(found["spec"]["replicas"])

    def ready(self, namespace: str, name: str = "web") -> int:
        found = self.cluster.get("Deployment", namespace, name)
        assert found is not None
        return int(found["status"].get("readyReplicas", 0))

    def writes(self, namespace: str) -> list[str]:
        """Verb and path of every write that the API server took in that namespace, but controllers' and Events."""
        taken = [f"{r.verb} {r.path}" for r in self.cluster.writes() if f"/namespaces/{namespace}/" in r.path]
        return [write for write in taken if not write.endswith("/events")]

    # Alerts --------------------------------------------------------------------------------------------------------

    def alert(self, namespace: str, name: str = "web", *, alertname: str = "KubeDeploymentBelowMinimum",
              **labels: str) -> Sent:  # fmt: skip
        """As its rule sends it, where that is known. It is about that Deployment, unless labels name another object."""
        rule = EMITTED.get(alertname, {"severity": "warning", "job": "kube-state-metrics"})
        named = {"deployment": name} if name and not OBJECTS & set(labels) else {}
        all_labels = {
            "alertname": alertname,
            **rule,
            **({"namespace": namespace} if namespace else {}),
            **named,
            **labels,
        }
        return Sent(all_labels, clock.iso(clock.now_ms()), secrets.token_hex(8))

    def fire(self, *alerts: Sent, truncated: int = 0) -> int:
        self._open |= {alert.fingerprint: alert for alert in alerts}
        return self.send(group(*(alert.element() for alert in alerts), truncated=truncated))

    def resolve(self, *alerts: Sent, truncated: int = 0) -> int:
        for alert in alerts:
            self._open.pop(alert.fingerprint, None)
        return self.send(group(*(alert.element("resolved") for alert in alerts), truncated=truncated))

    def send(self, body: Any) -> int:
        """Post a body, and again while it is not taken, as AlertManager does. An answer but 200 fails the story."""
        deadline = time.monotonic() + self.patience_s
        while (status := self._answer(body)) in _NOT_TAKEN and time.monotonic() < deadline:
            time.sleep(0.5)
        assert status == 200, f"an alert is not taken: {self._not_taken[-1]}"
        return status

    def _answer(self, body: Any) -> int:
        try:
            status = self.post(body)
            said = str(status)
        except httpx.TransportError as error:
            status, said = _BROKEN_OFF, repr(error)
        if status != 200:
            self._not_taken.append(said)
        return status

    def post(self, body: Any) -> int:
        return self.world.post(body).status_code

    def heartbeat(self) -> None:
        self.post(group(Sent({"alertname": "Watchdog"}, "2026-01-01T00:00:00Z", "feedfacefeedface").element()))

    # Time ----------------------------------------------------------------------------------------------------------

    def pass_(self, seconds: float, *, step: float = 60.0) -> None:
        """Let clock time pass in steps, with the sweeper's tick and AlertManager's heartbeat after each."""
        left = seconds
        while left > 0:
            self.world.advance(min(step, left))
            left -= step
            self.heartbeat()
            self.tick()

    def tick(self) -> int:
        status = int(self.until(lambda: (got := self.world.tick()) == 204 and got, "the sweeper does not get to work"))
        self.settle()
        return status

    def settle(self) -> None:
        """Wait until the broker has nothing in flight."""
        deadline = time.monotonic() + self.patience_s
        quiet = 0
        while time.monotonic() < deadline:
            quiet = quiet + 1 if self.world.broker.idle() else 0
            if quiet > 2:
                return
            time.sleep(0.02)
        raise AssertionError("the broker does not come to rest")

    def until(self, what: Callable[[], Any], why: str | Callable[[], str] = "") -> Any:
        """Look until it is so. The sweeper comes now and then, as in life each minute.

        A run that a busy machine has kept waiting to the end of its time goes on by nothing else.
        """
        begun = swept = time.monotonic()
        while time.monotonic() < begun + self.patience_s:
            if found := what():
                return found
            time.sleep(0.05)
            if self.sweeps and time.monotonic() > swept + SWEEP_S:
                self.world.tick()
                swept = time.monotonic()
        said = (why if isinstance(why, str) else why()) or "it does not come true"
        try:
            stands = self.stands()
        except redis.RedisError as error:
            stands = f"nobody can tell how it stands: {error!r}"
        raise AssertionError(f"{said}\n{stands}")

    # What came of it -----------------------------------------------------------------------------------------------

    def incident(self, namespace: str, name: str = "web", kind: str = "Deployment") -> str:
        """Id of the newest incident of that scope, "" while there is none."""
        return self.incident_of(f"{kind}/{namespace}/{name}")

    def incident_of(self, scope: str) -> str:
        newest: tuple[float, str] = (0, "")
        for key in self.redis.scan_iter(f"{{akeso}}:{TENANT}:{CLUSTER}:incident:*", count=1000):
            found = self.redis.hmget(key, "scope", "id", "opened_at")
            if found[0] == scope:
                newest = max(newest, (float(found[2]), str(found[1])))
        return newest[1]

    def record(self, incident: str) -> dict[str, str]:
        return self.redis.hgetall(f"{{akeso}}:{TENANT}:{CLUSTER}:incident:{incident}")

    def audit(self, incident: str) -> list[dict[str, Any]]:
        lines = self.redis.lrange(f"{{akeso}}:{TENANT}:{CLUSTER}:audit:{incident}", 0, -1)
        return [json.loads(line.partition(" ")[2]) for line in lines]

    def words(self, incident: str) -> list[str]:
        return [line["what"] for line in self.audit(incident)]

    def tickets(self, incident: str) -> list[dict[str, Any]]:
        return [ticket for ticket in self.world.desk.tickets() if ticket["correlation_id"] == incident]

    def counters(self) -> dict[str, int]:
        return {name: int(value) for name, value in self.redis.hgetall("{akeso}:counters").items()}

    def due(self, kind: str = "") -> list[str]:
        return [member for member in self.redis.zrange("{akeso}:due", 0, -1) if member.startswith(kind)]

    def api(self, method: str, path: str, body: dict[str, Any] | None = None, *, person: str = "") -> httpx.Response:
        return self.world.api(method, path, body, **({"person": person} if person else {}))

    def attempts(self, incident: str) -> list[str]:
        """Ids of the incident's attempts, oldest first."""
        return self.redis.lrange(f"{{akeso}}:{TENANT}:{CLUSTER}:attempts-of:{incident}", 0, -1)

    def lines(self, incident: str, word: str) -> list[dict[str, Any]]:
        return [line for line in self.audit(incident) if line["what"] == word]

    def reasons(self, incident: str) -> str:
        """All that its ticket has ever said."""
        return " | ".join(str(step) for ticket in self.tickets(incident) for step in ticket["history"])

    def stands(self) -> str:
        """How the incidents of this story stand, and what was not delivered: what a failure is understood by."""
        lines = []
        for incident in sorted(self.new()):
            record = self.record(incident)
            if float(record.get("opened_at", 0)) < self._began_at:
                continue
            firing = self.redis.scard(f"{{akeso}}:{TENANT}:{CLUSTER}:firing:{incident}")
            said = [" ".join(str(line[name]) for name in _TOLD if line.get(name)) for line in self.audit(incident)]
            lines.append(f"{record.get('scope')} is {record.get('state')}, {firing} alerts firing: {said}")
        lost = [one for one in tuple(self.world.broker.log)[-500:] if not 200 <= one.status < 300]
        return "\n".join([*lines, f"due: {self.due()}", f"not taken: {self._not_taken}", *map(str, lost[-20:])])

    def new(self) -> set[str]:
        """Ids of all incidents there are; a difference of two tells what a story has opened."""
        return {key.rpartition(":")[2] for key in self.redis.scan_iter("{akeso}:*:incident:*", count=1000)}

    # The people ----------------------------------------------------------------------------------------------------

    @property
    def home(self) -> str:
        return self.world.home

    def policy(self, **values: Any) -> None:
        """Put the policy's ConfigMap so, as an operator would, and let the sweeper see it."""
        text = yaml.safe_dump({**FEW, **values})
        now = self.cluster.get("ConfigMap", self.home, "akeso-policy")
        if now is not None and (now.get("data") or {}).get("policy.yaml", "") != text:
            self.cluster.edit("ConfigMap", self.home, "akeso-policy", {"data": {"policy.yaml": text}})
            self.tick()

    def asked(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """What the api answers to a person; it must agree."""
        answer = self.api("POST", path, body)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    # Shortcuts of many stories -------------------------------------------------------------------------------------

    def until_word(self, word: str, namespace: str, name: str = "web", kind: str = "Deployment") -> str:
        """Wait until the audit of the scope's incident says `word`; the incident's id."""

        def said() -> str:
            incident = self.incident(namespace, name, kind)
            return incident if incident and word in self.words(incident) else ""

        def instead() -> str:
            lines = self.audit(self.incident(namespace, name, kind))
            return f"never {word!r} about {kind}/{namespace}/{name}: {[(x['what'], x.get('check')) for x in lines]}"

        return str(self.until(said, instead))

    def heal(self, namespace: str, alert: Sent) -> tuple[str, str]:
        """Fire, wait for the write and its effect: incident and attempt."""
        assert self.fire(alert) == 200
        incident = self.until_word("succeeded", namespace)
        self.until(lambda: self.ready(namespace) == self.replicas(namespace))
        self.settle()
        return incident, self.attempts(incident)[-1]

    def verified(self, namespace: str, alert: Sent) -> tuple[str, str]:
        """All the way to the verdict, after which the incident is closed."""
        incident, attempt = self.heal(namespace, alert)
        assert self.resolve(alert) == 200
        self.until_word("resolved", namespace)
        self.pass_(61)
        self.until_word("verified", namespace)
        self.settle()
        return incident, attempt

    def until_held_up(self, incident: str) -> None:
        """Wait until a run has waited in vain and has ended: its patience counts from then on, so time may pass.

        What has only written so far, as a drain its cordon, has not begun to wait.
        """
        self.until(lambda: any(line.get("text") for line in self.lines(incident, "progressing")))
        self.settle()

    def told_of(self, alert: Sent, namespace: str) -> str:
        """Fire, and wait until a person has a ticket about the Deployment there; the incident's id."""
        self.fire(alert)
        incident: str = self.until(lambda: self.incident(namespace))
        self.until_told(incident)
        return incident

    def cured(self, alert: Sent, namespace: str, name: str = "web", kind: str = "Deployment", *, soak_s: int) -> str:
        """Its alert is resolved, and so much later it is verified; the incident's id."""
        self.resolve(alert)
        self.until_word("resolved", namespace, name, kind)
        self.pass_(soak_s, step=soak_s)
        return self.until_word("verified", namespace, name, kind)

    def until_told(self, incident: str) -> dict[str, Any]:
        """Tick until a person has a ticket about it."""
        for _ in range(6):
            self.tick()
            if found := self.tickets(incident):
                return found[0]
            self.world.advance(61)
        raise AssertionError(f"nobody was told about {incident}: {self.words(incident)}")


@contextmanager
def a_world(folder: Path, *, kubeconfig: Path | None = None, **options: Any) -> Iterator[World]:
    """A world without a clock of its own: the test says when a minute has passed.

    With `kubeconfig` it is one on that real cluster, where each function logs in by its own account.
    """
    with ExitStack() as stack:
        if kubeconfig:
            actions = options.get("actions")
            catalogue = Catalogue(actions) if actions else Catalogue.home()
            cluster = stack.enter_context(RealCluster(Api(kubeconfig), catalogue))
            accounts = partial(cluster.kubeconfigs, folder.with_name(f"{folder.name}-accounts"))
            people = {name: cluster.person(name) for name in PEOPLE}
            options |= {"kubeconfig": kubeconfig, "home": cluster.home, "accounts": accounts, "people": people}
        options["env"] = PATIENT | (options.get("env") or {})
        world = World(folder, pinging=False, idle_s=600, **options)
        stack.callback(world.stop)
        if kubeconfig:
            world.cluster = cluster
        world.start()
        yield world
