from tests.kube.conftest import cluster, kube, settings
from tests.people.installed import redis

__all__ = ["cluster", "kube", "redis", "settings"]
