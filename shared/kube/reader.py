"""One look at a cluster: what two parts of a snapshot ask for is asked once, so that both see the same.

It must not be kept: what it remembers is as old as its first question.
"""

from typing import Any, Protocol

Object = dict[str, Any]


class Reader(Protocol):
    def get(self, kind: str, namespace: str, name: str) -> Object | None: ...

    def list(
        self, kind: str, namespace: str = "", *, labels: str = "", fields: str = "", limit: int = 500
    ) -> list[Object]: ...


class Once:
    """A reader that remembers its answers; errors are not answers."""

    def __init__(self, kube: Reader) -> None:
        self._kube = kube
        self._got: dict[tuple[str, ...], Object | None] = {}
        self._listed: dict[tuple[str, ...], Any] = {}

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        key = (kind, namespace, name)
        if key not in self._got:
            self._got[key] = self._kube.get(*key)
        return self._got[key]

    def list(
        self, kind: str, namespace: str = "", *, labels: str = "", fields: str = "", limit: int = 500
    ) -> list[Object]:
        key = (kind, namespace, labels, fields, str(limit))
        if key not in self._listed:
            self._listed[key] = self._kube.list(kind, namespace, labels=labels, fields=fields, limit=limit)
        found: list[Object] = self._listed[key]
        return found
