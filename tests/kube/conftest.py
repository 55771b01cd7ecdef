import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared import clock
from shared.dev.cluster import Cluster
from shared.kube.client import Kube, connect
from shared.settings import Kube as KubeSettings
from shared.settings import Settings

TOKEN = "a-token"


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """An emulated cluster whose controllers stand still unless the test lets them act."""
    cluster = Cluster(token=TOKEN)
    cluster.pause()
    cluster.start()
    yield cluster
    cluster.stop()


@pytest.fixture
def advance(tmp_path, monkeypatch, cluster):
    """Simulated time that stands still; `advance(seconds)` moves it and lets the controllers act."""
    file = tmp_path / "clock.json"
    clock.simulate(file, speed=0)
    monkeypatch.setenv("AKESO_CLOCK_FILE", str(file))

    def advance(seconds=0.0):
        clock.simulate(file, advance_ms=int(seconds * 1000))
        cluster.tick()

    return advance


@pytest.fixture
def settings(cluster: Cluster, tmp_path: Path) -> Settings:
    return Settings(kube=KubeSettings(kubeconfig=str(cluster.kubeconfig(tmp_path / "config")), timeout_ms=20_000))


@pytest.fixture
def kube(settings: Settings) -> Iterator[Kube]:
    kube = connect(settings, "akeso/test")
    yield kube
    kube.close()


@pytest.fixture
def call(cluster, send):
    """`send`, where there is a Deployment to send something about."""
    cluster.namespace("shop", {"team": "a"})
    cluster.deployment("shop", "web", 2)
    return send


@pytest.fixture
def send(cluster):
    """Send one request; answers status and body."""
    url = cluster._url

    def send(method, path, body=None, *, form="application/json", accept="application/json", token=TOKEN):
        headers = {"Content-Type": form, "Accept": accept, "Authorization": f"Bearer {token}", "User-Agent": "curl/8"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url + path, data, headers, method=method)  # noqa: S310 - loopback
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    return send
