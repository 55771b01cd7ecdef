"""`/services/<name>/...`: the way in from outside to a function that may not run yet, as Knative's activator is one.

Any method, path, query and header goes through, Authorization included: only the broker drops that. Nothing is tried
twice, because the caller alone knows whether its request may be repeated.
"""

from collections.abc import Callable, Mapping
from typing import Final

import aiohttp
from aiohttp import web
from yarl import URL

from shared.dev.broker_dispatch import Gate, Resolve
from shared.errors import AkesoError, MalformedError

PREFIX: Final = "/services/"
MAX_BODY: Final = 16 * 1024 * 1024  # bytes; what comes back is streamed and has no bound
_HOP_BY_HOP: Final = frozenset(
    {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding"}
    | {"upgrade", "host", "content-length", "expect"}
)


class Proxy:
    def __init__(self, session: aiohttp.ClientSession, gate: Callable[[str], Gate], resolve: Resolve) -> None:
        self._session, self._gate, self._resolve = session, gate, resolve
        self.busy = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """404 for an unknown service, 503 when it does not start, 502 when it breaks off, 413 for a big body."""
        self.busy += 1
        try:
            return await self._pass_on(request)
        finally:
            self.busy -= 1

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        service, slash, path = request.rel_url.raw_path.removeprefix(PREFIX).partition("/")
        query = f"?{request.rel_url.raw_query_string}" if request.rel_url.raw_query_string else ""
        body = await _bounded(request)
        if body is None:
            return web.Response(status=413, text=f"more than {MAX_BODY} bytes\n")
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
        async with self._gate(service):
            try:
                base = await self._resolve(service)
            except MalformedError as error:
                return web.Response(status=404, text=f"{error}\n")
            except AkesoError as error:
                return web.Response(status=503, text=f"{error}\n"[:512])
            url = URL(f"{base.rstrip('/')}{slash or '/'}{path}{query}", encoded=True)
            return await self._exchange(request, url, headers, body)

    async def _exchange(
        self, request: web.Request, url: URL, headers: Mapping[str, str], body: bytes
    ) -> web.StreamResponse:
        out: web.StreamResponse | None = None
        try:
            async with self._session.request(
                request.method, url, headers=headers, data=body or None, allow_redirects=False
            ) as answer:
                out = web.StreamResponse(status=answer.status, reason=answer.reason)
                for name, value in answer.headers.items():
                    if name.lower() not in _HOP_BY_HOP:
                        out.headers.add(name, value)
                out.content_length = answer.content_length
                await out.prepare(request)
                async for chunk in answer.content.iter_any():
                    await out.write(chunk)
                await out.write_eof()
                return out
        except (aiohttp.ClientError, OSError) as error:
            if out is not None and out.prepared:
                raise  # the head is out: breaking the connection is the only way left to say that it failed
            return web.Response(status=502, text=f"{type(error).__name__}: {error}\n"[:512])


async def _bounded(request: web.Request) -> bytes | None:
    """Read the body; None when it is over the bound."""
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > MAX_BODY:
            return None
    return bytes(body)
