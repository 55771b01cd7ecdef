import pytest

from tests.cluster.api import Api


def pytest_collection_modifyitems(items):
    for item in items:
        if "/tests/cluster/" in str(item.path):
            item.add_marker("cluster")


@pytest.fixture(scope="session")
def api(kubeconfig):
    """The real API server, asked as the kubeconfig's user."""
    if kubeconfig is None:
        pytest.skip("no real cluster: make test-cluster brings one up")
    return Api(kubeconfig)
