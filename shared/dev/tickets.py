"""A ticket system for one machine: receives what the webhook channel posts, so that the way to a person can be tried.

Idempotent by correlation id: one ticket per incident, reopened when it comes again. Each ticket is a file, so it
outlives the process. `down` and `up` play the outage that a real one has. Never in a pod.
"""

import asyncio
import copy
import hmac
import json
import re
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from aiohttp import web

from shared import clock
from shared.errors import UnavailableError

MAX_BODY: Final = 256 * 1024  # bytes
_ABOUT: Final = frozenset({"action", "reference", "correlation_id"})  # the rest of a body is the ticket's content
_REFERENCE: Final = re.compile(r"T-[0-9]{5,9}")

Ticket = dict[str, Any]


class TicketDesk:
    """Runs in a thread of its own. Tickets are dicts: reference, correlation_id, status, content, history."""

    def __init__(self, folder: Path, *, token: str = "", on_change: Callable[[Ticket], None] | None = None) -> None:
        self.folder = folder
        self.port = 0
        self.posts = 0  # requests that came, answered or refused
        self._token = token
        self._on_change = on_change
        self._down = False
        self._lock = threading.Lock()
        self._tickets: dict[str, Ticket] = {}  # by reference
        self._last = 0  # number of the newest reference
        self._loop = asyncio.new_event_loop()
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/tickets"

    def tickets(self) -> list[Ticket]:
        """Copy all tickets, oldest first."""
        with self._lock:
            return copy.deepcopy(list(self._tickets.values()))

    def down(self) -> None:
        """Answer 503 to everything until `up`."""
        self._down = True

    def up(self) -> None:
        self._down = False

    def start(self, port: int = 0) -> Self:
        """Serve on that port of loopback, 0 for a free one. Raises UnavailableError (reason `tickets-start`)."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._load()
        ready: threading.Event = threading.Event()
        failed: list[OSError] = []

        def serve() -> None:
            asyncio.set_event_loop(self._loop)
            runner = web.AppRunner(self._app(), access_log=None)
            try:
                self._loop.run_until_complete(self._listen(runner, port))
            except OSError as error:
                failed.append(error)
                self._loop.run_until_complete(runner.cleanup())
                return
            finally:
                ready.set()
            self._loop.run_forever()
            self._loop.run_until_complete(runner.cleanup())

        self._thread = threading.Thread(target=serve, name="tickets", daemon=True)
        self._thread.start()
        ready.wait()
        if failed:
            self.stop()
            raise UnavailableError(f"tickets on port {port}: {failed[0].strerror}", reason="tickets-start")
        return self

    def stop(self) -> None:
        """Harmless when it does not run. A stopped desk is not started again; a new one on the folder goes on."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        if thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.stop()

    def _load(self) -> None:
        for file in sorted(self.folder.glob("T-*.json")):
            if not _REFERENCE.fullmatch(file.stem):
                continue
            self._last = max(self._last, int(file.stem[2:]))
            try:
                ticket = json.loads(file.read_text())
                if {"correlation_id", "status", "content", "history"} <= ticket.keys():
                    self._tickets[file.stem] = {**ticket, "reference": file.stem}
            except (ValueError, AttributeError):
                continue  # somebody edited it: it keeps its number and is left alone

    def _app(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_post("/tickets", self._post)
        return app

    async def _listen(self, runner: web.AppRunner, port: int) -> None:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        self.port = runner.addresses[0][1]

    async def _post(self, request: web.Request) -> web.Response:
        self.posts += 1
        if self._down:
            return _error(503, "down")
        given = request.headers.get("Authorization", "").encode()
        if self._token and not hmac.compare_digest(given, f"Bearer {self._token}".encode()):
            return _error(401, "token")
        try:
            body = json.loads(await request.read())
        except (ValueError, RecursionError):
            return _error(400, "not JSON")
        if not isinstance(body, dict):
            return _error(400, "not an object")
        with self._lock:
            before = len(self._tickets)
            answer, ticket = self._take(body)
            changed = ticket is not None
            if ticket is not None:
                self._write(ticket)
                ticket = copy.deepcopy(ticket)
        if changed and ticket is not None and self._on_change is not None:
            self._on_change(ticket)
        if answer is not None:
            return answer
        return web.json_response({"reference": body["reference"]}, status=201 if len(self._tickets) > before else 200)

    def _take(self, body: dict[str, Any]) -> tuple[web.Response | None, Ticket | None]:
        """Give an error's answer, if any, and the ticket that changed, if any; `body` gets the reference."""
        action, content = body.get("action"), {key: body[key] for key in body if key not in _ABOUT}
        if action == "open":
            key = body.get("correlation_id")
            if not isinstance(key, str) or not key:
                return _error(400, "correlation_id"), None
            known = next((t for t in self._tickets.values() if t["correlation_id"] == key), None)
            if known is None:
                self._last += 1
                reference = f"T-{self._last:05d}"
                known = {"reference": reference, "correlation_id": key, "status": "", "content": {}, "history": []}
                self._tickets[reference] = known
        elif action in ("update", "close"):
            found = self._tickets.get(str(body.get("reference")))
            if found is None:
                return _error(404, "reference"), None
            known = found
        else:
            return _error(400, "action"), None
        body["reference"] = known["reference"]
        status = {"open": "open", "update": known["status"], "close": "closed"}[action]
        content = {**known["content"], **content}
        if (status, content) == (known["status"], known["content"]):
            return None, None
        known.update(status=status, content=content)
        known["history"].append({"at": clock.iso(clock.now_ms()), "action": action, **content})
        return None, known

    def _write(self, ticket: Ticket) -> None:
        file = self.folder / f"{ticket['reference']}.json"
        scratch = file.with_suffix(".tmp")
        scratch.write_text(json.dumps(ticket, indent=2) + "\n")
        scratch.replace(file)


def _error(status: int, why: str) -> web.Response:
    return web.json_response({"error": why}, status=status)


def start(
    folder: Path, *, port: int = 0, token: str = "", on_change: Callable[[Ticket], None] | None = None
) -> TicketDesk:
    """Serve a desk. `on_change` is called from its thread with a copy of each changed ticket; it must not raise.

    Raises UnavailableError (reason `tickets-start`) when the port is taken.
    """
    return TicketDesk(folder, token=token, on_change=on_change).start(port)
