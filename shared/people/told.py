"""Explains an incident from its record: who decided what, by which check, with what limit, under which policy.

Of one that is open and waits, or was refused, it also tells what stands against it now (`shared.people.checks`).
"""

from typing import Any, Final

from shared.event.here import Here
from shared.people import checks, holds, timeline
from shared.people.find import Place

# Audit words and what they mean to a person; a word that is not here is told with its fields.
SENTENCES: Final = {
    "opened": "opened for {family} at {scope}",
    "reopened": "opened again: it fired within the hour",
    "joined": "another alert joined",
    "resolved": "an alert resolved",
    "kept": "a resolved was not believed: AlertManager left out {truncated} alerts",
    "suppressed": "left alone: {text}",
    "approved": "the guard let {action} pass ({mode}, grant {grant})",
    "denied": "the guard refused {action}",
    "held": "{action} waits for a person's yes ({hold})",
    "approve": "{who} said yes to {action}: {reason}",
    "deny": "{who} said no to {action}: {reason}",
    "expired": "nobody answered {hold} in time",
    "void": "the yes of {approvers} to {action} is void",
    "demoted": "{action} may only {to} on {scope} from now on: it was {why}",
    "promotion-proposed": "{action} on {scope} was verified {row} times in a row: akeso promote {action} {scope}",
    "promoted": "{who} trusts {action} on {scope} with {to} after {from}: {reason}",
    "not-run": "the run was not taken up: {text}",
    "run": "{who} asked for a run",
    "undo-asked": "{who} asked to take {attempt} back: {reason}",
    "begun": "{action} begun, step {step}",
    "not-begun": "{attempt} was not begun",
    "progressing": "step done, next is {cursor}",
    "recovered": "{action} was found again after the state was lost",
    "succeeded": "{action} succeeded ({mode})",
    "failed": "{action} failed: {text}",
    "skipped": "{action} skipped: {text}",
    "stopped": "{action} stopped half-way: {text}",
    "unused": "{action} was not used: {text}",
    "unknown": "nobody can say what came of {action}: {text}",
    "waiting": "{text}",
    "verified": "{action} has helped: healthy, and no alert fires",
    "ineffective": "{action} did not help",
    "harmful": "{action} made it worse",
    "stuck": "nothing moved it on at {stage} in time",
    "told": "a person was told: {reason} ({ticket})",
    "closed": "closed: {how}",
}
_WHY: Final = (
    "check", "limit", "used", "retry_at", "deadline", "risk", "needs", "missing", "resolved_by", "rule", "proposer",
    "reasoning",
)  # fmt: skip


class _Fields(dict[str, Any]):
    def __missing__(self, name: str) -> str:
        return "?"


def told(here: Here, place: Place) -> dict[str, Any]:
    """Tell the incident's decisions, oldest first. Raises NotThereError."""
    seen = timeline.one(here, place)
    return {
        **{name: seen[name] for name in ("tenant", "cluster", "id", "scope", "family", "state", "verdict", "links_ok")},
        "steps": [_step(record) for record in seen["audit"]],
        "hold": holds.waits(here, place),
        "now": checks.now(here, place),
    }


def _step(record: dict[str, Any]) -> dict[str, Any]:
    what = str(record.get("what", ""))
    return {
        "at": record.get("at", ""),
        "by": record.get("fn", ""),
        "what": what,
        "text": sentence(record),
        **{name: record[name] for name in _WHY if record.get(name) not in (None, "")},
        "policy": record.get("policy", ""),
    }


def sentence(record: dict[str, Any]) -> str:
    """Put one audit line into words; what the text itself does not hold is shown as `?`, never guessed."""
    what = str(record.get("what", ""))
    fields = _Fields({name: _word(value) for name, value in record.items()})
    template = SENTENCES.get(what)
    if template is None:
        return " ".join([what, *(f"{name}={value}" for name, value in fields.items() if name not in ("what", "link"))])[
            :400
        ]
    text = template.format_map(fields)
    why = [f"{name} {fields[name]}" for name in _WHY if record.get(name) not in (None, "")]
    return text + (f" [{', '.join(why)}]" if why else "")


def _word(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return " and ".join(value)[:300]
    return str(value)[:300] if not isinstance(value, dict | list) else f"{len(value)} fields"
