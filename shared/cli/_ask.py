"""Finds a running installation and asks its api. It knows HTTP and files, and nothing of what the answers mean.

`AKESO_API` with `AKESO_TOKEN_FILE` names one; else the ready file that `akeso dev` writes, by `AKESO_READY_FILE` or at
its default place. The token is a person's own for Kubernetes, made out for the audience `akeso`, or the installation's
shared one, which is nobody's. Where there is nobody to be, a name that is typed is no substitute.
"""

import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlsplit

from shared.cli._out import AWAY, NO, USAGE, Problem

if TYPE_CHECKING:
    import httpx

READY: Final = Path("build/dev/ready.json")
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_TIMEOUT_S: Final = 20.0  # a cold start fits in
_MAX_FILE: Final = 16 << 20
_PARTS: Final = {1: ("kind", "name"), 2: ("kind", "namespace", "name")}  # by the number of slashes


class Installation(NamedTuple):
    """`ready` is the ready file's object, empty when the environment named the installation."""

    api: str
    token: str
    ready: dict[str, Any]


def find() -> Installation:
    """Raise Problem when there is none (3) or what names it is wrong (2)."""
    if url := os.environ.get("AKESO_API"):
        _check(url, "AKESO_API")
        return Installation(url, _token(os.environ.get("AKESO_TOKEN_FILE", "")), {})
    ready = ready_file()
    if not ready:
        raise Problem(
            "no running installation: start one by `akeso dev`, or set AKESO_READY_FILE, "
            "or AKESO_API and AKESO_TOKEN_FILE",
            AWAY,
        )
    url = str(ready.get("api_url", ""))
    _check(url, "api_url in the ready file")
    return Installation(url, _token(os.environ.get("AKESO_TOKEN_FILE") or str(ready.get("token_file") or "")), ready)


def ready_file() -> dict[str, Any]:
    """The ready file's object; empty when there is no such file."""
    path = Path(os.environ.get("AKESO_READY_FILE") or READY)
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise Problem(f"{path} is no ready file") from error
    if not isinstance(found, dict):
        raise Problem(f"{path} is no ready file")
    return found


def read(name: str) -> bytes:
    """A file's bytes, or those of stdin for `-`. Raises Problem."""
    try:
        with sys.stdin.buffer if name == "-" else Path(name).open("rb") as file:
            data = file.read(_MAX_FILE + 1)
    except OSError as error:
        raise Problem(f"{name}: {error.strerror}") from error
    if len(data) > _MAX_FILE:
        raise Problem(f"{name}: more than {_MAX_FILE >> 20} MiB")
    return data


def part(name: str) -> str:
    """An id as one part of a path. Raises Problem for what can be none."""
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,80}", name):
        raise Problem(f"{name[:80]!r} is no id")
    return name


def target(text: str) -> dict[str, str]:
    """An object as KIND/NAMESPACE/NAME, or KIND/NAME. Raises Problem."""
    names = _PARTS.get(text.count("/"))
    if names is None:
        raise Problem(f"{text[:100]!r} is not KIND/NAMESPACE/NAME")
    return dict(zip(names, text.split("/"), strict=True))


def get(path: str) -> Any:
    return _answer(*_asked("GET", path, None))


def post(path: str, body: Any) -> Any:
    """Ask with a body, plain data or bytes as they are."""
    return _answer(*_asked("POST", path, body if isinstance(body, bytes) else json.dumps(body).encode()))


def _asked(method: str, path: str, body: bytes | None) -> tuple[str, "httpx.Response"]:
    place = find()
    headers = {"content-type": "application/json"}
    if place.token:
        headers["authorization"] = f"Bearer {place.token}"
    return place.api, send(method, f"{place.api.rstrip('/')}/{path}", headers, body)


def send(method: str, url: str, headers: dict[str, str], body: bytes | None) -> "httpx.Response":
    """One request, no redirects, no proxy for this machine itself. Raises Problem (3) without an answer."""
    import httpx

    direct = (urlsplit(url).hostname or "") in _LOOPBACK
    raw = {name.encode(): value.encode("utf-8", "replace") for name, value in headers.items()}
    try:
        with httpx.Client(timeout=httpx.Timeout(_TIMEOUT_S, connect=5.0), trust_env=not direct) as http:
            return http.request(method, url, content=body, headers=raw)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Problem(f"nothing answers at {url} ({type(error).__name__})", AWAY) from error


def problem(response: "httpx.Response", where: str) -> Problem:
    """Put an answer that is no success into words; its status becomes the exit status."""
    try:
        said = response.json()
    except ValueError:
        said = None
    said = said if isinstance(said, dict) else {}
    code = response.status_code
    text = str(said.get("text") or said.get("error") or f"status {code}")
    if code in (404, 409) or (code == 403 and said.get("error") == "not-allowed"):  # noqa: PLR2004
        return Problem(text, NO)
    if code == 403 and said.get("text"):  # noqa: PLR2004
        return Problem(text)
    if code in (401, 403):
        return Problem(f"{where} refuses the token ({text})")
    if code >= 500 or code < 400:  # noqa: PLR2004  HTTP's own classes; no redirect is meant for us
        return Problem(f"{where} cannot answer now: {text}", AWAY)
    return Problem(text, USAGE)


def _answer(where: str, response: "httpx.Response") -> Any:
    if not response.is_success:
        raise problem(response, where)
    try:
        return response.json()
    except ValueError as error:
        raise Problem(f"what answers at {where} is no Akeso", AWAY) from error


def _check(url: str, what: str) -> None:
    try:
        parts = urlsplit(url)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        fine = False
    if not fine:
        raise Problem(f"{what} is no http or https address: {url[:100]!r}")


def _token(name: str) -> str:
    """Without a file there is none, which only an installation on this machine accepts."""
    return token_in(Path(name)) if name else ""


def token_in(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, ValueError) as error:
        raise Problem(f"the token file {path} cannot be read") from error
