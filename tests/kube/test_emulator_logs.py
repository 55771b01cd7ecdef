"""What the emulated API keeps of the crime scene: the logs that a pod's annotations tell, and one object's events."""

import pytest

from shared.kube.errors import NotFound, Refused

LOG, PREVIOUS = "emulator.akeso.dev/log", "emulator.akeso.dev/previous-log"


@pytest.fixture
def put(cluster):
    def put(name, notes=(), **spec):
        containers = spec.pop("containers", [{"name": "app", "image": "x"}])
        meta = {"name": name, "annotations": dict(notes)}
        return cluster.put("Pod", "shop", {"metadata": meta, "spec": {"containers": containers, **spec}})

    return put


@pytest.fixture
def log(kube):
    def log(pod="p", container="app", *, previous=False, lines=10, most=1000):
        return kube.log("shop", pod, container, previous=previous, tail_lines=lines, limit_bytes=most)

    return log


class TestALog:
    @pytest.fixture(autouse=True)
    def p(self, put):
        return put("p", {LOG: "one\ntwo\nthree ä\n", PREVIOUS: "panic\n"}, nodeName="emulated")

    def test_is_what_the_annotation_says(self, log):
        assert log() == "one\ntwo\nthree ä\n"
        assert log(previous=True) == "panic\n"

    def test_is_cut_to_the_last_lines_and_then_to_the_first_bytes(self, log):
        assert log(lines=2) == "two\nthree ä\n"
        assert log(lines=2, most=5) == "two\nt"
        assert log(lines=0) == ""

    def test_of_a_container_that_is_not_there_is_refused(self, log):
        with pytest.raises(Refused, match="container nope is not valid for pod p"):
            log(container="nope")

    def test_of_a_pod_that_is_not_there_is_not_found(self, log):
        with pytest.raises(NotFound):
            log("q")

    @pytest.mark.parametrize("more", [{"lines": -1}, {"most": 0}])
    def test_with_bounds_that_are_none_is_refused(self, log, more):
        with pytest.raises(Refused) as caught:
            log(**more)
        assert caught.value.status == 422

    def test_comes_of_the_pods_that_the_controllers_make(self, cluster, advance, kube):
        cluster.deployment("shop", "web", 1, notes={LOG: "of the template\n"})
        advance()
        (pod,) = cluster.all("Pod", labels="app=web")

        assert kube.log("shop", pod["metadata"]["name"], "app", previous=False, tail_lines=1, limit_bytes=99) == (
            "of the template\n"
        )


class TestNoLog:
    def test_of_a_first_run_is_said_in_the_servers_words_and_empty_to_the_client(self, put, log, call):
        put("p", nodeName="emulated")

        status, body = call("GET", "/api/v1/namespaces/shop/pods/p/log?previous=true")
        assert (status, body["message"]) == (400, 'previous terminated container "app" in pod "p" not found')
        assert log(previous=True) == ""

    def test_of_a_pod_without_a_node_is_empty(self, put, log):
        put("p", {LOG: "x"})

        assert log() == ""

    def test_of_a_pod_whose_node_is_gone_is_not_found(self, cluster, put, log):
        cluster.node("n1")
        put("p", {LOG: "x"}, nodeName="n2")
        put("q", {LOG: "x"}, nodeName="n1")

        assert log("q") == "x"
        with pytest.raises(NotFound):
            log("p")

    def test_of_a_container_that_waits_to_start_is_empty_to_the_client(self, cluster, put, log):
        put("p", {LOG: "x"}, nodeName="emulated")
        waiting = {"waiting": {"reason": "ContainerCreating"}}
        cluster.set_status("Pod", "shop", "p", {"containerStatuses": [{"name": "app", "state": waiting}]})

        assert log() == ""

    def test_is_guessed_where_two_containers_could_be_meant(self, put, call):
        put("p", containers=[{"name": "a", "image": "x"}, {"name": "b", "image": "x"}], nodeName="emulated")

        status, body = call("GET", "/api/v1/namespaces/shop/pods/p/log")
        assert (status, "choose one of: [a b]" in body["message"]) == (400, True)

    def test_is_of_anything_but_a_pod(self, call):
        assert call("GET", "/apis/apps/v1/namespaces/shop/deployments/web/log")[0] == 404
        assert call("POST", "/api/v1/namespaces/shop/pods/p/log", {})[0] == 405


class TestEvents:
    @pytest.fixture(autouse=True)
    def told(self, cluster):
        for name, uid in (("a", "u1"), ("b", "u2"), ("c", "u1"), ("d", "u1")):
            cluster.put("Event", "shop", {"metadata": {"name": name}, "involvedObject": {"uid": uid}, "reason": name})
        cluster.put("Event", "default", {"metadata": {"name": "n"}, "involvedObject": {"uid": "n1"}})

    def names(self, found):
        return [event["metadata"]["name"] for event in found]

    def test_of_one_object_are_those_alone(self, kube):
        assert self.names(kube.events("shop", uid="u1", limit=10)) == ["a", "c", "d"]
        assert kube.events("shop", uid="u9", limit=10) == []

    def test_of_what_has_no_namespace_are_in_the_default_one(self, kube):
        assert self.names(kube.events("", uid="n1", limit=10)) == ["n"]

    def test_come_in_pages_that_go_on_where_the_last_one_ended(self, send):
        path = "/api/v1/namespaces/shop/events?fieldSelector=involvedObject.uid%3Du1&limit=2"
        _, first = send("GET", path)
        _, second = send("GET", f"{path}&continue={first['metadata']['continue']}")

        assert self.names(first["items"] + second["items"]) == ["a", "c", "d"]
        assert "remainingItemCount" not in first["metadata"]
