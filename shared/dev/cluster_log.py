"""What the containers of emulated pods wrote: as annotations of the pod say, and not at all where nobody runs it."""

from collections.abc import Callable, Mapping
from typing import Final

from shared.dev.cluster_errors import Object, bad, invalid, not_found
from shared.dev.cluster_route import said

LOG: Final = "emulator.akeso.dev/log"
PREVIOUS: Final = "emulator.akeso.dev/previous-log"


def read(pod: Object, query: Mapping[str, str], *, there: Callable[[str], bool]) -> str | None:
    """The text that the query asks for; None for a pod without a node. Raises ApiError. `there`: whether a node is."""
    name, spec = pod["metadata"]["name"], pod["spec"]
    tail, most = _bounds(name, query)
    container = _container(name, [one.get("name", "") for one in spec.get("containers") or []], query)
    if not spec.get("nodeName"):
        return None
    if not there(spec["nodeName"]):
        raise not_found("Pod", spec["nodeName"])  # the server's own confusion
    notes = pod["metadata"].get("annotations") or {}
    if said(query.get("previous", "")):
        if PREVIOUS not in notes:
            raise bad(f'previous terminated container "{container}" in pod "{name}" not found')
        text = notes[PREVIOUS]
    else:
        statuses = (pod.get("status") or {}).get("containerStatuses") or []
        state = next((one.get("state") or {} for one in statuses if one.get("name") == container), {})
        waiting = state.get("waiting")
        if waiting and waiting.get("reason") in {"ContainerCreating", "PodInitializing", "ErrImagePull"}:
            raise bad(f'container "{container}" in pod "{name}" is waiting to start: {waiting["reason"]}')
        text = notes.get(LOG, "")
    lines = text.splitlines(keepends=True)
    text = "".join(lines if tail is None else lines[max(0, len(lines) - tail) :])
    return text.encode()[:most].decode(errors="ignore")


def _container(pod: str, names: list[str], query: Mapping[str, str]) -> str:
    wanted = query.get("container", "")
    if not wanted and len(names) > 1:
        raise bad(f"a container name must be specified for pod {pod}, choose one of: [{' '.join(names)}]")
    if wanted and wanted not in names:
        raise bad(f"container {wanted} is not valid for pod {pod}")
    return wanted or names[0]


def _bounds(pod: str, query: Mapping[str, str]) -> tuple[int | None, int | None]:
    found, wrong = [], []
    for field, least in (("tailLines", 0), ("limitBytes", 1)):
        try:
            value = int(query[field]) if field in query else None
        except ValueError as error:
            raise bad(f'strconv.ParseInt: parsing "{query[field]}": invalid syntax') from error
        if value is not None and value < least:
            wrong.append((field, "FieldValueInvalid"))
        found.append(value)
    if wrong:
        raise invalid("PodLogOptions", pod, wrong, group="")
    return found[0], found[1]
