"""Watches."""

from tests.cluster.api import MERGE_PATCH
from tests.cluster.requests.told import story
from tests.cluster.side import Side


@story
def watch(side: Side) -> None:
    path = side.at("configmaps")
    start = side("GET", path, quiet=True, labelSelector="w")["metadata"]["resourceVersion"]
    side("POST", path, {"metadata": {"name": "c", "labels": {"w": "1"}}}, quiet=True)
    side("POST", path, {"metadata": {"name": "other"}}, quiet=True)
    side("PATCH", path + "/c", {"data": {"a": "1"}}, form=MERGE_PATCH, quiet=True)
    side("PATCH", path + "/c", {"data": {"a": "1"}}, form=MERGE_PATCH, quiet=True)
    side("PATCH", path + "/other", {"metadata": {"labels": {"w": "2"}}}, form=MERGE_PATCH, quiet=True)
    side("PATCH", path + "/c", {"metadata": {"labels": {"w": None}}}, form=MERGE_PATCH, quiet=True)
    side("DELETE", path + "/other", quiet=True)
    side.watch(path, 5, resourceVersion=start, labelSelector="w")
    side.watch(path, 1, resourceVersion=start, labelSelector="nothing", timeoutSeconds="1")
    side.watch(path, 1, resourceVersion="x", timeoutSeconds="1")
    side.watch(path, 1, timeoutSeconds="x")
    side.watch(path, 1, resourceVersion=start, labelSelector="w=", timeoutSeconds="1")


@story
def watch_what_is_there_and_what_comes(side: Side) -> None:
    path = side.at("configmaps")
    side("POST", path, {"metadata": {"name": "c", "labels": {"w": "1"}}}, quiet=True)

    def later() -> None:
        side("DELETE", path + "/c", quiet=True)

    side.watch(path, 2, labelSelector="w", meanwhile=later)
    side("POST", path, {"metadata": {"name": "c", "labels": {"w": "1"}}}, quiet=True)
    side.watch(path, 2, labelSelector="w", meanwhile=later, resourceVersion="0")
    side("POST", path, {"metadata": {"name": "c", "labels": {"w": "1"}}}, quiet=True)
    side.watch(path, 2, labelSelector="w", meanwhile=later, watch="1")
