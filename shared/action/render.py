"""The complete installation as Kubernetes objects: the hand-written base, one set per action, one Trigger per route.

Nothing that is made here is committed. What comes from a table (routes from `shared.event.types`, actions from their
folder) is derived, so that no second list exists. This module must not talk to a cluster or know any secret's value.
"""

import json
import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from functools import cache
from pathlib import Path
from string import Template
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import yaml

from shared.action import rbac
from shared.action.catalogue import Catalogue
from shared.action.declare import Action
from shared.errors import MalformedError
from shared.event.types import TYPES
from shared.model.protected import BUILT_IN

Object = dict[str, Any]

NAMESPACE: Final = "akeso-system"
RUN_S: Final = 30  # no run of a function is longer; Serving ends a drained pod only after that
_RBAC: Final = "rbac.authorization.k8s.io"
BASE: Final = "base"  # the overlay that adds nothing
HOME: Final = Path(__file__).parents[2] / "knative"

# What others refer to comes first.
_ORDER: Final = (
    "Namespace", "CustomResourceDefinition", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role",
    "RoleBinding", "ConfigMap", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "NetworkPolicy",
    "Deployment", "Service", "Broker", "SinkBinding", "Trigger", "PingSource",
)  # fmt: skip

_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SUBDOMAIN: Final = re.compile(rf"(?=.{{1,253}}\Z){_LABEL.pattern}(\.{_LABEL.pattern})*")
_IMAGE: Final = re.compile(
    r"(?=.{1,512}\Z)"
    r"((localhost|[A-Za-z0-9][-A-Za-z0-9]*(\.[A-Za-z0-9][-A-Za-z0-9]*)+|[A-Za-z0-9][-A-Za-z0-9]*(?=:[0-9]+/))(:[0-9]{1,5})?/)?"
    r"[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*(/[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*)*"
    r"(:[A-Za-z0-9_][-.A-Za-z0-9_]{0,127})?(@sha256:[0-9a-f]{64})?"
)


class Routes(NamedTuple):
    """What a broker needs to know of an installation: itself, its Triggers, the Services that they name."""

    broker: Object
    triggers: tuple[Object, ...]
    services: tuple[Object, ...]


def overlays() -> tuple[str, ...]:
    """Names that `render` takes, `base` first."""
    return (BASE, *sorted(path.name for path in (HOME / "overlays").iterdir() if path.is_dir()))


def executor_name(action: str) -> str:
    """`scale_deployment` to `executor-scale-deployment`. Raises MalformedError if that is no name for a Service."""
    name = "executor-" + action.replace("_", "-")
    if not _LABEL.fullmatch(name):
        raise MalformedError(f"action {action!r} makes no valid Service name", reason="unknown-action")
    return name


def render(
    overlay: str,
    *,
    image: str,
    alertmanager: str,
    redis_secret: str,
    catalogue: Catalogue,
    tenant: str = "default",
    cluster: str = "default",
) -> list[Object]:
    """Make the installation, in the order in which it is to be applied; the same arguments give the same objects.

    `image` is the one image of all functions, `alertmanager` the base URL that reconcile reads, `redis_secret` the name
    of your Secret with the keys `url` and `password`, `tenant` and `cluster` what that AlertManager speaks for. Raises
    MalformedError for an argument that is none of these (reason `argument`) or an action that asks for too much.
    """
    if overlay not in overlays():
        raise MalformedError(f"no overlay named {overlay[:40]!r}; there are {', '.join(overlays())}", reason="argument")
    _check("--image", image, _IMAGE, "an image reference such as registry.example/akeso:1.0")
    _check("--redis-secret", redis_secret, _SUBDOMAIN, "the name of a Secret")
    _check_identity(tenant, cluster)
    _check_url("--alertmanager", alertmanager)
    values = {
        "image": image,
        "alertmanager": alertmanager.rstrip("/"),
        "redis_secret": redis_secret,
        "tenant": tenant,
        "cluster": cluster,
        "protected": json.dumps(BUILT_IN),
    }
    actions = catalogue.all()
    objects = [*_read(HOME / "base", values)]
    for action in actions:
        objects += _executor(action, values)
    if overlay != BASE:
        objects = _overlaid(objects, HOME / "overlays" / overlay, values)
    objects += _triggers(_the_broker(objects)["spec"]["delivery"], actions)
    for one in objects:
        one["metadata"].setdefault("labels", {})["app.kubernetes.io/part-of"] = "akeso"
    return sorted(objects, key=lambda one: (_ORDER.index(one["kind"]), one["apiVersion"], one["metadata"]["name"]))


def render_text(
    overlay: str,
    *,
    image: str,
    alertmanager: str,
    redis_secret: str,
    catalogue: Catalogue,
    tenant: str = "default",
    cluster: str = "default",
) -> str:
    """`render` as one YAML stream for `kubectl apply -f -`."""
    objects = render(
        overlay,
        image=image,
        alertmanager=alertmanager,
        redis_secret=redis_secret,
        catalogue=catalogue,
        tenant=tenant,
        cluster=cluster,
    )
    return yaml.dump_all(objects, Dumper=_Dumper, sort_keys=False, explicit_start=True, width=120)


def alertmanager_receiver(
    *,
    tenant: str = "default",
    cluster: str = "default",
    intake: str = f"http://intake.{NAMESPACE}.svc",
    credentials_file: str = "/etc/alertmanager/secrets/akeso-webhook-token/webhook-token",
) -> str:
    """Say what to add to AlertManager's configuration: a receiver, and routes that leave the others alone.

    `credentials_file` is a path in AlertManager's own pod; the token file is the one that `akeso keys` made.
    """
    _check_identity(tenant, cluster)
    _check_url("--intake", intake)
    if not credentials_file.startswith("/") or not credentials_file.isprintable():
        raise MalformedError("--credentials-file is not an absolute path", reason="argument")
    hook = {
        "url": f"{intake.rstrip('/')}/v1/alerts/{tenant}/{cluster}",
        "send_resolved": True,
        "max_alerts": 0,
        "http_config": {"authorization": {"type": "Bearer", "credentials_file": credentials_file}},
    }
    heartbeat = {"group_wait": "0s", "group_interval": "1m", "repeat_interval": "1m"}
    config = {
        "receivers": [{"name": "akeso", "webhook_configs": [hook]}],
        "route": {
            "routes": [
                {"receiver": "akeso", "matchers": ['alertname="Watchdog"'], **heartbeat, "continue": True},
                {"receiver": "akeso", "matchers": ['alertname!="Watchdog"'], "continue": True},
            ]
        },
    }
    head = (
        "# Add to AlertManager's configuration, the routes before your own. Watchdog is the heartbeat: without it\n"
        "# Akeso takes no alert's absence for health.\n"
    )
    return head + yaml.dump(config, Dumper=_Dumper, sort_keys=False, width=120)


def triggers_and_services(objects: list[Object]) -> Routes:
    """Pick the part of a rendered installation that any broker needs, such as the one of `akeso dev`."""
    return Routes(
        broker=_the_broker(objects),
        triggers=tuple(one for one in objects if one["kind"] == "Trigger"),
        services=tuple(one for one in objects if _is_function(one)),
    )


def catalogue_json(catalogue: Catalogue) -> dict[str, Any]:
    """Every action as data, for choosing, for the model's schema and for policy. Durations in seconds."""
    return {
        "actions": [
            {
                "name": action.name,
                "summary": action.summary,
                "risk": action.risk,
                "kind": action.kind,
                "scopes": list(action.scopes),
                "params": action.Params.model_json_schema(),
                "cooldown_s": action.cooldown_s,
                "soak_s": action.soak_s,
                "rbac": rbac.rules(action),
                "proof": action.proof,
            }
            for action in catalogue.all()
        ]
    }


def _is_function(one: Object) -> bool:
    return (one["apiVersion"], one["kind"]) == ("serving.knative.dev/v1", "Service")


def _the_broker(objects: list[Object]) -> Object:
    (broker,) = (one for one in objects if one["kind"] == "Broker")
    return broker


def _executor(action: Action, values: Mapping[str, str]) -> list[Object]:
    if action.step_s > RUN_S:
        raise MalformedError(f"action {action.name}: a step of {action.step_s} s is over {RUN_S} s", reason="argument")
    name = executor_name(action.name)
    objects = list(_documents(HOME / "templates" / "action.yaml", {**values, "name": name, "action": action.name}))
    rules = rbac.rules(action)
    for one in objects:
        if one["kind"] == "ClusterRole":
            one["rules"] = rules
    if action.kind == "none":
        return [_without_cluster(one) for one in objects if not one["apiVersion"].startswith(_RBAC)]
    return objects


def _without_cluster(one: Object) -> Object:
    """Who only tells has no business in the cluster: no rights, and no token to ask with."""
    holder = one["spec"]["template"]["spec"] if one["kind"] == "Service" else one
    holder["automountServiceAccountToken"] = False
    return one


def _triggers(delivery: Object, actions: tuple[Action, ...]) -> list[Object]:
    subscribed: dict[str, list[str]] = {}
    for name, event_type in TYPES.items():
        if event_type.subscriber:
            subscribed.setdefault(event_type.subscriber, []).append(name)
    executed = subscribed.pop("executor")
    routes = [_trigger(function, function, [_any(types)], delivery) for function, types in subscribed.items()]
    routes += [
        _trigger(executor_name(one.name), "executor", [_any(executed), {"exact": {"action": one.name}}], delivery)
        for one in actions
    ]
    return routes


def _any(types: list[str]) -> Object:
    exact = [{"exact": {"type": name}} for name in types]
    return exact[0] if len(exact) == 1 else {"any": exact}


def _trigger(name: str, function: str, filters: list[Object], delivery: Object) -> Object:
    (trigger,) = _documents(HOME / "templates" / "trigger.yaml", {"name": name})
    trigger["spec"].update(filters=deepcopy(filters), delivery=deepcopy(delivery))
    trigger["spec"]["delivery"]["deadLetterSink"]["uri"] = f"/{function}"
    return trigger


def _overlaid(objects: list[Object], folder: Path, values: Mapping[str, str]) -> list[Object]:
    merged = {(one["apiVersion"], one["kind"], one["metadata"]["name"]): one for one in objects}
    for one in _read(folder, values):
        merged[one["apiVersion"], one["kind"], one["metadata"]["name"]] = one
    for patch in _documents(folder / "patch.yaml", values):
        key = (patch["apiVersion"], patch["kind"], patch["metadata"]["name"])
        if key not in merged:
            raise MalformedError(f"{folder.name}/patch.yaml: there is no {key[1]} {key[2]}", reason="argument")
        merged[key] = _merge(merged[key], patch)
    return list(merged.values())


def _merge(old: Any, new: Any) -> Any:
    """Merge maps key by key (null removes), lists of named things by name; anything else is replaced."""
    if isinstance(old, dict) and isinstance(new, dict):
        changed = {key: _merge(old.get(key), value) for key, value in new.items() if value is not None}
        return {key: value for key, value in {**old, **changed}.items() if key not in new or new[key] is not None}
    if _named(old) and _named(new):
        by_name = {item["name"]: item for item in old}
        for item in new:
            by_name[item["name"]] = _merge(by_name.get(item["name"], {}), item)
        return list(by_name.values())
    return new


def _named(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) and "name" in item for item in value)


def _read(folder: Path, values: Mapping[str, str]) -> Iterator[Object]:
    for path in sorted(folder.rglob("*.yaml")):
        if path.name != "patch.yaml":
            yield from _documents(path, values)


def _documents(path: Path, values: Mapping[str, str]) -> Iterator[Object]:
    for document in _parsed(path):
        yield _filled(document, values)


@cache
def _parsed(path: Path) -> tuple[Object, ...]:
    return tuple(yaml.safe_load_all(path.read_text()))


def _filled(value: Any, values: Mapping[str, str]) -> Any:
    # After parsing, so that no argument can become YAML.
    if isinstance(value, str):
        return Template(value).substitute(values)
    if isinstance(value, list):
        return [_filled(item, values) for item in value]
    if isinstance(value, dict):
        return {key: _filled(item, values) for key, item in value.items()}
    return value


def _check(option: str, value: str, pattern: re.Pattern[str], what: str) -> None:
    if not pattern.fullmatch(value):
        raise MalformedError(f"{option} {value[:80]!r} is not {what}", reason="argument")


def _check_identity(tenant: str, cluster: str) -> None:
    _check("--tenant", tenant, _LABEL, "a name of lower-case letters, digits and dashes")
    _check("--cluster", cluster, _LABEL, "a name of lower-case letters, digits and dashes")


def _check_url(option: str, value: str) -> None:
    try:
        parts = urlsplit(value)
        fine = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fine = False
    if not fine or not re.fullmatch(r"[!-~]+", value) or set(value) & set("?#@\"'\\<>{}|^`"):
        raise MalformedError(f"{option} {value[:80]!r} is not an http or https address", reason="argument")


class _Dumper(yaml.SafeDumper):
    """Quotes whatever some YAML 1.1 reader might take for a number or a truth, such as the Secret name `1e3`."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    plain = len(text) > 1 and text[0].isalpha()
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else '"')


_Dumper.add_representer(str, _text)
_Dumper.ignore_aliases = lambda *_: True  # type: ignore[method-assign]
