"""CloudEvents over HTTP as a channel-based broker carries them: read in either mode, always passed on in binary mode.

The broker is no party to what an event means. Nothing here may repair, enrich or judge an event beyond what Knative's
ingress refuses, because a function must meet the same malformed things at home as in a cluster.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, NoReturn

from shared.errors import MalformedError

TTL: Final = "knativebrokerttl"
START_TTL: Final = 255
ERROR_DEST: Final = "knativeerrordest"
ERROR_CODE: Final = "knativeerrorcode"
ERROR_DATA: Final = "knativeerrordata"

_VERSIONS = frozenset({"1.0", "0.3"})
_STRUCTURED = "application/cloudevents+json"
_BATCH = "application/cloudevents-batch+json"
_NAME = re.compile(r"[a-z0-9]+")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_SPACE = re.compile(r"[ \t\r\n]*")


class Event(NamedTuple):
    """`attributes` by lower-case name, the data's content type under `datacontenttype`; `data` exactly as sent."""

    attributes: Mapping[str, str]
    data: bytes

    @property
    def type(self) -> str:
        return self.attributes.get("type", "")

    @property
    def id(self) -> str:
        return self.attributes.get("id", "")

    @property
    def source(self) -> str:
        return self.attributes.get("source", "")

    @property
    def ttl(self) -> int | None:
        """Hops that are left; None when there is no readable number."""
        try:
            return int(self.attributes[TTL])
        except (KeyError, ValueError):
            return None

    def having(self, **changes: str) -> "Event":
        return self._replace(attributes={**self.attributes, **changes})

    def hiding(self, name: str) -> "Event":
        return self._replace(attributes={key: value for key, value in self.attributes.items() if key != name})

    def headers(self) -> dict[str, str]:
        """Binary mode. Values go out as raw UTF-8, not percent-encoded: Knative does the same."""
        headers = {f"ce-{name}": value for name, value in self.attributes.items() if name != "datacontenttype"}
        if "datacontenttype" in self.attributes:
            headers["content-type"] = self.attributes["datacontenttype"]
        return headers


def read(headers: Mapping[str, str], body: bytes) -> Event | None:
    """Give the event that an HTTP message carries, or None. `headers` are case-insensitive.

    Raises MalformedError for a batch and for a structured event that cannot be read. Missing attributes are no error
    here: Knative's filter passes them on and the ingress refuses them (`fault`).
    """
    if headers.get("ce-specversion") in _VERSIONS:
        return _binary(headers, body)
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == _BATCH:
        raise MalformedError("a batch of events", reason="batch")
    return _structured(body) if media_type == _STRUCTURED else None


def fault(event: Event) -> str:
    """Why the ingress refuses the event, or "" when it does not."""
    for name in ("id", "source", "type"):
        if not event.attributes.get(name):
            return f"missing {name}"
    for name, value in event.attributes.items():
        if not _NAME.fullmatch(name):
            return "extension name is not alphanumeric"
        if _CONTROL.search(value):
            return f"control character in {name}"
    time = event.attributes.get("time")
    return "" if time is None or _TIME.fullmatch(time) else "time is not RFC 3339"


def _binary(headers: Mapping[str, str], body: bytes) -> Event:
    attributes: dict[str, str] = {}
    for header, value in headers.items():
        name = header.lower()
        if name.startswith("ce-"):
            attributes.setdefault(name.removeprefix("ce-"), _text(value))
        elif name == "content-type":
            attributes.setdefault("datacontenttype", _text(value))
    return Event(attributes, body)


def _structured(body: bytes) -> Event:
    try:
        members = _members(body.decode())
        if members.get("specversion", ("", ""))[0] not in _VERSIONS:
            raise MalformedError("unknown specversion", reason="no-event")
        data = _data(members)
        attributes = {
            name.lower(): _attribute(value)
            for name, (value, _) in members.items()
            if name not in ("data", "data_base64") and value is not None
        }
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"unreadable structured event: {error}", reason="no-event") from error
    if data is not None:
        attributes.setdefault("datacontenttype", "application/json")
    return Event(attributes, data or b"")


def _members(text: str) -> dict[str, tuple[Any, str]]:
    """Top-level members with the text of each value, so that `data` is passed on byte for byte.

    Raises ValueError when `text` is not one JSON object.
    """
    if not isinstance(json.loads(text, parse_constant=_no_constant), dict):
        raise ValueError("not an object")  # noqa: TRY004 - a value of the sender, not a type of ours
    decoder = json.JSONDecoder()
    found: dict[str, tuple[Any, str]] = {}
    position = _skip(text, text.index("{") + 1)
    while text[position] != "}":
        name, position = decoder.raw_decode(text, position)
        start = _skip(text, _skip(text, position) + 1)  # the colon
        value, end = decoder.raw_decode(text, start)
        found[name] = (value, text[start:end])
        position = _skip(text, end)
        if text[position] == ",":
            position = _skip(text, position + 1)
    return found


def _skip(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _data(members: Mapping[str, tuple[Any, str]]) -> bytes | None:
    if "data_base64" in members:
        try:
            return base64.b64decode(str(members["data_base64"][0]), validate=True)
        except binascii.Error as error:
            raise ValueError(f"data_base64: {error}") from error
    value, text = members.get("data", (None, ""))
    if value is None:
        return None
    media_type = str(members.get("datacontenttype", ("application/json", ""))[0]).partition(";")[0].strip().lower()
    is_json = media_type in ("application/json", "text/json") or media_type.endswith("+json")
    return value.encode() if isinstance(value, str) and not is_json else text.encode()


def _attribute(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int | float):
        return str(value)
    raise ValueError("an attribute is an object or a list")


def _text(value: str) -> str:
    """Replace lone surrogates (half a pair in JSON, no UTF-8 in a header): they have no encoding to go out in."""
    return _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", value)
