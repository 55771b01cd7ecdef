"""One event to its subscribers: filter, attempts, reply, dead letter, as the channel-based broker does it.

The rules were measured on the real broker; none of them is made kinder here. A failure without a dead-letter sink goes
back to whoever waits, a failed reply fails the dispatch that brought it, and nothing is ever deduplicated.
"""

import asyncio
import base64
import itertools
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, NamedTuple
from urllib.parse import urljoin

import aiohttp

from shared.dev.broker_event import ERROR_CODE, ERROR_DATA, ERROR_DEST, TTL, Event, read
from shared.dev.broker_filters import passes
from shared.dev.broker_hooks import Hooks
from shared.dev.delivery import Delivery, Sink, Trigger, is_retried
from shared.errors import AkesoError, MalformedError, UnavailableError

# 1,024 characters of base64: with one byte more the real dispatcher's process ends.
MAX_ERROR_BODY: Final = 768
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_SAME_METHOD: Final = frozenset({307, 308})
_MAX_REDIRECTS: Final = 10
_HTTP_OK, _HTTP_FAILURE, _NOT_MODIFIED = 200, 300, 304

Resolve = Callable[[str], Awaitable[str]]
Note = Callable[[str], None]
Accept = Callable[[Event, Mapping[str, str]], Awaitable[int]]


class Record(NamedTuple):
    """One delivery attempt. `status` 0: no answer within the time. `note` tells what a test hook did."""

    type: str
    id: str
    source: str
    subscriber: str
    status: int
    attempt: int  # from 1
    dead_lettered: bool = False  # this was a delivery to the dead-letter sink
    reply_type: str = ""
    note: str = ""


class Answer(NamedTuple):
    """What the dispatcher sees. `explained` is false where it learns nothing that it could tell the dead letter."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] | None = None
    reply: Event | None = None
    explained: bool = True

    @property
    def ok(self) -> bool:
        return _HTTP_OK <= self.status < _HTTP_FAILURE


class Gate:
    """Room for `limit` requests at a time (0: any number), and a note to whoever starts and stops the service."""

    def __init__(self, service: str, limit: int, begin: Note, end: Note) -> None:
        self._service, self._begin, self._end = service, begin, end
        self._room = asyncio.Semaphore(limit) if limit else None

    async def __aenter__(self) -> None:
        self._begin(self._service)  # before the wait: a service with a queue is not idle
        try:
            if self._room:
                await self._room.acquire()
        except BaseException:
            self._end(self._service)
            raise

    async def __aexit__(self, *_: object) -> None:
        if self._room:
            self._room.release()
        self._end(self._service)


class Dispatcher:
    """Delivers in the running loop. `accept` takes replies, `crash` ends everything that is in flight."""

    def __init__(
        self,
        *,
        session: aiohttp.ClientSession,
        gate: Callable[[str], Gate],
        resolve: Resolve,
        accept: Accept,
        crash: Callable[[], None],
        ingress: str,
        speed: float,
        hooks: Hooks,
        log: deque[Record],
    ) -> None:
        self._session, self._gate, self._resolve = session, gate, resolve
        self._accept, self._crash, self._ingress = accept, crash, ingress
        self._speed, self._hooks, self._log = speed, hooks, log
        self.dead_letters = 0
        self.failures = 0

    async def fan_out(self, event: Event, triggers: Sequence[Trigger], passed: Mapping[str, str]) -> bool:
        """To all Triggers at once. True when each of them ended with an answer or a dead letter."""
        work: list[Awaitable[bool]] = []
        for trigger in triggers:
            if trigger.orphan:
                work.append(self._dispatch(trigger, event, passed))
            elif not self._hooks.disabled(trigger.name) and passes(trigger.accepts, event.attributes):
                if self._hooks.dropped(event):
                    self._record(event, trigger.subscriber, Answer(0), 1, note="dropped")
                    continue
                copies = 2 if self._hooks.duplicated(event) else 1
                work.extend(self._dispatch(trigger, event, passed) for _ in range(copies))
        return all(await asyncio.gather(*work))

    async def _dispatch(self, trigger: Trigger, event: Event, passed: Mapping[str, str]) -> bool:
        delivery = trigger.delivery
        subscriber = self._hooks.pointed(trigger.name) or trigger.subscriber

        async def deliver(attempt: int) -> Answer:
            answer = Answer(404, explained=False) if trigger.orphan else await self._filter(subscriber, event, passed)
            self._record(event, subscriber, answer, attempt, note="orphan" if trigger.orphan else "")
            return answer

        answer, blamed = await self._again(delivery, deliver), subscriber.address
        if answer.ok:
            reply = answer.reply
            if reply is None:
                return True

            async def post_reply(_: int) -> Answer:
                return Answer(await self._accept(reply, passed))

            answer, blamed = await self._again(delivery, post_reply), self._ingress
            if answer.ok:
                return True
            if answer.status == 0:  # the ingress is called without the filter between, so the expiry has a text
                answer = Answer(500, b"dispatch error: timeout")
        if delivery.dead_letters is not None and await self._dead_letter(delivery, event, answer, blamed, passed):
            return True
        self.failures += 1
        return False

    async def _dead_letter(
        self, delivery: Delivery, event: Event, answer: Answer, blamed: str, passed: Mapping[str, str]
    ) -> bool:
        sink = delivery.dead_letters or Sink()
        if answer.explained:
            if len(answer.body) > MAX_ERROR_BODY:
                self._crash()
                await asyncio.get_running_loop().create_future()  # until the cancellation of the crash arrives
            said = {
                ERROR_DEST: blamed,
                ERROR_CODE: str(answer.status),
                ERROR_DATA: base64.b64encode(answer.body).decode(),
            }
            # What a re-driven event already says of an earlier failure stays.
            event = event.having(**{name: event.attributes.get(name) or value for name, value in said.items()})

        async def deliver(attempt: int) -> Answer:
            taken = await self._post(sink, {**passed, **event.headers()}, event.data)  # its reply is dropped
            self._record(event, sink, taken, attempt, dead_lettered=True)
            return taken

        taken = await self._again(delivery, deliver)
        self.dead_letters += taken.ok
        return taken.ok

    async def _again(self, delivery: Delivery, attempt: Callable[[int], Awaitable[Answer]]) -> Answer:
        """Attempt under one delivery block. Its timeout covers waiting for room and for a cold start."""
        for number in itertools.count():
            try:
                async with asyncio.timeout(delivery.timeout_s):
                    answer = await attempt(number + 1)
            except TimeoutError:
                answer = Answer(0, explained=False)
            if answer.ok or not is_retried(answer.status) or number >= delivery.retry:
                return answer
            await asyncio.sleep(delivery.wait_s(number) / self._speed)
        raise AssertionError("counting never ends")

    async def _filter(self, subscriber: Sink, event: Event, passed: Mapping[str, str]) -> Answer:
        """Do what the broker's filter does: hide the time-to-live from the subscriber, judge what comes back."""
        headers = {**passed, "prefer": "reply", **event.hiding(TTL).headers()}
        answer = await self._post(subscriber, headers, event.data)
        if not answer.ok:
            return answer._replace(explained=answer.explained and answer.status != _NOT_MODIFIED)
        try:
            reply = read(answer.headers or {}, answer.body)
        except MalformedError:
            return Answer(502, explained=False)
        if reply is None:
            return Answer(502, explained=False) if answer.body else answer
        ttl = event.attributes.get(TTL)
        return answer._replace(reply=reply if ttl is None else reply.having(**{TTL: ttl}))

    async def _post(self, sink: Sink, headers: Mapping[str, str], body: bytes) -> Answer:
        try:
            if not sink.service:
                return await self._exchange(sink.uri, headers, body)
            async with self._gate(sink.service):
                base = await self._resolve(sink.service)
                return await self._exchange(base.rstrip("/") + (sink.uri or "/"), headers, body)
        except UnavailableError as error:  # as the activator answers for a pod that does not come up
            return Answer(503, str(error).encode()[:512])
        except (AkesoError, aiohttp.ClientError, OSError, ValueError) as error:
            return Answer(500, f"dispatch error: {type(error).__name__}: {error}".encode()[:512])

    async def _exchange(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        method, content, sent = "POST", body, dict(headers)
        for _ in range(_MAX_REDIRECTS):
            async with self._session.request(method, url, headers=sent, data=content, allow_redirects=False) as answer:
                got = Answer(answer.status, await answer.read(), answer.headers)
                location = answer.headers.get("location")
            if got.status not in _REDIRECTS or not location:
                return got
            url = urljoin(url, location)
            if got.status not in _SAME_METHOD:
                method, content = "GET", b""
                sent.pop("content-type", None)
        raise ValueError(f"stopped after {_MAX_REDIRECTS} redirects")

    def _record(
        self, event: Event, sink: Sink, answer: Answer, attempt: int, *, dead_lettered: bool = False, note: str = ""
    ) -> None:
        self._log.append(
            Record(
                type=event.type,
                id=event.id,
                source=event.source,
                subscriber=sink.service or sink.uri,
                status=answer.status,
                attempt=attempt,
                dead_lettered=dead_lettered,
                reply_type=answer.reply.type if answer.reply else "",
                note=note,
            )
        )
