"""Short stories in which each event type occurs, told step by step, so that a test can lose or double any one of them.

A story goes on by `next`, which does what people and AlertManager would do now, and is over when `ended` says so: it
was healed and verified, or a person knows. Nothing in between may be silence.
"""

from collections.abc import Callable
from typing import Any

from shared.dev.cluster_pods import BEHAVIOUR
from tests.faults.play import Play
from tests.flows.harness import Sent


class Story:
    """A Deployment with too few replicas, scaled and verified."""

    effects = 1
    tickets = 0
    speaks_up = False  # what is awaited is a person who knows, not a cure
    namespace = ""
    alert: Sent

    def __init__(self, play: Play) -> None:
        self.play = play
        self._done: set[str] = set()

    def set_off(self) -> None:
        self.namespace, self.alert = self.play.ill()
        self.play.fire(self.alert)

    def begin(self) -> None:
        self.set_off()
        self.play.settle()

    def begin_frozen(self) -> None:
        """Begin while the executor does not get to work."""
        self.set_off()
        self.play.until_approved(self.namespace)

    def begin_at(self, place: str) -> None:
        """Begin, and go on when the executor pauses there."""
        self.set_off()
        self.play.until_at(place)

    def next(self) -> None:
        if self.play.replicas(self.namespace) >= 3 and "succeeded" in self.words:
            self.once("resolve", self.cured)
        self.play.settle()

    def cured(self) -> None:
        """Pods get ready in their own time: a clock that is set on before they are lets the verdict come first."""
        self.play.until(lambda: self.play.ready(self.namespace) >= 3)
        self.play.resolve(self.alert)

    def once(self, name: str, what: Callable[[], Any]) -> None:
        if name not in self._done:
            self._done.add(name)
            what()

    @property
    def incident(self) -> str:
        return self.play.incident(self.namespace)

    @property
    def words(self) -> list[str]:
        return self.play.words(self.incident) if self.incident else []

    @property
    def known(self) -> list[dict[str, Any]]:
        """The tickets about it, also about an alert that never became an incident."""
        nameless = self.play.incident_of(f"alert/{self.alert.fingerprint}")
        keys = {self.incident, nameless, *(f"alert-{ledger}" for ledger in self.ledgers)}
        return [ticket for ticket in self.play.world.desk.tickets() if ticket["correlation_id"] in keys]

    @property
    def ledgers(self) -> list[str]:
        events = [self.play.decoded(event) for event in self.play.seen("alert.firing")]
        return [e.data["ledger"] for e in events if e.data["alert"]["fingerprint"] == self.alert.fingerprint]

    def written(self) -> int:
        """Writes to what the story is about."""
        end = f"/{self.alert.labels.get('deployment')}"
        return sum(path.endswith(end) or "/pods/" in path for path in self.play.writes(self.namespace))

    def ended(self) -> bool:
        if self.speaks_up:
            return bool(self.known)
        return {"verified", "closed"} <= set(self.words)

    def stuck(self) -> bool:
        """Whether a person knows that it does not go on."""
        said = str([ticket["history"] for ticket in self.known])
        return any(words in said for words in ("stuck at", "not begun", "could not be delivered"))


class Killed(Story):
    """The executor dies, and the broker with it."""

    def begin(self) -> None:
        self.play.order("before-write")
        self.namespace, self.alert = self.play.ill()
        self.play.fire(self.alert)
        self.play.until_at("before-write")
        self.play.lose_everything_in_flight()


class Approved(Story):
    """A person says yes."""

    tickets = 1

    def begin(self) -> None:
        self.namespace, self.alert = self.play.ill("approve")
        self.play.fire(self.alert)
        self.play.until_word("held", self.namespace)
        self.play.settle()

    def next(self) -> None:
        if self.known and self.play.record(self.incident).get("hold"):
            self.once("approve", lambda: self.play.says(f"holds/{self.incident}/approve"))
        super().next()

    def ended(self) -> bool:
        # The ticket is closed last, by `tell`.
        return super().ended() and [ticket["status"] for ticket in self.known] == ["closed"]


class Protected(Story):
    """Nothing is automatic there; a ticket is opened, and closed with the alert."""

    effects = 0
    tickets = 1

    def begin(self) -> None:
        self.namespace = "kube-public"
        if not self.play.cluster.get("Namespace", "", self.namespace):
            self.play.namespace(name=self.namespace)
        self.name = f"web{self.play.number}"
        self.play.deployment(self.namespace, self.name)
        self.alert = self.play.alert(self.namespace, self.name)
        self.play.fire(self.alert)
        self.play.settle()

    @property
    def incident(self) -> str:
        return self.play.incident(self.namespace, self.name)

    def next(self) -> None:
        if self.known:
            self.once("resolve", lambda: self.play.resolve(self.alert))
        self.play.settle()

    def ended(self) -> bool:
        return [ticket["status"] for ticket in self.known] == ["closed"]


class Unknown(Story):
    """An alert that names nothing."""

    effects = 0
    tickets = 1
    speaks_up = True

    def begin(self) -> None:
        self.alert = self.play.alert("nowhere", alertname=f"Odd{self.play.number}")._replace(
            labels={"alertname": f"Odd{self.play.number}"}
        )
        self.play.fire(self.alert)
        self.play.settle()

    @property
    def incident(self) -> str:
        return self.play.incident_of(f"alert/{self.alert.fingerprint}")

    def next(self) -> None:
        self.play.settle()


class Untold(Unknown):
    """The same in a namespace, where the rules say that people are to be told."""

    def begin(self) -> None:
        self.namespace = self.play.namespace()
        self.play.deployment(self.namespace, minimum=0)
        self.alert = self.play.alert(self.namespace, alertname="SecurityIntrusion")
        self.play.fire(self.alert)
        self.play.settle()

    @property
    def incident(self) -> str:
        return self.play.incident(self.namespace)


class Failed(Story):
    """Somebody else writes the field first, and no rule has another remedy."""

    effects = 0
    tickets = 1
    speaks_up = True

    def begin(self) -> None:
        self.namespace, self.alert = self.play.ill()
        self.play.just_before_its_write(
            lambda: self.play.cluster.edit("Deployment", self.namespace, "web", {"spec": {"replicas": 2}})
        )
        self.play.fire(self.alert)
        self.play.until_word("failed", self.namespace)
        self.play.settle()


class Stopped(Story):
    """Stop comes between begin and write."""

    effects = 0
    tickets = 1
    speaks_up = True

    def begin(self) -> None:
        self.namespace, self.alert = self.play.ill()
        self.play.order("after-begin", "pause 60")
        self.play.fire(self.alert)
        self.play.until_at("after-begin")
        self.play.stop("stop", told=False)
        self.play.go_on("after-begin")
        self.play.settle()
        self.play.stop("run")


class Silent(Story):
    """AlertManager is not heard when the verdict is due."""

    tickets = 1
    speaks_up = True

    def begin(self) -> None:
        super().begin()
        self.play.until_word("succeeded", self.namespace)
        self.play.world.advance(700)
        self.play.tick()


class Harmful(Story):
    """It is worse afterwards, and taken back."""

    effects = 2
    tickets = 1

    def begin(self) -> None:
        super().begin()
        self.play.until_word("succeeded", self.namespace)
        self.play.until(lambda: self.play.ready(self.namespace) == 3)
        for pod in self.play.cluster.all("Pod", self.namespace):
            name = pod["metadata"]["name"]
            self.play.cluster.edit("Pod", self.namespace, name, {"metadata": {"annotations": {BEHAVIOUR: "stuck"}}})
        self.play.until(lambda: self.play.ready(self.namespace) == 0)

    def next(self) -> None:
        self.play.settle()

    def ended(self) -> bool:
        return bool(self.known) and self.play.replicas(self.namespace) == 1


class Crashing(Story):
    """A pod that crashes until it is replaced."""

    def set_off(self) -> None:
        self.namespace = self.play.namespace()
        self.play.deployment(self.namespace, minimum=0, behaviour="crash-once")
        self.play.until(lambda: self.play.cluster.all("Pod", self.namespace))
        pod = self.play.cluster.all("Pod", self.namespace)[0]["metadata"]["name"]
        self.alert = self.play.alert(self.namespace, alertname="KubePodCrashLooping", pod=pod)
        self.play.fire(self.alert)

    def next(self) -> None:
        if self.play.ready(self.namespace) == 1:
            self.once("resolve", lambda: self.play.resolve(self.alert))
        self.play.settle()


# In which story each type with a subscriber occurs.
STORIES: dict[str, type[Story]] = {
    "alert.firing": Story,
    "alert.resolved": Story,
    "incident.triaged": Story,
    "incident.closed": Protected,
    "remediation.requested": Approved,
    "remediation.proposed": Story,
    "remediation.approved": Story,
    "remediation.continued": Killed,
    "remediation.held": Approved,
    "remediation.failed": Failed,
    "remediation.stopped": Stopped,
    "remediation.unknown": Silent,
    "remediation.verified": Approved,
    "remediation.harmful": Harmful,
    "verification.due": Story,
    "escalation.requested": Unknown,
    "escalation.due": Protected,
}
