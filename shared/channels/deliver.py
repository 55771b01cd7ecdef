"""Delivers what a person is to be told, as one ticket per incident in the channel that the settings name."""

import json
from collections.abc import Mapping
from typing import Final

from shared import clock
from shared.channels import Channel, Ticket, find
from shared.errors import UnavailableError
from shared.event.here import Here
from shared.model.hold import Hold
from shared.state.client import PREFIX
from shared.state.transitions import Cause

LEASE_MS: Final = 30_000  # one delivery
AGAIN_MS: Final = 60_000
_SHOWN: Final = 3  # attempts whose evidence is named

_SKIP = frozenset({"seq", "at", "what", "fn", "event", "policy", "before", "after"})


def channel(here: Here) -> Channel:
    return find(here.settings.tickets.channel)(here.settings, here.secrets)


def pass_on(here: Here, cause: Cause, incident: str, reason: str) -> bool:
    """Tell all that waits to be said about the incident, this reason (if any) included; whether people know now.

    What was not delivered stays due. Without Redis the reason is told blindly. Raises UnavailableError only then, when
    the ticket system does not answer either.
    """
    try:
        asked = here.state.put(cause, telling={"incident": incident, "reason": reason, "lease": LEASE_MS})
    except UnavailableError:
        if reason:
            blindly(here, cause, incident, reason)
        return bool(reason)
    if asked.get("tell") != "go":
        if reason and asked.get("tell") == "busy":
            _later(here, cause, incident, reason)
        return asked.get("tell") == "told"
    reasons = asked["reasons"]
    try:
        reference, state = tell(here, cause, incident, reasons, asked.get("ticket", ""))
    except UnavailableError:
        for untold in reasons:
            _later(here, cause, incident, untold)
        return False
    here.state.put(cause, told={"incident": incident, "reasons": reasons, "ticket": reference, "state": state})
    return True


def _later(here: Here, cause: Cause, incident: str, reason: str) -> None:
    here.state.put(cause, untold={"incident": incident, "reason": reason, "at": clock.now_ms() + AGAIN_MS})


def tell(here: Here, cause: Cause, incident: str, reasons: list[str], reference: str) -> tuple[str, str]:
    """Open or update the incident's ticket, close it with the incident; its reference, and `open` or `closed`.

    Raises UnavailableError when the ticket system or Redis does not answer.
    """
    base = f"{PREFIX}:{cause.tenant}:{cause.cluster}"
    known = here.state.store.hash(f"{base}:incident:{incident}")
    lines = here.state.store.read("LRANGE", f"{base}:audit:{incident}", 0, -1)
    ticket = Ticket(
        incident=incident,
        title=f"{known.get('family', 'akeso')} at {known.get('scope', incident)}",
        tenant=cause.tenant,
        cluster=cause.cluster,
        severity=known.get("severity", ""),
        scope=known.get("scope", ""),
        reasons=tuple(reasons),
        timeline=tuple(line_of(line) for line in lines),
        waiting=tuple(_waiting(here.state.store.hash(f"{base}:hold:{incident}"), known.get("scope", incident))),
        commands=(*_commands(incident, reasons), *_evidence(here, base, incident)),
    )
    to = channel(here)
    if not reference or known.get("ticket_state") == "closed" or not _updated(to, reference, ticket):
        reference = to.open(ticket)  # the receiver knows it by its correlation id and opens a closed one again
    if known.get("state") == "closed":
        to.close(reference, reasons[-1])
        return reference, "closed"
    return reference, "open"


def _waiting(fields: Mapping[str, str], scope: str) -> list[str]:
    """Tell what waits for a person's yes, while it does."""
    hold = Hold.of(fields)
    return hold.lines(scope, clock.iso(hold.deadline)) if hold and not hold.answered else []


def _updated(to: Channel, reference: str, ticket: Ticket) -> bool:
    try:
        to.update(reference, ticket)
    except UnavailableError as error:
        if error.reason != "ticket-gone":
            raise
        return False
    return True


def blindly(here: Here, cause: Cause, incident: str, reason: str) -> None:
    """Tell without Redis: the receiver keeps one ticket per incident by its correlation id.

    Raises UnavailableError when the ticket system does not answer either.
    """
    channel(here).open(
        Ticket(
            incident=incident,
            title=f"{incident}: {reason}",
            tenant=cause.tenant,
            cluster=cause.cluster,
            reasons=(reason,),
            commands=("akeso status",),
        )
    )


def line_of(item: str) -> str:
    """One audit line as a person reads it: time, word, and what belongs to it."""
    record = json.loads(item.partition(" ")[2])
    details = " ".join(f"{key}={value}" for key, value in sorted(record.items()) if key not in _SKIP and value != "")
    return f"{clock.iso(int(record['at']))} {record['what']} {details}"[:400]


def _commands(incident: str, reasons: list[str]) -> list[str]:
    commands = [f"akeso timeline {incident}", f"akeso explain {incident}"]
    for reason in reasons:
        _, found, rest = reason.partition("akeso undo ")
        if found:
            commands.append(f"akeso undo {rest.split()[0]} --reason ...")
        _, found, rest = reason.partition("akeso promote ")
        if found and len(rest.split()) > 1:
            commands.append(f"akeso promote {' '.join(rest.split()[:2])} --reason ...")
        if reason.startswith(("suggested: ", "would have done: ")):
            commands.append(reason.partition(": ")[2])
        if reason.startswith("held: "):
            commands += [f"akeso approve {incident} --reason ...", f"akeso deny {incident} --reason ..."]
    return commands


def _evidence(here: Here, base: str, incident: str) -> list[str]:
    """How to see what was there before the latest attempts, where that was kept."""
    attempts = here.state.store.read("LRANGE", f"{base}:attempts-of:{incident}", -_SHOWN, -1)
    kept = [attempt for attempt in attempts if here.state.store.read("EXISTS", f"{base}:evidence:{attempt}")]
    return [f"akeso evidence {attempt}" for attempt in kept]


def over(incident: str, what: str) -> Ticket:
    """What is said when an outage is over, under the same correlation id."""
    return Ticket(incident=incident, title=what, reasons=(what,))
