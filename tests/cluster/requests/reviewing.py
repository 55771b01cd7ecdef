"""Who somebody is, and what he may."""

from tests.cluster.requests.told import story
from tests.cluster.side import Side

TOKENS = "/apis/authentication.k8s.io/v1/tokenreviews"
ACCESS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
WHO = ("status.authenticated", "status.user.username", "status.audiences")


@story
def whose_a_token_is(side: Side) -> None:
    for token in (side.account("asker", audience="akeso"), "of-nobody", ""):
        for audiences in (["akeso"], ["other", "akeso"], ["other"], []):
            review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview"}
            side("POST", TOKENS, review | {"spec": {"token": token, "audiences": audiences}}, keep=WHO)


@story
def what_somebody_may(side: Side) -> None:
    side.account("asker", audience="akeso", rules=(
        {"apiGroups": ["akeso.dev"], "resources": ["remediations"], "resourceNames": ["restart_pod"],
         "verbs": ["approve", "deny"]},
    ))  # fmt: skip
    asked = {"group": "akeso.dev", "resource": "remediations", "verb": "approve", "namespace": side.namespace,
             "name": "restart_pod"}  # fmt: skip
    user = f"system:serviceaccount:{side.namespace}:asker"
    for other in ({}, {"verb": "run"}, {"name": "drain"}, {"name": ""}, {"namespace": ""}, {"namespace": "other"},
                  {"group": ""}, {"resource": "pods"}):  # fmt: skip
        side("POST", ACCESS, _access(user, asked | other), keep=("status.allowed",))
    side("POST", ACCESS, _access("nobody", asked), keep=("status.allowed",))
    side("POST", ACCESS, _access("", asked), keep=("status.allowed",))


def _access(user: str, attributes: dict[str, str]) -> dict[str, object]:
    spec = {"user": user, "resourceAttributes": attributes}
    return {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
