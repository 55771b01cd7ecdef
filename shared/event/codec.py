"""CloudEvents on the wire: the only importer of the cloudevents SDK, so that its next major is one file's change.

Decoding is strict where the SDK is not (it hands garbage out as bytes): what comes out is an `Event` whose attributes
are ASCII strings and whose data is a JSON object. Encoding is binary mode with a datacontenttype, because the channel
broker turns any other 2xx body into a retried 502.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cloudevents.exceptions import GenericException
from cloudevents.http import CloudEvent, from_http, to_binary, to_structured

from shared.errors import MalformedError
from shared.event.types import EXTENSIONS

_REQUIRED = ("type", "source", "id")
_NAME = re.compile(r"[a-z0-9]{1,20}")
_MAX_VALUE = 1024


@dataclass(frozen=True)
class Event:
    """One event. Times are RFC 3339 strings; `extensions` holds every further attribute, foreign ones included."""

    type: str
    source: str
    id: str
    time: str = ""
    subject: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    extensions: Mapping[str, str] = field(default_factory=dict)

    def get(self, extension: str) -> str:
        return self.extensions.get(extension, "")

    def with_extensions(self, **more: str) -> "Event":
        """A copy with these extensions; an empty value takes one away."""
        merged = {**self.extensions, **more}
        return replace(self, extensions={name: value for name, value in merged.items() if value})

    @property
    def hop(self) -> int:
        text = self.get("hop")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 4 else 0


def ascii_only(text: str, limit: int = 256) -> str:
    """What may stand in a header: printable ASCII, the rest as `?`."""
    return "".join(c if " " <= c <= "~" else "?" for c in text)[:limit]


def decode(headers: Mapping[str, str], body: bytes) -> Event:
    """Read binary or structured mode. Raises MalformedError for anything that is not one CloudEvent 1.0 with an
    object as JSON data; a batch is not."""
    lower = {name.lower(): value for name, value in headers.items()}
    if lower.get("content-type", "").startswith("application/cloudevents-batch"):
        raise MalformedError("a batch is not an event", reason="batch")
    try:
        parsed = from_http(lower, body)
    except (GenericException, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise MalformedError(f"no CloudEvent: {error}"[:200], reason="not-an-event") from error
    attributes = {name: value for name, value in parsed.get_attributes().items() if value is not None}
    for name in _REQUIRED:
        if not isinstance(attributes.get(name), str) or not attributes[name].strip():
            raise MalformedError(f"attribute {name} is missing", reason="not-an-event")
    extensions: dict[str, str] = {}
    for name, value in attributes.items():
        text = str(value)
        if not text.isascii() or not text.isprintable() or len(text) > _MAX_VALUE:
            if name in EXTENSIONS or name in _REQUIRED:
                raise MalformedError(f"attribute {name} is not short printable ASCII", reason="not-an-event")
            continue  # foreign attributes are nobody's authority here
        if name not in {"specversion", "type", "source", "id", "time", "subject", "datacontenttype", "dataschema"}:
            if not _NAME.fullmatch(name) and name in EXTENSIONS:
                raise MalformedError("bad extension name", reason="not-an-event")
            extensions[name] = text
    data = parsed.data
    if isinstance(data, bytes | str):
        try:
            data = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise MalformedError("data is not JSON", reason="data") from error
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise MalformedError("data is not a JSON object", reason="data")
    return Event(
        type=attributes["type"],
        source=attributes["source"],
        id=attributes["id"],
        time=str(attributes.get("time", "")),
        subject=str(attributes.get("subject", "")),
        data=data,
        extensions=extensions,
    )


def encode(event: Event, *, structured: bool = False) -> tuple[dict[str, str], bytes]:
    """Headers and body of the event in binary (or structured) mode."""
    attributes = {
        "type": event.type,
        "source": event.source,
        "id": event.id,
        "datacontenttype": "application/json",
        **event.extensions,
    }
    if event.time:
        attributes["time"] = event.time
    if event.subject:
        attributes["subject"] = event.subject
    sent = CloudEvent(attributes, event.data)
    headers, body = to_structured(sent) if structured else to_binary(sent)
    return dict(headers), bytes(body)


def dump(event: Event) -> str:
    """The event as one structured JSON text, for the inbox and for due entries."""
    return encode(event, structured=True)[1].decode()


def parse(text: str) -> Event:
    """The inverse of `dump`."""
    return decode({"content-type": "application/cloudevents+json"}, text.encode())
