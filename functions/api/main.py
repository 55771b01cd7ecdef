"""What people ask for over HTTP: how it stands, what happened and why, yes and no, stop, run, undo.

It has no authority of its own: whatever moves an incident is a transition, with the person's typed name in the audit.
Everything but health needs the api token; only on one machine (dev) may the token be missing.
"""

import hmac
import json
import re
from collections.abc import Callable
from typing import Any, Final

from shared.action.catalogue import Catalogue
from shared.action.render import catalogue_json
from shared.errors import ForbiddenError, MalformedError, UnavailableError
from shared.event.app import Call, WebAnswer, serve_web
from shared.event.here import Here
from shared.people import answers, find, halt, page, play, run, status, timeline, told
from shared.people.asks import MAX_BODY, HoldAsk, RunAsk, StopAsk, UndoAsk, read
from shared.people.no import NoError, NotThereError
from shared.telemetry import metrics

_ID: Final = r"([A-Za-z0-9_.-]{1,80})"
_WHOSE: Final = r"([a-z0-9-]{1,40})/([a-z0-9-]{1,40})"

Handler = Callable[[Here, bytes, tuple[str, ...]], Any]

ROUTES: Final[tuple[tuple[str, str, Handler], ...]] = (
    ("GET", r"v1/status", lambda here, _, __: status.status(here)),
    ("GET", r"v1/incidents", lambda here, _, __: timeline.listing(here)),
    ("GET", rf"v1/incidents/{_ID}", lambda here, _, of: timeline.one(here, find.incident(here, of[0]))),
    ("GET", rf"v1/incidents/{_WHOSE}/{_ID}", lambda here, _, of: timeline.one(here, find.Place(of[0], of[1], of[2]))),
    ("GET", rf"v1/explain/{_ID}", lambda here, _, of: told.told(here, find.incident(here, of[0]))),
    ("POST", r"v1/explain", lambda here, body, _: play.play(here, body)),
    ("POST", r"v1/stop", lambda here, body, _: halt.halt(here, read(body, StopAsk))),
    ("POST", rf"v1/holds/{_ID}/(approve|deny)",
     lambda here, body, of: answers.answer(here, of[0], of[1], read(body, HoldAsk))),
    ("POST", r"v1/run", lambda here, body, _: run.run(here, read(body, RunAsk))),
    ("POST", r"v1/undo", lambda here, body, _: answers.undo(here, read(body, UndoAsk))),
    ("GET", r"v1/actions", lambda here, _, __: catalogue_json(Catalogue.home(here.settings.actions_dir))),
    ("GET", r"metrics", lambda here, _, __: page.page(here)),
)  # fmt: skip
_SAID: Final = ((MalformedError, 400), (NotThereError, 404), (NoError, 409))


def ask(call: Call, here: Here) -> WebAnswer:
    _check_token(call, here)
    found = [
        (method, handler, match.groups())
        for method, path, handler in ROUTES
        if (match := re.fullmatch(path, call.path))
    ]
    if not found:
        return _json(404, {"error": "path", "text": "no such path"})
    for method, handler, of in found:
        if method == call.method:
            return _answer(handler, here, call.body, of)
    return _json(405, {"error": "method", "text": f"{found[0][0]} is meant"})


def _answer(handler: Handler, here: Here, body: bytes, of: tuple[str, ...]) -> WebAnswer:
    try:
        given = handler(here, body, of)
    except (MalformedError, NotThereError, NoError) as error:  # a person reads it: with the reason in words
        code = next(code for kind, code in _SAID if isinstance(error, kind))
        return _json(code, {"error": error.reason, "text": str(error)[:300]})
    return WebAnswer(200, given, metrics.CONTENT_TYPE) if isinstance(given, bytes) else _json(200, given)


def _json(code: int, given: Any) -> WebAnswer:
    return WebAnswer(code, json.dumps(given).encode())


def _check_token(call: Call, here: Here) -> None:
    token = here.secrets.optional("api-token")
    if not token:
        if here.settings.dev:
            return
        raise UnavailableError("no api token is mounted", reason="secret-missing")
    given = call.headers.get("authorization", "").encode("utf-8", "replace")
    if not hmac.compare_digest(given, b"Bearer " + token):
        raise ForbiddenError("wrong api token", reason="token")


api = serve_web("api", ask, limit=MAX_BODY)
