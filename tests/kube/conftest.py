import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

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
def settings(cluster: Cluster, tmp_path: Path) -> Settings:
    return Settings(kube=KubeSettings(kubeconfig=str(cluster.kubeconfig(tmp_path / "config")), timeout_ms=2000))


@pytest.fixture
def kube(settings: Settings) -> Iterator[Kube]:
    kube = connect(settings, "akeso/test")
    yield kube
    kube.close()


@pytest.fixture
def call(cluster):
    """Send one request; answers status and body."""
    cluster.namespace("shop", {"team": "a"})
    cluster.deployment("shop", "web", 2)
    url = cluster._url

    def call(method, path, body=None, *, form="application/json", accept="application/json", token=TOKEN):
        headers = {"Content-Type": form, "Accept": accept, "Authorization": f"Bearer {token}", "User-Agent": "curl/8"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url + path, data, headers, method=method)  # noqa: S310 - loopback
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    return call
