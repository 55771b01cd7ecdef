"""The functions as plain pods are the product's own pods, with what Knative would have added and nothing else."""

from copy import deepcopy

import pytest

from shared.action import render
from shared.action.catalogue import Catalogue
from shared.event.types import FUNCTIONS
from tests.cluster.pods import PORT, pods

BOUND = {"intake", "sweeper", "api"}
IMAGE, SINK = "akeso.test/akeso:1", "http://broker.test"


@pytest.fixture(scope="module")
def objects():
    return render.render(
        "base", image="replaced", alertmanager="http://am.test", redis_secret="r", catalogue=Catalogue.home()
    )


@pytest.fixture(scope="module")
def knatives(objects):
    return {one["metadata"]["name"]: one for one in render.triggers_and_services(objects).services}


def made(objects, kind, **more):
    given = {"image": IMAGE, "sink": SINK} | more
    return {one["metadata"]["name"]: one for one in pods(objects, **given) if one["kind"] == kind}


@pytest.fixture
def deployments(objects):
    return made(objects, "Deployment")


def container(deployment):
    (only,) = deployment["spec"]["template"]["spec"]["containers"]
    return only


def environment(deployment):
    variables = {one["name"]: one.get("value") for one in container(deployment)["env"]}
    assert len(variables) == len(container(deployment)["env"])
    return variables


class TestEachFunction:
    def test_and_each_action_has_a_deployment_and_a_service(self, objects, knatives, deployments):
        assert set(deployments) == set(made(objects, "Service")) == set(knatives)
        assert set(FUNCTIONS) - {"executor"} <= set(deployments)

    def test_keeps_all_that_its_manifest_says_of_the_pod(self, knatives, deployments):
        """But for what is replaced, every word of the manifest stands in the pod."""
        for name, knative in knatives.items():
            was = deepcopy(knative["spec"]["template"]["spec"])
            assert was.pop("containerConcurrency")
            assert was.pop("timeoutSeconds")
            (before,) = was.pop("containers")
            assert before.pop("image") == "replaced"
            assert_within(was, deployments[name]["spec"]["template"]["spec"])
            assert_within(before, container(deployments[name]))

    def test_gains_only_what_knative_would_set(self, knatives, deployments):
        for name, knative in knatives.items():
            (before,) = knative["spec"]["template"]["spec"]["containers"]
            after = container(deployments[name])
            assert set(after) - set(before) == {"imagePullPolicy", "ports"}
            pod = deployments[name]["spec"]["template"]["spec"]
            assert set(pod) - set(knative["spec"]["template"]["spec"]) == {"terminationGracePeriodSeconds"}
            added = set(environment(deployments[name])) - {one["name"] for one in before["env"]}
            assert added == {"PORT", "K_SERVICE"} | ({"K_SINK"} if name in BOUND else set())

    def test_is_told_its_port_its_name_and_if_bound_its_sink(self, deployments):
        for name, one in deployments.items():
            variables = environment(one)
            assert (variables["PORT"], variables["K_SERVICE"]) == (str(PORT), name)
            assert variables.get("K_SINK") == (SINK if name in BOUND else None)

    def test_runs_the_given_image_which_is_not_pulled_when_it_is_there(self, deployments):
        for one in deployments.values():
            assert container(one)["image"] == IMAGE
            assert container(one)["imagePullPolicy"] == "IfNotPresent"

    def test_is_probed_where_it_listens(self, deployments):
        for one in deployments.values():
            for probe in ("readinessProbe", "livenessProbe"):
                assert container(one)[probe]["httpGet"]["port"] == PORT
            assert container(one)["ports"] == [{"name": "http", "containerPort": PORT}]

    def test_is_given_the_time_to_end_that_knative_gives(self, knatives, deployments):
        for name, one in deployments.items():
            grace = one["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
            assert grace == knatives[name]["spec"]["template"]["spec"]["timeoutSeconds"]

    def test_is_reached_by_its_name_and_no_other_is(self, objects, deployments):
        for name, service in made(objects, "Service").items():
            assert service["spec"]["ports"] == [{"name": "http", "port": 80, "targetPort": PORT}]
            wanted = service["spec"]["selector"].items()
            chosen = {other for other, one in deployments.items()
                      if wanted <= one["spec"]["template"]["metadata"]["labels"].items()}  # fmt: skip
            assert chosen == {name}
            assert deployments[name]["spec"]["selector"]["matchLabels"].items() == wanted

    def test_lives_in_the_namespace_of_its_manifest(self, knatives, deployments):
        for name, one in deployments.items():
            assert one["metadata"]["namespace"] == knatives[name]["metadata"]["namespace"]


class TestNoWordOfKnative:
    def test_is_left(self, objects):
        assert "knative.dev" not in str(pods(objects, image=IMAGE, sink=SINK))


class TestACpuLimit:
    def test_is_absent_unless_asked_for(self, deployments):
        assert all("cpu" not in container(one)["resources"]["limits"] for one in deployments.values())

    @pytest.mark.parametrize("cpu", ["250m", "1000m"])
    def test_is_set_beside_the_limit_of_memory(self, objects, deployments, cpu):
        for name, one in made(objects, "Deployment", cpu=cpu).items():
            limits = container(one)["resources"]["limits"]
            assert limits == container(deployments[name])["resources"]["limits"] | {"cpu": cpu}


class TestTheRenderedObjects:
    def test_are_not_changed(self, objects):
        before = deepcopy(objects)
        pods(objects, image=IMAGE, sink=SINK, cpu="250m")
        assert objects == before


def assert_within(said, found, where="pod"):
    """Whatever stands in the one stands in the other, which may say more."""
    if isinstance(said, dict):
        for key, value in said.items():
            assert key in found, f"{where}.{key}"
            assert_within(value, found[key], f"{where}.{key}")
    elif isinstance(said, list):
        assert len(found) >= len(said), where
        for n, value in enumerate(said):
            assert_within(value, found[n], f"{where}[{n}]")
    else:
        assert said == found, where
