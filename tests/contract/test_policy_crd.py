from pathlib import Path

import pytest
import yaml

from shared.action import render
from shared.action.catalogue import Catalogue
from shared.guard import source
from shared.kube.kinds import KINDS
from tests.contract import policy_crd

ARGUMENTS = {"image": "a/b:1", "alertmanager": "http://alertmanager:9093", "redis_secret": "r"}


@pytest.fixture(scope="module")
def crd():
    (one,) = (
        one
        for one in render.render("base", catalogue=Catalogue.home(), **ARGUMENTS)
        if one["kind"] == "CustomResourceDefinition"
    )
    return one


def schemas(part):
    yield part
    for each in (*part.get("properties", {}).values(), *([part["items"]] if "items" in part else [])):
        yield from schemas(each)


class TestTheDefinition:
    def test_says_what_the_model_says(self, crd):
        (version,) = crd["spec"]["versions"]
        assert version["schema"]["openAPIV3Schema"]["properties"]["spec"] == policy_crd.spec()

    def test_is_of_the_kind_that_is_read(self, crd):
        known, names = KINDS[source.KIND], crd["spec"]["names"]
        assert (names["kind"], names["plural"], crd["spec"]["group"]) == (source.KIND, known.plural, known.group)
        assert crd["metadata"]["name"] == f"{known.plural}.{known.group}"
        assert known.api.endswith("/" + crd["spec"]["versions"][0]["name"])
        assert crd["spec"]["scope"] == "Namespaced"

    def test_is_structural(self):
        for part in schemas(policy_crd.spec()):
            assert part["type"] in {"object", "array", "string", "integer"}
            assert ("properties" in part) == (part["type"] == "object")
            assert ("items" in part) == (part["type"] == "array")
            assert ("maxItems" in part) == (part["type"] == "array")

    def test_no_object_is_installed_that_could_take_back_a_policy(self):
        kinds = {one["kind"] for path in (Path(render.HOME) / "base").rglob("*.yaml")
                 for one in yaml.safe_load_all(path.read_text())}  # fmt: skip
        assert source.KIND not in kinds
