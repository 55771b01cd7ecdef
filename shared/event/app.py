"""The adapters between HTTP and a plain typed function: the only place that knows either side's words.

`serve` is for functions behind the broker, `serve_web` for intake and api. Both give an http function for
functions-framework (its `cloud_event` decorator answers `200 OK` with a text, which a channel broker turns into a
retried 502). Neither decides anything about an incident.
"""

import contextlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from flask import Request, Response
from pydantic import ValidationError
from werkzeug.exceptions import HTTPException

from shared import clock, settings
from shared.errors import AkesoError, ForbiddenError, MalformedError, TooLargeError, UnavailableError
from shared.event import answer, codec, make, sign
from shared.event.codec import Event
from shared.event.here import Here
from shared.event.make import MAX_HOP, Emit, Outcome
from shared.event.types import PING, TYPES
from shared.model.base import Model
from shared.telemetry import log

MAX_EVENT_BYTES: Final = 1 << 20
_DISCARD_BYTES: Final = 16 << 20
_STAGES: Final = frozenset({"incident.triaged", "remediation.proposed"})
_FIRST_BYTE_S: Final = 0.05

Work = Callable[[Event, Any, Here], Outcome]
_log = log.get("akeso.event")


def _prepare(name: str) -> None:
    log.configure(name)
    try:
        settings.load()
    except MalformedError as error:  # a process that is set up wrongly must not come up and refuse good events
        raise SystemExit(f"{name}: {error}") from None
    # gunicorn's thread worker waits five seconds for a silent connection's first byte: a burst stalls in such steps.
    # functions-framework imports it only after us, and reads the constant at each connection.
    with contextlib.suppress(ImportError):  # its debug server does without
        from gunicorn import config
        from gunicorn.workers import gthread

        gthread.DEFAULT_WORKER_DATA_TIMEOUT = _FIRST_BYTE_S
        # A socket in the home folder, by which the server can be commanded: nobody asked for one, a pod has no place
        # for it, and each start would end in an error line.
        config.ControlSocketDisable.default = True


def _body(request: Request, limit: int) -> bytes:
    try:
        if (request.content_length or 0) <= limit:
            data = b"".join(_pieces(request, limit + 1))
            if len(data) <= limit:
                return data
        for _ in _pieces(request, _DISCARD_BYTES):
            pass  # read on for a while, so that a sender who is still at it sees the answer
    except HTTPException as error:
        raise MalformedError("the body ended early", reason="body") from error
    raise TooLargeError(f"over {limit} bytes")


def _pieces(request: Request, most: int) -> Iterator[bytes]:
    """At most that many bytes of what is left; one read may give fewer than there are."""
    while most > 0 and (piece := request.stream.read(min(most, 1 << 16))):
        most -= len(piece)
        yield piece


def _read_no_further(request: Request) -> None:
    """After each answer functions-framework would read whatever is left into memory, without a bound."""
    request.stream = io.BytesIO()


def _refuse(error: Exception) -> Response:
    if isinstance(error, AkesoError):
        say = _log.error if isinstance(error, ForbiddenError) else _log.warning
        say("refused", reason=error.reason, detail=str(error)[:300])
    else:
        _log.exception("unforeseen", error=type(error).__name__)
    status, headers, body = answer.refusal(error)
    return Response(body, status, headers)


def _health(here: Here, path: str) -> Response | None:
    if path == "/healthz":
        return Response(status=200)
    if path == "/readyz":
        missing = here.state.store.durable()
        if missing and not here.settings.dev:
            raise UnavailableError(f"Redis lacks {missing}", reason="redis-not-durable")
        return Response(status=200)
    return None


def _said(event: Event, here: Here, *, dead: bool) -> Model:
    """The event's data by its type's schema, after its signature has held. Raises for everything else."""
    known = TYPES.get(event.type)
    if known is None:
        raise MalformedError(f"unknown type {event.type[:80]!r}", reason="unknown-type")
    sign.verify(event, here.event_keys())
    if not dead and known.subscriber != here.function:
        raise MalformedError(f"{event.type} is not for {here.function}", reason="wrong-function")
    try:
        return known.schema.model_validate(event.data)
    except ValidationError as error:
        first = error.errors()[0]
        raise MalformedError(f"{first['loc']}: {first['msg']}", reason="schema") from error


def _is_expired(event: Event) -> bool:
    text = event.get("expirytime")
    return bool(text) and clock.now_ms() > clock.parse_ms(text)


def _answer(event: Event | None) -> Response:
    if event is None:
        return Response(status=answer.DONE)
    headers, body = codec.encode(event)
    return Response(body, answer.NEXT_EVENT, headers)


def _work(event: Event, data: Model, work: Work, here: Here, *, pure: bool) -> Event | None:
    """Run the function; a pure one answers a repeated event with what it said first."""
    from shared.state.transitions import Cause

    cause = Cause(here.function, event.source, event.id, event.get("tenant"), event.get("cluster"))
    if pure and (stored := here.state.inbox(cause)) is not None:
        return codec.parse(stored) if stored else None
    emitted = work(event, data, here)
    made = sign.sign(make.reply(here.function, event, emitted), here.event_keys()[0]) if emitted else None
    if pure:
        stage = None
        if emitted is not None:
            stage = TYPES[made.type].subscriber if made and emitted.type in _STAGES else ""
        incident = emitted.incident if emitted else ""
        put = here.state.put(cause, answer=codec.dump(made) if made else "", incident=incident, stage=stage)
        text = put["answer"]
        return codec.parse(text) if text else None
    return made


def _stale(event: Event, here: Here, *, expires: bool) -> bool:
    """What is not worked on any more is counted and answered 204; its `due` entry acts."""
    from shared.state.transitions import Cause

    cause = Cause(here.function, event.source, event.id, event.get("tenant"), event.get("cluster"))
    if event.hop > MAX_HOP:
        _log.error("loop", type=event.type, id=event.id)
        told = {"incident": event.get("incidentid") or "loop", "reason": "loop", "at": clock.now_ms()}
        here.state.put(cause, untold=told, count="loops_total")
        return True
    if expires and _is_expired(event):
        _log.warning("expired", type=event.type, id=event.id)
        here.state.put(cause, count=f"expired_total|function={here.function}")
        return True
    return False


def serve(
    name: str,
    work: Work,
    *,
    accepts: Literal["events", "dead letters", "pings"] = "events",
    pure: bool = False,
    expires: bool = False,
) -> Callable[[Request], Response]:
    """An http function that answers CloudEvents by the answer table.

    `pure`: the first stored answer wins and the incident's stage moves with it. `expires`: a late event is not worked
    on. `dead letters`: any of our types, and one whose signature does not hold gets a silent 204 and an alarm.
    """
    here = Here(name)
    _prepare(name)

    def living(request: Request) -> Event | None:
        event = codec.decode(dict(request.headers), _body(request, MAX_EVENT_BYTES))
        with log.context(incident=event.get("incidentid"), event_id=event.id):
            if accepts == "pings":
                if event.type != PING:
                    raise MalformedError("only pings", reason="unknown-type")
                return _work(event, Model(), work, here, pure=False)
            data = _said(event, here, dead=False)
            if _stale(event, here, expires=expires):
                return None
            return _work(event, data, work, here, pure=pure)

    def dead(request: Request) -> Event | None:
        event = codec.decode(dict(request.headers), _body(request, MAX_EVENT_BYTES))
        with log.context(incident=event.get("incidentid"), event_id=event.id):
            data = _said(event, here, dead=True)
            named = event.with_extensions(deadfor=codec.ascii_only(request.path.strip("/"), 64))
            return _work(named, data, work, here, pure=False)

    def function(request: Request) -> Response:
        try:
            if request.method == "GET" and (health := _health(here, request.path)):
                return health
            if request.method != "POST":
                return Response(status=405)
            if accepts != "dead letters":
                return _answer(living(request))
            try:
                return _answer(dead(request))
            except AkesoError as error:
                _log.error("dead letter refused", reason=error.reason, detail=str(error)[:300])
            except Exception as error:  # noqa: BLE001 - a dead letter that fails would multiply, so it never does
                _log.exception("dead letter lost", error=type(error).__name__)
            return Response(status=answer.DONE)
        except Exception as error:  # noqa: BLE001 - the outermost edge: nothing may leave but the answer table
            return _refuse(error)
        finally:
            _read_no_further(request)

    function.__name__ = name
    return function


@dataclass(frozen=True)
class Call:
    """A plain HTTP request: `path` without the leading slash, header names in lower case."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes = field(repr=False)


@dataclass(frozen=True)
class WebAnswer:
    """A plain HTTP answer; `body` is bytes of `content_type`."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"


def serve_web(name: str, work: Callable[[Call, Here], WebAnswer], *, limit: int) -> Callable[[Request], Response]:
    """An http function for callers that speak no CloudEvents; bodies over `limit` bytes are refused with 413."""
    here = Here(name)
    _prepare(name)

    def function(request: Request) -> Response:
        try:
            if request.method == "GET" and (health := _health(here, request.path)):
                return health
            headers = {key.lower(): value for key, value in request.headers.items()}
            call = Call(request.method, request.path.strip("/"), dict(request.args), headers, _body(request, limit))
            given = work(call, here)
            return Response(given.body, given.status, {"content-type": given.content_type})
        except Exception as error:  # noqa: BLE001 - the outermost edge: nothing may leave but the answer table
            return _refuse(error)
        finally:
            _read_no_further(request)

    function.__name__ = name
    return function


__all__ = ["Call", "Emit", "Outcome", "WebAnswer", "serve", "serve_web"]
