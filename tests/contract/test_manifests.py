import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared import channels, settings
from shared.action import rbac, render
from shared.action.catalogue import Catalogue
from shared.action.declare import Action, Rule
from shared.errors import MalformedError
from shared.event.types import ALWAYS_WARM, FUNCTIONS, TYPES
from shared.guard import keys
from shared.kube import details, evidence, note
from shared.kube.rights import base
from shared.secrets import Secrets

ROOT = Path(__file__).parents[2]
IMAGE = "registry.example:5000/team/akeso:1.2@sha256:" + "a" * 64
ARGUMENTS = {"image": IMAGE, "alertmanager": "http://alertmanager.monitoring:9093", "redis_secret": "our-redis"}

ACTION = """
from shared.action.declare import Action, Rule
from shared.model.plan import Plan


class Made(Action):
    name = "{name}"
    summary = "Made for a test: it costs $5, says \\"no\\" and: nothing."
    risk = "low"
    kind = "{kind}"
    scopes = ("Deployment",)
    rbac = {rbac}
    step_s = {step_s}
    examples = ()

    def plan(self, facts, params):
        return Plan()

    def healthy(self, facts):
        return True
"""
RULES = 'Rule("apps", "deployments", ("get", "patch")), Rule("", "pods/eviction", ("create",)),'

FORBIDDEN_RESOURCES = {"*", "secrets", "serviceaccounts/token", "nodes/proxy", "pods/exec"}
FORBIDDEN_VERBS = {"*", "escalate", "bind", "impersonate"}
TELLING = ("deadletter", "escalate", "sweeper")
WITHOUT_CLUSTER = {"intake", "router", "guard", "escalate", "deadletter"}

EVERYBODY = {"event-hmac", "event-hmac-previous", "redis-password", "redis-sentinel-password"}
MAY_BE_MISSING = {"event-hmac-previous", "grant-previous.pub", "redis-sentinel-password", "ticket-token"}
SECRETS = {
    "intake": EVERYBODY | {"webhook-token"},
    "triage": EVERYBODY,
    "router": EVERYBODY,
    "guard": EVERYBODY | {"grant.key"},
    "executor": EVERYBODY | {"grant.pub", "grant-previous.pub"},
    "verifier": EVERYBODY,
    "escalate": EVERYBODY | {"ticket-token"},
    "deadletter": EVERYBODY | {"ticket-token"},
    "sweeper": EVERYBODY
    | {"ticket-token", "webhook-token", "audit.key", "audit.pub", "grant.pub", "grant-previous.pub"},
    "api": EVERYBODY | {"api-token", "audit.pub"},
}


def add_action(folder: Path, name: str, kind: str = "patch", rules: str = RULES, step_s: int = 25) -> None:
    (folder / f"{name}.py").write_text(ACTION.format(name=name, kind=kind, rbac=f"({rules})", step_s=step_s))


def pieces(rules):
    return [
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    ]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Catalogue:
    folder = tmp_path_factory.mktemp("actions")
    add_action(folder, "grow_thing")
    add_action(folder, "tell_only", kind="none", rules="")
    return Catalogue(folder)


@pytest.fixture(scope="module", params=render.overlays())
def objects(request, made) -> list[dict[str, Any]]:
    return render.render(request.param, catalogue=made, **ARGUMENTS)


@pytest.fixture(scope="module", params=["made", "home"])
def catalogue(request, made) -> Catalogue:
    return made if request.param == "made" else Catalogue.home()


def identity(one: dict[str, Any]) -> tuple[str, str, str]:
    return one["apiVersion"], one["kind"], one["metadata"]["name"]


def of(objects: list[dict[str, Any]], kind: str) -> dict[str, dict[str, Any]]:
    return {one["metadata"]["name"]: one for one in objects if one["kind"] == kind}


def functions(objects: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {one["metadata"]["name"]: one for one in render.triggers_and_services(objects).services}


def function_of(service: dict[str, Any]) -> str:
    return str(service["spec"]["template"]["metadata"]["labels"]["akeso.dev/function"])


def container(service: dict[str, Any]) -> dict[str, Any]:
    (only,) = service["spec"]["template"]["spec"]["containers"]
    return only


def environment(service: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one.get("value", "redis://somewhere/0") for one in container(service)["env"]}


def sources(service: dict[str, Any]) -> list[dict[str, Any]]:
    (volume,) = (one for one in service["spec"]["template"]["spec"]["volumes"] if one["name"] == "secrets")
    return [source["secret"] for source in volume["projected"]["sources"]]


def seconds(duration: str) -> int:
    found = re.fullmatch(r"PT(?:(\d+)M)?(?:(\d+)S)?", duration)
    assert found, duration
    return int(found[1] or 0) * 60 + int(found[2] or 0)


def pods(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [one["spec"]["template"]["spec"] for one in objects if "template" in one.get("spec", {})]


def accounts_bound(objects: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """Rules of every role that is bound to that ServiceAccount."""
    roles = {(one["kind"], one["metadata"]["name"]): one for one in objects if one["kind"] in {"Role", "ClusterRole"}}
    return [
        rule
        for one in objects
        if one["kind"] in {"RoleBinding", "ClusterRoleBinding"}
        and any(subject["name"] == name for subject in one["subjects"])
        for rule in roles[one["roleRef"]["kind"], one["roleRef"]["name"]]["rules"]
    ]


class TestRoutes:
    def test_every_subscribed_type_reaches_its_function_and_only_it(self, objects):
        reached: dict[str, set[str]] = {}
        for name, trigger in of(objects, "Trigger").items():
            for type_ in types_of(trigger):
                reached.setdefault(type_, set()).add(name)
        executors = {"executor-grow-thing", "executor-tell-only"}
        wanted = {name: event.subscriber for name, event in TYPES.items() if event.subscriber}
        assert reached == {name: executors if who == "executor" else {who} for name, who in wanted.items()}

    def test_an_executor_gets_the_events_of_its_action_alone(self, objects):
        filters = of(objects, "Trigger")["executor-grow-thing"]["spec"]["filters"]
        assert [one for one in filters if "exact" in one] == [{"exact": {"action": "grow_thing"}}]
        assert len(filters) == 2

    def test_every_trigger_names_a_service_that_is_there(self, objects):
        for name, trigger in of(objects, "Trigger").items():
            reference = trigger["spec"]["subscriber"]["ref"]
            assert reference == {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": name}
            assert name in functions(objects)
            assert trigger["spec"]["broker"] == render.triggers_and_services(objects).broker["metadata"]["name"]

    def test_no_filter_is_empty(self, objects):
        # A broker lets an empty filter, and an empty value, match every event.
        for trigger in of(objects, "Trigger").values():
            filters = trigger["spec"]["filters"]
            assert filters
            for one in filters:
                assert_no_hole(one)

    def test_no_trigger_uses_an_optional_attribute_or_a_second_dialect(self, objects):
        for trigger in of(objects, "Trigger").values():
            for one in trigger["spec"]["filters"]:
                assert len(one) == 1
                assert set(one) <= {"any", "exact"}

    def test_the_local_broker_gets_the_very_same_objects(self, objects):
        routes = render.triggers_and_services(objects)
        assert routes.broker in objects
        assert {identity(one) for one in routes.triggers} == {
            identity(one) for one in objects if one["kind"] == "Trigger"
        }
        assert all(one["apiVersion"] == "serving.knative.dev/v1" for one in routes.services)


def types_of(trigger: dict[str, Any]) -> list[str]:
    exact = [inner["exact"] for one in trigger["spec"]["filters"] for inner in one.get("any", [one])]
    found = [one["type"] for one in exact if "type" in one]
    assert len(found) == len(set(found))
    return found


def assert_no_hole(value: Any) -> None:
    assert value, "an empty filter"
    if isinstance(value, dict):
        for inner in value.values():
            assert_no_hole(inner)
    elif isinstance(value, list):
        for inner in value:
            assert_no_hole(inner)
    else:
        assert isinstance(value, str)


class TestDelivery:
    def test_every_block_is_complete(self, objects):
        blocks = {name: trigger["spec"]["delivery"] for name, trigger in of(objects, "Trigger").items()}
        blocks["broker"] = render.triggers_and_services(objects).broker["spec"]["delivery"]
        for block in blocks.values():
            assert set(block) == {"retry", "backoffPolicy", "backoffDelay", "timeout", "deadLetterSink"}
            assert block["deadLetterSink"]["ref"] == {
                "apiVersion": "serving.knative.dev/v1",
                "kind": "Service",
                "name": "deadletter",
            }

    def test_dead_letters_name_the_function(self, objects):
        for name, trigger in of(objects, "Trigger").items():
            function = function_of(functions(objects)[name])
            assert trigger["spec"]["delivery"]["deadLetterSink"]["uri"] == f"/{function}"
        assert render.triggers_and_services(objects).broker["spec"]["delivery"]["deadLetterSink"]["uri"] == "/broker"

    def test_retries_outlast_two_runs(self, objects):
        for trigger in of(objects, "Trigger").values():
            block = trigger["spec"]["delivery"]
            assert block["backoffPolicy"] == "exponential"
            waits = [seconds(block["backoffDelay"]) * 2**n for n in range(block["retry"])]
            assert sum(waits) >= 2 * render.RUN_S

    def test_a_run_ends_before_its_service_and_that_before_its_delivery(self, objects):
        services = functions(objects)
        for name, trigger in of(objects, "Trigger").items():
            timeout = services[name]["spec"]["template"]["spec"]["timeoutSeconds"]
            assert render.RUN_S < timeout < seconds(trigger["spec"]["delivery"]["timeout"])

    def test_a_chain_fits_into_one_delivery_with_the_back_off_of_a_hop(self, objects):
        # On a synchronous broker a reply is posted together with all that is behind it.
        block = render.triggers_and_services(objects).broker["spec"]["delivery"]
        waits = sum(seconds(block["backoffDelay"]) * 2**n for n in range(block["retry"]))
        assert seconds(block["timeout"]) > waits + (block["retry"] + 1) * 60

    def test_a_step_longer_than_a_run_is_refused(self, tmp_path):
        add_action(tmp_path, "slow_thing", step_s=render.RUN_S + 1)
        with pytest.raises(MalformedError, match="slow_thing"):
            render.render("base", catalogue=Catalogue(tmp_path), **ARGUMENTS)


class TestServices:
    def test_one_per_function_and_one_per_action(self, objects):
        executors = {"executor-grow-thing", "executor-tell-only"}
        assert set(functions(objects)) == (set(FUNCTIONS) - {"executor"}) | executors

    def test_they_start_the_function_that_they_are_called_after(self, objects):
        for name, service in functions(objects).items():
            function = "executor" if name.startswith("executor-") else name
            assert function_of(service) == function
            assert container(service)["command"] == ["functions-framework"]
            assert container(service)["args"] == ["--source", f"functions/{function}/main.py", "--target", function]

    def test_only_executors_are_told_an_action(self, objects):
        told = {name: environment(service).get("AKESO_ACTION") for name, service in functions(objects).items()}
        assert {name: action for name, action in told.items() if action} == {
            "executor-grow-thing": "grow_thing",
            "executor-tell-only": "tell_only",
        }

    def test_as_many_requests_as_threads(self, objects):
        for service in functions(objects).values():
            assert service["spec"]["template"]["spec"]["containerConcurrency"] == int(environment(service)["THREADS"])

    def test_those_that_must_answer_at_once_are_kept_warm(self, objects):
        for service in functions(objects).values():
            annotations = service["spec"]["template"]["metadata"]["annotations"]
            warm = function_of(service) in ALWAYS_WARM
            assert annotations["autoscaling.knative.dev/min-scale"] == ("1" if warm else "0")
            assert int(annotations["autoscaling.knative.dev/max-scale"]) >= 1

    def test_nothing_is_reachable_from_outside(self, objects):
        for service in functions(objects).values():
            assert service["metadata"]["labels"]["networking.knative.dev/visibility"] == "cluster-local"

    def test_a_busy_function_is_not_taken_for_a_dead_one(self, objects):
        for name, service in functions(objects).items():
            probe = container(service)["livenessProbe"]
            assert probe["httpGet"] == {"path": "/healthz"}
            # Nobody signs a grant while Redis may forget; escalate and deadletter work without it.
            ready = {"path": "/readyz" if name == "guard" else "/healthz"}
            assert container(service)["readinessProbe"]["httpGet"] == ready
            patience = probe["periodSeconds"] * probe["failureThreshold"]
            assert patience > service["spec"]["template"]["spec"]["timeoutSeconds"]

    def test_settings_read_every_variable(self, objects):
        for name, service in functions(objects).items():
            read = settings.load(environment(service))
            assert read.redis.url == "redis://somewhere/0", name
            assert not read.dev or read.tickets.channel == "console", name
            assert read.secrets_dir == container(service)["volumeMounts"][0]["mountPath"]
            assert read.kube.namespace == service["metadata"]["namespace"]
        sweeper = settings.load(environment(functions(objects)["sweeper"]))
        assert sweeper.alertmanager.url == ARGUMENTS["alertmanager"]
        assert sweeper.intake == "http://intake.akeso-system.svc"

    def test_the_three_that_post_events_are_bound_to_the_broker(self, objects):
        labelled = {
            name
            for name, service in functions(objects).items()
            if service["metadata"]["labels"].get("bindings.knative.dev/include") == "true"
        }
        bindings = of(objects, "SinkBinding")
        assert labelled == {one["spec"]["subject"]["name"] for one in bindings.values()} == {"intake", "sweeper", "api"}
        for one in bindings.values():
            assert (
                one["spec"]["sink"]["ref"]["name"] == render.triggers_and_services(objects).broker["metadata"]["name"]
            )

    def test_the_sweeper_is_called_every_minute_past_the_broker(self, objects):
        (ping,) = of(objects, "PingSource").values()
        assert ping["spec"]["schedule"] == "* * * * *"
        assert ping["spec"]["sink"]["ref"]["kind"] == "Service"
        assert ping["spec"]["sink"]["ref"]["name"] == "sweeper"


class TestWhoTellsPeople:
    """A function that may speak to the ticket system must be able to: without an address it would keep silent."""

    def test_are_the_functions_that_import_a_channel(self):
        found = {
            path.parent.name for path in (ROOT / "functions").glob("*/main.py")
            if re.search(r"^from shared\.(channels|sweep)\b", path.read_text(), re.MULTILINE)
        }  # fmt: skip
        assert found == set(TELLING)

    def test_have_a_channel_that_can_be_made(self, objects, tmp_path):
        for name in TELLING:
            env = environment(functions(objects)[name])
            if "AKESO_TICKETS__CHANNEL" not in env:  # the address is in the site's own Secret
                refs = {one["name"]: one.get("valueFrom") for one in container(functions(objects)[name])["env"]}
                assert refs["AKESO_TICKETS__URL"] == {"secretKeyRef": {"name": "akeso-tickets", "key": "url"}}
                env["AKESO_TICKETS__URL"] = "https://tickets.example/api"
            loaded = settings.load(env)
            assert channels.find(loaded.tickets.channel)(loaded, Secrets(str(tmp_path)))

    def test_are_let_through_to_the_ticket_system(self, objects):
        policy = of(objects, "NetworkPolicy")["to-tickets"]
        (named,) = policy["spec"]["podSelector"]["matchExpressions"]
        assert set(named["values"]) == set(TELLING)


class TestSecrets:
    def test_each_function_mounts_what_it_needs_and_nothing_else(self, objects):
        for name, service in functions(objects).items():
            mounted = {item["path"] for source in sources(service) for item in source["items"]}
            assert mounted == SECRETS[function_of(service)], name

    def test_no_secret_comes_another_way(self, objects):
        for pod in pods(objects):
            assert not any("secret" in volume for volume in pod["volumes"])
            for one in pod["containers"]:
                assert "envFrom" not in one
                refs = [env["valueFrom"]["secretKeyRef"] for env in one["env"] if env.get("valueFrom")]
                allowed = {("our-redis", "url"), ("our-redis", "password"), ("akeso-tickets", "url")}
                assert {(ref["name"], ref["key"]) for ref in refs} <= allowed

    def test_whatever_must_be_there_is_made_by_keys_or_is_the_users(self, objects, tmp_path):
        written = [yaml.safe_load(path.read_text()) for path in keys.write_manifests(tmp_path / "keys")]
        there = {(one["metadata"]["name"], name) for one in written for name in one["data"]}
        there |= {("our-redis", "password"), ("our-redis", "url")}
        for service in functions(objects).values():
            needed = {
                (source["name"], item["key"])
                for source in sources(service)
                if not source.get("optional")
                for item in source["items"]
            }
            assert needed <= there

    def test_only_what_not_everybody_has_is_optional(self, objects):
        for service in functions(objects).values():
            for source in sources(service):
                optional = {item["path"] for item in source["items"]} <= MAY_BE_MISSING
                assert bool(source.get("optional")) == optional

    def test_none_is_rendered(self, objects):
        assert not of(objects, "Secret")


class TestRights:
    def test_functions_without_business_in_the_cluster_have_no_token(self, objects):
        services, accounts = functions(objects), of(objects, "ServiceAccount")
        without = {name for name, one in accounts.items() if one["automountServiceAccountToken"] is False}
        assert without == WITHOUT_CLUSTER | {"executor-tell-only"}
        for name, service in services.items():
            spec = service["spec"]["template"]["spec"]
            assert spec["serviceAccountName"] == name
            assert name in accounts
            assert spec.get("automountServiceAccountToken") is (False if name in without else None)

    def test_and_no_rights(self, objects):
        for name in WITHOUT_CLUSTER | {"executor-tell-only"}:
            assert accounts_bound(objects, name) == []

    def test_every_binding_binds_what_is_there(self, objects):
        roles = {(one["kind"], one["metadata"]["name"]) for one in objects if one["kind"].endswith("Role")}
        accounts = of(objects, "ServiceAccount")
        bindings = [one for one in objects if one["kind"].endswith("RoleBinding")]
        assert bindings
        for one in bindings:
            assert (one["roleRef"]["kind"], one["roleRef"]["name"]) in roles
            assert {subject["name"] for subject in one["subjects"]} <= set(accounts)
            assert {subject["namespace"] for subject in one["subjects"]} == {render.NAMESPACE}

    def test_nobody_can_widen_its_own_rights(self, objects):
        for name in of(objects, "ServiceAccount"):
            for rule in accounts_bound(objects, name):
                assert not FORBIDDEN_RESOURCES & set(rule["resources"])
                assert not FORBIDDEN_VERBS & set(rule["verbs"])
                assert "*" not in rule["apiGroups"]

    def test_only_executors_can_write_to_a_workload(self, objects):
        for name in set(FUNCTIONS) - {"executor"}:
            for rule in accounts_bound(objects, name):
                if rule["verbs"] == ["create"]:  # a question, of which nothing is stored
                    assert rule["resources"] in (["tokenreviews"], ["subjectaccessreviews"])
                    assert name == "api"
                elif set(rule["verbs"]) - {"get", "list"}:
                    assert rule["resources"] == ["configmaps"]
                    assert rule["resourceNames"] == ["akeso-stop"]
                    assert rule["verbs"] == ["get", "patch"]
                    assert name in {"api", "sweeper"}

    def test_an_executors_own_role_is_its_actions_declaration(self, catalogue):
        objects = render.render("base", catalogue=catalogue, **ARGUMENTS)
        roles = of(objects, "ClusterRole")
        actions = catalogue.all()
        assert actions
        for action in actions:
            name = render.executor_name(action.name)
            if action.kind == "none":
                assert accounts_bound(objects, name) == []
                continue
            declared = {(rule.group, rule.resource, verb) for rule in action.rbac for verb in rule.verbs}
            looked = {*base(action.scopes), *details.rights(action.details, action.scopes)}
            looked |= {*evidence.rights(action.scopes)}
            told = {*note.RIGHTS} if action.writes else set()
            own = pieces(roles[f"akeso-{name}"]["rules"])
            assert len(own) == len(set(own))
            assert set(own) == declared | looked | told
            assert {verb for _, _, verb in looked} <= {"get", "list"}
            writes = [
                rule
                for rule in accounts_bound(objects, name)
                if set(rule["verbs"]) - {"get", "list"} and rule not in roles[f"akeso-{name}"]["rules"]
            ]
            assert writes == []
            for rule in accounts_bound(objects, name):
                assert not FORBIDDEN_RESOURCES & set(rule["resources"])
                assert not FORBIDDEN_VERBS & set(rule["verbs"])

    def test_an_action_with_details_may_read_what_they_need(self, made):
        curious = type("Curious", (type(made.load("grow_thing")),), {"details": ("revisions", "room", "claim")})
        own, without = (set(pieces(rbac.rules(one))) for one in (curious(), made.load("grow_thing")))

        assert own - without == {("", "limitranges", "list"), ("", "resourcequotas", "list"), ("", "nodes", "list")}
        assert ("apps", "replicasets", "list") in own

    def test_an_action_with_a_detail_that_does_not_exist_is_refused(self, made):
        curious = type("Curious", (type(made.load("grow_thing")),), {"details": ("secrets",)})

        with pytest.raises(MalformedError):
            rbac.rules(curious())

    @pytest.mark.parametrize(
        "rule",
        [
            Rule("*", "pods", ("get",)),
            Rule("apps", "*", ("get",)),
            Rule("apps", "deployments/*", ("get",)),
            Rule("", "pods", ("*",)),
            Rule("", "pods", ()),
            Rule("", "secrets", ("get",)),
            Rule("", "pods/exec", ("create",)),
            Rule("", "serviceaccounts/token", ("create",)),
            Rule("", "serviceaccounts", ("impersonate",)),
            Rule("", "nodes/proxy", ("get",)),
            Rule("apps", "deployments", ("get", "bind")),
            Rule("apps", "deployments", ("escalate",)),
            Rule("rbac.authorization.k8s.io", "clusterroles", ("get",)),
            Rule("", "", ("get",)),
            Rule("Apps", "deployments", ("get",)),
        ],
        ids=lambda rule: f"{rule.group}/{rule.resource}:{','.join(rule.verbs)}",
    )
    def test_a_declaration_that_asks_for_too_much_is_refused(self, rule, made):
        greedy = type("Greedy", (type(made.load("grow_thing")),), {"name": "greedy", "rbac": (rule,)})
        assert issubclass(greedy, Action)
        with pytest.raises(MalformedError) as refused:
            rbac.rules(greedy())
        assert refused.value.reason == "rbac"
        assert "greedy" in str(refused.value)

    @pytest.mark.parametrize("verb", ["patch", "create", "watch", "delete"])
    def test_who_only_reads_may_ask_for_no_more(self, tmp_path, verb):
        add_action(tmp_path, "look_at", kind="read", rules=f'Rule("", "pods", ("get", "{verb}")),')
        with pytest.raises(MalformedError, match="look_at"):
            render.render("base", catalogue=Catalogue(tmp_path), **ARGUMENTS)

    def test_who_reads_has_its_rights_and_a_token_to_ask_with(self, tmp_path):
        add_action(tmp_path, "look_at", kind="read", rules='Rule("", "pods", ("get",)),')
        objects = render.render("base", catalogue=Catalogue(tmp_path), **ARGUMENTS)
        name = render.executor_name("look_at")
        assert any(rule["resources"] == ["pods"] for rule in accounts_bound(objects, name))
        (service,) = (one for one in objects if (one["kind"], one["metadata"]["name"]) == ("Service", name))
        assert service["spec"]["template"]["spec"].get("automountServiceAccountToken") is not False

    def test_who_only_tells_may_ask_for_nothing(self, tmp_path):
        add_action(tmp_path, "tell_more", kind="none")
        with pytest.raises(MalformedError, match="tell_more"):
            render.render("base", catalogue=Catalogue(tmp_path), **ARGUMENTS)


class TestPods:
    def test_every_container_is_restricted(self, objects):
        assert pods(objects)
        for pod in pods(objects):
            assert not {"hostNetwork", "hostPID", "hostIPC", "securityContext", "initContainers"} & set(pod)
            for one in pod["containers"]:
                context = one["securityContext"]
                assert context["runAsNonRoot"] is True
                assert context["runAsUser"] > 0
                assert context["readOnlyRootFilesystem"] is True
                assert context["allowPrivilegeEscalation"] is False
                assert context["capabilities"] == {"drop": ["ALL"]}
                assert context["seccompProfile"] == {"type": "RuntimeDefault"}
                assert set(one["resources"]["requests"]) == {"cpu", "memory"}
                assert "memory" in one["resources"]["limits"]

    def test_mounts_and_volumes_are_the_same_set_and_only_scratch_is_writable(self, objects):
        for pod in pods(objects):
            (one,) = pod["containers"]
            volumes = {volume["name"]: volume for volume in pod["volumes"]}
            assert {mount["name"] for mount in one["volumeMounts"]} == set(volumes)
            for mount in one["volumeMounts"]:
                assert ("emptyDir" in volumes[mount["name"]]) != bool(mount.get("readOnly"))

    def test_the_namespace_enforces_it(self, objects):
        (namespace,) = of(objects, "Namespace").values()
        assert namespace["metadata"]["name"] == render.NAMESPACE
        assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"

    def test_no_image_but_the_given_one_names_a_registry(self, objects):
        images = [one["image"] for pod in pods(objects) for one in pod["containers"]]
        assert images.count(IMAGE) == len(functions(objects))
        for image in set(images) - {IMAGE}:
            assert "/" not in image


class TestNetwork:
    def test_nothing_passes_that_is_not_listed(self, objects):
        deny = of(objects, "NetworkPolicy")["default-deny"]["spec"]
        assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}

    def test_the_api_server_is_open_to_those_with_an_account_for_it(self, objects):
        (who,) = of(objects, "NetworkPolicy")["to-kubernetes"]["spec"]["podSelector"]["matchExpressions"]
        assert set(who["values"]) == set(FUNCTIONS) - WITHOUT_CLUSTER

    def test_the_broker_is_open_to_those_that_post(self, objects):
        (who,) = of(objects, "NetworkPolicy")["to-broker"]["spec"]["podSelector"]["matchExpressions"]
        assert set(who["values"]) == set(of(objects, "SinkBinding"))


class TestWholeInstallation:
    def test_the_same_arguments_give_the_same_text(self, made):
        for overlay in render.overlays():
            assert render.render_text(overlay, catalogue=made, **ARGUMENTS) == render.render_text(
                overlay, catalogue=made, **ARGUMENTS
            )

    def test_the_text_is_the_objects(self, made, objects):
        assert objects in [
            list(yaml.safe_load_all(render.render_text(overlay, catalogue=made, **ARGUMENTS)))
            for overlay in render.overlays()
        ]

    def test_no_placeholder_is_left(self, made):
        for overlay in render.overlays():
            text = render.render_text(overlay, catalogue=made, **ARGUMENTS)
            assert "${" not in text
            assert "$$" not in text
            assert "&id" not in text

    def test_a_name_like_a_number_stays_a_name(self, made):
        text = render.render_text("base", catalogue=made, **{**ARGUMENTS, "redis_secret": "1e3", "tenant": "n"})
        assert 'name: "1e3"' in text
        assert 'value: "n"' in text

    def test_every_object_is_named_once_and_validly(self, objects):
        assert len({identity(one) for one in objects}) == len(objects)
        for one in objects:
            name = one["metadata"]["name"]
            dots = "." if one["kind"] == "CustomResourceDefinition" else ""
            assert re.fullmatch(rf"[a-z0-9]([-a-z0-9{dots}]{{0,61}}[a-z0-9])?", name), name
            clusterwide = one["kind"].startswith(
                ("Namespace", "ClusterRole", "ValidatingAdmissionPolicy", "CustomResourceDefinition")
            )
            assert one["metadata"].get("namespace") == (None if clusterwide else render.NAMESPACE), name
            for value in one["metadata"]["labels"].values():
                assert re.fullmatch(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", value), value

    def test_what_others_refer_to_comes_first(self, objects):
        kinds = [one["kind"] for one in objects]
        assert kinds[0] == "Namespace"
        for earlier, later in (
            ("CustomResourceDefinition", "ConfigMap"),
            ("ServiceAccount", "Service"),
            ("ClusterRole", "ClusterRoleBinding"),
            ("Broker", "Trigger"),
        ):
            assert max(i for i, kind in enumerate(kinds) if kind == earlier) < kinds.index(later)

    def test_applying_again_takes_back_no_stop_and_no_policy(self, objects):
        config = of(objects, "ConfigMap")
        assert set(config) == {"akeso-stop", "akeso-policy"}
        for one in config.values():
            assert not {"data", "binaryData", "immutable"} & set(one)

    def test_the_base_leaves_the_class_of_the_broker_to_the_cluster(self, made):
        base, dev = (render.render(name, catalogue=made, **ARGUMENTS) for name in ("base", "dev"))
        assert "annotations" not in of(base, "Broker")["akeso"]["metadata"]
        annotations = of(dev, "Broker")["akeso"]["metadata"]["annotations"]
        assert annotations == {"eventing.knative.dev/broker.class": "MTChannelBasedBroker"}

    def test_the_dev_overlay_adds_a_redis_and_prints_tickets(self, made):
        base, dev = (render.render(name, catalogue=made, **ARGUMENTS) for name in ("base", "dev"))
        same = {identity(one): one for one in base}
        assert {identity(one) for one in dev} - set(same) == {
            ("apps/v1", "Deployment", "redis"),
            ("v1", "Service", "redis"),
            ("networking.k8s.io/v1", "NetworkPolicy", "redis-from-functions"),
        }
        changed = {identity(one)[1:] for one in dev if identity(one) in same and one != same[identity(one)]}
        assert changed == {("Broker", "akeso"), *(("Service", name) for name in TELLING)}
        for name in TELLING:
            assert settings.load(environment(functions(dev)[name])).tickets.channel == "console"
            assert all(
                "valueFrom" not in env for env in container(functions(dev)[name])["env"] if "TICKETS" in env["name"]
            )

    def test_the_redis_of_the_dev_overlay_forgets_nothing_under_pressure(self, made):
        (redis,) = of(render.render("dev", catalogue=made, **ARGUMENTS), "Deployment").values()
        arguments = redis["spec"]["template"]["spec"]["containers"][0]["args"]
        options = dict(zip(arguments[::2], arguments[1::2], strict=True))
        assert options["--appendonly"] == "yes"
        assert options["--maxmemory-policy"] == "noeviction"
        assert options["--requirepass"] == "$(REDIS_PASSWORD)"


class TestOneMoreAction:
    def test_adds_its_own_objects_and_changes_no_other(self, tmp_path):
        for number in range(27):
            add_action(tmp_path, f"thing_{number}")
        before = {identity(one): one for one in render.render("base", catalogue=Catalogue(tmp_path), **ARGUMENTS)}
        add_action(tmp_path, "thing_28th")
        after = {identity(one): one for one in render.render("base", catalogue=Catalogue(tmp_path), **ARGUMENTS)}
        assert {key: after[key] for key in before} == before
        assert sorted(key[1:] for key in set(after) - set(before)) == [
            ("ClusterRole", "akeso-executor-thing-28th"),
            ("ClusterRoleBinding", "akeso-executor-thing-28th"),
            ("RoleBinding", "stop-read-executor-thing-28th"),
            ("Service", "executor-thing-28th"),
            ("ServiceAccount", "executor-thing-28th"),
            ("Trigger", "executor-thing-28th"),
        ]

    def test_a_name_that_makes_no_service_is_refused(self, tmp_path):
        add_action(tmp_path, "thing_")
        with pytest.raises(MalformedError, match="thing_"):
            render.render("base", catalogue=Catalogue(tmp_path), **ARGUMENTS)


class TestCatalogueAsData:
    def test_it_tells_all_of_a_declaration(self, catalogue):
        told = {one["name"]: one for one in render.catalogue_json(catalogue)["actions"]}
        assert set(told) == set(catalogue.names())
        for action in catalogue.all():
            one = told[action.name]
            assert one["summary"] == action.summary
            assert (one["risk"], one["kind"], one["proof"]) == (action.risk, action.kind, action.proof)
            assert one["scopes"] == list(action.scopes)
            assert one["params"] == action.Params.model_json_schema()
            assert (one["cooldown_s"], one["soak_s"]) == (action.cooldown_s, action.soak_s)
            declared = {(rule.group, rule.resource, verb) for rule in action.rbac for verb in rule.verbs}
            assert declared <= set(pieces(one["rbac"]))


class TestBadArguments:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("overlay", ""),
            ("overlay", "staging"),
            ("overlay", "../base"),
            ("overlay", "dev\n"),
            ("image", ""),
            ("image", "Akeso"),
            ("image", "akeso:"),
            ("image", "akeso:a b"),
            ("image", "akeso\n"),
            ("image", "akeso@sha256:abc"),
            ("image", "http://registry.example/akeso"),
            ("image", "registry.example/akeso:1:2"),
            ("image", 'akeso", privileged: "true'),
            ("image", "${redis_secret}"),
            ("image", "a" * 600),
            ("alertmanager", ""),
            ("alertmanager", "alertmanager:9093"),
            ("alertmanager", "ftp://alertmanager"),
            ("alertmanager", "http://"),
            ("alertmanager", "http://alertmanager:port"),
            ("alertmanager", "http://alertmanager:99999"),
            ("alertmanager", "http://user:password@alertmanager"),
            ("alertmanager", "http://alertmanager/?silenced=true"),
            ("alertmanager", "http://alert manager"),
            ("alertmanager", "http://alertmanager\n"),
            ("alertmanager", "http://[::1"),
            ("redis_secret", ""),
            ("redis_secret", "Redis"),
            ("redis_secret", "redis_secret"),
            ("redis_secret", "-redis"),
            ("redis_secret", "redis\n"),
            ("redis_secret", "a" * 254),
            ("tenant", ""),
            ("tenant", "a/b"),
            ("cluster", "Prod"),
            ("cluster", ".."),
        ],
    )
    def test_each_is_refused_with_one_line(self, made, name, value):
        arguments = {"overlay": "base", **ARGUMENTS, name: value}
        with pytest.raises(MalformedError) as refused:
            render.render(arguments.pop("overlay"), catalogue=made, **arguments)
        assert refused.value.reason == "argument"
        assert len(str(refused.value).splitlines()) == 1

    @pytest.mark.parametrize(
        "image",
        ["akeso", "dev.local/akeso", "localhost:5001/akeso:1", "localhost/akeso", "team/sub/akeso:v1.0-rc.1", IMAGE],
    )
    def test_usual_images_are_taken(self, made, image):
        objects = render.render("base", catalogue=made, **{**ARGUMENTS, "image": image})
        assert {container(one)["image"] for one in functions(objects).values()} == {image}

    @pytest.mark.parametrize("url", ["https://am.example/prefix/", "http://[::1]:9093", "http://10.0.0.1"])
    def test_usual_addresses_are_taken(self, made, url):
        objects = render.render("base", catalogue=made, **{**ARGUMENTS, "alertmanager": url})
        assert environment(functions(objects)["sweeper"])["AKESO_ALERTMANAGER__URL"] == url.rstrip("/")


class TestAlertManagerReceiver:
    def test_it_sends_everything_with_the_token_to_tenant_and_cluster(self):
        config = yaml.safe_load(render.alertmanager_receiver(tenant="acme", cluster="eu-1"))
        (receiver,) = config["receivers"]
        (hook,) = receiver["webhook_configs"]
        assert hook["url"] == "http://intake.akeso-system.svc/v1/alerts/acme/eu-1"
        assert hook["send_resolved"] is True
        assert hook["max_alerts"] == 0
        assert hook["http_config"]["authorization"]["credentials_file"].endswith("/webhook-token")

    def test_existing_routes_still_get_every_alert(self):
        routes = yaml.safe_load(render.alertmanager_receiver())["route"]["routes"]
        assert all(route["continue"] is True for route in routes)
        assert [route["matchers"] for route in routes] == [['alertname="Watchdog"'], ['alertname!="Watchdog"']]

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("tenant", "a/b"),
            ("cluster", ""),
            ("intake", "intake"),
            ("credentials_file", "token"),
            ("credentials_file", "/a\n"),
        ],
    )
    def test_bad_arguments_are_refused_with_one_line(self, name, value):
        with pytest.raises(MalformedError) as refused:
            render.alertmanager_receiver(**{name: value})
        assert len(str(refused.value).splitlines()) == 1

    @pytest.mark.skipif(shutil.which("amtool") is None, reason="amtool is not installed")
    def test_alertmanager_itself_takes_it(self, tmp_path):
        (tmp_path / "token").write_text("x")
        config = yaml.safe_load(render.alertmanager_receiver(credentials_file=str(tmp_path / "token")))
        config["receivers"].append({"name": "people"})
        config["route"]["receiver"] = "people"
        (tmp_path / "alertmanager.yml").write_text(yaml.safe_dump(config))
        checked = subprocess.run(
            ["amtool", "check-config", tmp_path / "alertmanager.yml"], capture_output=True, text=True, check=False
        )
        assert checked.returncode == 0, checked.stdout + checked.stderr


class TestBuild:
    def test_skaffold_builds_and_deploys_what_render_makes(self):
        config = yaml.safe_load((ROOT / "skaffold.yaml").read_text())
        assert config["apiVersion"].startswith("skaffold/v4beta")
        (artifact,) = config["build"]["artifacts"]
        assert (ROOT / artifact["docker"]["dockerfile"]).is_file()
        (hook,) = config["manifests"]["hooks"]["before"]
        command = hook["host"]["command"][-1]
        assert f"akeso render dev --image {artifact['image']} " in command
        (manifests,) = config["manifests"]["rawYaml"]
        assert Path(command.rsplit("> ", 1)[1]).match(manifests)

    def test_skaffold_makes_no_new_revision_without_a_change(self):
        config = yaml.safe_load((ROOT / "skaffold.yaml").read_text())
        (denied,) = config["resourceSelector"]["deny"]
        assert denied == {"groupKind": "Service.serving.knative.dev", "labels": [".spec.template.metadata.labels"]}

    def test_the_image_installs_nothing_that_is_not_locked_and_runs_as_nobody(self):
        text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
        installs = [line for line in re.split(r"\n|&&", text) if re.search(r"\binstall\b", line) and "pip" in line]
        assert installs
        for line in installs:
            if not line.strip().startswith("#"):
                assert "--require-hashes" in line or "--no-deps" in line
        final = text.rsplit("\nFROM ", 1)[1]
        assert "pip install" not in final
        assert re.search(r"^USER 65532:65532$", final, re.MULTILINE)


CRDS = os.environ.get("KNATIVE_CRDS", "")


@pytest.mark.skipif(not CRDS, reason="KNATIVE_CRDS names no folder with Knative's CustomResourceDefinitions")
class TestKnativesOwnSchemas:
    @pytest.fixture
    def schemas(self):
        found = {}
        for path in Path(CRDS).glob("*.yaml"):
            for crd in yaml.safe_load_all(path.read_text()):
                for version in crd["spec"]["versions"]:
                    key = (f"{crd['spec']['group']}/{version['name']}", crd["spec"]["names"]["kind"])
                    found[key] = version["schema"]["openAPIV3Schema"]
        return found

    def test_every_knative_object_fits(self, objects, schemas):
        knative = [one for one in objects if "knative.dev/" in one["apiVersion"]]
        assert {one["kind"] for one in knative} == {"Service", "Broker", "SinkBinding", "Trigger", "PingSource"}
        for one in knative:
            body = {key: value for key, value in one.items() if key not in {"apiVersion", "kind", "metadata"}}
            assert misfits(schemas[one["apiVersion"], one["kind"]], body, one["metadata"]["name"]) == []

    def test_the_check_sees_what_does_not_fit(self, objects, schemas):
        service = next(iter(functions(objects).values()))
        schema = schemas["serving.knative.dev/v1", "Service"]
        spec = service["spec"]["template"]["spec"]
        for wrong in (
            {"containers": None},
            {"timeoutSeconds": "60"},
            {"lifecycle": {}},
            {"volumes": [{"emptyDir": {}}]},
        ):
            changed = {key: value for key, value in {**spec, **wrong}.items() if value is not None}
            assert len(misfits(schema, {"spec": {"template": {"spec": changed}}}, "x")) == 1, wrong


JSON_TYPES = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "boolean": bool}


def misfits(schema: dict[str, Any], value: Any, where: str) -> list[str]:
    """Unknown fields, missing required fields and wrong types, as the API server's structural schema sees them."""
    wanted = schema.get("type")
    if schema.get("x-kubernetes-int-or-string"):
        return [] if isinstance(value, int | str) else [f"{where}: {type(value).__name__}"]
    if wanted and (not isinstance(value, JSON_TYPES[wanted]) or (wanted == "integer" and isinstance(value, bool))):
        return [f"{where}: {type(value).__name__} where {wanted} is wanted"]
    if isinstance(value, list):
        return [text for i, item in enumerate(value) for text in misfits(schema["items"], item, f"{where}[{i}]")]
    if not isinstance(value, dict):
        return [f"{where}: {value!r}"] if "enum" in schema and value not in schema["enum"] else []
    found = [f"{where}.{name}: missing" for name in schema.get("required", []) if name not in value]
    known, extra = schema.get("properties", {}), schema.get("additionalProperties")
    for name, item in value.items():
        if name in known:
            found += misfits(known[name], item, f"{where}.{name}")
        elif isinstance(extra, dict):
            found += misfits(extra, item, f"{where}.{name}")
        elif not (extra or schema.get("x-kubernetes-preserve-unknown-fields")):
            found.append(f"{where}.{name}: unknown")
    return found
