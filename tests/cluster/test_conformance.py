"""The emulated API answers as the real one: every story of `requests` is told to both, and the answers are compared."""

import json
from contextlib import contextmanager

import pytest

from shared.dev.cluster import Cluster
from tests.cluster.api import Api
from tests.cluster.requests import STORIES
from tests.cluster.side import Side

TOKEN = "a-token"


@pytest.fixture
def emulated(tmp_path):
    """The emulator over HTTP, with controllers that act only when a story waits for them."""
    cluster = Cluster(token=TOKEN)
    cluster.pause()
    cluster.start()
    yield cluster, Api(cluster.kubeconfig(tmp_path / "emulated"))
    cluster.stop()


@contextmanager
def home(api):
    """The same empty namespace on both sides, so that names need no normalisation."""
    with api.namespace("akeso-test-conformance") as name:
        yield name


def differences(real, emulated, path=""):
    """Only what differs, a line each: whole objects are too much to read."""
    if isinstance(real, dict) and isinstance(emulated, dict):
        keys = sorted(set(real) | set(emulated))
        return [line for k in keys for line in differences(real.get(k), emulated.get(k), f"{path}.{k}")]
    if isinstance(real, list | tuple) and isinstance(emulated, list | tuple) and len(real) == len(emulated):
        pairs = enumerate(zip(real, emulated, strict=True))
        return [line for at, (one, other) in pairs for line in differences(one, other, f"{path}[{at}]")]
    return [] if real == emulated else [f"    {path}: real {json.dumps(real)}, emulated {json.dumps(emulated)}"]


@pytest.mark.parametrize("name", list(STORIES))
def test_the_emulated_and_the_real_api_server_answer_alike(api, emulated, name):
    cluster, emulated_api = emulated
    with home(api) as namespace:
        real = Side(api, namespace)
        STORIES[name](real)
        cluster.namespace(namespace, {"akeso.dev/test": "true"})
        told = Side(emulated_api, namespace, cluster)
        STORIES[name](told)

    different = [
        "\n".join([asked, *differences(wanted, found)])
        for (asked, wanted), (_, found) in zip(real.answers, told.answers, strict=True)
        if wanted != found
    ]
    assert not different, f"{len(different)} of {len(real.answers)} answers differ:\n" + "\n".join(different)
