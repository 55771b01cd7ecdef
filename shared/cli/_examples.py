"""One good request for each function, for trying it alone: true to its schema, signed, and harmless wherever it lands.

Examples speak of cluster `example` and of names that no real cluster has: a running installation may open a ticket for
one of them, but it writes nothing. They are made from the table of event types and the actions' own examples.
"""

import json
import secrets as random
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from shared import clock
from shared.action.catalogue import Catalogue
from shared.action.declare import Action
from shared.action.render import executor_name
from shared.cli._out import Problem
from shared.decide.rules import Choice
from shared.event import codec, make, sign
from shared.event.make import Emit
from shared.event.types import (
    FUNCTIONS,
    PING,
    PREFIX,
    TYPES,
    Alert,
    AlertData,
    ApprovedData,
    EscalationData,
    IncidentData,
    OutcomeData,
    ProposedData,
    RefusedData,
    RequestedData,
    TriagedData,
    VerdictData,
    VerificationData,
    full,
)
from shared.guard import grant as token
from shared.guard import judge
from shared.model.base import Model
from shared.model.facts import Facts
from shared.model.grant import Grant
from shared.model.plan import Plan, Refusal
from shared.model.wish import Wish
from shared.secrets import Secrets

TENANT, CLUSTER, INCIDENT = "default", "example", "inc-example"
ATTEMPT: Final = "grant-" + "0" * 20
_LABELS: Final = {"alertname": "KubePodNotReady", "namespace": "akeso-example", "pod": "web-0", "severity": "warning"}
_USUAL: Final = {"escalate": "escalation.requested"}  # else the first type that the function subscribes to


class Request(NamedTuple):
    """`secret` names the token file that an authorization header is to be made of; empty: no such header."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    secret: str = ""


class Example:
    """Makes requests with the keys in `folder`. Raises UnavailableError that names a key which is not there."""

    def __init__(self, folder: Path, catalogue: Catalogue, action: str) -> None:
        self._secrets = Secrets(folder)
        self._action = catalogue.load(action)

    def request(self, function: str, short: str, data: bytes | None, *, forged: bool, structured: bool) -> Request:
        """One request to `function`; `data` replaces the example's own. Raises Problem for what cannot be made."""
        if function == "intake":
            body = data if data is not None else json.dumps(_webhook()).encode()
            path = f"v1/alerts/{TENANT}/{CLUSTER}"
            return _by_token(
                "POST", path, {"content-type": "application/json"}, body, "" if forged else "webhook-token"
            )
        if function == "api":
            return _by_token("GET", "v1/status", {}, b"", "" if forged else "api-token")
        if function == "sweeper":
            ping = codec.Event(
                type="dev.example.unknown" if forged else PING,
                source="/apis/v1/namespaces/akeso-system/pingsources/sweep",
                id=random.token_hex(8),
                time=clock.iso(clock.now_ms()),
            )
            return self._sent(ping, "", structured=structured)
        event = self._signed(function, short, data)
        if forged:
            event = event.with_extensions(sig="0" * 64)
        return self._sent(event, "router" if function == "deadletter" else "", structured=structured)

    def _sent(self, event: codec.Event, path: str, *, structured: bool) -> Request:
        headers, body = codec.encode(event, structured=structured)
        return Request("POST", path, headers, body)

    def _signed(self, function: str, short: str, data: bytes | None) -> codec.Event:
        name = _type_of(function, short)
        made = self._data(TYPES[name].schema) if data is None else _read(data)
        emit = Emit(name.removeprefix(PREFIX).removesuffix(".v1"), Model(), incident=INCIDENT, action=self._action.name)
        event = make.first("example", emit, id=f"example-{random.token_hex(8)}", tenant=TENANT, cluster=CLUSTER)
        return sign.sign(replace(event, data=made), self._secrets.required("event-hmac"))

    def _data(self, schema: type[Model]) -> dict[str, Any]:
        return _DATA[schema](self).model_dump(mode="json")

    # The data of each schema ----------------------------------------------------------------------------------------

    def facts(self) -> Facts:
        example = next(one for one in self._action.examples if not one.refusal)
        return Facts.model_validate({**example.facts, "taken_at": clock.now_ms(), "autonomy": "auto"})

    def params(self) -> dict[str, Any]:
        return next(one for one in self._action.examples if not one.refusal).params

    def plan(self) -> Plan:
        action: Action = self._action
        plan = action.plan(self.facts(), action.Params.model_validate(self.params()))
        if isinstance(plan, Refusal):
            raise Problem(f"{action.name} refuses its own example: {plan.text}")
        return plan

    def triaged(self) -> TriagedData:
        facts = self.facts()
        return TriagedData(incident=INCIDENT, scope=facts.scope, family="replicas", alert=_alert(), facts=facts)

    def proposed(self) -> ProposedData:
        choice = Choice(
            action=self._action.name, params=self.params(), confidence=1, reasoning="An example.", by="person"
        )
        return judge.proposal(self.triaged(), choice, self.plan(), self._action)

    def approved(self) -> ApprovedData:
        now, plan = clock.now_ms(), self.plan()
        grant = Grant(
            id=ATTEMPT, incident=INCIDENT, tenant=TENANT, cluster=CLUSTER, scope=self.facts().scope,
            action=self._action.name, mode="do", plan_hash=plan.hash, epoch="example",
            start_by=now + judge.START_MS, finish_by=now + judge.START_MS + judge.RUN_MS,
        )  # fmt: skip
        signed = token.sign(grant, self._secrets.required("grant.key"))
        return ApprovedData(incident=INCIDENT, grant=signed, params=self.params(), plan=plan)

    def action(self) -> str:
        return self._action.name


def _by_token(method: str, path: str, headers: dict[str, str], body: bytes, secret: str) -> Request:
    wrong = {} if secret else {"authorization": "Bearer forged"}
    return Request(method, path, headers | wrong, body, secret)


def service(function: str, action: str) -> str:
    """Name the Knative Service of a function. Raises Problem for a function that does not exist."""
    if function not in FUNCTIONS:
        raise Problem(f"no function {function[:40]!r}; there are: {', '.join(FUNCTIONS)}")
    return executor_name(action) if function == "executor" else function


def _alert() -> Alert:
    return Alert(
        status="firing", fingerprint="00000000000000aa", starts_at=clock.now_ms(), ends_at=-1, labels=dict(_LABELS)
    )


def _webhook() -> dict[str, Any]:
    """A heartbeat: intake does all that it does, and nothing follows."""
    alert = {
        "status": "firing", "labels": {"alertname": "Watchdog", "severity": "none"}, "annotations": {},
        "startsAt": clock.iso(clock.now_ms()), "endsAt": "0001-01-01T00:00:00Z", "fingerprint": "00000000000000ab",
    }  # fmt: skip
    return {
        "version": "4", "groupKey": "{}:{}", "truncatedAlerts": 0, "status": "firing", "receiver": "akeso",
        "alerts": [alert],
    }  # fmt: skip


_DATA: Final[dict[type[Model], Callable[[Example], Model]]] = {
    AlertData: lambda _: AlertData(alert=_alert(), ledger=random.token_hex(16)),
    RequestedData: lambda _: RequestedData(incident=INCIDENT, wish=Wish(reason="look")),
    TriagedData: Example.triaged,
    ProposedData: Example.proposed,
    ApprovedData: Example.approved,
    RefusedData: lambda one: RefusedData(
        incident=INCIDENT, scope=one.facts().scope, action=one.action(), check="approval", hold="hold-" + "0" * 16
    ),
    OutcomeData: lambda one: OutcomeData(
        incident=INCIDENT, attempt=ATTEMPT, action=one.action(), outcome="unknown", text="an example"
    ),
    VerificationData: lambda one: VerificationData(incident=INCIDENT, attempt=ATTEMPT, action=one.action()),
    VerdictData: lambda _: VerdictData(incident=INCIDENT, attempt=ATTEMPT, verdict="verified"),
    IncidentData: lambda _: IncidentData(incident=INCIDENT, text="an example"),
    EscalationData: lambda _: EscalationData(incident=INCIDENT, reason="an example, nothing is to be done"),
}


def _type_of(function: str, short: str) -> str:
    """Name the type that is sent: the one that was typed, else the one that is usual for the function."""
    if not short:
        if function == "deadletter":
            return full("incident.triaged")
        mine = [name for name, known in TYPES.items() if known.subscriber == function]
        return full(_USUAL[function]) if function in _USUAL else mine[0]
    try:
        return full(short)
    except KeyError:
        near = ", ".join(sorted(name.removeprefix(PREFIX).removesuffix(".v1") for name in TYPES))
        raise Problem(f"no event type {short[:40]!r}; there are: {near}") from None


def _read(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Problem("--data is not JSON") from error
    if not isinstance(found, dict):
        raise Problem("--data is no JSON object")
    return found
