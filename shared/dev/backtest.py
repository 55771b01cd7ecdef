"""What another policy would have said: recorded decisions decided anew, in the order in which they were.

What came after a decision is not on record. Both policies are therefore tried under the same assumption, that whatever
is approved is done at once and helps; only the difference between the two says something about the policies.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.dev.question import LATEST_MS, Question
from shared.dev.trial import Trial
from shared.errors import MalformedError
from shared.guard.policy import Policy
from shared.state.transitions import Admitted

MOST: Final = 1000  # as many as are kept


class Record(BaseModel):
    """One decision as `admit` notes it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    at: int = Field(ge=0, le=LATEST_MS)
    decision: Literal["approved", "held", "denied"]
    check: str | None = Field(default=None, max_length=63)
    asked: Question


class Answer(NamedTuple):
    decision: str
    check: str

    def __str__(self) -> str:
        return f"{self.decision} ({self.check})" if self.check and self.decision == "denied" else self.decision


class Changed(NamedTuple):
    record: Record
    before: Answer
    after: Answer


class Compared(NamedTuple):
    """`as_recorded` of the `of` decisions come out under the first policy as they were decided then."""

    of: int
    as_recorded: int
    changed: tuple[Changed, ...]


def read(value: Any, last: int = MOST) -> tuple[Record, ...]:
    """The last so many of these decisions, the oldest first. Raises MalformedError (reason `decisions`)."""
    listed = value.get("decisions") if isinstance(value, dict) else value
    if not isinstance(listed, list):
        raise MalformedError("no list of decisions", reason="decisions")
    records = []
    for number, item in enumerate(listed[: 10 * MOST]):
        try:
            records.append(Record.model_validate(json.loads(item) if isinstance(item, str) else item))
        except (ValidationError, ValueError, RecursionError) as error:
            why = error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": "not JSON"}
            where = ".".join(str(part)[:40] for part in why["loc"])
            raise MalformedError(f"decision {number + 1}: {where} {why['msg']}"[:300], reason="decisions") from None
    return tuple(sorted(records, key=lambda one: one.at)[-min(last, MOST) :])


def compare(records: Sequence[Record], before: Policy, after: Policy) -> Compared:
    """Decide all of them twice. Raises MalformedError when there is no redis-server on this machine."""
    if not records:
        return Compared(0, 0, ())
    with Trial() as trial:
        first = list(_replayed(trial, records, before))
        second = list(_replayed(trial, records, after))
    told = zip(records, first, second, strict=True)
    return Compared(
        of=len(records),
        as_recorded=sum(answer == _recorded(one) for one, answer in zip(records, first, strict=True)),
        changed=tuple(Changed(one, old, new) for one, old, new in told if old != new),
    )


def _replayed(trial: Trial, records: Sequence[Record], policy: Policy) -> Iterable[Answer]:
    trial.begin(policy, records[0].at)
    for one in records:
        yield _answer(trial.decide(one.asked.request(), one.at))


def _answer(admitted: Admitted) -> Answer:
    decision = admitted["decision"]
    return Answer(decision, admitted.get("check", "") if decision == "denied" else "")


def _recorded(one: Record) -> Answer:
    return Answer(one.decision, (one.check or "") if one.decision == "denied" else "")
