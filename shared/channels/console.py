"""Prints tickets, for trying things out. In production nobody reads a pod's output, so it refuses to be used there."""

import sys
from typing import TextIO

from shared.channels import Ticket, line
from shared.errors import MalformedError
from shared.secrets import Secrets
from shared.settings import Settings


class Console:
    """Writes to `stream`, stdout if None. The reference is made from the correlation id, so it is always the same."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream

    def _print(self, *lines: str) -> None:
        stream = self._stream if self._stream is not None else sys.stdout
        stream.write("\n".join(lines) + "\n")
        stream.flush()

    def _show(self, verb: str, reference: str, ticket: Ticket) -> None:
        severity = f" [{ticket.severity}]" if ticket.severity else ""
        where = " ".join(part for part in (f"{ticket.tenant}/{ticket.cluster}".strip("/"), ticket.scope) if part)
        self._print(
            f"TICKET {verb} {line(reference)}{severity}: {ticket.title}",
            *([f"  where    {where}"] if where else []),
            *(f"  because  {text}" for text in ticket.reasons),
            *(f"  waits    {text}" for text in ticket.waiting),
            *(f"  so far   {text}" for text in ticket.timeline),
            *(f"  try      {text}" for text in ticket.commands),
        )

    def open(self, ticket: Ticket) -> str:
        reference = f"console-{ticket.correlation_id}"
        self._show("opened", reference, ticket)
        return reference

    def update(self, reference: str, ticket: Ticket) -> None:
        self._show("updated", reference, ticket)

    def close(self, reference: str, text: str) -> None:
        self._print(f"TICKET closed {line(reference)}: {line(text)}")


def make(settings: Settings, _: Secrets) -> Console:
    """Make a console on stdout. Raises MalformedError (reason `settings`) outside dev."""
    if not settings.dev:
        raise MalformedError("AKESO_TICKETS__CHANNEL=console is for dev only", reason="settings")
    return Console()
