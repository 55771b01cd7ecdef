"""`akeso alert`: hand a webhook body to intake, as AlertManager would."""

import json
from pathlib import Path
from typing import Annotated

import typer

from shared.cli import _ask, _out


def command(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="AlertManager's webhook body, version 4.")],
    *,
    webhook: Annotated[
        str, typer.Option(help="Where to: .../v1/alerts/TENANT/CLUSTER. [default: the running one]")
    ] = "",
    token_file: Annotated[str, typer.Option(help="File with the webhook token. [default: the running one's]")] = "",
    resolved: Annotated[bool, typer.Option("--resolved", help="Send the same alerts as resolved, ended now.")] = False,
    as_json: _out.Json = False,
) -> None:
    """Hand alerts to intake, as AlertManager would.

    Status 3: not taken now, so that AlertManager would send them again.
    """
    body = _resolved(_ask.read(file), file) if resolved else _ask.read(file)
    ready = {} if webhook else _ask.ready_file()
    url = webhook or str(ready.get("webhook_url", ""))
    if not url:
        raise _out.Problem("no running installation: start one by `akeso dev`, or name one by --webhook", _out.AWAY)
    secret = token_file or (str(Path(ready["secrets"]) / "webhook-token") if ready.get("secrets") else "")
    headers = {"content-type": "application/json"}
    if secret:
        headers["authorization"] = f"Bearer {_ask.token_in(Path(secret))}"
    response = _ask.send("POST", url, headers, body)
    if not response.is_success:
        raise _ask.problem(response, url)
    alerts = _names(body)
    if as_json:
        _out.show_json({"status": response.status_code, "webhook": url, "alerts": alerts})
        return
    _out.say(f"taken: {len(alerts)} alerts ({', '.join(sorted(set(alerts))[:5])})" if alerts else "taken: no alerts")
    _out.say("see what becomes of them by: akeso timeline")


def _resolved(body: bytes, name: str) -> bytes:
    """The same body, with every alert at its end. Raises Problem for what is no webhook body."""
    from shared import clock

    try:
        group = json.loads(body)
        for alert in group["alerts"]:
            alert |= {"status": "resolved", "endsAt": clock.iso(clock.now_ms())}
        group["status"] = "resolved"
        return json.dumps(group).encode()
    except (ValueError, KeyError, TypeError) as error:
        raise _out.Problem(f"{name}: no webhook body of AlertManager's") from error


def _names(body: bytes) -> list[str]:
    try:
        listed = json.loads(body)["alerts"]
        return [str(one["labels"].get("alertname", "?")) for one in listed if isinstance(one, dict) and "labels" in one]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []  # intake has understood it; this is only for the eye
