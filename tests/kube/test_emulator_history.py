"""The emulator's history: lists in pages and watches. What is told to both API servers is in tests/cluster/requests."""

import json
import urllib.request

import pytest

CONFIGMAPS = "/api/v1/namespaces/shop/configmaps"


@pytest.fixture
def events(cluster):
    """The first `count` events of a watch, as type and name; fewer when it ends before."""

    def events(query, count, meanwhile=lambda: None):
        url = f"{cluster._url}{CONFIGMAPS}?watch=true&{query}"
        request = urllib.request.Request(url, headers={"Authorization": "Bearer a-token"})  # noqa: S310 - loopback
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
            meanwhile()
            found = []
            for line in answer:
                event = json.loads(line)
                found.append((event["type"], event["object"]["metadata"].get("name") or event["object"]["code"]))
                if len(found) == count:
                    break
        return found

    return events


class TestPages:
    @pytest.fixture(autouse=True)
    def objects(self, call, cluster):
        assert call("GET", CONFIGMAPS)[1]["items"] == []
        for name in ("c", "a", "d", "b"):
            cluster.configmap("shop", name, {})

    def test_they_come_in_the_order_of_names_and_say_how_many_are_left(self, call):
        _, first = call("GET", CONFIGMAPS + "?limit=3")

        assert [item["metadata"]["name"] for item in first["items"]] == ["a", "b", "c"]
        assert first["metadata"]["remainingItemCount"] == 1

    def test_the_next_one_is_of_the_time_of_the_first(self, cluster, call):
        _, first = call("GET", CONFIGMAPS + "?limit=2")
        cluster.configmap("shop", "bb", {})
        cluster.delete("ConfigMap", "shop", "d")

        _, second = call("GET", f"{CONFIGMAPS}?limit=9&continue={first['metadata']['continue']}")

        assert [item["metadata"]["name"] for item in second["items"]] == ["c", "d"]
        assert "continue" not in second["metadata"]

    @pytest.mark.parametrize("query", ["continue=nonsense", "limit=x"])
    def test_what_cannot_be_read_is_a_400(self, call, query):
        assert call("GET", f"{CONFIGMAPS}?{query}")[0] == 400

    def test_no_limit_is_all(self, call):
        assert len(call("GET", CONFIGMAPS + "?limit=0&labelSelector=!x")[1]["items"]) == 4

    def test_an_item_says_no_kind_as_in_a_typed_list(self, call):
        assert {"kind", "apiVersion"}.isdisjoint(call("GET", CONFIGMAPS)[1]["items"][0])


class TestWatching:
    @pytest.mark.usefixtures("call")
    def test_it_begins_with_what_is_there_and_goes_on_with_what_happens(self, cluster, events):
        cluster.configmap("shop", "a", {})

        def meanwhile():
            cluster.edit("ConfigMap", "shop", "a", {"data": {"x": "y"}})
            cluster.delete("ConfigMap", "shop", "a")

        assert events("", 3, meanwhile) == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]

    def test_it_goes_on_where_a_list_ended(self, cluster, call, events):
        cluster.configmap("shop", "a", {})
        version = call("GET", CONFIGMAPS)[1]["metadata"]["resourceVersion"]
        cluster.configmap("shop", "b", {})

        assert events(f"resourceVersion={version}&timeoutSeconds=1", 2) == [("ADDED", "b")]

    def test_an_object_that_starts_or_stops_to_match_was_added_or_deleted(self, cluster, call, events):
        version = call("GET", CONFIGMAPS)[1]["metadata"]["resourceVersion"]
        cluster.configmap("shop", "a", {})
        for value in ("1", "2", None):
            cluster.edit("ConfigMap", "shop", "a", {"metadata": {"labels": {"w": value}}})

        found = events(f"resourceVersion={version}&labelSelector=w&timeoutSeconds=1", 4)

        assert found == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]

    @pytest.mark.usefixtures("call")
    def test_a_version_that_is_forgotten_is_a_410(self, events):
        assert events("resourceVersion=1", 2) == [("ERROR", 410)]

    @pytest.mark.usefixtures("call")
    def test_it_ends_with_the_cluster(self, cluster, events):
        assert events("", 1, cluster.stop) == []
