"""Useful work for each function, taken from a real run: the very events that the broker carried."""

import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from shared import clock
from shared import settings as bootstrap
from shared.action.catalogue import Catalogue
from shared.action.declare import Action
from shared.action.render import executor_name
from shared.dev.broker_event import Event
from shared.dev.world import World
from shared.event import codec, sign
from shared.event.types import ApprovedData
from shared.guard.grant import sign as sign_grant
from shared.guard.load import flat
from shared.guard.policy import Policy
from shared.model.facts import Facts
from shared.model.grant import Grant
from shared.model.plan import Plan
from shared.secrets import Secrets
from shared.state.client import Store
from shared.state.transitions import Cause, State
from tests.flows.harness import Scene, group

ROOT = Path(__file__).parents[2]
_COUNT = """
import importlib.util, sys
import functions_framework, functions_framework._http, flask, gunicorn.workers.gthread
spec = importlib.util.spec_from_file_location("main", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
print(len(sys.modules))
"""
_TRIGGERED = {
    "triage": "alert.firing", "router": "incident.triaged", "guard": "remediation.proposed",
    "executor-scale-deployment": "remediation.approved", "verifier": "verification.due",
    "escalate": "escalation.due",
}  # fmt: skip


class Capture:
    """Keeps every event of a run by its short type."""

    def __init__(self) -> None:
        self.events: dict[str, list[codec.Event]] = defaultdict(list)

    def __call__(self, event: Event) -> None:
        headers = {f"ce-{name}": value for name, value in event.attributes.items() if name != "datacontenttype"}
        headers |= {"ce-specversion": "1.0", "content-type": "application/json"}
        kept = codec.decode(headers, event.data)
        self.events[kept.type.removeprefix("dev.akeso.").removesuffix(".v1")].append(kept)


def record(scene: Scene, capture: Capture, rounds: int) -> None:
    """Play one whole incident, a ticket, and `rounds` grants that nobody has begun yet."""
    namespace = scene.namespace()
    scene.deployment(namespace)
    alert = scene.alert(namespace)
    scene.fire(alert)
    scene.until_word("succeeded", namespace)
    scene.until(lambda: scene.ready(namespace) == 3)
    scene.resolve(alert)
    scene.settle()
    scene.pass_(61)
    protected = scene.namespace(name="kube-public")
    scene.deployment(protected)
    scene.fire(scene.alert(protected))
    scene.until_told(scene.until_word("denied", protected))
    grant(scene, capture, rounds)


def grant(scene: Scene, capture: Capture, rounds: int) -> list[codec.Event]:
    """Bring about `rounds` grants that nobody begins, each in a namespace of its own."""
    scene.policy(concurrency=100, concurrency_per_action=100, rate_per_minute=100)
    scene.world.broker.disable("executor-scale-deployment")
    capture.events["remediation.approved"].clear()
    for _ in range(rounds):
        waiting = scene.namespace()
        scene.deployment(waiting)
        scene.tick()  # it is counted, or so many patients of so few would be a storm
        scene.fire(scene.alert(waiting))
        scene.until_word("approved", waiting)
    scene.settle()
    return capture.events["remediation.approved"]


def asks(world: World, scene: Scene, capture: Capture) -> dict[str, Callable[[int], Callable[[str], int]]]:
    """By service: from the round to a function that asks a fresh process once and gives the status."""
    key = (world.folder / "secrets" / "event-hmac").read_bytes().strip()
    made: dict[str, Callable[[int], Callable[[str], int]]] = {}
    for service, kind in _TRIGGERED.items():
        made[service] = lambda number, kind=kind: _poster(_fresh(capture.events[kind], number, kind, key))
    dead = capture.events["incident.triaged"][0]
    made["deadletter"] = lambda number: _poster(_signed(dead, f"dead-{number}", key), "/router")
    made["sweeper"] = lambda _: lambda url: httpx.post(
        url, headers={"ce-specversion": "1.0", "ce-type": "dev.knative.sources.ping", "ce-source": "/p", "ce-id": "1"},
        content=b"{}", timeout=30, trust_env=False,
    ).status_code  # fmt: skip
    webhook = {"authorization": f"Bearer {world.secret('webhook-token')}"}
    made["intake"] = lambda _: lambda url: httpx.post(
        f"{url}/v1/alerts/default/dev", json=group(scene.alert("nowhere", pod="gone").element()), headers=webhook,
        timeout=30, trust_env=False,
    ).status_code  # fmt: skip
    token = {"authorization": f"Bearer {world.secret('api-token')}"}
    made["api"] = lambda _: (
        lambda url: httpx.get(f"{url}/v1/status", headers=token, timeout=30, trust_env=False).status_code
    )
    return made


def executors(world: World, capture: Capture) -> dict[str, Callable[[int], Callable[[str], int]]]:
    """For each action's own: a genuine grant that nobody remembers, whose target is looked for and is not there.

    All of a cold start is in it, up to the first word of Redis and of the API server; only the work itself is not.
    """
    folder = world.folder / "secrets"
    key, signer = (folder / "event-hmac").read_bytes().strip(), (folder / "grant.key").read_bytes()
    like = capture.events["remediation.approved"][0]
    return {
        executor_name(action.name): lambda number, action=action: _poster(
            sign.sign(_granted(action, like, f"cold-{number}-{action.name}", signer), key)
        )
        for action in Catalogue.home().all()
    }


def _granted(action: Action, like: codec.Event, name: str, signer: bytes) -> codec.Event:
    example = next(one for one in action.examples if one.writes or not one.refusal)
    facts, params = Facts.model_validate(example.facts), action.Params.model_validate(example.params)
    plan = action.plan(facts, params)
    assert isinstance(plan, Plan)
    until = clock.now_ms() + 600_000
    grant = Grant(
        id=name, incident="i", tenant="default", cluster="dev", scope=facts.scope, action=action.name, mode="do",
        plan_hash=plan.hash, epoch="e", start_by=until, finish_by=until,
    )  # fmt: skip
    data = ApprovedData(incident="i", grant=sign_grant(grant, signer), params=example.params, plan=plan)
    again = codec.Event(
        like.type, like.source, name, like.time, like.subject, data.model_dump(mode="json"), like.extensions
    )
    return again.with_extensions(expirytime="", action=action.name)


def _fresh(events: list[codec.Event], number: int, kind: str, key: bytes) -> codec.Event:
    if kind == "remediation.approved":  # each grant is begun once
        return events[number]
    return _signed(events[0], f"{kind}-{number}", key)


def _signed(event: codec.Event, name: str, key: bytes) -> codec.Event:
    again = codec.Event(event.type, event.source, name, event.time, event.subject, event.data, event.extensions)
    return sign.sign(again.with_extensions(expirytime=""), key)


def _poster(event: codec.Event, path: str = "") -> Callable[[str], int]:
    headers, body = codec.encode(event)
    return lambda url: (
        httpx.post(f"{url}{path}", headers=headers, content=body, timeout=30, trust_env=False).status_code
    )


def modules_of(source: str, env: dict[str, str]) -> int:
    run = subprocess.run(
        [sys.executable, "-c", _COUNT, source], cwd=ROOT, capture_output=True, text=True, check=True,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), **env},
    )  # fmt: skip
    return int(run.stdout)


def state_of(world: World) -> State:
    settings = bootstrap.load(
        {"AKESO_DEV": "1", "AKESO_REDIS__URL": world.redis_url, "AKESO_REDIS__TIMEOUT_MS": "5000"}
    )
    return State(Store(settings, Secrets(world.folder / "secrets")))


def proposals(state: State, count: int) -> list[tuple[Cause, dict[str, Any]]]:
    """`count` open incidents and a proposal for each, with room in every budget."""
    cause = Cause("bench", "bench", "load", "default", "dev")
    policy = {**flat(Policy(), "bench"), "rate_minute": 10**6, "rate_hour": 10**6, "storm_new": 10**6}
    state.load(
        cause, mode="dev", fresh="bench", policy=policy, hydrate=True, embargo=0, people_before=False,
        stop={"mode": "run", "reason": "", "by": "", "since": "bench"},
    )  # fmt: skip
    made = []
    for number in range(count):
        scope = f"Deployment/bench/web-{number}"
        opened = state.open(
            cause._replace(fn="triage", id=f"open-{number}"), "firing", ledger=f"l{number}", fingerprint=f"f{number}",
            starts=1, scope=scope, family="replicas", severity="warning", object="", namespace="bench", people="",
            alert="{}",
        )  # fmt: skip
        proposal = {
            "incident": opened["incident"], "scope": scope, "namespace": "bench", "action": "scale_deployment",
            "kind": "write", "mode": "do", "of": "", "plan_hash": "h" * 64, "plan": "{}", "params": "{}", "expires": 0,
            "taken_at": clock.now_ms(), "autonomy": "auto", "manual": False, "approvers": [], "approved_hash": "",
            "command": "", "start_in": 180_000, "run_in": 600_000, "cooldown": 300_000, "soak": 60_000, "until_in": 0,
        }  # fmt: skip
        made.append((cause._replace(fn="guard", id=f"admit-{number}"), proposal))
    return made
