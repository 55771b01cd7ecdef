"""Logs that nobody has written, and the events of one object."""

from tests.cluster.requests.bodies import pod
from tests.cluster.requests.told import story
from tests.cluster.side import Side


@story
def logs_without_a_container(side: Side) -> None:
    two = [{"name": "a", "image": "x"}, {"name": "b", "image": "x"}]
    side("POST", side.at("pods"), pod(containers=two, schedulerName="nobody"), quiet=True)
    side("POST", side.at("pods"), pod("lost", nodeName=side.no_node), quiet=True)
    log = side.at("pods", "p", "log")
    side("GET", log)
    for query in (
        {"container": "nope"}, {"tailLines": "-1"}, {"limitBytes": "0"}, {"tailLines": "-1", "limitBytes": "-1"},
        {"tailLines": "many"}, {"container": "nope", "limitBytes": "0"},
    ):  # fmt: skip
        side("GET", log, **query)
    side("GET", log, container="a")
    side("GET", log, container="a", previous="true", tailLines="0", limitBytes="1")
    side("GET", side.at("pods", "lost", "log"))
    side("GET", side.at("pods", "nothing", "log"), container="a")
    side("POST", log, {})
    side("GET", side.at("deployments", "p", "log"))
    side("GET", side.at("configmaps", "p", "log"))


@story
def events_of_one_object(side: Side) -> None:
    for name, uid in (("a", "one"), ("b", "two"), ("c", "one"), ("d", "one")):
        about = {"kind": "Pod", "namespace": side.namespace, "name": "p", "uid": uid}
        side("POST", side.at("events"), {"metadata": {"name": name}, "involvedObject": about}, quiet=True)
    path = side.at("events")
    for asked in ("one", "two", "three"):
        side.named("GET", path, fieldSelector=f"involvedObject.uid={asked}")
    side.named("GET", path, fieldSelector="involvedObject.uid==one")
    first = side.named("GET", path, fieldSelector="involvedObject.uid=one", limit="2")
    side.named("GET", path, fieldSelector="involvedObject.uid=one", limit="2", **{
        "continue": first["metadata"].get("continue", "")})  # fmt: skip
    side.named("GET", path, fieldSelector="")
