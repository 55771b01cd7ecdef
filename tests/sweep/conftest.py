from tests.people.installed import redis

__all__ = ["redis"]
