"""`akeso invoke`: one function by itself, with a request that it must take, or a forged one that it must refuse."""

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import urlsplit

import typer

from shared.cli import _ask, _out

if TYPE_CHECKING:
    from shared.cli._examples import Request

ALONE: Final = "http://127.0.0.1:8080"  # where functions-framework serves when it is not told otherwise


def command(
    function: Annotated[str, typer.Argument(help="intake, triage, router, guard, executor, ...")],
    *,
    type_: Annotated[str, typer.Option("--type", metavar="SHORT", help="Event type, such as alert.resolved.")] = "",
    data: Annotated[
        str, typer.Option(metavar="FILE", help="The event's data (- for stdin) instead of an example.")
    ] = "",
    action: Annotated[
        str, typer.Option(help="The action of which the example speaks. [default: the last that patches]")
    ] = "",
    url: Annotated[
        str, typer.Option(help="The function's base URL. [default: the running one's, else port 8080]")
    ] = "",
    secrets: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder with the keys. [default: the running one's]")
    ] = None,
    print_curl: Annotated[bool, typer.Option("--print-curl", help="Print the curl line instead of sending.")] = False,
    forged: Annotated[bool, typer.Option("--forged", help="With a signature, token or type that is wrong.")] = False,
    structured: Annotated[bool, typer.Option("--structured", help="The event in structured mode.")] = False,
    as_json: _out.Json = False,
) -> int:
    """Send one function a good request, or a forged one.

    Status 1: it refused; 3: it cannot answer or is not there.
    """
    from shared.action.catalogue import Catalogue
    from shared.cli import _examples

    ready = _ask.ready_file()
    if clock_file := ready.get("clock_file"):
        os.environ.setdefault("AKESO_CLOCK_FILE", str(clock_file))  # its time may run faster than ours
    folder = secrets or Path(str(ready.get("secrets") or os.environ.get("AKESO_SECRETS_DIR") or ""))
    if not folder.is_dir() or folder == Path():
        raise _out.Problem("no keys: name their folder by --secrets, or start an installation by `akeso dev`")
    catalogue = Catalogue.home(os.environ.get("AKESO_ACTIONS_DIR", ""))
    simple = [one for one in catalogue.all() if one.kind == "patch" and "Deployment" in one.scopes]
    action = action or min(simple, key=lambda one: one.requests).name
    service = _examples.service(function, action)
    example = _examples.Example(folder, catalogue, action)
    body = _ask.read(data) if data else None
    request = example.request(function, type_, body, forged=forged, structured=structured)
    place = f"{_base(url, ready, service)}/{request.path}"
    if print_curl:
        line = _curl(place, request, folder)
        _out.show_json({"curl": line}) if as_json else _out.say(line)
        return _out.OK
    return _send(place, request, folder, as_json=as_json)


def _base(url: str, ready: dict[str, object], service: str) -> str:
    if url:
        return url.rstrip("/")
    broker = urlsplit(str(ready.get("broker_url") or ""))
    return f"{broker.scheme}://{broker.netloc}/services/{service}" if broker.netloc else ALONE


def _curl(url: str, request: "Request", folder: Path) -> str:
    """A line for a shell. Tokens stay in their files, so that the line may be shown and logged."""
    words = ["curl", "-sS", "-i", "-X", request.method, shlex.quote(url)]
    for name, value in request.headers.items():
        words += ["-H", shlex.quote(f"{name}: {value}")]
    if request.secret:
        file = shlex.quote(str((folder / request.secret).absolute()))
        words += ["-H", f'"authorization: Bearer $(cat {file})"']
    if request.body:
        words += ["--data-binary", shlex.quote(request.body.decode("utf-8", "replace"))]
    return " ".join(words)


def _send(url: str, request: "Request", folder: Path, *, as_json: bool) -> int:
    headers = dict(request.headers)
    if request.secret:
        headers["authorization"] = f"Bearer {_ask.token_in(folder / request.secret)}"
    response = _ask.send(request.method, url, headers, request.body or None)
    kind = response.headers.get("ce-type", "")
    if as_json:
        _out.show_json({"url": url, "status": response.status_code, "type": kind, "body": response.text})
    else:
        _out.say(f"{response.status_code} {kind}".rstrip(), *([response.text] if response.text else []))
    if response.is_success:
        return _out.OK
    return _out.AWAY if response.status_code >= 500 else _out.NO  # noqa: PLR2004  HTTP's own class
