"""What stop, freeze and resume have in common: of what, and how the answer is told."""

from collections.abc import Callable
from typing import Annotated, Any

import typer

from shared.cli import _ask, _out

Tenant = Annotated[str, typer.Option("--tenant", help="Only what is done for this tenant.")]
Cluster = Annotated[str, typer.Option("--cluster", help="Only what is done in this cluster (of --tenant).")]
Namespace = Annotated[str, typer.Option("--namespace", help="Only what is done in this namespace.")]
Action = Annotated[str, typer.Option("--action", help="Only this action.")]


def command_of(mode: str, help_text: str) -> Callable[..., None]:
    """Make the command that sets this mode."""

    def command(
        *,
        reason: _out.Reason,
        tenant: Tenant = "",
        cluster: Cluster = "",
        namespace: Namespace = "",
        action: Action = "",
        by: _out.By = "",
        as_json: _out.Json = False,
    ) -> None:
        of = {"tenant": tenant, "cluster": cluster, "namespace": namespace, "action": action}
        _say(mode, {"reason": reason, "by": _out.name(by)} | {part: name for part, name in of.items() if name}, as_json)

    command.__doc__ = help_text
    return command


def _say(mode: str, asked: dict[str, str], as_json: bool) -> None:
    said = _ask.post("v1/stop", {"mode": mode, **asked})
    if as_json:
        _out.show_json(said)
        return
    part = f" for {shown(said['scope'])}" if said["scope"] else ""
    _out.say(f"mode {said['mode']}{part}, by {said['by']}: {said['reason']}")
    if said["lifted"]:
        _out.say(f"lifted: {said['lifted']}")
    if said["warning"]:
        _out.say(f"note: {said['warning']}")
    if mode == "run" and said["everything"]:
        _out.say(f"everything is still stopped: {said['everything']}")
    _out.say(*(f"still held: {line}" for line in parts(said["scopes"]) if mode == "run"))
    if not said["remembered"]:
        _out.say("it stands in Kubernetes, where it counts; Redis could not be told yet")


def parts(scopes: dict[str, Any]) -> list[str]:
    """One line for each part that is held, and how."""
    return [f"{shown(key)} ({value})" for key, value in sorted(scopes.items())]


def shown(key: str) -> str:
    return key.replace(".", " ", 1)
