"""The six transitions and their three helpers as typed calls; what each means stands in its script's header.

Every call carries the `Cause`, the event that is being worked on, by which a script recognises a repetition. Spans
are ms. Nothing here decides: it names arguments and types results.
"""

import hashlib
from typing import Any, Literal, NamedTuple, NotRequired, TypedDict, cast

from shared.state.client import PREFIX, Store


class Cause(NamedTuple):
    """The consumed event: the function that works on it, the event's source and id, and whose it is."""

    fn: str
    source: str
    id: str
    tenant: str
    cluster: str

    def request(self, **more: Any) -> dict[str, Any]:
        return {
            "fn": self.fn, "src": self.source, "id": self.id, "tenant": self.tenant, "cluster": self.cluster, **more,
        }  # fmt: skip


class Opened(TypedDict):
    result: Literal[
        "triage", "joined", "live", "closed", "quiet", "resolved", "tombstoned", "told", "ended"
    ]  # fmt: skip
    incident: str
    reason: NotRequired[str]
    tried: NotRequired[list[str]]
    scope: NotRequired[str]
    family: NotRequired[str]
    protected: NotRequired[bool]
    opened: NotRequired[bool]
    alert: NotRequired[str]
    replay: NotRequired[bool]


class Admitted(TypedDict):
    decision: Literal["approved", "held", "denied"]
    policy: NotRequired[str]
    grant: NotRequired[str]
    epoch: NotRequired[str]
    start_by: NotRequired[int]
    finish_by: NotRequired[int]
    fence: NotRequired[int]
    hold: NotRequired[str]
    deadline: NotRequired[int]
    needs: NotRequired[int]
    risk: NotRequired[int]
    parts: NotRequired[dict[str, float]]
    level: NotRequired[str]
    checks: NotRequired[list[dict[str, Any]]]
    check: NotRequired[str]
    limit: NotRequired[float]
    used: NotRequired[float]
    retry_at: NotRequired[int]
    text: NotRequired[str]
    replay: NotRequired[bool]


class Begun(TypedDict):
    go: bool
    check: NotRequired[str]
    of: NotRequired[str]


class Finished(TypedDict):
    outcome: str
    incident: NotRequired[str]
    action: NotRequired[str]
    cursor: NotRequired[int]
    undo: NotRequired[str]
    text: NotRequired[str]
    resolved_by: NotRequired[str]
    lost: NotRequired[bool]


class Settled(TypedDict):
    verdict: NotRequired[str]
    incident: NotRequired[str]
    done: NotRequired[bool]
    no: NotRequired[str]
    entry: NotRequired[str]
    missing: NotRequired[int]
    cap: NotRequired[str]
    replay: NotRequired[bool]


class Put(TypedDict):
    answer: NotRequired[str]
    replay: NotRequired[bool]
    tell: NotRequired[Literal["go", "told", "busy"]]
    reasons: NotRequired[list[str]]
    ticket: NotRequired[str]


class Entry(TypedDict, total=False):
    """One due entry as `claim` hands it out; which fields stand in it depends on the kind."""

    kind: str
    ref: str
    tenant: str
    cluster: str
    token: int
    pubs: int
    at: int
    incident: str
    attempt: str
    action: str
    grant: str
    plan: str
    params: str
    step: int
    before: str
    reason: str
    stage: str
    hold: str
    event: str
    body: str
    run: str
    wish: str
    hour: int
    approvers: list[str]
    approved_hash: str


class State:
    """All that functions may do to shared state. Raises UnavailableError and EpochError (see `Store`)."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def take(
        self,
        cause: Cause,
        *,
        alerts: list[dict[str, Any]],
        taken: list[str],
        lease: int,
        drafts: list[dict[str, str]] | None = None,
    ) -> list[tuple[Literal["post", "busy", "taken"], int]]:
        """Of each alert: its mark, and for the how manieth time the same message is news (0: the first)."""
        result = self.store.call("take", cause.request(alerts=alerts, taken=taken, lease=lease, drafts=drafts))
        marks = cast("list[Literal['post', 'busy', 'taken']]", result["marks"] or [])
        return list(zip(marks, result["again"] or [], strict=True))

    def open(self, cause: Cause, what: Literal["firing", "resolved", "request"], **more: Any) -> Opened:
        return cast("Opened", self.store.call("open", cause.request(what=what, **more)))

    def admit(self, cause: Cause, **proposal: Any) -> Admitted:
        return cast("Admitted", self.store.call("admit", cause.request(**proposal)))

    def begin(self, cause: Cause, **step: Any) -> Begun:
        return cast("Begun", self.store.call("begin", cause.request(**step)))

    def finish(self, cause: Cause, attempt: str, outcome: str, **more: Any) -> Finished:
        more.setdefault("run", "")
        return cast("Finished", self.store.call("finish", cause.request(attempt=attempt, outcome=outcome, **more)))

    def settle(self, cause: Cause, what: str, **more: Any) -> Settled:
        return cast("Settled", self.store.call("settle", cause.request(what=what, **more)))

    def put(self, cause: Cause, **more: Any) -> Put:
        return cast("Put", self.store.call("put", cause.request(**more)))

    def claim(self, cause: Cause, *, limit: int) -> tuple[list[Entry], bool]:
        result = self.store.call("claim", cause.request(limit=limit))
        return cast("list[Entry]", result["entries"] or []), bool(result["more"])

    def load(self, cause: Cause, **more: Any) -> dict[str, Any]:
        return self.store.call("load", cause.request(**more))

    def inbox(self, cause: Cause) -> str | None:
        """The stored answer of a function for this event, or None."""
        digest = hashlib.sha1(f"{cause.source}\0{cause.id}".encode()).hexdigest()  # noqa: S324 - all that Lua has
        return cast("str | None", self.store.read("GET", f"{PREFIX}:inbox:{cause.fn}:answer:{digest}"))

    def attempt(self, tenant: str, cluster: str, attempt: str) -> dict[str, str]:
        """All that is stored of an attempt; empty when Redis knows none of that id."""
        return dict(self.store.hash(f"{PREFIX}:{tenant}:{cluster}:attempt:{attempt}"))
