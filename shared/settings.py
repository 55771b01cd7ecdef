"""Bootstrap settings: what a process must know before it can read policy from anywhere.

Everything that an operator changes while the system runs is policy (`shared.guard.policy`), not a setting. Names are
`AKESO_<FIELD>` or `AKESO_<GROUP>__<FIELD>`; an unknown name is refused, because a misspelt limit is no limit. Secrets
are never values here: they are files in `secrets_dir`, re-read when they change (`shared.secrets`).
"""

import os
from collections.abc import Mapping
from typing import Any

from pydantic import Field, ValidationError

from shared.errors import MalformedError
from shared.model.base import Model

# Names of other parts of the product that share the prefix.
_FOREIGN = frozenset({"AKESO_CLOCK_FILE", "AKESO_API", "AKESO_TOKEN_FILE", "AKESO_FAILPOINT", "AKESO_READY_FILE"})


class Redis(Model):
    url: str = "redis://127.0.0.1:6379/0"
    timeout_ms: int = Field(default=500, ge=10, le=5000)  # a slow Redis is a Redis that is gone


class Kube(Model):
    """`kubeconfig` empty means in-cluster credentials; `~/.kube` and `KUBECONFIG` are never looked at."""

    kubeconfig: str = ""
    namespace: str = "akeso-system"  # where the stop and policy ConfigMaps live
    timeout_ms: int = Field(default=5000, ge=100, le=25000)


class AlertManager(Model):
    """The AlertManager that reconcile reads, and the tenant and cluster that it speaks for. Empty: no reconcile."""

    url: str = ""
    tenant: str = "default"
    cluster: str = "default"


class Tickets(Model):
    """Where escalate opens tickets: `webhook` posts JSON to `url`; `console` prints and is for dev only."""

    channel: str = "webhook"
    url: str = ""
    timeout_ms: int = Field(default=5000, ge=100, le=20000)


class Settings(Model):
    dev: bool = False  # one machine: simulated time, volatile Redis and a missing webhook token are allowed
    action: str = ""  # executor only: the one action this process may run
    actions_dir: str = ""  # where the catalogue is walked; empty: functions/actions beside the functions package
    secrets_dir: str = "/etc/akeso/secrets"
    audit_file: str = ""  # append-only file to which sealed audit lines are exported; empty: none
    broker: str = ""  # K_SINK, which Knative's SinkBinding sets, wins
    intake: str = ""  # where the sweeper posts what reconcile misses: intake's base URL
    embargo_s: int = Field(default=900, ge=0, le=86_400)  # no write so long after Redis was lost: the longest cooldown
    redis: Redis = Redis()
    kube: Kube = Kube()
    alertmanager: AlertManager = AlertManager()
    tickets: Tickets = Tickets()


def _names() -> dict[str, tuple[str, str]]:
    """Variable to group (empty for none) and field."""
    names: dict[str, tuple[str, str]] = {}
    for name, field in Settings.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Model):
            names |= {f"AKESO_{name}__{part}".upper(): (name, part) for part in kind.model_fields}
        else:
            names[f"AKESO_{name}".upper()] = ("", name)
    return names


def load(environ: Mapping[str, str] = os.environ) -> Settings:
    """Settings from the environment. Raises MalformedError that names every wrong or unknown variable in one line."""
    names = _names()
    values: dict[str, Any] = {}
    wrong: list[str] = []
    for name, text in environ.items():
        if not name.startswith("AKESO_") or name in _FOREIGN:
            continue
        if name not in names:
            wrong.append(f"{name}: no such setting")
            continue
        group, field = names[name]
        (values.setdefault(group, {}) if group else values)[field] = text
    if sink := environ.get("K_SINK"):
        values["broker"] = sink
    try:
        found = Settings.model_validate(values)
    except ValidationError as error:
        wrong += [
            f"AKESO_{'__'.join(str(part).upper() for part in item['loc'])}: {item['msg']}" for item in error.errors()
        ]
    if wrong:
        raise MalformedError(f"settings: {'; '.join(wrong)}", reason="settings")
    return found
