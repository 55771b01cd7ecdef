"""What a real API server says to policies: it takes what the model takes, and says what is wrong when it is applied."""

import secrets

import pytest
import yaml

from shared.action import render
from shared.action.catalogue import Catalogue
from shared.guard.policy_read import of_file
from tests.cluster.api import until
from tests.cluster.install import ARGUMENTS, path

GOOD = {
    "repeats": 2,
    "protected_objects": ["Deployment/shop/*"],
    "rules": [{"name": "two for nodes", "kinds": ["Node"], "autonomy": "approve", "approvers": 2}],
    "windows": [
        {"name": "nights", "kind": "maintenance", "from": "22:00", "to": "06:00", "timezone": "Europe/Berlin"},
        {"name": "christmas", "kind": "freeze", "start": "2026-12-24T00:00:00Z", "end": "2026-12-27T00:00:00Z"},
    ],
    "working_hours": {"days": ["mon", "fri"], "from": "09:00"},
}
BAD = {
    "unknown": ({"repeat": 2}, 'unknown field "spec.repeat"'),
    "unknown-within": (
        {"rules": [{"name": "r", "autonomy": "auto", "namespace": ["a"]}]}, 'field "spec.rules[0].namespace"',
    ),
    "too-much": ({"rate_per_hour": 1001}, "less than or equal to 1000"),
    "a-word-for-a-number": ({"rate_per_hour": "10"}, "must be of type integer"),
    "a-bare-off": ({"rules": [{"name": "r", "autonomy": False}]}, "must be of type string"),
    "a-rule-without-a-say": ({"rules": [{"name": "r"}]}, "says neither autonomy nor approvers"),
    "two-times": (
        {"windows": [{"name": "w", "kind": "freeze", "days": ["mon"], "start": "2026-12-24", "end": "2026-12-25"}]},
        "either days",
    ),
    "half-a-stretch": ({"windows": [{"name": "w", "kind": "freeze", "start": "2026-12-24"}]}, "belong together"),
    "no-length": ({"working_hours": {"from": "10:00", "to": "10:00"}}, "are the same"),
    "contradiction": ({"risk_approve": 91, "risk_refuse": 90}, "above risk_refuse"),
    "against-a-default": ({"backoff_max_s": 59}, "above backoff_max_s"),
}  # fmt: skip


@pytest.fixture(scope="module")
def policies(api):
    """Where they live, in a namespace of this test; the definition stays, for others may rest on it."""
    (crd,) = (
        one
        for one in render.render("base", catalogue=Catalogue.home(), **ARGUMENTS)
        if one["kind"] == "CustomResourceDefinition"
    )
    # An installation that has just gone may have taken it along, and not be done yet.
    until(lambda: "deletionTimestamp" not in api("GET", path(crd)).body.get("metadata", {}))
    api.apply(path(crd), crd)
    home = f"akeso-test-policy-{secrets.token_hex(4)}"
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": home}}
    api.apply(path(namespace), namespace)
    place = f"/apis/akeso.dev/v1/namespaces/{home}/remediationpolicies"
    until(lambda: api("GET", place).status == 200)
    yield lambda name, spec: api(
        "POST",
        place,
        {"apiVersion": "akeso.dev/v1", "kind": "RemediationPolicy", "metadata": {"name": name}, "spec": spec},
        fieldManager="akeso-test", fieldValidation="Strict", dryRun="All",
    )  # fmt: skip
    api("DELETE", path(namespace))


class TestARealServer:
    @pytest.mark.parametrize("spec", [{}, GOOD], ids=["empty", "full"])
    def test_takes_what_the_model_takes(self, policies, spec):
        answer = policies("akeso", spec)
        assert answer.status == 201, answer.said

    @pytest.mark.parametrize("which", list(BAD))
    def test_refuses_what_the_model_refuses_and_says_where(self, policies, which):
        spec, why = BAD[which]
        answer = policies("akeso", spec)

        assert answer.status in {400, 422}
        assert why in answer.said
        assert of_file(yaml.safe_dump(spec))[1]

    def test_there_is_one_policy(self, policies):
        assert "only the policy named akeso" in policies("other", {}).said
