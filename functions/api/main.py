"""What people ask for over HTTP: how it stands, what happened and why, yes and no, stop, run, undo.

It has no authority of its own: whatever moves an incident is a transition, with the person's name in the audit. Looking
and stopping need the shared api token or a role; everything else needs a person that Kubernetes knows, with a role for
it (`shared.people.who`). Only on one machine (dev) may looking and stopping do without a token.
"""

import json
import re
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from shared.action.catalogue import Catalogue
from shared.action.render import catalogue_json
from shared.errors import MalformedError
from shared.event.app import Call, WebAnswer, serve_web
from shared.event.here import Here
from shared.people import (
    answers,
    decisions,
    evidence,
    find,
    guard,
    halt,
    holds,
    page,
    play,
    promote,
    run,
    status,
    timeline,
    told,
    who,
)
from shared.people.asks import MAX_BODY, HoldAsk, PromoteAsk, RunAsk, StopAsk, UndoAsk, read
from shared.people.no import NoError, NotAllowedError, NotThereError
from shared.telemetry import metrics

_ID: Final = r"([A-Za-z0-9_.-]{1,80})"
_WHOSE: Final = r"([a-z0-9-]{1,40})/([a-z0-9-]{1,40})"


def _undoable(here: Here, name: str) -> Any:
    from shared.people import undoable  # what it alone needs is left out of the cold start of all else

    return undoable.listing(here, find.incident(here, name))


Look = Callable[[Here, bytes, tuple[str, ...]], Any]
Deed = Callable[[Here, who.Caller, bytes, tuple[str, ...]], Any]

LOOKS: Final[tuple[tuple[str, str, Look], ...]] = (
    ("GET", r"v1/status", lambda here, _, __: status.status(here)),
    ("GET", r"v1/guard", lambda here, _, __: guard.guard(here)),
    ("GET", r"v1/holds", lambda here, _, __: holds.listing(here)),
    ("GET", r"v1/decisions", lambda here, _, __: decisions.recorded(here)),
    ("GET", r"v1/incidents", lambda here, _, __: timeline.listing(here)),
    ("GET", rf"v1/incidents/{_ID}", lambda here, _, of: timeline.one(here, find.incident(here, of[0]))),
    ("GET", rf"v1/incidents/{_WHOSE}/{_ID}", lambda here, _, of: timeline.one(here, find.Place(of[0], of[1], of[2]))),
    ("GET", rf"v1/incidents/{_ID}/undo", lambda here, _, of: _undoable(here, of[0])),
    ("GET", rf"v1/evidence/{_ID}", lambda here, _, of: evidence.evidence(here, of[0])),
    ("GET", rf"v1/explain/{_ID}", lambda here, _, of: told.told(here, find.incident(here, of[0]))),
    ("POST", r"v1/explain", lambda here, body, _: play.play(here, body)),
    ("GET", r"v1/actions", lambda here, _, __: catalogue_json(Catalogue.home(here.settings.actions_dir))),
    ("GET", r"metrics", lambda here, _, __: page.page(here)),
)  # fmt: skip
# Each finds out first what it is about, and then whether whoever asks may.
DEEDS: Final[tuple[tuple[str, str, Deed], ...]] = (
    ("POST", r"v1/stop", lambda here, asks, body, _: halt.halt(here, asks, read(body, StopAsk))),
    ("POST", rf"v1/holds/{_ID}/(approve|deny)",
     lambda here, asks, body, of: answers.answer(here, asks, of[0], of[1], read(body, HoldAsk))),
    ("POST", r"v1/run", lambda here, asks, body, _: run.run(here, asks, read(body, RunAsk))),
    ("POST", r"v1/undo", lambda here, asks, body, _: answers.undo(here, asks, read(body, UndoAsk))),
    ("POST", r"v1/promote", lambda here, asks, body, _: promote.promote(here, asks, read(body, PromoteAsk))),
)  # fmt: skip
_SAID: Final = ((MalformedError, 400), (NotAllowedError, 403), (NotThereError, 404), (NoError, 409))


def _looked(look: Look) -> Deed:
    def deed(here: Here, asks: who.Caller, body: bytes, of: tuple[str, ...]) -> Any:
        who.allow(here, asks, "get")
        return look(here, body, of)

    return deed


ROUTES: Final[tuple[tuple[str, str, Deed], ...]] = (
    *((method, path, _looked(look)) for method, path, look in LOOKS),
    *DEEDS,
)


def ask(call: Call, here: Here) -> WebAnswer:
    asks = who.caller(here, call.headers.get("authorization", ""))
    found = [
        (method, handler, match.groups())
        for method, path, handler in ROUTES
        if (match := re.fullmatch(path, call.path))
    ]
    if not found:
        return _json(404, {"error": "path", "text": "no such path"})
    for method, handler, of in found:
        if method == call.method:
            return _answer(partial(handler, here, asks, call.body, of))
    return _json(405, {"error": "method", "text": f"{found[0][0]} is meant"})


def _answer(handle: Callable[[], Any]) -> WebAnswer:
    try:
        given = handle()
    except (
        MalformedError,
        NotAllowedError,
        NotThereError,
        NoError,
    ) as error:  # a person reads it: with the reason in words
        code = next(code for kind, code in _SAID if isinstance(error, kind))
        return _json(code, {"error": error.reason, "text": str(error)[:300]})
    return WebAnswer(200, given, metrics.CONTENT_TYPE) if isinstance(given, bytes) else _json(200, given)


def _json(code: int, given: Any) -> WebAnswer:
    return WebAnswer(code, json.dumps(given).encode())


api = serve_web("api", ask, limit=MAX_BODY)
