"""Everything that `akeso render` makes is taken by a real API server that refuses what it does not know.

Under another home and other names, so that it meets no installation that is there. Nothing of it runs.
"""

import copy
import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.action import render
from shared.action.catalogue import Catalogue
from tests.cluster.api import APPLY_PATCH, Answer, Api, Object, until
from tests.cluster.install import ARGUMENTS, keep_watching, of_knative, of_the_cluster, path, renamed

CRDS = os.environ.get("KNATIVE_CRDS", "")
OF_A_REVISION = ("containerConcurrency", "timeoutSeconds")  # what Knative adds to a pod's own fields
PORT = 8080  # Knative fills it in where a probe names none


@pytest.fixture(scope="module", params=render.overlays())
def home(request: pytest.FixtureRequest, api: Api) -> Iterator[tuple[str, list[Object]]]:
    """The namespace of an overlay with its accounts in it, and all objects of the overlay."""
    name = f"akeso-test-home-{secrets.token_hex(4)}"
    objects = renamed(render.render(request.param, catalogue=Catalogue.home(), **ARGUMENTS), name)
    with ExitStack() as made:
        for one in objects:
            if one["kind"] in {"Namespace", "ServiceAccount"}:
                api.apply(path(one), one)
            if one["kind"] == "Namespace":
                made.callback(api, "DELETE", path(one))
        yield name, objects


def strictly(api: Api, one: Object, **query: str) -> Answer:
    query = {"fieldManager": "akeso-test", "force": "true", "fieldValidation": "Strict", **query}
    return api("PATCH", path(one), one, form=APPLY_PATCH, **query)


def lost(wanted: Any, found: Any, where: str = "") -> list[str]:
    """What was applied and is not there as it was."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        return [text for key, item in wanted.items() for text in lost(item, found.get(key), f"{where}.{key}")]
    if isinstance(wanted, list) and isinstance(found, list) and len(wanted) <= len(found):
        pairs = enumerate(zip(wanted, found, strict=False))  # a pod's token comes behind its own volumes
        return [text for i, (one, other) in pairs for text in lost(one, other, f"{where}[{i}]")]
    # What is empty may be left out.
    return [] if wanted == found or (not wanted and found is None) else [f"{where}: {wanted!r} became {found!r}"]


def templates(objects: list[Object]) -> list[Object]:
    """The pod of every Knative Service and Deployment, as the cluster would get it."""
    pods = []
    for one in objects:
        if "template" not in one.get("spec", {}):
            continue
        template = copy.deepcopy(one["spec"]["template"])
        for field in OF_A_REVISION:
            template["spec"].pop(field, None)
        if of_knative(one):
            for container in template["spec"]["containers"]:
                for probe in ("readinessProbe", "livenessProbe"):
                    container[probe]["httpGet"].setdefault("port", PORT)
        meta = {
            **template.get("metadata", {}),
            "name": one["metadata"]["name"],
            "namespace": one["metadata"]["namespace"],
        }
        pods.append({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template["spec"]})
    return pods


class TestWhatIsPlainKubernetes:
    def test_is_taken_as_it_is_in_a_rehearsal_and_for_real(self, api, home):
        _, objects = home
        keep_watching(api)
        with ExitStack() as made:
            for one in objects:
                if of_knative(one):
                    continue
                rehearsed = strictly(api, one, dryRun="All")
                assert rehearsed.status in {200, 201}, f"{path(one)}: {rehearsed.said}"
                answer = strictly(api, one)
                if of_the_cluster(one) and one["kind"] != "Namespace":
                    made.callback(api, "DELETE", path(one))
                assert answer.status in {200, 201}, f"{path(one)}: {answer.said}"
                assert answer.warnings == (), path(one)
                assert lost(one, answer.body) == [], path(one)

    def test_is_refused_with_a_field_that_nobody_knows(self, api, home):
        _, objects = home
        kinds = {one["kind"]: one for one in objects if not of_knative(one)}
        for one in kinds.values():
            answer = strictly(api, {**one, "nothing": "x"}, dryRun="All")
            assert answer.status in {400, 422, 500}, f"{path(one)}: {answer.said}"
            assert "nothing" in answer.said

    def test_is_a_fence_whose_every_expression_has_a_type(self, api, home):
        _, objects = home
        keep_watching(api)
        with ExitStack() as made:
            for one in objects:
                if one["kind"] != "ValidatingAdmissionPolicy":
                    continue
                api.apply(path(one), one)
                made.callback(api, "DELETE", path(one))
                status = until(lambda one=one: typed(api.ok("GET", path(one)).get("status", {})))
                assert status["typeChecking"] == {}


def typed(status: Object) -> Object | None:
    """None while the controller has not looked at the expressions."""
    return status if "typeChecking" in status else None


class TestPods:
    def test_of_every_function_are_admitted_where_only_restricted_ones_are(self, api, home):
        _, objects = home
        pods = templates(objects)
        assert len(pods) >= sum(one["kind"] == "Service" and of_knative(one) for one in objects)
        for one in pods:
            answer = strictly(api, one, dryRun="All")
            assert answer.status in {200, 201}, f"{path(one)}: {answer.said}"
            assert answer.warnings == (), path(one)
            assert lost(one, answer.body) == [], path(one)

    def test_that_might_be_root_or_have_an_unknown_field_are_not(self, api, home):
        _, objects = home
        pod = templates(objects)[0]
        root, unknown = copy.deepcopy(pod), copy.deepcopy(pod)
        root["spec"]["containers"][0]["securityContext"]["runAsNonRoot"] = False
        unknown["spec"]["containers"][0]["nothing"] = "x"

        assert "violates PodSecurity" in strictly(api, root, dryRun="All").said
        assert "nothing" in strictly(api, unknown, dryRun="All").said


@pytest.fixture(scope="module")
def knative(api: Api) -> Iterator[None]:
    """Knative's resource definitions in the cluster, for as long as it takes where it has none of its own."""
    with ExitStack() as made:
        served = []
        for file in sorted(Path(CRDS).glob("*.yaml")):
            for crd in yaml.safe_load_all(file.read_text()):
                spec = crd["spec"]
                (version,) = (one["name"] for one in spec["versions"] if one["storage"])
                served.append(f"/apis/{spec['group']}/{version}/{spec['names']['plural']}")
                if api("GET", path(crd)).status == 404:
                    spec.pop("conversion", None)  # by a webhook that is not there
                    crd.pop("status", None)
                    api.ok("POST", path(crd).rpartition("/")[0], crd)
                    made.callback(api, "DELETE", path(crd))
        assert served
        for place in served:
            until(lambda place=place: api("GET", place).status == 200, f"{place} is not served")
        yield


@pytest.mark.skipif(not CRDS, reason="KNATIVE_CRDS names no folder with Knative's CustomResourceDefinitions")
@pytest.mark.usefixtures("knative")
class TestWhatIsKnatives:
    def test_is_taken_as_it_is(self, api, home):
        _, objects = home
        ours = [one for one in objects if of_knative(one)]
        assert {one["kind"] for one in ours} == {"Service", "Broker", "SinkBinding", "Trigger", "PingSource"}
        for one in ours:
            answer = until(lambda one=one: answered(strictly(api, one, dryRun="All")))
            assert answer.status in {200, 201}, f"{path(one)}: {answer.said}"
            assert answer.warnings == (), path(one)
            assert lost(one, answer.body) == [], path(one)

    def test_is_refused_with_a_field_that_nobody_knows(self, api, home):
        _, objects = home
        kinds = {one["kind"]: one for one in objects if of_knative(one)}
        for one in kinds.values():
            # Not in the `spec`: there a Trigger's definition lets everything through.
            answer = strictly(api, {**one, "nothing": "x"}, dryRun="All")
            assert answer.status in {400, 422, 500}, f"{path(one)}: {answer.said}"
            assert "nothing" in answer.said


def answered(answer: Answer) -> Answer | None:
    """None while the server still learns a kind."""
    return None if answer.status == 404 else answer
