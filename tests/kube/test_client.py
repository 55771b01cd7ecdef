"""The client's edge: credentials, one request per write, and what each answer becomes."""

import http.server
import json
import socket
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest
import urllib3
import yaml

from shared.errors import AkesoError, UnavailableError
from shared.kube.client import connect
from shared.kube.errors import Conflict, KubeDown, KubeError, NotFound, Refused, Throttled
from shared.settings import Kube as KubeSettings
from shared.settings import Settings

GENERIC = "the server rejected our request due to an error in our request"


class Server:
    """Answers each request with the next prepared (status, body) or, at the end, with the last one again."""

    def __init__(self):
        self.answers = [(200, {"metadata": {}})]
        self.seen = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                outer.seen.append(SimpleNamespace(method=self.command, path=self.path, headers=self.headers, body=body))
                status, reply = outer.answers.pop(0) if len(outer.answers) > 1 else outer.answers[0]
                if status == "close":
                    self.close_connection = True
                    return
                if status == "hang":
                    outer.released.wait(2)
                    self.close_connection = True
                    return
                data = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                if status in {301, 302, 307}:
                    self.send_header("Location", "/elsewhere")
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PATCH = answer  # noqa: N815 - the base class's names

            def log_message(self, *args):
                pass

        self.released = threading.Event()
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_port}"


@pytest.fixture
def server():
    server = Server()
    yield server
    server.released.set()
    server.http.shutdown()
    server.http.server_close()


def kubeconfig(path, url, **user):
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "c",
                "clusters": [{"name": "c", "cluster": {"server": url}}],
                "users": [{"name": "u", "user": user}],
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            }
        )
    )
    return Settings(kube=KubeSettings(kubeconfig=str(path), timeout_ms=150))


@pytest.fixture
def to(server, tmp_path):
    return connect(kubeconfig(tmp_path / "config", server.url, token="s3cret"), "akeso/test")


def patch(to, form="json"):
    body = [{"op": "test", "path": "/a", "value": 1}] if form == "json" else {"a": 1}
    return to.patch("Deployment", "shop", "web", body, form=form, field_manager="akeso-x")


def evict(to):
    to.evict("shop", "p", uid="u", resource_version="7", annotations={"a": "b"})


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

    def test_nothing_is_asked_but_what_was_asked_for(self, to, server):
        to.get("Deployment", "shop", "web")

        assert [(s.method, s.path) for s in server.seen] == [
            ("GET", "/apis/apps/v1/namespaces/shop/deployments/web"),
        ]

    def test_a_list_is_bounded_and_selected(self, to, server):
        server.answers = [(200, {"items": [{"n": 1}, {"n": 2}, {"n": 3}]})]

        assert to.list("Pod", "shop", labels="a in (b,c),d=e", limit=2) == [{"n": 1}, {"n": 2}]
        assert server.seen[0].path == "/api/v1/namespaces/shop/pods?limit=2&labelSelector=a%20in%20%28b%2Cc%29%2Cd%3De"

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

    def test_when_to_come_back_is_handed_on(self, to, server):
        server.answers = [(429, {"details": {"retryAfterSeconds": 3}})]

        with pytest.raises(Throttled) as caught:
            patch(to)

        assert caught.value.retry_after_s == 3

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


class TestNoAnswer:
    def test_a_read_that_hangs_ends_as_down_after_one_timeout(self, to, server):
        server.answers = [("hang", None)]

        with pytest.raises(KubeDown) as caught:
            to.get("Pod", "shop", "p")

        assert len(server.seen) == 1
        assert isinstance(caught.value.__cause__, urllib3.exceptions.TimeoutError)

    def test_a_write_that_hangs_is_sent_once_and_left_unclear(self, to, server):
        server.answers = [("hang", None)]

        with pytest.raises(KubeDown) as caught:
            patch(to)

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

    @pytest.mark.parametrize("status", [401, 403, 501])
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


class TestCredentials:
    def test_an_ambient_kubeconfig_is_a_trap_that_nobody_steps_into(self, server, tmp_path, monkeypatch):
        trap = tmp_path / "home" / ".kube"
        trap.mkdir(parents=True)
        kubeconfig(trap / "config", server.url, token="t")
        monkeypatch.setenv("KUBECONFIG", str(trap / "config"))
        monkeypatch.setenv("HOME", str(trap.parent))
        monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)

        # The package reads KUBECONFIG when it is imported, so a new process is the honest test.
        code = (
            "from shared.kube.client import connect; from shared.kube.errors import KubeDown\n"
            "from shared.settings import Settings\n"
            "try: connect(Settings(), 'akeso/test').get('Pod', 'shop', 'p')\n"
            "except KubeDown as error: print(error.reason)"
        )
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

        assert run.stdout == "kube-credentials\n"
        assert server.seen == []

    def test_the_named_file_wins_over_the_ambient_one(self, server, tmp_path, monkeypatch):
        kubeconfig(tmp_path / "trap", "http://127.0.0.1:1", token="t")
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "trap"))

        connect(kubeconfig(tmp_path / "config", server.url, token="mine"), "a").get("Pod", "shop", "p")

        assert server.seen[0].headers["Authorization"] == "Bearer mine"

    @pytest.mark.parametrize("text", ["", "{", "[]", "a: b", "current-context: x\ncontexts: 3", "\x00"])
    def test_a_file_that_is_no_kubeconfig_is_said_in_one_line(self, tmp_path, text):
        (tmp_path / "config").write_text(text)

        with pytest.raises(KubeDown) as caught:
            connect(Settings(kube=KubeSettings(kubeconfig=str(tmp_path / "config"))), "a")

        assert caught.value.reason == "kube-credentials"
        assert str(tmp_path / "config") in str(caught.value)

    def test_a_file_that_is_not_there_is_said_in_one_line(self, tmp_path):
        with pytest.raises(KubeDown, match="absent"):
            connect(Settings(kube=KubeSettings(kubeconfig=str(tmp_path / "absent"))), "a")

    def test_a_proxy_is_not_asked_for_this_machines_loopback(self, server, tmp_path, monkeypatch):
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)

        connect(kubeconfig(tmp_path / "config", server.url, token="t"), "a").get("Pod", "shop", "p")

        assert len(server.seen) == 1


def test_no_typed_api_class_is_ever_imported():
    code = (
        "import sys, shared.kube.write, shared.kube.facts, shared.kube.scope\n"
        "print([m for m in sys.modules if m.startswith(('kubernetes.client.api.', 'kubernetes.client.models.'))])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert run.stdout == "[]\n"
