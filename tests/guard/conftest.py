from tests.people.installed import redis, world

__all__ = ["redis", "world"]
