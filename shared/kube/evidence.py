"""What a person needs of the scene before a machine changes it: events, logs, and what `kubectl describe` would say.

A remedy replaces pods, and with them go their logs. So this looks first, boundedly, and takes along what it can. It
must never stand in a remedy's way: it does not raise, what cannot be read is named, and it gives up after a few
seconds. Values of an environment are never taken along, and whatever somebody else wrote is made fit to be shown.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from shared import clock
from shared.kube.errors import KubeError
from shared.kube.evidence_words import (
    TELLING,
    Section,
    bounded,
    conditions,
    described,
    environment,
    folded,
    full,
    images,
    name_of,
    newest,
    of_pod,
    part,
    revision,
    telling,
    trouble,
)
from shared.kube.plain import lines, masked, plain
from shared.kube.selector import Selector
from shared.model.base import Model
from shared.model.facts import Facts, PodFacts, Scope

if TYPE_CHECKING:
    from shared.kube.client import Kube

_WITH_PODS: Final = frozenset({"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "Pod"})
REQUESTS: Final = 12
SECONDS: Final = 5.0  # after which nothing more is asked

_PODS, _LOG_LINES, _LOG_BYTES = 3, 200, 8 * 1024
_READ_BYTES: Final = 256 * 1024  # of a log: an API server's limit cuts the newest lines off, and those tell most
_FULL_PODS: Final = 2  # pods that are read themselves; of further ones the facts tell
_LISTED = 100
_NODES_HOME: Final = "default"  # where Kubernetes Events about nodes are

Object = dict[str, Any]
T = TypeVar("T")


class Evidence(Model):
    """`text` is at most `BYTES` of UTF-8; `telling` the few words of it that say most; `missing` what was not read."""

    text: str
    telling: str
    missing: tuple[str, ...] = ()

    def said(self, attempt: str) -> str:
        """Put it into one line of a ticket, which ends with how to see all of it."""
        how = f"; all of it: akeso evidence {attempt}"
        return self.telling[: TELLING - len(how)] + how


class _Log(NamedTuple):
    pod: str
    container: str
    previous: bool

    def __str__(self) -> str:
        return f"log of {self.pod}/{self.container}{', previous run' if self.previous else ''}"


class _Look:
    """Asks one thing after the other, while there are time and requests left; keeps account of what was not read."""

    def __init__(self) -> None:
        self._left, self._until = REQUESTS, monotonic() + SECONDS
        self._away = False
        self.answered = False
        self.missing: list[str] = []

    def ask(self, what: str, how: Callable[[], T]) -> T | None:
        reason = self._hindered()
        if not reason:
            self._left -= 1
            try:
                answer = how()
            except KubeError as error:
                self._away = not error.status and error.reason == "kube-down"
                reason = plain(error)[:160]
            except Exception as error:  # noqa: BLE001  whatever it was, the remedy goes on
                reason = f"not understood ({type(error).__name__})"
            else:
                self.answered = True
                return answer
        self.missing.append(f"{what}: {reason}")
        return None

    def _hindered(self) -> str:
        if self._away:
            return "not asked for: the API server did not answer before"
        if self._left <= 0:
            return f"not asked for: {REQUESTS} requests are the limit"
        return "" if monotonic() < self._until else f"not asked for: {SECONDS:.0f} s are the limit"


def rights(scopes: Iterable[str]) -> list[tuple[str, str, str]]:
    """What a look at scopes of these kinds needs beside their facts: group, resource and verb."""
    found = [("", "events", "list")]
    if _WITH_PODS & set(scopes):
        found += [("", "pods", "get"), ("", "pods/log", "get"), ("", "nodes", "get")]
    return [*found, ("apps", "replicasets", "list")] if "Deployment" in scopes else found


def collect(kube: "Kube", scope: Scope, facts: Facts) -> Evidence | None:
    """Take the evidence of a scope whose facts were taken just before; None of one that names no object."""
    if scope.kind == "unknown":
        return None
    look = _Look()
    try:
        sections, most = _taken(kube, scope, facts, look)
    except Exception as error:  # noqa: BLE001  a remedy must not fail because its scene cannot be described
        look.missing.append(f"the rest: not understood ({type(error).__name__})")
        sections, most = [], ""
    if not look.answered:
        most = "nothing could be read of the cluster"
    head = [f"evidence at {scope.key}, taken {clock.iso(clock.now_ms())}, before anything was changed"]
    missing = Section("not read", [plain(text) for text in look.missing])
    text = bounded(head, [missing, *sections] if look.missing else sections)
    return Evidence(text=text, telling=most[:TELLING], missing=tuple(missing.lines))


def _taken(kube: "Kube", scope: Scope, facts: Facts, look: _Look) -> tuple[list[Section], str]:
    """Ask in the order in which things perish, tell in the order in which a person reads."""
    worst = [pod for pod in facts.pods if not pod.over or scope.kind == "Job"][:_PODS]
    found = look.ask(f"{scope.kind} {scope.name}", lambda: kube.get(scope.kind, scope.namespace, scope.name)) or {}
    pods = [pod for named in worst[:1] if (pod := _pod(kube, scope, named, found, look))]
    events = list(_events(kube, scope, facts, worst[:1], look))
    wanted = _wanted(worst)
    logs = {log: text for log in wanted[:3] if (text := _log(kube, scope, log, look)) is not None}
    node = _node(kube, pods, look)
    revisions = _revisions(kube, scope, found, look)
    if facts.replicas and facts.pod_count < facts.replicas.desired:  # a quota, say, is told to the ReplicaSet alone
        about = [(f"events of ReplicaSet {name_of(one)}", str(part(one, "metadata").get("uid"))) for one in revisions]
        events += _events_of(kube, scope.namespace, about[:1], look)
    logs |= {log: text for log in wanted[3:5] if (text := _log(kube, scope, log, look)) is not None}
    pods += [pod for named in worst[1:_FULL_PODS] if (pod := _pod(kube, scope, named, found, look))]
    events += _events_of(kube, scope.namespace, [(f"events of pod {pod.name}", pod.uid) for pod in worst[1:]], look)
    logs |= {log: text for log in wanted[5:] if (text := _log(kube, scope, log, look)) is not None}
    shown = " ".join(
        [scope.key, *(pod.name for pod in facts.pods), *(i for one in (found, *pods) for i in images(one))]
    )
    hidden = sorted({value for one in (found, *pods) for value in environment(one) if value not in shown})
    told = folded(events, hidden)
    written = {log: lines(text.rstrip("\n"), most=_LOG_BYTES, hidden=hidden) for log, text in logs.items()}
    sections = [
        Section(f"{scope.kind} {scope.name}", described(found, facts)),
        Section("pods", [line for pod in facts.pods[:10] for line in of_pod(pod)]),
        *(Section(f"pod {name_of(pod)}", full(pod)) for pod in pods),
        *node,
        Section("newest revisions", [revision(one) for one in revisions]),
        Section("events, newest first", told),
        *(Section(str(log), ["| " + line for line in said] or ["(empty)"]) for log, said in written.items()),
    ]
    fit = [Section(title, [masked(line, hidden) for line in said]) for title, said in sections if said]
    return fit, telling(worst, told, list(written.values()))


# What is asked for -------------------------------------------------------------------------------------------------


def _pod(kube: "Kube", scope: Scope, pod: PodFacts, found: Object, look: _Look) -> Object | None:
    if scope.kind == "Pod":
        return found or None
    return look.ask(f"pod {pod.name}", lambda: kube.get("Pod", scope.namespace, pod.name))


def _events(kube: "Kube", scope: Scope, facts: Facts, worst: list[PodFacts], look: _Look) -> Iterator[Object]:
    about = [(f"events of {scope.kind} {scope.name}", facts.scope.uid)]
    if scope.kind == "Node":
        about.append((f"events of the kubelet on {scope.name}", scope.name))  # which calls a node's name its uid
    about += [(f"events of pod {pod.name}", pod.uid) for pod in worst]
    if facts.object is not None:
        about.append((f"events of {facts.object.kind} {facts.object.name}", facts.object.uid))
    seen = dict(reversed([(uid, what) for what, uid in about]))
    yield from _events_of(kube, scope.namespace, [(what, uid) for uid, what in reversed(seen.items())], look)


def _events_of(kube: "Kube", namespace: str, about: list[tuple[str, str]], look: _Look) -> list[Object]:
    found: list[Object] = []
    for what, uid in about:
        if uid:
            found += look.ask(what, partial(kube.events, namespace or _NODES_HOME, uid=uid, limit=_LISTED)) or []
    return found


def _wanted(worst: list[PodFacts]) -> list[_Log]:
    """Which logs, most telling first: the worst container of each pod, and of each what it said before it died."""
    ranked = []
    for at, pod in enumerate(worst):
        for rank, container in enumerate(sorted(pod.containers, key=trouble)):
            runs = [True, False] if container.restarts else [False]
            ranked += [((rank, at, not previous), _Log(pod.name, container.name, previous)) for previous in runs]
    return [log for _, log in sorted(ranked, key=lambda item: item[0])]


def _log(kube: "Kube", scope: Scope, log: _Log, look: _Look) -> str | None:
    return look.ask(
        str(log),
        lambda: kube.log(
            scope.namespace, log.pod, log.container, previous=log.previous, tail_lines=_LOG_LINES,
            limit_bytes=_READ_BYTES,
        ),
    )  # fmt: skip


def _node(kube: "Kube", pods: list[Object], look: _Look) -> list[Section]:
    name = next((str(node) for pod in pods if (node := part(pod, "spec").get("nodeName"))), "")
    if not name:
        return []
    node = look.ask(f"node {name}", lambda: kube.get("Node", "", name))
    if node is None:
        return []
    unschedulable = ["cordoned"] if part(node, "spec").get("unschedulable") else []
    return [Section(f"node {name}", unschedulable + conditions(node))]


def _revisions(kube: "Kube", scope: Scope, found: Object, look: _Look) -> list[Object]:
    selector = Selector.of(part(part(found, "spec"), "selector")) if scope.kind == "Deployment" else None
    if selector is None or not selector.text:
        return []
    listed = look.ask(
        f"ReplicaSets of {scope.name}",
        lambda: kube.list("ReplicaSet", scope.namespace, labels=selector.text, limit=_LISTED),
    )
    return newest(found, listed or [])
