"""The client's edge: credentials, one request per write, and what each answer becomes."""

import json
import socket
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import urllib3

from shared.errors import AkesoError, UnavailableError
from shared.kube.client import connect
from shared.kube.errors import Conflict, KubeDown, KubeError, NotFound, Refused, Throttled
from tests.kube.scripted import TIMEOUT_MS, Server, kubeconfig

GENERIC = "the server rejected our request due to an error in our request"


@pytest.fixture
def server():
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def to(server, tmp_path):
    return connect(kubeconfig(tmp_path / "config", server.url, token="s3cret"), "akeso/test")


@pytest.fixture
def hasty(server, tmp_path):
    return connect(kubeconfig(tmp_path / "hasty", server.url, token="s3cret", timeout_ms=TIMEOUT_MS), "akeso/test")


def patch(to, form="json"):
    body = [{"op": "test", "path": "/a", "value": 1}] if form == "json" else {"a": 1}
    return to.patch("Deployment", "shop", "web", body, form=form, field_manager="akeso-x")


def evict(to):
    to.evict("shop", "p", uid="u", resource_version="7", annotations={"a": "b"})


class TestReviews:
    SPEC = {"token": "of-a-person", "audiences": ["akeso"]}  # noqa: RUF012

    def test_ask_about_somebody_and_answer_the_status(self, to, server):
        server.answers = [(201, {"kind": "TokenReview", "status": {"authenticated": True}})]
        assert to.review("TokenReview", self.SPEC) == {"authenticated": True}
        (sent,) = server.seen
        assert (sent.method, sent.path) == ("POST", "/apis/authentication.k8s.io/v1/tokenreviews")
        assert json.loads(sent.body) == {
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": self.SPEC,
        }  # fmt: skip

    @pytest.mark.parametrize("answer", [{}, {"status": None}, {"status": []}, {"status": "Success"}])
    def test_of_an_answer_without_a_status_is_nothing(self, to, server, answer):
        server.answers = [(201, answer)]
        assert to.review("TokenReview", self.SPEC) == {}

    def test_are_tried_twice_because_nothing_is_stored(self, to, server):
        server.answers = [(503, {}), (201, {"status": {"allowed": True}})]
        assert to.review("SubjectAccessReview", {"user": "ada"}) == {"allowed": True}
        assert len(server.seen) == 2

    @pytest.mark.parametrize("status", [400, 401, 403, 409, 500, "close"])
    def test_that_fail_say_nothing_of_the_token(self, to, server, status):
        server.answers = [(status, {"message": "no"})]
        with pytest.raises(KubeError) as failed:
            to.review("TokenReview", self.SPEC)
        assert "of-a-person" not in f"{failed.value!r} {failed.value.__cause__!r}"


class TestRequests:
    def test_every_request_carries_the_token_and_names_itself(self, to, server):
        server.answers = [(200, {"items": [], "metadata": {}})]
        to.get("Pod", "shop", "p")
        to.list("Pod", "shop")
        patch(to)
        to.create("ConfigMap", "shop", {"metadata": {"name": "c"}}, field_manager="m")
        evict(to)

        assert [s.headers["Authorization"] for s in server.seen] == ["Bearer s3cret"] * 5
        assert {s.headers["User-Agent"] for s in server.seen} == {"akeso/test"}

    def test_a_deletion_names_the_very_object_it_means(self, to, server):
        to.delete("Namespace", "", "shop", uid="u-1")

        (sent,) = server.seen
        assert (sent.method, sent.path) == ("DELETE", "/api/v1/namespaces/shop?propagationPolicy=Background")
        assert json.loads(sent.body)["preconditions"] == {"uid": "u-1"}
        to.delete("Namespace", "", "shop", uid="u-1", resource_version="7")
        assert json.loads(server.seen[-1].body)["preconditions"] == {"uid": "u-1", "resourceVersion": "7"}

    def test_nothing_is_asked_but_what_was_asked_for(self, to, server):
        to.get("Deployment", "shop", "web")

        assert [(s.method, s.path) for s in server.seen] == [
            ("GET", "/apis/apps/v1/namespaces/shop/deployments/web"),
        ]

    def test_a_list_is_bounded_and_selected(self, to, server):
        server.answers = [(200, {"items": [{"n": 1}, {"n": 2}, {"n": 3}]})]

        assert to.list("Pod", "shop", labels="a in (b,c),d=e", limit=2) == [{"n": 1}, {"n": 2}]
        assert server.seen[0].path == "/api/v1/namespaces/shop/pods?limit=2&labelSelector=a%20in%20%28b%2Cc%29%2Cd%3De"

    def test_a_count_asks_for_one_and_believes_the_server_for_the_rest(self, to, server):
        server.answers = [(200, {"items": [{}], "metadata": {"continue": "x", "remainingItemCount": 41}})]

        assert to.count("Node") == 42
        assert server.seen[0].path == "/api/v1/nodes?limit=1"

    @pytest.mark.parametrize(
        ("answer", "number"),
        [({"items": [], "metadata": {}}, 0), ({"items": [{}], "metadata": {}}, 1), ({"items": None}, 0)],
    )
    def test_a_count_of_few_needs_no_such_word(self, to, server, answer, number):
        server.answers = [(200, answer)]

        assert to.count("Pod", "shop") == number
        assert server.seen[0].path == "/api/v1/namespaces/shop/pods?limit=1"

    @pytest.mark.parametrize(
        ("form", "kind"),
        [("json", "application/json-patch+json"), ("merge", "application/merge-patch+json")],
    )
    def test_a_patch_says_its_form_its_manager_and_whether_it_is_a_rehearsal(self, to, server, form, kind):
        body = [{"op": "test", "path": "/a", "value": None}] if form == "json" else {"a": None}
        to.patch("Node", "", "n1", body, form=form, field_manager="akeso-x", dry_run=True)

        (seen,) = server.seen
        assert (seen.method, seen.path) == ("PATCH", "/api/v1/nodes/n1?fieldManager=akeso-x&dryRun=All")
        assert seen.headers["Content-Type"] == kind
        assert json.loads(seen.body) == body

    def test_an_eviction_names_the_pod_it_means(self, to, server):
        to.evict("shop", "p", uid="u", resource_version="7", annotations={"a": "b"}, dry_run=True)

        (seen,) = server.seen
        assert seen.path == "/api/v1/namespaces/shop/pods/p/eviction?dryRun=All"
        assert json.loads(seen.body) == {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": "p", "namespace": "shop", "annotations": {"a": "b"}},
            "deleteOptions": {"preconditions": {"uid": "u", "resourceVersion": "7"}},
        }

    @pytest.mark.parametrize(
        ("kind", "namespace", "name"),
        [
            ("Pod", "shop", ".."),
            ("Pod", "shop", "../../nodes/n1"),
            ("Pod", "shop", "a b"),
            ("Pod", "shop", "a?dryRun=All"),
            ("Pod", "shop", "Größe"),
            ("Pod", "shop", "a\n"),
            ("Pod", "shop", ""),
            ("Pod", "", "p"),
            ("Pod", "..", "p"),
            ("Pod", "shop", "a" * 254),
            ("Node", "shop", "n1"),
            ("Secret", "shop", "s"),
        ],
    )
    def test_a_name_that_cannot_exist_is_never_put_in_a_url(self, to, server, kind, namespace, name):
        assert to.get(kind, namespace, name) is None
        with pytest.raises(Refused):
            to.patch(kind, namespace, name, {}, form="merge", field_manager="m")
        assert server.seen == []


class TestEvents:
    def test_of_one_object_are_chosen_by_the_server_and_bounded(self, to, server):
        server.answers = [(200, {"items": [{"n": 1}, "odd", {"n": 2}, {"n": 3}]})]

        assert to.events("shop", uid="u-1", limit=2) == [{"n": 1}, {"n": 2}]
        assert [s.path for s in server.seen] == [
            "/api/v1/namespaces/shop/events?fieldSelector=involvedObject.uid%3Du-1&limit=2",
        ]

    def test_of_what_has_no_namespace_are_looked_for_where_the_api_keeps_them(self, to, server):
        server.answers = [(200, {"items": []})]

        assert to.events("", uid="n1", limit=5) == []
        assert server.seen[0].path.startswith("/api/v1/namespaces/default/events?")

    @pytest.mark.parametrize("uid", ["", "u,involvedObject.name=other", "a=b", "a!", " ", "u\n", "x" * 129])
    def test_are_not_asked_for_by_what_would_select_others(self, to, server, uid):
        with pytest.raises(Refused):
            to.events("shop", uid=uid, limit=5)
        assert server.seen == []


class TestLogs:
    def of(self, to, *, previous=False, limit=100):
        return to.log("shop", "p", "app", previous=previous, tail_lines=3, limit_bytes=limit)

    def test_are_asked_for_by_container_and_bounded_twice(self, to, server):
        server.answers = [(200, b"one\ntwo\n")]

        assert self.of(to, previous=True) == "one\ntwo\n"
        (seen,) = server.seen
        assert (seen.method, seen.path) == (
            "GET", "/api/v1/namespaces/shop/pods/p/log?container=app&tailLines=3&limitBytes=100&previous=true",
        )  # fmt: skip

    def test_beyond_the_bound_are_cut_also_when_the_node_does_not_stop(self, to, server):
        server.answers = [(200, b"x" * 5_000_000)]

        assert self.of(to, limit=10) == "x" * 10
        assert self.of(to, limit=10) == "x" * 10  # on a connection that is still good, or on a new one

    @pytest.mark.parametrize(("data", "text"), [(b"", ""), (b"\xff\x00a", "\ufffd\x00a"), (b'{"a": 1}', '{"a": 1}')])
    def test_may_be_anything(self, to, server, data, text):
        server.answers = [(200, data)]

        assert self.of(to) == text

    def test_of_a_pod_that_nobody_runs_yet_are_empty(self, to, server):
        server.answers = [(204, b"")]

        assert self.of(to) == ""

    @pytest.mark.parametrize(
        "message",
        [
            'previous terminated container "app" in pod "p" not found',
            'container "app" in pod "p" is waiting to start: ContainerCreating',
        ],
    )
    def test_of_what_has_not_run_are_empty(self, to, server, message):
        server.answers = [(400, {"kind": "Status", "message": message})]

        assert self.of(to, previous=True) == ""

    @pytest.mark.parametrize(
        ("status", "message", "error"),
        [
            (400, "container nope is not valid for pod p", Refused),
            (403, 'previous terminated container "app" in pod "p" not found', Refused),
            (404, 'pods "p" not found', NotFound),
            (500, "the node does not answer", KubeDown),
        ],
    )
    def test_that_cannot_be_had_are_an_error_and_no_empty_log(self, to, server, status, message, error):
        server.answers = [(status, {"kind": "Status", "message": message})]

        with pytest.raises(error):
            self.of(to)

    def test_of_a_name_that_cannot_exist_are_never_asked_for(self, to, server):
        with pytest.raises(Refused):
            to.log("shop", "../p", "app", previous=False, tail_lines=1, limit_bytes=1)
        assert server.seen == []


class TestAResize:
    def test_is_a_patch_of_the_pods_subresource(self, to, server):
        body = [{"op": "test", "path": "/metadata/uid", "value": "u"}]
        to.patch("Pod", "shop", "p", body, form="json", field_manager="m", sub="resize")

        (seen,) = server.seen
        assert (seen.method, seen.path) == ("PATCH", "/api/v1/namespaces/shop/pods/p/resize?fieldManager=m")
        assert json.loads(seen.body) == body


class TestErrors:
    def test_a_missing_object_is_none_to_a_reader_and_an_error_to_a_writer(self, to, server):
        server.answers = [(404, {"kind": "Status", "message": "gone"})]

        assert to.get("Pod", "shop", "p") is None
        with pytest.raises(NotFound, match="gone"):
            patch(to)

    @pytest.mark.parametrize(
        ("status", "answer", "error"),
        [
            (409, {"message": "the object has been modified"}, Conflict),
            (422, {"message": GENERIC, "reason": "Invalid", "details": {}}, Conflict),
            (422, {"message": "replicas: Invalid value", "details": {"causes": [{"field": "spec.replicas"}]}}, Refused),
            (422, {"message": 'admission webhook "x" denied the request: no'}, Refused),
            (400, {"message": "bad"}, Refused),
            (403, {"message": "forbidden"}, Refused),
            (413, {}, Refused),
            (429, {"message": "slow down", "details": {"retryAfterSeconds": 3}}, Throttled),
            (401, {"message": "Unauthorized"}, KubeDown),
            (307, {}, KubeDown),
            (500, {}, KubeDown),
            (501, {}, KubeDown),
            (503, b"<html>not the API</html>", KubeDown),
            (200, b"<html>not the API</html>", KubeDown),
        ],
    )
    def test_each_answer_to_a_write_has_one_word(self, to, server, status, answer, error):
        server.answers = [(status, answer)]

        with pytest.raises(KubeError) as caught:
            patch(to)

        assert type(caught.value) is error
        assert caught.value.status == status

    def test_a_422_to_a_merge_patch_is_no_conflict(self, to, server):
        server.answers = [(422, {"message": GENERIC})]

        with pytest.raises(Refused):
            patch(to, "merge")

    @pytest.mark.parametrize(
        ("status", "message", "error"),
        [
            (429, "Cannot evict pod as it would violate the pod's disruption budget.", Throttled),
            (500, "This pod has more than one PodDisruptionBudget, which is not supported.", Refused),
            (500, "etcd is gone", KubeDown),
            (409, "Precondition failed: UID", Conflict),
        ],
    )
    def test_each_answer_to_an_eviction_has_one_word(self, to, server, status, message, error):
        server.answers = [(status, {"message": message})]

        with pytest.raises(error):
            evict(to)
        assert len(server.seen) == 1

    @pytest.mark.parametrize(
        ("headers", "body", "seconds"),
        [
            ({"Retry-After": "9"}, {"details": {"retryAfterSeconds": 3}}, 3),
            ({"Retry-After": "9"}, b"Too many requests, please try again later.", 9),
            ({"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT"}, b"", 0),
            ({}, {"details": {"retryAfterSeconds": "soon"}}, 0),
        ],
    )
    def test_when_to_come_back_is_handed_on(self, to, server, headers, body, seconds):
        server.answers, server.headers = [(429, body)], headers

        with pytest.raises(Throttled) as caught:
            patch(to)

        assert caught.value.retry_after_s == seconds

    def test_the_apis_words_are_cut(self, to, server):
        server.answers = [(403, {"message": "x" * 5000})]

        with pytest.raises(Refused) as caught:
            patch(to)

        assert str(caught.value).count("x") == 255

    @pytest.mark.parametrize("status", [500, 503, 504, 200])
    def test_an_unusable_answer_to_a_write_leaves_it_unclear(self, to, server, status):
        server.answers = [(status, b"")]

        with pytest.raises(KubeDown) as caught:
            patch(to)

        assert caught.value.unclear

    def test_a_refused_login_leaves_nothing_unclear(self, to, server):
        server.answers = [(401, {})]

        with pytest.raises(KubeDown) as caught:
            patch(to)

        assert not caught.value.unclear

    def test_all_are_errors_that_the_answer_table_knows(self):
        assert issubclass(KubeDown, UnavailableError)
        assert all(issubclass(error, AkesoError) for error in (Conflict, NotFound, Refused, Throttled))


def read(to):
    return to.get("Pod", "shop", "p")


def listed(to):
    return to.list("Pod", "shop")


def create(to):
    to.create("ConfigMap", "shop", {"metadata": {"name": "c"}}, field_manager="m")


def logged(to):
    to.log("shop", "p", "app", previous=False, tail_lines=9, limit_bytes=9999)


READS, WRITES = [read, listed, logged], [patch, create, evict]


class TestTime:
    """No call waits longer than the settings say, whatever the server does with its connection."""

    @pytest.mark.parametrize("act", [*READS, *WRITES])
    def test_an_answer_that_does_not_come_is_not_waited_for(self, hasty, server, act):
        server.answers = [("hang", None)]

        with pytest.raises(KubeDown) as caught:
            act(hasty)

        assert isinstance(caught.value.__cause__, urllib3.exceptions.ReadTimeoutError)
        assert caught.value.unclear == (act in WRITES)
        assert len(server.seen) == 1

    @pytest.mark.parametrize("act", [*READS, *WRITES])
    def test_an_answer_that_never_ends_is_not_waited_for(self, hasty, server, act):
        server.answers = [("drip", json.dumps({"metadata": {}, "items": []}).encode() + b" " * 30)]

        with pytest.raises(KubeDown, match="too slowly") as caught:
            act(hasty)

        assert caught.value.unclear == (act in WRITES)
        assert len(server.seen) == 1

    @pytest.mark.parametrize("act", [*READS, *WRITES])
    def test_a_connection_that_nobody_takes_is_not_waited_for(self, tmp_path, act):
        with socket.socket() as deaf, socket.socket() as first, socket.socket() as second:
            deaf.bind(("127.0.0.1", 0))
            deaf.listen(0)
            for waiting in (first, second):  # whoever comes after them gets no answer at all
                waiting.setblocking(False)
                waiting.connect_ex(deaf.getsockname())
            url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
            to = connect(kubeconfig(tmp_path / "config", url, token="t", timeout_ms=TIMEOUT_MS), "a")

            with pytest.raises(KubeDown) as caught:
                act(to)

        assert isinstance(caught.value.__cause__, urllib3.exceptions.ConnectTimeoutError)
        assert not caught.value.unclear


class TestPauses:
    @pytest.fixture
    def pauses(self, monkeypatch):
        pauses = []
        monkeypatch.setattr("shared.kube.client.time", SimpleNamespace(sleep=pauses.append, monotonic=time.monotonic))
        return pauses

    @pytest.mark.parametrize("act", READS)
    @pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
    def test_a_read_pauses_before_its_second_try_and_has_no_third(self, to, server, pauses, act, status):
        server.answers = [(status, {})]

        with pytest.raises((KubeDown, Throttled)):
            act(to)

        assert len(server.seen) == 2
        assert [pause > 0 for pause in pauses] == [True]

    @pytest.mark.parametrize("act", WRITES)
    @pytest.mark.parametrize("status", [401, 403, 429, 500, 502, 503, 504])
    def test_a_write_has_no_second_try(self, to, server, pauses, act, status):
        server.answers = [(status, {})]

        with pytest.raises(KubeError):
            act(to)

        assert len(server.seen) == 1
        assert pauses == []

    def test_a_server_that_asks_for_a_pause_gets_it(self, to, server, pauses):
        server.answers, server.headers = [(429, b"later"), (200, {"kind": "Pod"})], {"Retry-After": "1"}

        assert read(to) == {"kind": "Pod"}
        assert pauses == [1]

    def test_a_pause_that_is_too_long_for_a_run_is_left_to_the_broker(self, to, server, pauses):
        server.answers, server.headers = [(429, b"later")], {"Retry-After": "30"}

        with pytest.raises(Throttled):
            read(to)

        assert len(server.seen) == 1
        assert pauses == []


class TestNoAnswer:
    def test_a_read_that_hangs_ends_as_down_after_one_timeout(self, hasty, server):
        server.answers = [("hang", None)]

        with pytest.raises(KubeDown) as caught:
            hasty.get("Pod", "shop", "p")

        assert len(server.seen) == 1
        assert isinstance(caught.value.__cause__, urllib3.exceptions.TimeoutError)

    def test_a_write_that_hangs_is_sent_once_and_left_unclear(self, hasty, server):
        server.answers = [("hang", None)]

        with pytest.raises(KubeDown) as caught:
            patch(hasty)

        assert caught.value.unclear
        assert len(server.seen) == 1

    @pytest.mark.parametrize("act", [patch, evict])
    def test_a_write_whose_connection_breaks_is_sent_once_and_left_unclear(self, to, server, act):
        server.answers = [("close", None)]

        with pytest.raises(KubeDown) as caught:
            act(to)

        assert caught.value.unclear
        assert len(server.seen) == 1

    def test_a_write_that_nobody_took_is_not_unclear(self, tmp_path):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{free.getsockname()[1]}"
            to = connect(kubeconfig(tmp_path / "config", url, token="t"), "akeso/test")

            with pytest.raises(KubeDown) as caught:
                patch(to)

        assert not caught.value.unclear

    @pytest.mark.parametrize("first", [("close", None), (500, {}), (503, {}), (429, {})])
    def test_a_read_is_tried_once_more(self, to, server, first):
        server.answers = [first, (200, {"kind": "Pod"})]

        assert to.get("Pod", "shop", "p") == {"kind": "Pod"}
        assert len(server.seen) == 2

    def test_but_not_for_ever(self, to, server):
        server.answers = [(500, {})]

        with pytest.raises(KubeDown):
            to.list("Pod", "shop")
        assert len(server.seen) == 2

    @pytest.mark.parametrize("status", [403, 501])
    def test_a_read_whose_answer_would_not_change_is_not_tried_again(self, to, server, status):
        server.answers = [(status, {})]

        with pytest.raises(KubeError):
            to.get("Pod", "shop", "p")
        assert len(server.seen) == 1

    def test_a_redirect_is_not_followed_with_our_token(self, to, server):
        server.answers = [(302, {}), (200, {"kind": "Pod"})]

        with pytest.raises(KubeDown):
            to.get("Pod", "shop", "p")
        assert [s.path for s in server.seen] == ["/api/v1/namespaces/shop/pods/p"]


def test_no_typed_api_class_is_ever_imported():
    code = (
        "import sys, shared.kube.write, shared.kube.facts, shared.kube.scope\n"
        "print([m for m in sys.modules if m.startswith(('kubernetes.client.api.', 'kubernetes.client.models.'))])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert run.stdout == "[]\n"
