"""Where a credential comes from, that it really is sent, and what happens when the server believes it no more.

The files that a kubelet lays into a pod stand elsewhere here; nothing else about a pod's credentials is made up.
"""

import datetime as dt
import json
import logging
import subprocess
import sys
import textwrap
import traceback
from types import SimpleNamespace

import pytest
from kubernetes.config import incluster_config

from shared.kube.client import connect
from shared.kube.errors import KubeDown, KubeError
from shared.settings import Kube as KubeSettings
from shared.settings import Settings
from tests.kube.cold import run as a_cold_run
from tests.kube.scripted import PATIENT_MS, TIMEOUT_MS, Authority, Server, kubeconfig

IN_A_POD = Settings(kube=KubeSettings(timeout_ms=PATIENT_MS))
SECRET = "s3cr3t-t0k3n"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("pki") / "ours")


@pytest.fixture
def plain():
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def secure(authority):
    server = Server(authority)
    yield server
    server.stop()


@pytest.fixture
def pod(secure, authority, tmp_path, monkeypatch):
    """The token's file, in a process that takes itself for a pod of the secure server's cluster."""
    token = tmp_path / "token"
    token.write_text("first")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(authority.ca))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(secure.port))
    return token


def patience(settings, ms=PATIENT_MS):
    """The same settings for what shakes hands before it asks."""
    return settings.model_copy(update={"kube": settings.kube.model_copy(update={"timeout_ms": ms})})


def write(to):
    to.patch("Pod", "shop", "p", {}, form="merge", field_manager="akeso-x")


@pytest.mark.usefixtures("pod")
class TestInAPod:
    def test_the_accounts_token_is_sent_to_the_server_that_the_accounts_ca_vouches_for(self, secure):
        connect(IN_A_POD, "a").get("Pod", "shop", "p")

        assert secure.bearers() == ["bearer first"]

    def test_a_server_that_another_ca_vouches_for_hears_nothing(self, secure, tmp_path, monkeypatch):
        other = Authority(tmp_path / "other")
        monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(other.ca))

        with pytest.raises(KubeDown, match="certificate verify failed"):
            connect(IN_A_POD, "a").get("Pod", "shop", "p")

        assert secure.seen == []

    def test_a_token_that_is_refused_is_read_again_for_a_read(self, pod, secure):
        to = connect(IN_A_POD, "a")
        to.get("Pod", "shop", "p")
        pod.write_text("second")
        secure.tokens = {"second"}

        assert to.get("Pod", "shop", "p") == {"metadata": {}}
        assert secure.bearers() == ["bearer first", "bearer first", "bearer second"]

    def test_and_only_once(self, secure):
        secure.tokens = set()

        with pytest.raises(KubeDown) as caught:
            connect(IN_A_POD, "a").get("Pod", "shop", "p")

        assert caught.value.status == 401
        assert len(secure.seen) == 2

    def test_a_refused_write_is_not_repeated_but_the_next_request_has_the_new_token(self, pod, secure):
        to = connect(IN_A_POD, "a")
        pod.write_text("second")
        secure.tokens = {"second"}

        with pytest.raises(KubeDown) as caught:
            write(to)
        write(to)

        assert not caught.value.unclear
        assert secure.bearers() == ["bearer first", "bearer second"]

    def test_a_new_token_is_in_use_after_a_minute_though_the_old_one_still_works(self, pod, secure, monkeypatch):
        to = connect(IN_A_POD, "a")
        pod.write_text("second")
        to.get("Pod", "shop", "p")

        class Later(dt.datetime):
            @classmethod
            def now(cls, tz=None):
                return super().now(tz) + dt.timedelta(seconds=61)

        monkeypatch.setattr(incluster_config, "datetime", SimpleNamespace(datetime=Later, timedelta=dt.timedelta))
        to.get("Pod", "shop", "p")

        assert secure.bearers() == ["bearer first", "bearer second"]

    @pytest.mark.parametrize("refused", [False, True])
    def test_a_token_that_is_gone_when_it_is_looked_for_is_said_and_nothing_sent(self, pod, secure, refused):
        secure.tokens = set()
        if refused:
            to = connect(IN_A_POD, "a")
        pod.unlink()

        with pytest.raises(KubeDown) as caught:
            to.get("Pod", "shop", "p") if refused else connect(IN_A_POD, "a")

        assert caught.value.reason == "kube-credentials"
        assert len(secure.seen) == refused

    def test_a_newline_at_the_end_of_the_file_is_no_part_of_the_token(self, pod, secure):
        pod.write_text("first\n")

        connect(IN_A_POD, "a").get("Pod", "shop", "p")

        assert secure.bearers() == ["bearer first"]


class TestKubeconfig:
    def test_a_token(self, plain, tmp_path):
        connect(kubeconfig(tmp_path / "c", plain.url, token="mine"), "a").get("Pod", "shop", "p")

        assert plain.bearers() == ["Bearer mine"]

    def test_a_file_with_a_token_which_is_read_again_when_it_is_refused(self, plain, tmp_path):
        (tmp_path / "token").write_text("first\n")
        to = connect(kubeconfig(tmp_path / "c", plain.url, tokenFile="token"), "a")
        to.get("Pod", "shop", "p")
        (tmp_path / "token").write_text("second\n")
        plain.tokens = {"second"}

        to.get("Pod", "shop", "p")

        assert plain.bearers() == ["Bearer first", "Bearer first", "Bearer second"]

    def test_a_client_certificate(self, secure, authority, tmp_path):
        user = {"client-certificate": str(authority.client), "client-key": str(authority.client_key)}
        cluster = {"certificate-authority": str(authority.ca)}
        settings = patience(kubeconfig(tmp_path / "c", secure.url, cluster=cluster, **user))

        connect(settings, "a").get("Pod", "shop", "p")

        assert secure.seen[0].peer["subject"] == ((("commonName", "somebody"),),)

    def test_a_ca_that_did_not_sign_the_server_is_no_reason_to_send_a_token(self, secure, tmp_path):
        cluster = {"certificate-authority": str(Authority(tmp_path / "other").ca)}
        settings = patience(kubeconfig(tmp_path / "c", secure.url, cluster=cluster, token=SECRET))

        with pytest.raises(KubeDown, match="certificate verify failed"):
            connect(settings, "a").get("Pod", "shop", "p")

        assert secure.seen == []

    def test_a_user_without_any_credentials_is_refused_before_anything_is_sent(self, plain, tmp_path):
        with pytest.raises(KubeDown) as caught:
            connect(kubeconfig(tmp_path / "c", plain.url), "a")

        assert caught.value.reason == "kube-credentials"


class TestAPlugin:
    """The `exec` of a kubeconfig: how clouds log in."""

    @pytest.fixture
    def plugin(self, tmp_path):
        """Writes a plugin that answers with the n-th of these statuses when it is run for the n-th time."""

        def make(*statuses, code=0):
            said = [
                {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}
                for status in statuses
            ]
            (tmp_path / "said.json").write_text(json.dumps(said))
            (tmp_path / "plugin.py").write_text(
                textwrap.dedent(f"""
                import json, pathlib, sys
                here = pathlib.Path({str(tmp_path)!r})
                with (here / "runs").open("a") as runs:
                    runs.write("x")
                said = json.loads((here / "said.json").read_text())
                print(json.dumps(said[min(len((here / "runs").read_text()), len(said)) - 1]))
                sys.exit({code})
                """)
            )
            return {
                "apiVersion": "client.authentication.k8s.io/v1",
                "command": sys.executable,
                "args": [str(tmp_path / "plugin.py")],
            }

        return make

    def test_gives_the_token(self, plugin, plain, tmp_path):
        connect(kubeconfig(tmp_path / "c", plain.url, exec=plugin({"token": "made"})), "a").get("Pod", "shop", "p")

        assert plain.bearers() == ["Bearer made"]

    def test_is_run_again_when_its_token_has_run_out_by_its_own_words(self, plugin, plain, tmp_path):
        first = {"token": "first", "expirationTimestamp": "2020-01-01T00:00:00Z"}
        spec = plugin(first, {"token": "second", "expirationTimestamp": "2999-01-01T00:00:00Z"})

        connect(kubeconfig(tmp_path / "c", plain.url, exec=spec), "a").get("Pod", "shop", "p")

        assert plain.bearers() == ["Bearer second"]

    def test_is_run_again_when_its_token_is_refused(self, plugin, plain, tmp_path):
        plain.tokens = {"second"}
        settings = kubeconfig(tmp_path / "c", plain.url, exec=plugin({"token": "first"}, {"token": "second"}))

        connect(settings, "a").get("Pod", "shop", "p")

        assert plain.bearers() == ["Bearer first", "Bearer second"]

    def test_gives_a_certificate_that_is_asked_for_again_when_it_is_refused(self, plugin, secure, authority, tmp_path):
        def status(name):
            certificate, key = authority.issue(name)
            return {"clientCertificateData": certificate.read_text(), "clientKeyData": key.read_text()}

        secure.answers = [(401, {}), (200, {"kind": "Pod"})]
        cluster = {"certificate-authority": str(authority.ca)}
        spec = plugin(status("first"), status("second"))
        settings = patience(kubeconfig(tmp_path / "c", secure.url, cluster=cluster, exec=spec))

        connect(settings, "a").get("Pod", "shop", "p")

        names = [seen.peer["subject"][0][0][1] for seen in secure.seen]
        assert names == ["first", "second"]

    @pytest.mark.parametrize(("status", "code"), [({}, 0), ({"token": "made"}, 1)])
    def test_that_fails_leaves_nobody_who_could_ask(self, plugin, plain, tmp_path, status, code):
        with pytest.raises(KubeDown) as caught:
            connect(kubeconfig(tmp_path / "c", plain.url, exec=plugin(status, code=code)), "a")

        assert caught.value.reason == "kube-credentials"
        assert plain.seen == []


class TestSources:
    def test_an_ambient_kubeconfig_is_a_trap_that_nobody_steps_into(self, plain, tmp_path, monkeypatch):
        trap = tmp_path / "home" / ".kube"
        trap.mkdir(parents=True)
        kubeconfig(trap / "config", plain.url, token="t")
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
        assert plain.seen == []

    def test_the_named_file_wins_over_the_ambient_one(self, plain, tmp_path, monkeypatch):
        kubeconfig(tmp_path / "trap", "http://127.0.0.1:1", token="t")
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "trap"))

        connect(kubeconfig(tmp_path / "config", plain.url, token="mine"), "a").get("Pod", "shop", "p")

        assert plain.seen[0].headers["Authorization"] == "Bearer mine"

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

    def test_a_proxy_is_not_asked_for_this_machines_loopback(self, plain, tmp_path, monkeypatch):
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)

        connect(kubeconfig(tmp_path / "config", plain.url, token="t"), "a").get("Pod", "shop", "p")

        assert len(plain.seen) == 1


class TestTheTokenStaysSecret:
    @pytest.fixture
    def said(self, caplog):
        """All that a log could hold of an error: its text, its traceback, and what libraries said before."""
        caplog.set_level(logging.DEBUG)
        return lambda error: "".join([str(error), *traceback.format_exception(error), caplog.text])

    @pytest.mark.parametrize(
        "answer",
        [("close", None), ("hang", None), *((status, {}) for status in (200, 302, 401, 403, 404, 409, 429, 500))],
        ids=str,
    )
    @pytest.mark.parametrize("act", [write, lambda to: to.list("Pod", "shop")], ids=["write", "read"])
    def test_whatever_the_server_does(self, plain, tmp_path, said, answer, act):
        plain.answers = [answer if answer[0] != 200 else (200, b"not the API")]
        ms = TIMEOUT_MS if answer[0] == "hang" else PATIENT_MS
        to = connect(kubeconfig(tmp_path / "c", plain.url, token=SECRET, timeout_ms=ms), "a")

        with pytest.raises(KubeError) as caught:
            act(to)

        assert plain.bearers()[0] == f"Bearer {SECRET}"
        assert SECRET not in said(caught.value)

    @pytest.mark.parametrize("end", ["\nX-Evil: 1", "\x00", "\u20ac"], ids=["two lines", "zero", "not ASCII"])
    def test_even_when_it_cannot_be_sent(self, pod, secure, said, end):
        pod.write_text(SECRET + end)
        to = connect(IN_A_POD, "a")

        with pytest.raises(KubeDown) as caught:
            to.get("Pod", "shop", "p")

        assert caught.value.reason == "kube-credentials"
        assert SECRET not in said(caught.value)
        assert secure.seen == []

    @pytest.mark.parametrize("text", ["token: {0}\n  :", '{{"users": "{0}', "[{0}, ]: {0}: {0}", "\t{0}"])
    def test_even_when_the_file_is_broken(self, tmp_path, said, text):
        (tmp_path / "c").write_text(text.format(SECRET))

        with pytest.raises(KubeDown) as caught:
            connect(Settings(kube=KubeSettings(kubeconfig=str(tmp_path / "c"))), "a")

        assert SECRET not in said(caught.value)


class TestAColdExecutor:
    @pytest.fixture
    def cold(self, pod, secure, authority, tmp_path):
        web = {"metadata": {"name": "web", "uid": "u", "resourceVersion": "7"}}
        secure.answers = [(200, {**web, "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}}})]
        return a_cold_run(tmp_path, token=pod, ca=authority.ca, port=secure.port, namespace="shop", name="web")

    def test_asks_for_no_discovery(self, cold, secure):
        assert [request.path for request in secure.seen] == [path for _, path in cold.requests]
        assert cold.requests[0] == ("GET", "/apis/apps/v1/namespaces/shop/deployments/web")
        assert [path for _, path in cold.requests if "/namespaces/" not in path] == []

    def test_writes_nothing_to_disk_so_that_it_may_be_read_only(self, cold):
        assert cold.written == []

    @pytest.mark.usefixtures("cold")
    def test_names_the_action_to_the_server(self, secure):
        assert {seen.headers["User-Agent"] for seen in secure.seen} == {"akeso-executor-grow"}
