"""How evidence is told: as lines for a person, much as `kubectl describe`, from objects as the API server gave them.

Only named fields are shown. It must not show an environment's values, a command line or an annotation, and takes no
text of others without `plain`.
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from shared.kube.plain import lines, plain
from shared.model.facts import ContainerState, Facts, PodFacts

BYTES: Final = 64 * 1024
TELLING: Final = 500  # characters

_EVENTS, _REVISIONS, _MANAGERS, _CONDITIONS = 50, 5, 8, 12
_HIDDEN: Final = 8  # characters; shorter values of an environment would hide half a log
_NAMES: Final = 4096  # bytes for the names of what is cut
_LOUD: Final = re.compile(r"\b(?:fatal|panic|error|exception|killed|denied|refused|out of memory)\b", re.IGNORECASE)

Object = dict[str, Any]


class Section(NamedTuple):
    title: str
    lines: list[str]


def described(found: Object, facts: Facts) -> list[str]:
    told = []
    if facts.replicas:
        counts = facts.replicas
        told.append(
            f"replicas: {counts.desired} wanted, {counts.ready} ready, {counts.updated} updated, "
            f"{counts.available} available; {facts.pod_count} pods"
        )
    told += [
        text
        for says, text in (
            (facts.paused, "paused"), (facts.rolling_out, "a rollout is under way"),
            (facts.autoscaler, f"autoscaler: {facts.autoscaler}"), (facts.gitops_owner, f"owner: {facts.gitops_owner}"),
            (facts.disruption_allowed is not None, f"disruptions allowed: {facts.disruption_allowed}"),
        )
        if says
    ]  # fmt: skip
    return told + _owner_lines(found) + images(found) + conditions(found) + _changes(found)


def of_pod(pod: PodFacts) -> list[str]:
    state = "ready" if pod.ready else "not ready"
    words = [pod.phase, pod.reason, state, "being deleted" if pod.deleting else "", f"{pod.age_s} s old"]
    return [f"{pod.name}: {', '.join(word for word in words if word)}", *(f"  {_state(one)}" for one in pod.containers)]


def _state(one: ContainerState) -> str:
    code = f" (exit {one.exit_code})" if one.exit_code is not None else ""
    words = [
        "ready" if one.ready else "not ready", one.waiting, f"{one.restarts} restarts" if one.restarts else "",
        f"last end {one.terminated}{code}" if one.terminated else "",
    ]  # fmt: skip
    return plain(f"{one.name}: {', '.join(word for word in words if word)}")


def full(pod: Object) -> list[str]:
    status = part(pod, "status")
    told = [f"on node {plain(part(pod, 'spec').get('nodeName') or 'none')}"]
    told += _owner_lines(pod) + images(pod) + conditions(pod)
    for one in [*dicts(status.get("initContainerStatuses")), *dicts(status.get("containerStatuses"))]:
        for when, states in (("now", part(one, "state")), ("before", part(one, "lastState"))):
            for state, how in states.items():
                if isinstance(how, dict) and (how.get("reason") or how.get("message")):
                    words = f"{how.get('reason', '')} {how.get('message', '')} {how.get('finishedAt') or ''}"
                    told.append(plain(f"{one.get('name')} {when} {state}: {words}")[:400])
    return told


def _owner_lines(found: Object) -> list[str]:
    return [plain(f"owned by {one.get('kind')} {one.get('name')}") for one in dicts(owners(found))][:4]


def images(found: Object) -> list[str]:
    """Which image each container has, of a pod or of what makes pods."""
    spec = part(found, "spec")
    containers = [*dicts(spec.get("containers")), *dicts(part(part(spec, "template"), "spec").get("containers"))]
    return [plain(f"image of {one.get('name')}: {one.get('image')}")[:300] for one in containers]


def conditions(found: Object) -> list[str]:
    return [
        plain(
            f"condition {one.get('type')} {one.get('status')} since {one.get('lastTransitionTime')}: "
            f"{one.get('reason') or ''} {one.get('message') or ''}"
        )[:400]
        for one in dicts(part(found, "status").get("conditions"))[:_CONDITIONS]
    ]


def _changes(found: Object) -> list[str]:
    """Who has written to it last, without what."""
    entries = sorted(
        dicts(part(found, "metadata").get("managedFields")), key=lambda one: str(one.get("time", "")), reverse=True
    )
    return [
        plain(
            f"changed {one.get('time')} by {one.get('manager')}: {one.get('operation')} {one.get('subresource') or ''}"
        )
        for one in entries[:_MANAGERS]
    ]


def newest(found: Object, listed: list[Object]) -> list[Object]:
    """The newest revisions of those that belong to it."""
    uid = part(found, "metadata").get("uid")
    own = [one for one in listed if any(owner.get("uid") == uid for owner in owners(one))]
    own.sort(key=lambda one: str(part(one, "metadata").get("creationTimestamp", "")), reverse=True)
    return own[:_REVISIONS]


def revision(one: Object) -> str:
    meta, spec, status = part(one, "metadata"), part(one, "spec"), part(one, "status")
    number = part(meta, "annotations").get("deployment.kubernetes.io/revision", "?")
    images = ", ".join(str(c.get("image")) for c in dicts(part(part(spec, "template"), "spec").get("containers")))
    made = meta.get("creationTimestamp")
    counts = f"{spec.get('replicas', 0)} wanted, {status.get('readyReplicas', 0)} ready"
    return plain(f"revision {number} of {made}, {meta.get('name')}: {counts}, {images}")[:400]


def folded(events: list[Object], hidden: list[str]) -> list[str]:
    """One line for each reason at an object, newest first, with how often and the newest words."""
    newest: dict[tuple[str, ...], Object] = {}
    times: Counter[tuple[str, ...]] = Counter()
    for event in sorted(events, key=_when, reverse=True):
        about = part(event, "involvedObject")
        key = tuple(
            str(part) for part in (event.get("type"), event.get("reason"), about.get("kind"), about.get("name"))
        )
        newest.setdefault(key, event)
        count = part(event, "series").get("count") or event.get("count")
        times[key] += count if isinstance(count, int) and count > 0 else 1
    told = []
    for key, event in list(newest.items())[:_EVENTS]:
        said = " ".join(lines(str(event.get("message", "")).replace("\n", " "), most=4000, hidden=hidden))
        told.append(f"{_when(event) or '?'} {plain(' '.join(key))} x{times[key]}: {plain(said)[:300]}")
    if len(newest) > _EVENTS:
        told.append(f"and {len(newest) - _EVENTS} more reasons")
    return told


def _when(event: Object) -> str:
    series = part(event, "series").get("lastObservedTime")
    times = (series, event.get("lastTimestamp"), event.get("eventTime"), event.get("firstTimestamp"))
    made = part(event, "metadata").get("creationTimestamp")
    return plain(next((time for time in (*times, made) if time), ""))[:40]


def trouble(container: ContainerState) -> tuple[bool, bool, int]:
    """By which the worst container comes first."""
    return not container.looping, container.ready, -container.restarts


def telling(worst: list[PodFacts], events: list[str], logs: list[list[str]]) -> str:
    """The few words that say most: the worst container, the newest warning, the loudest last words."""
    said = [f"{pod.name} {_state(min(pod.containers, key=trouble))}" for pod in worst[:1] if pod.containers]
    said += [line for line in events if " Warning " in line][:1]
    for written in logs:
        last = [line for line in written if _LOUD.search(line)] or [line for line in written if line.strip()]
        if last:
            said.append(f"it said: {last[-1]}")
            break
    return "; ".join(line[: TELLING // 3 - 2] for line in said) or "no trouble was seen"


def environment(found: Object) -> Iterator[str]:
    """Values of the containers' environments, which a program may print as it dies."""
    spec = part(found, "spec")
    for pods in (spec, part(part(spec, "template"), "spec")):
        for container in [*dicts(pods.get("containers")), *dicts(pods.get("initContainers"))]:
            for entry in dicts(container.get("env")):
                value = entry.get("value")
                if isinstance(value, str) and len(value.strip()) >= _HIDDEN:
                    yield value.strip()


def bounded(head: list[str], sections: list[Section]) -> str:
    """All of it in at most `BYTES`, in whole lines; what had to go is named, last."""
    room = BYTES - _NAMES
    shown, cut = list(head), []
    size = sum(len(line.encode()) + 1 for line in shown)
    for section in sections:
        for at, line in enumerate(["", f"== {section.title} ==", *section.lines]):
            size += len(line.encode()) + 1
            if size > room:
                cut.append(f"cut: {len(section.lines) - max(0, at - 2)} lines of {section.title}")
                break
            shown.append(line)
    return "\n".join([*shown, *cut[:10]]) + "\n"


def name_of(found: Object) -> str:
    return plain(part(found, "metadata").get("name"))


def owners(found: Object) -> list[Object]:
    return dicts(part(found, "metadata").get("ownerReferences"))


def part(value: Any, key: str) -> Object:
    inner = value.get(key) if isinstance(value, dict) else None
    return inner if isinstance(inner, dict) else {}


def dicts(value: Any) -> list[Object]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
