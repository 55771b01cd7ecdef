"""Judges one proposal by every check at once and signs what it lets pass.

It has no Kubernetes access: it judges the facts that the proposal carries, and `admit` refuses old ones. It holds the
only private key for grants, and gives no reason to act, only reasons not to.
"""

from shared import clock
from shared.event.app import Emit, Outcome, serve
from shared.event.codec import Event
from shared.event.here import Here
from shared.event.types import ApprovedData, ProposedData, RefusedData
from shared.guard import grant as token
from shared.guard import judge, risk
from shared.model.grant import Grant
from shared.state.transitions import Admitted, Cause


def decide(event: Event, data: ProposedData, here: Here) -> Outcome:
    expires = event.get("expirytime")
    answer = here.state.admit(
        Cause("guard", event.source, event.id, event.get("tenant"), event.get("cluster")),
        **judge.request(data, expires=clock.parse_ms(expires) if expires else 0),
    )
    if answer["decision"] == "approved":
        return _approved(event, data, answer, here)
    refused = RefusedData(
        incident=data.incident, scope=data.scope, action=data.action, check=answer.get("check", "approval"),
        limit=answer.get("limit"), used=answer.get("used"), retry_at=int(answer.get("retry_at", 0)),
        text=answer.get("text", ""), plan=data.plan, hold=answer.get("hold", ""), policy=answer.get("policy", ""),
        risk=answer.get("risk", 0), parts=answer.get("parts", {}), price=risk.price(data), needs=answer.get("needs", 1),
        deadline=answer.get("deadline", 0),
    )  # fmt: skip
    return Emit(f"remediation.{answer['decision']}", refused, incident=data.incident, action=data.action)


def _approved(event: Event, data: ProposedData, answer: Admitted, here: Here) -> Outcome:
    permission = Grant(
        id=answer["grant"], incident=data.incident, tenant=event.get("tenant"), cluster=event.get("cluster"),
        scope=data.scope, action=data.action, mode=data.mode, plan_hash=data.plan.hash, epoch=answer["epoch"],
        start_by=answer["start_by"], finish_by=answer["finish_by"], of=data.of, fence=answer["fence"],
        approvers=data.wish.approvers if data.wish else (),
    )  # fmt: skip
    signed = token.sign(permission, here.secrets.required("grant.key"))
    approved = ApprovedData(incident=data.incident, grant=signed, params=data.params, plan=data.plan)
    return Emit("remediation.approved", approved, incident=data.incident, action=data.action)


guard = serve("guard", decide)
