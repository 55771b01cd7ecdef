"""The fence as rendered says what the tables in the code say. What it does is shown on a real API server."""

import json
import re
from typing import Any, get_args

import pytest

from shared.action import render
from shared.action.catalogue import Catalogue
from shared.kube.facts import AUTONOMY, STOP_CONFIGMAP
from shared.kube.mark import FENCED, MARK, UNDO
from shared.model.facts import Autonomy
from shared.model.protected import BUILT_IN
from shared.model.stop import ABOUT_ALL, PART, StopMode, keys

ARGUMENTS = {"image": "akeso:1", "alertmanager": "http://alertmanager:9093", "redis_secret": "redis"}
PREFIX = f"system:serviceaccount:{render.NAMESPACE}:"


@pytest.fixture(scope="module")
def objects() -> list[dict[str, Any]]:
    return render.render("base", catalogue=Catalogue.home(), **ARGUMENTS)


def named(objects: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    (one,) = (one for one in objects if (one["kind"], one["metadata"]["name"]) == (kind, name))
    return one


@pytest.fixture
def fence(objects) -> dict[str, Any]:
    return named(objects, "ValidatingAdmissionPolicy", "akeso-fence")["spec"]


def strings(text: str) -> set[str]:
    return set(re.findall(r"'([^']*)'", text))


class TestTheFence:
    def test_protects_exactly_the_built_in_list(self, fence):
        (found,) = (v["expression"] for v in fence["validations"] if "protected" in v["message"])

        assert tuple(json.loads(found[found.index("[") : found.index("]") + 1])) == BUILT_IN

    def test_takes_for_opted_in_what_the_guard_takes_for_it(self, fence):
        (found,) = (v["expression"] for v in fence["validations"] if "not opted in" in v["message"])

        assert strings(found) == set(get_args(Autonomy)) - {"off", "observe"}

    def test_lets_one_account_evict_where_nobody_opted_in_and_never_at_home(self, fence):
        said = {one["name"]: one["expression"] for one in fence["variables"]}
        aside = [v["message"] for v in fence["validations"] if "variables.drains" in v["expression"]]
        (action, *_) = re.findall(r"variables.action == '(\w+)'", said["drains"])

        assert Catalogue.home().load(action).kind == "drain"
        assert sum(one.kind == "drain" for one in Catalogue.home().all()) == 1
        assert strings(said["drains"]) == {action, "", "pods", render.NAMESPACE}
        assert ["protected" in text or "not opted in" in text for text in aside] == [True, True]

    def test_knows_every_mode_and_no_other(self, fence):
        (found,) = (v["expression"] for v in fence["validations"] if "freeze is assumed" in v["message"])

        assert strings(found) == set(get_args(StopMode))

    def test_knows_the_keys_that_hold_a_part_as_the_executors_do(self, fence):
        said = {one["name"]: one["expression"] for one in fence["variables"]}
        known = keys(tenant="t", cluster="c", action="a", namespaces=["n"])

        assert strings(said["held"]) == {key[: key.index(".") + 1] for key in known}
        assert strings(said["frozen"]) == {"stop", "stop:"}

    def test_takes_the_same_keys_for_known_as_the_executors_do(self, fence):
        said = {one["name"]: one["expression"] for one in fence["variables"]}
        *about_all, part = re.findall(r"'([^']*)'", said["unknown"])

        assert tuple(about_all) == ABOUT_ALL
        assert part == f"^({PART.pattern})$"
        assert fence["validations"][0]["expression"] == "variables.unknown.size() == 0"

    def test_finds_the_action_behind_each_account(self, fence):
        (said,) = (one["expression"] for one in fence["variables"] if one["name"] == "action")
        (prefix, *between) = (text for text in re.findall(r"'([^']*)'", said))

        for name in Catalogue.home().names():
            account = f"{PREFIX}{render.executor_name(name)}"
            assert account.removeprefix(prefix).replace(*between) == name

    def test_is_about_every_executor_and_nobody_else(self, objects, fence):
        executors, notes, rehearsed = fence["matchConditions"]
        (prefix,) = strings(executors["expression"]) - {""}
        assert strings(notes["expression"]) - {""} == {"events", "CREATE"}  # and of all that is written but those
        assert strings(rehearsed["expression"]) - {""} == {"resize"}
        assert rehearsed["expression"].endswith("|| !request.?dryRun.orValue(false)")
        accounts = {one["metadata"]["name"] for one in objects if one["kind"] == "ServiceAccount"}
        fenced = {name for name in accounts if f"{PREFIX}{name}".startswith(prefix)}

        assert fenced == {render.executor_name(name) for name in Catalogue.home().names()}
        assert prefix.startswith(PREFIX)

    def test_is_about_every_write_to_everything(self, fence):
        (rule,) = fence["matchConstraints"]["resourceRules"]

        assert set(rule["operations"]) == {"CREATE", "UPDATE", "DELETE", "CONNECT"}
        assert (rule["apiGroups"], rule["apiVersions"], rule["resources"]) == (["*"], ["*"], ["*/*"])
        assert set(fence["matchConstraints"]) == {"resourceRules"}

    def test_reads_the_names_that_our_writes_leave(self, fence):
        text = json.dumps(fence)

        assert strings(text) >= {MARK, UNDO, AUTONOMY, FENCED}

    def test_says_what_it_is_in_every_refusal(self, fence):
        for one in fence["validations"]:
            assert one["message"].startswith("akeso: ")
            assert "messageExpression" not in one or one["messageExpression"].startswith("'akeso: ")
            assert one["reason"] == "Forbidden"

    def test_never_lets_pass_what_it_cannot_judge(self, objects):
        policies = [one for one in objects if one["kind"] == "ValidatingAdmissionPolicy"]
        bindings = [one for one in objects if one["kind"] == "ValidatingAdmissionPolicyBinding"]

        assert {one["spec"]["failurePolicy"] for one in policies} == {"Fail"}
        assert {one["spec"]["policyName"] for one in bindings} == {one["metadata"]["name"] for one in policies}
        for one in bindings:
            assert one["spec"]["validationActions"] == ["Deny"]
            assert "matchResources" not in one["spec"]

    def test_reads_the_mode_where_people_set_it_and_all_else_without_it(self, objects):
        with_mode = named(objects, "ValidatingAdmissionPolicyBinding", "akeso-fence-mode")["spec"]["paramRef"]

        # `Deny` would refuse the writes of everybody in the cluster where the ConfigMap is missing.
        assert with_mode == {
            "name": STOP_CONFIGMAP,
            "namespace": render.NAMESPACE,
            "parameterNotFoundAction": "Allow",
        }
        assert "paramRef" not in named(objects, "ValidatingAdmissionPolicyBinding", "akeso-fence")["spec"]

    def test_stands_only_after_the_stop_is_there(self, objects):
        kinds = [one["kind"] for one in objects]

        assert kinds.index("ConfigMap") < kinds.index("ValidatingAdmissionPolicy")
        assert kinds.index("ValidatingAdmissionPolicy") < kinds.index("ValidatingAdmissionPolicyBinding")


class TestTheBuiltInList:
    def test_is_plain_names_because_the_fence_compares_them_as_they_are(self):
        for name in BUILT_IN:
            assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", name)
