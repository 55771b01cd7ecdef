"""CloudEvents on the wire: the only importer of the cloudevents SDK, so that its next major is one file's change.

Decoding is strict where the SDK is not (it hands garbage out as bytes, takes 0.3, and invents ids and times): what
comes out is an `Event` whose attributes are ASCII strings and whose data is a JSON object. Encoding refuses whatever
decoding would. It is binary mode with a datacontenttype, because the channel broker turns any other 2xx body into a
retried 502.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from cloudevents.abstract import CloudEvent
from cloudevents.conversion import from_http, to_binary, to_structured
from cloudevents.exceptions import DataUnmarshallerError

from shared import clock
from shared.errors import MalformedError
from shared.event.types import EXTENSIONS

_REQUIRED: Final = ("type", "source", "id")
_CORE: Final = (*_REQUIRED, "time", "subject")
_OURS: Final = frozenset({*_CORE, *EXTENSIONS})
_OF_THE_WIRE: Final = frozenset({"specversion", "datacontenttype", "dataschema", "data", "extensions"})
_NAME: Final = re.compile(r"[a-z0-9]{1,20}")
_HOP: Final = re.compile(r"[0-9]{1,3}")
_MAX_VALUE: Final = 1024
_MAX_DEPTH: Final = 64  # far below where the interpreter gives up, far above what any schema needs


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
        return int(text) if _HOP.fullmatch(text) else 0


def ascii_only(text: str, limit: int = 256) -> str:
    """What every broker carries unchanged in a header: visible ASCII, the rest as `?`.

    Without blank, quote and percent sign, which the HTTP binding wants percent-encoded: some brokers do, some do not.
    """
    return "".join(c if "!" <= c <= "~" and c not in '"%' else "?" for c in text.strip())[:limit]


class _Wire(CloudEvent):
    """What the SDK reads and writes: unlike its own class it invents no id and no time."""

    def __init__(self, attributes: Mapping[str, Any], data: Any) -> None:
        self._attributes = dict(attributes)
        self._data = data

    @classmethod
    def create(cls, attributes: Mapping[str, Any], data: Any) -> "_Wire":
        return cls(attributes, data)

    def _get_attributes(self) -> dict[str, Any]:
        return self._attributes

    def get_data(self) -> Any:
        return self._data


def decode(headers: Mapping[str, str], body: bytes) -> Event:
    """Read binary or structured mode; foreign attributes that would not survive a header are left out.

    Raises MalformedError for anything that is not one CloudEvent 1.0 with an object as JSON data; a batch is not.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    if lower.get("content-type", "").startswith("application/cloudevents-batch"):
        raise MalformedError("a batch is not an event", reason="batch")
    try:
        wire = from_http(_Wire, lower, body, _json)
    except DataUnmarshallerError as error:
        raise MalformedError(f"data is not JSON: {error}"[:200], reason="data") from error
    except Exception as error:  # whatever a foreign parser stumbles over is the sender's mistake
        raise MalformedError(f"no CloudEvent: {error}"[:200], reason="not-an-event") from error
    attributes = wire._get_attributes()  # noqa: SLF001 - the SDK's name, our class
    if attributes.get("specversion") != "1.0":
        raise MalformedError("specversion is not 1.0", reason="not-an-event")
    texts: dict[str, str] = {}
    for name, value in attributes.items():
        text = _text(value)
        if name in _OURS:
            if text is None:
                raise MalformedError(f"attribute {name} is not short printable ASCII", reason="not-an-event")
            if text:
                texts[name] = text
        elif text and name not in _OF_THE_WIRE and _NAME.fullmatch(name):
            texts[name] = text
    _check(texts)
    data = wire.get_data()
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise MalformedError("data is not a JSON object", reason="data")
    if _is_deep(data):
        raise MalformedError(f"data is nested more than {_MAX_DEPTH} deep", reason="data")
    core = {name: texts.pop(name, "") for name in _CORE}
    return Event(**core, data=data, extensions=texts)


def encode(event: Event, *, structured: bool = False) -> tuple[dict[str, str], bytes]:
    """Headers and body of the event in binary (or structured) mode. Raises MalformedError for what `decode` refuses."""
    texts = {name: getattr(event, name) for name in _CORE} | dict(event.extensions)
    texts = {name: text for name, text in texts.items() if text}
    for name, text in texts.items():
        if name in _OF_THE_WIRE or not _NAME.fullmatch(name) or _text(text) is None:
            raise MalformedError(f"attribute {name[:40]!r} cannot be sent", reason="not-an-event")
    _check(texts)
    if _is_deep(event.data):
        raise MalformedError(f"data is nested more than {_MAX_DEPTH} deep", reason="data")
    wire = _Wire({"specversion": "1.0", **texts, "datacontenttype": "application/json"}, event.data)
    headers, body = to_structured(wire) if structured else to_binary(wire, _utf8)
    return dict(headers), bytes(body)


def dump(event: Event) -> str:
    """The event as one structured JSON text, for the inbox and for due entries."""
    return encode(event, structured=True)[1].decode()


def parse(text: str) -> Event:
    """The inverse of `dump`."""
    return decode({"content-type": "application/cloudevents+json"}, text.encode())


def _json(text: str | bytes) -> Any:
    return json.loads(text, parse_constant=_refuse, parse_float=_finite) if text else None


def _utf8(data: Any) -> bytes:
    # Escapes would make text that is not English up to three times as long, and an alert over a broker's bound is lost.
    try:
        return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:  # half a surrogate
        return json.dumps(data).encode()


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number out of range")
    return number


def _text(value: Any) -> str | None:
    """The attribute as it stands in a header; None when it would not arrive there as it was."""
    if value is None:
        return ""
    if isinstance(value, bool):
        value = "true" if value else "false"
    text = str(value) if isinstance(value, int | str) else "\n"
    fits = text.isascii() and text.isprintable() and len(text) <= _MAX_VALUE and text.strip() == text
    return text if fits else None


def _check(texts: Mapping[str, str]) -> None:
    for name in _REQUIRED:
        if name not in texts:
            raise MalformedError(f"attribute {name} is missing", reason="not-an-event")
    for name in ("time", "expirytime"):
        try:
            clock.parse_ms(texts.get(name) or "1970-01-01")
        except ValueError as error:
            raise MalformedError(f"attribute {name} is not a time", reason="not-an-event") from error
    if not _HOP.fullmatch(texts.get("hop") or "0"):
        raise MalformedError("attribute hop is not a small number", reason="not-an-event")


def _is_deep(data: dict[str, Any]) -> bool:
    level: list[Any] = [data]
    for _ in range(_MAX_DEPTH):
        level = [
            child
            for node in level
            for child in (node.values() if isinstance(node, dict) else node if isinstance(node, list) else ())
            if isinstance(child, dict | list)
        ]
        if not level:
            return False
    return True
