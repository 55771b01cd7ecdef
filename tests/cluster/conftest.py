import os
from pathlib import Path

import pytest

from shared.action.catalogue import Catalogue
from tests.cluster.api import Api
from tests.cluster.keeper import Keeper
from tests.cluster.rig.image import IMAGE
from tests.cluster.story import FAST, Story
from tests.flows.harness import a_world


def pytest_collection_modifyitems(items):
    for item in items:
        if "/tests/cluster/" in str(item.path):
            item.add_marker("cluster")


def pytest_sessionfinish(session):
    """A page that says *real workload* names the test that shows it; in a run of the whole tier it must have passed."""
    if "AKESO_WHOLE" not in os.environ or session.exitstatus:
        return
    reports = session.config.pluginmanager.get_plugin("terminalreporter").stats.get("passed", [])
    passed = {report.nodeid for report in reports}
    unproven = {
        one.name: one.proved_by for one in Catalogue.home().all() if one.proved_by and one.proved_by not in passed
    }
    if unproven:
        print(f"proofs that did not run and pass: {unproven}")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def api(kubeconfig):
    """The real API server, asked as the kubeconfig's user."""
    if kubeconfig is None:
        pytest.skip("no real cluster: make test-cluster brings one up")
    return Api(kubeconfig)


@pytest.fixture(scope="session")
def keeper(api):
    """Control over a cluster that was made for these tests: its programs, nodes and audit log."""
    if "AKESO_RIG" not in os.environ:
        pytest.skip("only on a cluster that make test-cluster has made")
    return Keeper(Path(os.environ["AKESO_RIG"]), api)


@pytest.fixture(scope="module")
def real_world(api, kubeconfig, tmp_path_factory):
    """The product on the real cluster, each function under its own account; time runs as in life between moves."""
    with a_world(tmp_path_factory.mktemp("real") / "world", kubeconfig=kubeconfig, speed=FAST, image=IMAGE) as world:
        world.pace(1)
        yield world


@pytest.fixture
def story(real_world, keeper):
    real_world.advance(301)  # what the last one has cooled down from
    story = Story(real_world, keeper)
    yield story
    story.gate._hooks.clear()
    keeper.ensure("apiserver")
    keeper.ensure("kubelet-n2")
    story.end()


@pytest.fixture
def nothing_broke(story):
    """No function has logged, since the story has begun, what nobody expected."""
    yield
    assert story.tracebacks() == []
