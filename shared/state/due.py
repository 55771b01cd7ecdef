"""Every kind of deadline: who puts it, when it is up, what the sweeper does with it, what ends it.

This is the design's `due` table as data. The scripts put and end entries; `functions/sweeper` acts by this table; the
docs and the tests are derived from it. There is no other list of kinds.
"""

from typing import Final, NamedTuple


class Due(NamedTuple):
    put_by: tuple[str, ...]
    at: str
    publishes: str  # short event type; "" when only a transition is called
    calls: str  # transition that the sweeper calls first, "" for none
    ended_by: tuple[str, ...]
    stuck_after: int  # publications before `claim` tells a person; 0: never, it only backs off


DUE: Final[dict[str, Due]] = {
    "alert": Due(("take",), "+2 min", "alert.firing", "", ("open",), 2),
    "incident": Due(("open",), "hourly while open, not people-only", "remediation.requested", "", ("closing",), 0),
    "stage": Due(("open", "put"), "+3 min", "escalation.requested", "", ("put", "admit"), 1),
    "hold": Due(("admit",), "approval deadline", "escalation.requested", "settle", ("open", "settle", "admit"), 3),
    "retry": Due(("admit", "finish", "settle"), "when allowed", "remediation.requested", "", ("open",), 3),
    "start": Due(("admit",), "start-by", "escalation.requested", "finish", ("begin", "finish"), 3),
    "attempt": Due(("begin",), "deadline", "remediation.continued", "", ("finish",), 3),
    "step": Due(("finish",), "+delay", "remediation.continued", "", ("begin",), 3),
    "soak": Due(("finish", "settle"), "soak end", "verification.due", "", ("settle", "admit"), 3),
    "revert": Due(("finish", "settle", "admit", "load"), "until, or now", "remediation.proposed", "",
                  ("finish", "admit"), 3),
    "tell": Due(("open", "admit", "finish", "settle", "claim", "put"), "now, then back-off", "escalation.due", "",
                ("put",), 0),
    "redrive": Due(("put",), "back-off", "", "", ("delivery",), 0),
}  # fmt: skip
