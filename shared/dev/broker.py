"""The local broker of `akeso dev`: the very Trigger manifests that go to Knative, played by Knative's rules.

For trying and testing, never for production: it keeps nothing on disk, and it is as unkind as the real thing (failures
multiply backwards without a dead-letter sink, long error bodies crash it) because a function that only works with a
kinder broker does not work.
"""

import asyncio
import contextlib
import socket
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Self

import aiohttp
from aiohttp import web

from shared import clock
from shared.dev.broker_dispatch import Dispatcher, Gate, Note, Record, Resolve
from shared.dev.broker_event import START_TTL, TTL, Event, fault, read
from shared.dev.broker_hooks import Hook, Hooks, Predicate
from shared.dev.broker_proxy import PREFIX, Proxy
from shared.dev.delivery import Sink, Trigger, merged, read_broker, read_trigger
from shared.errors import MalformedError, UnavailableError

_MAX_HEADERS: Final = 1 << 20  # bytes of all headers together, Go's default
_PARSER_LIMITS: Final[Mapping[str, Any]] = {"max_line_size": 1 << 23, "max_field_size": 1 << 23, "max_headers": 10_000}
_PASSED: Final = frozenset({"x-request-id", "traceparent"})
_PASSED_PREFIXES: Final = ("knative-", "x-b3-")
_LOG_LENGTH: Final = 10_000


def _ignore(_: str) -> None:
    """Nobody wants to know."""


class Broker:
    """Serves `POST /` (ingress) and `/services/<name>/...` (activator) in a thread of its own.

    `triggers` and `broker` are manifests. `resolve` turns a service into its base URL and may start it; it raises
    MalformedError for a service that does not exist and UnavailableError for one that does not start. `begin` and
    `end` are told of each request to a service, from before `resolve` until its answer, on the broker's thread.
    `concurrency` bounds the requests per service; the rest wait here.

    `sync` is the in-memory channel: the sender waits for the whole fan-out with its retries and replies, a failure
    without dead-letter sink is its 500, and its hanging up cancels all that. Otherwise the sender has its 202 at once,
    each reply is a new piece of work, and a failure without sink is only counted. `speed` divides back-off pauses.

    The port is bound by the constructor, so that `url` can be told to others before `start`. `observer` is called on
    the broker's thread with each accepted event and must not block.
    """

    def __init__(
        self,
        triggers: Sequence[Mapping[str, Any]],
        broker: Mapping[str, Any] | None,
        resolve: Resolve,
        *,
        sync: bool = True,
        speed: float = 1.0,
        concurrency: Mapping[str, int] | None = None,
        observer: Callable[[Event], None] | None = None,
        begin: Note = _ignore,
        end: Note = _ignore,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self._spec = read_broker(broker)
        self._triggers = [read_trigger(manifest, self._spec) for manifest in triggers]
        self._resolve, self._sync, self._speed = resolve, sync, speed
        self._concurrency, self._observer = dict(concurrency or {}), observer
        self._begin, self._end = begin, end
        self._hooks = Hooks()
        self._gates: dict[str, Gate] = {}
        self._work: set[asyncio.Task[bool]] = set()
        self._dispatcher: Dispatcher | None = None
        self._proxy: Proxy | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended: asyncio.Event | None = None
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="broker", daemon=True)
        self.log: deque[Record] = deque(maxlen=_LOG_LENGTH)
        self.crashes = 0
        self._socket = socket.create_server((host, port), backlog=1024)
        self.url = f"http://{host}:{self._socket.getsockname()[1]}"

    def start(self) -> Self:
        """Return when it serves. Raises UnavailableError."""
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            raise UnavailableError(f"broker: {self._failure}") from self._failure
        return self

    def stop(self) -> None:
        """Drop what is in flight; its senders see a 500 or a closed connection."""
        if self._loop is not None and self._ended is not None:
            with contextlib.suppress(RuntimeError):  # the loop has already ended
                self._loop.call_soon_threadsafe(self._ended.set)
        if self._thread.is_alive():
            self._thread.join()
        self._socket.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def dead_letters(self) -> int:
        """Events that a dead-letter sink has taken."""
        return self._dispatcher.dead_letters if self._dispatcher else 0

    @property
    def failures(self) -> int:
        """Dispatches that ended without an answer and without a dead letter."""
        return self._dispatcher.failures if self._dispatcher else 0

    def idle(self) -> bool:
        """Whether no event and no proxied request is in flight."""
        return not self._work and not (self._proxy and self._proxy.busy)

    def drop(self, predicate: Predicate, times: int = 1) -> Hook:
        """Lose the next delivery that matches, as if the subscriber had taken it."""
        return self._hooks.drop(predicate, times)

    def duplicate(self, predicate: Predicate, times: int = 1) -> Hook:
        """Deliver the next match twice at the same time."""
        return self._hooks.duplicate(predicate, times)

    def disable(self, trigger: str) -> None:
        """As if the Trigger were removed. Raises MalformedError for a Trigger that does not exist."""
        self._hooks.disable(self._known(trigger))

    def enable(self, trigger: str) -> None:
        self._hooks.enable(self._known(trigger))

    def point(self, trigger: str, url: str | None) -> None:
        """Deliver to `url` instead; None ends that. Raises MalformedError for a Trigger that does not exist."""
        self._hooks.point(self._known(trigger), url)

    def orphan(self, delivery: Mapping[str, Any] | None = None) -> None:
        """Leave a subscriber in the channel whose Trigger is gone, with that delivery block."""
        orphan = Trigger(
            name="orphan",
            namespace=self._spec.namespace,
            accepts=lambda _: None,
            subscriber=Sink(uri="orphan"),
            delivery=merged(delivery, self._spec, self._spec.namespace),
            orphan=True,
        )
        self._triggers.append(orphan)

    def _known(self, trigger: str) -> str:
        if all(known.name != trigger for known in self._triggers):
            raise MalformedError(f"no trigger {trigger}")
        return trigger

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            if self._ready.is_set():
                raise
            self._failure = error  # for the thread that waits in `start`
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        quiet = aiohttp.ClientTimeout(total=None, sock_connect=None)
        async with (
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, force_close=True),  # a kept one may be gone when it is used
                timeout=quiet,
                # As many headers as the real broker adds, because gunicorn takes a hundred and no more.
                skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type"),
                max_line_size=_PARSER_LIMITS["max_line_size"],
                max_field_size=_PARSER_LIMITS["max_field_size"],
                max_headers=_PARSER_LIMITS["max_headers"],
                cookie_jar=aiohttp.DummyCookieJar(),
            ) as session,
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, force_close=True),
                timeout=quiet,
                skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
            ) as plain,
        ):
            self._dispatcher = Dispatcher(
                session=session,
                gate=self._gate,
                resolve=self._resolve,
                accept=self._accept,
                crash=self._crash,
                ingress=self._spec.address,
                speed=self._speed,
                hooks=self._hooks,
                log=self.log,
            )
            self._proxy = Proxy(plain, self._gate, self._resolve)
            app = web.Application(client_max_size=0)
            app.router.add_route("*", "/{path:.*}", self._handle)
            runner = web.AppRunner(
                app,
                handler_cancellation=True,
                auto_decompress=False,
                access_log=None,
                shutdown_timeout=0.1,
                **_PARSER_LIMITS,
            )
            await runner.setup()
            try:
                await web.SockSite(runner, self._socket, backlog=1024).start()
                self._ready.set()
                await self._ended.wait()
                await self._lose_work()
            finally:
                await runner.cleanup()

    def _gate(self, service: str) -> Gate:
        if service not in self._gates:
            self._gates[service] = Gate(service, self._concurrency.get(service, 0), self._begin, self._end)
        return self._gates[service]

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if request.path.startswith(PREFIX) and self._proxy:
            return await self._proxy.handle(request)
        if request.method == "OPTIONS":
            allowed = {"Allow": "POST, OPTIONS", "WebHook-Allowed-Origin": "*", "WebHook-Allowed-Rate": "*"}
            return web.Response(headers=allowed)
        if request.method != "POST":
            return web.Response(status=405, headers={"Allow": "POST, OPTIONS"})
        if request.path != "/":
            return web.Response(status=404)
        if sum(len(name) + len(value) for name, value in request.raw_headers) > _MAX_HEADERS:
            return web.Response(status=431)
        try:
            event = read(request.headers, await request.read())
        except MalformedError:
            event = None
        if event is None:
            return web.Response(status=400)
        return web.Response(status=await self._accept(event, self._passed(request.headers)))

    def _passed(self, headers: Mapping[str, str]) -> dict[str, str]:
        passed = {
            name.lower(): value
            for name, value in headers.items()
            if name.lower() in _PASSED or name.lower().startswith(_PASSED_PREFIXES)
        }
        return {**passed, "kn-namespace": self._spec.namespace}

    async def _accept(self, event: Event, passed: Mapping[str, str]) -> int:
        """Take an event from a sender or a reply, as the ingress does. Returns the status."""
        ttl = START_TTL if event.ttl is None else event.ttl - 1
        if fault(event) or ttl <= 0 or self._loop is None or self._dispatcher is None:
            return 400
        event = event.having(**{TTL: str(ttl), "knativearrivaltime": clock.iso(clock.now_ms())})
        if self._observer is not None:
            self._loop.call_soon(self._observer, event)
        triggers = tuple(self._triggers)
        task = self._loop.create_task(self._dispatcher.fan_out(event, triggers, passed))
        self._work.add(task)
        task.add_done_callback(self._done)
        if not self._sync:
            return 202
        try:
            return 202 if await task else 500
        except asyncio.CancelledError:
            me = asyncio.current_task()
            if me is not None and me.cancelling():
                raise  # the sender hung up, and the task that was awaited went with it
            return 500

    def _done(self, task: asyncio.Task[bool]) -> None:
        self._work.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and self._loop is not None:
            self._loop.call_exception_handler({"message": "dispatch", "exception": error})

    def _crash(self) -> None:
        """End as the dispatcher's process does, and come back at once: what was in flight is gone, nobody is told."""
        self.crashes += 1
        for task in tuple(self._work):
            task.cancel()

    async def _lose_work(self) -> None:
        work = tuple(self._work)
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
