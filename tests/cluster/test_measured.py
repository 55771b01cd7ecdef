"""Figures of the product on a real API server, printed with `-s`. Only what can be counted is judged.

Requests of one run of each action have a ceiling in tests/contract/test_actions_live.py.
"""

import secrets
import statistics
import subprocess
import time
from contextlib import ExitStack
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from functions.actions.scale_deployment import ScaleDeployment
from shared.action.render import executor_name
from shared.errors import UnavailableError
from shared.event import codec
from shared.kube.facts import AUTONOMY, MINIMUM_REPLICAS, STOP_CONFIGMAP
from shared.kube.mark import MARK
from tests.cluster import crowd
from tests.cluster.api import MERGE_PATCH, until
from tests.cluster.install import installed
from tests.flows.harness import Scene, a_world, group
from tests.flows.storm import memory_mb, send
from tests.perf import bench, examples

EXECUTOR = executor_name(ScaleDeployment.name)
ROUNDS = 5
NODES, LOST = 200, 50
DEPLOYMENTS, NAMESPACES, REPLICAS = 100, 10, 20
PAGE, MANY = 500, 600
# An alert of a storm costs the look that finds its scope; only the few incidents before it, six for facts.
PER_ALERT = 4.0  # twenty of 150 open an incident, and each of those is looked at whole, with its details


def told(what, value):
    print(f"\n  {what}: {value}", end="", flush=True)


@pytest.fixture(scope="module")
def capture():
    return examples.Capture()


@pytest.fixture(scope="module")
def world(keeper, kubeconfig, capture, tmp_path_factory):
    folder = tmp_path_factory.mktemp("measured") / "world"
    with a_world(folder, kubeconfig=kubeconfig, observer=capture) as world:
        yield world


@pytest.fixture
def scene(world):
    """A story of its own. What earlier ones did is no storm any more."""
    world.advance(301)
    scene = Scene(world)
    yield scene
    scene.end()


class Noted:
    """What the API server has noted since then of one function, or of all of them."""

    def __init__(self, keeper, home):
        self.keeper, self.home = keeper, home
        self._before = len(keeper.audited(home))

    def __call__(self, function=""):
        found = self.keeper.audited(self.home)[self._before :]
        return [one for one in found if one["user"]["username"].endswith(f":{function}" if function else "")]


class TestAColdStart:
    def test_of_an_action_ends_with_its_write(self, scene, keeper, capture, tmp_path):
        home = scene.home
        grants = list(examples.grant(scene, capture, ROUNDS + 1))
        service, pairs = executor(scene, keeper, tmp_path), []

        with bench.bare_function(tmp_path) as bare:
            for event in grants:
                noted = Noted(keeper, home)
                cold = bench.first_answer(service, scene.world.env, outcome(event))
                pairs.append((cold, bench.first_answer(bare(), scene.world.env, get)))

                requests = noted(EXECUTOR)
                writes = [one for one in requests if one["verb"] == "patch" and one["responseStatus"]["code"] == 200]
                rehearsed = ["dryRun=All" in one["requestURI"] for one in writes]
                assert rehearsed == [True, False], requests
        scene.world.broker.enable(EXECUTOR)

        pairs = pairs[1:]  # the first warms the page cache
        ratios = [cold / bare for cold, bare in pairs]
        told("cold start of an action, to its outcome", f"{1000 * statistics.median(c for c, _ in pairs):.0f} ms, "
             f"{statistics.median(ratios):.2f} of an empty function's ({min(ratios):.2f} to {max(ratios):.2f}), "
             f"{len(requests)} requests")  # fmt: skip


class TestAGrantUntilItsEffect:
    def test_is_told_beside_what_kubectl_takes_for_the_same(self, scene, keeper, capture, tmp_path):
        """From the posted grant to the answer that it is done, by an awake function; and by a process of kubectl."""
        grants = list(examples.grant(scene, capture, ROUNDS + 1))
        service = executor(scene, keeper, tmp_path)
        kubectl = [keeper.folder / "bin" / "kube", "kubectl", "--kubeconfig", keeper.folder / "admin.yaml"]
        pairs = []

        with bench.served(service, scene.world.env) as url:
            for event in grants:
                ours = bench.answered(url, outcome(event))
                namespace = event.data["plan"]["writes"][0]["target"]["namespace"]
                began = time.perf_counter()
                subprocess.run([*kubectl, "-n", namespace, "scale", "deployment", "web", "--replicas=2"], check=True,
                               capture_output=True)  # fmt: skip
                pairs.append((ours, time.perf_counter() - began))
                assert scene.replicas(namespace) == 2
        scene.world.broker.enable(EXECUTOR)

        pairs = pairs[1:]  # the first one starts
        ratios = [ours / theirs for ours, theirs in pairs]
        told("grant to effect, awake", f"{1000 * statistics.median(o for o, _ in pairs):.0f} ms, "
             f"{statistics.median(ratios):.2f} of kubectl's {1000 * statistics.median(k for _, k in pairs):.0f} ms "
             f"({min(ratios):.2f} to {max(ratios):.2f})")  # fmt: skip


def executor(scene, keeper, folder):
    """Its service, straight to the API server: the way by the gate has no TLS."""
    login = keeper.api.kubeconfig_of(keeper.api.token(scene.home, EXECUTOR), folder / "login")
    service = next(one for one in scene.world.services if one.name == EXECUTOR)
    return service.model_copy(update={"env": {**service.env, "AKESO_KUBE__KUBECONFIG": str(login)}})


def outcome(event):
    headers, body = codec.encode(event)

    def ask(url):
        answer = httpx.post(url, headers=headers, content=body, timeout=30, trust_env=False)
        assert answer.status_code != 200 or answer.headers["ce-type"] == "dev.akeso.remediation.succeeded.v1", answer
        return answer.status_code

    return ask


def get(url):
    return httpx.get(url, trust_env=False).status_code


class TestAStop:
    def test_reaches_the_fence_and_is_lifted_again(self, api):
        took = {"stop": [], "run": []}
        home = f"akeso-test-{secrets.token_hex(4)}"
        with installed(api, home), api.namespace(labels={AUTONOMY: "auto"}) as place:
            path = f"/apis/apps/v1/namespaces/{place}/deployments"
            api.ok("POST", path, crowd.deployment("web", 0))
            token = api.token(home, EXECUTOR)
            body = {"metadata": {"annotations": {MARK: "g-1/0"}}, "spec": {"replicas": 1}}

            def write():
                return api("PATCH", f"{path}/web", body, form=MERGE_PATCH, token=token, dryRun="All")

            def put(mode):
                stop = f"/api/v1/namespaces/{home}/configmaps/{STOP_CONFIGMAP}"
                api.ok("PATCH", stop, {"data": {"mode": mode}}, form=MERGE_PATCH)

            put("run")
            until(lambda: write().status == 200, "nothing passes")
            until(lambda: "the mark is missing" in unmarked(api, token, path), "the fence does not stand")
            for _ in range(ROUNDS):
                for mode, passes in (("stop", False), ("run", True)):
                    began = time.perf_counter()
                    put(mode)
                    answer = until_it(write, passes)
                    took[mode].append(time.perf_counter() - began)
                    assert passes or "stop is set" in answer.said
        for mode, seconds in took.items():
            told(f"from `{mode}` in the ConfigMap to the fence", f"{1000 * statistics.median(seconds):.0f} ms, at most "
                 f"{1000 * max(seconds):.0f} ms")  # fmt: skip


def until_it(write, passes):
    """Ask without a pause until the answer is that one."""
    deadline = time.monotonic() + 30
    while ((answer := write()).status == 200) is not passes:
        assert time.monotonic() < deadline, answer.said
    return answer


def unmarked(api, token, path):
    return api("PATCH", f"{path}/web", {"spec": {"replicas": 1}}, form=MERGE_PATCH, token=token, dryRun="All").said


@pytest.fixture(scope="module")
def nodes(keeper):
    with ExitStack() as stack:
        try:
            names = stack.enter_context(crowd.simulated(keeper, NODES))
        except UnavailableError as error:
            pytest.skip(f"no simulated nodes: {error}")
        yield names


def whole(request):
    """Whether it is a list that is read; one of one object only counts."""
    return request["verb"] == "list" and parse_qs(urlsplit(request["requestURI"]).query).get("limit") != ["1"]


def large(requests):
    """Those lists that may be longer than a page, or are of what nobody has to be asked about in the whole cluster.

    One of one object only counts; a page of nodes, the pods of one node and what carries a label of ours are few.
    """
    lists = [one for one in requests if one["verb"] in {"list", "watch"}]
    queries = [parse_qs(urlsplit(one["requestURI"]).query) for one in lists]
    return [
        one["requestURI"]
        for one, query in zip(lists, queries, strict=True)
        if (not one["objectRef"].get("namespace") and query.get("limit") != ["1"] and not few(one, query))
        or not 0 < int(query.get("limit", ["0"])[0]) <= PAGE
        or "continue" in query
    ]


def few(request, query):
    chosen = query.get("fieldSelector", [""])[0].startswith("spec.nodeName=") or "labelSelector" in query
    return chosen or request["objectRef"]["resource"] in {"nodes", "volumesnapshotclasses"}


@pytest.mark.usefixtures("nodes")
class TestADeploymentOfMorePodsThanAPage:
    def test_costs_one_page_and_is_counted_whole(self, scene, keeper, capture):
        namespace = scene.namespace()
        body = crowd.deployment("web", MANY, **{MINIMUM_REPLICAS: str(MANY + 1)})
        keeper.api.ok("POST", f"/apis/apps/v1/namespaces/{namespace}/deployments", body)
        told(f"{MANY} pods ready after", f"{crowd.until_ready(keeper.api, [namespace], MANY):.0f} s")
        scene.fire(scene.alert(namespace, "gone"))
        scene.settle()
        noted, before = Noted(keeper, scene.home), memory_mb(scene)["triage"]

        scene.fire(scene.alert(namespace))
        scene.until(lambda: facts_of(capture, namespace), "triage says nothing about it")
        scene.settle()

        requests = noted("triage")
        told("triage's memory, before and after", f"{before} MB, {memory_mb(scene)['triage']} MB")
        assert [one["objectRef"]["resource"] for one in requests if whole(one)].count("pods") == 1
        assert large(noted()) == []
        assert [facts["pod_count"] for facts in facts_of(capture, namespace)] == [MANY]


def facts_of(capture, namespace):
    facts = [one.data["facts"] for one in capture.events["incident.triaged"]]
    return [one for one in facts if one["scope"]["namespace"] == namespace]


class TestAStorm:
    def test_of_deployments_and_nodes_costs_few_requests_an_alert(self, scene, keeper, nodes):
        api = keeper.api
        namespaces = [scene.namespace() for _ in range(NAMESPACES)]
        named = [(namespaces[n % NAMESPACES], f"web-{n}") for n in range(DEPLOYMENTS)]
        for namespace, name in named:
            body = crowd.deployment(name, REPLICAS, **{MINIMUM_REPLICAS: str(REPLICAS + 2)})
            api.ok("POST", f"/apis/apps/v1/namespaces/{namespace}/deployments", body)
        pods = DEPLOYMENTS * REPLICAS
        told(f"{pods} pods ready after", f"{crowd.until_ready(api, namespaces, pods):.0f} s")
        alerts = [scene.alert(*one) for one in named]
        alerts += [scene.alert("", alertname="KubeNodeNotReady", node=name) for name in nodes[:LOST]]
        scene.policy(storm_new_incidents=20)
        noted, before, known = Noted(keeper, scene.home), scene.counters(), memory_mb(scene)
        began = time.monotonic()

        statuses = send(scene, group(*(alert.element() for alert in alerts)))
        scene.sweeps = False  # which would bring again what was lost, and ask for it again
        accounted, all_of_them = "alerts_accounted", before.get("alerts_accounted", 0) + len(alerts)
        scene.until(lambda: scene.counters().get(accounted, 0) == all_of_them)
        took = time.monotonic() - began
        scene.settle()

        requests = noted("triage")
        per_alert = len(requests) / len(alerts)
        told(f"{len(alerts)} alerts accounted for after", f"{took:.1f} s, answers {statuses}")
        told("triage's requests per alert", f"{per_alert:.2f} ({len(requests)})")
        told("triage's memory, before and after", f"{known.get('triage', 0)} MB, {memory_mb(scene)['triage']} MB")
        told("largest of each function", memory_mb(scene))
        assert statuses[-1] == 200
        assert per_alert <= PER_ALERT
        assert large(noted()) == []
        scene.tick()
        scene.tick()
        storms = [ticket for ticket in scene.world.desk.tickets() if "storm" in str(ticket["content"])]
        assert [scene.record(ticket["correlation_id"])["scope"] for ticket in storms] == ["cluster/dev"]
