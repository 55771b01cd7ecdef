"""Bootstrap settings: what a process must know before it can read policy from anywhere.

Everything that an operator changes while the system runs is policy (`shared.guard.policy`), not a setting. Names are
`AKESO_<FIELD>` or `AKESO_<GROUP>__<FIELD>`; an unknown name is refused, because a misspelt limit is no limit. Secrets
are never values here: they are files in `secrets_dir`, re-read when they change (`shared.secrets`).
"""

import os
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from pydantic import Field, ValidationError, field_validator

from shared.errors import MalformedError
from shared.model.base import Model

# Names of other parts of the product that share the prefix.
_FOREIGN = frozenset({"AKESO_CLOCK_FILE", "AKESO_API", "AKESO_TOKEN_FILE", "AKESO_FAILPOINT", "AKESO_READY_FILE"})


class Sentinel(NamedTuple):
    """Where it may be asked which Redis is the master of `service`."""

    hosts: tuple[tuple[str, int], ...]
    service: str
    db: int
    user: str
    tls: bool


class Redis(Model):
    """`url` names the server itself, or the Sentinels that know which one is the master at the moment.

    `redis://host:port/db`, `redis+sentinel://user@host:port,host:port/service/db` (user and db may be left out), with
    TLS `rediss` in the place of `redis`. Passwords are the secrets `redis-password` and `redis-sentinel-password`.
    """

    url: str = "redis://127.0.0.1:6379/0"
    timeout_ms: int = Field(default=250, ge=10, le=5000)  # for a whole call: a slow Redis is a Redis that is gone

    @field_validator("url")
    @classmethod
    def _can_be_used(cls, url: str) -> str:
        scheme = url.partition("://")[0]
        if scheme not in {"redis", "rediss", "redis+sentinel", "rediss+sentinel"}:
            raise ValueError("must begin with redis://, rediss://, redis+sentinel:// or rediss+sentinel://")
        if scheme.endswith("+sentinel"):
            _sentinel(url)
        return url

    def sentinel(self) -> Sentinel | None:
        """None where the url names the server itself."""
        return _sentinel(self.url) if "+sentinel://" in self.url else None


def _sentinel(url: str) -> Sentinel:
    """Raises ValueError, which repeats nothing of the url: somebody may have put a password there."""
    parts = urlsplit(url)
    user, at, listed = parts.netloc.rpartition("@")
    service, slash, db = parts.path.removeprefix("/").partition("/")
    hosts = []
    for place in listed.split(","):
        host, _, port = place.rpartition(":")
        if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:  # noqa: PLR2004
            raise ValueError("each Sentinel is host:port, with commas between them")
        hosts.append((host.strip("[]"), int(port)))
    if ":" in user:
        raise ValueError("a password is no part of it: mount the secret redis-password")
    if at and not user:
        raise ValueError("before the @ stands a user")
    if not service:
        raise ValueError("the service that the Sentinels watch is missing: .../service")
    if slash and not (db.isascii() and db.isdigit()):
        raise ValueError("after the service stands the number of the database, or nothing")
    if parts.query or parts.fragment:
        raise ValueError("nothing comes after the database")
    return Sentinel(tuple(hosts), unquote(service), int(db or 0), unquote(user), parts.scheme.startswith("rediss"))


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
    image: str = ""  # executor only: the image of this installation, for what runs beside the data
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
