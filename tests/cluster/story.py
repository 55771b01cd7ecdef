"""A story on a real cluster of our own: its effects are counted by the API server, its pods die of real causes.

What a workload does is written in its container's script and can be changed by a ConfigMap alone, so that nothing about
a death is acted. It must not judge: what came of it is the test's to look at.
"""

from shared.dev.cluster_budget import is_ready
from shared.kube.kinds import KINDS
from tests.cluster.api import until
from tests.cluster.real import IMAGE
from tests.flows.harness import Scene

FAST = 20.0  # how many times faster than in life the broker's back-off runs
EVICTED = ["patch pods executor-restart-pod", "create pods/eviction executor-restart-pod"]
# A life: serve until ten probes have seen it, then do what the configuration says, and leave a lock behind that lasts
# as long as the pod. What has leaked once finds it a while later, so that its kill can be seen. `tail` keeps in memory
# a line without an end, or as much as it is to print. What has outgrown its limit needs 40 MB from then on and dies of
# that, a moment later, when the runtime has heard of the kill. If it is careful it does so once, and before it tries
# again it reads in its cgroup whether it may have more.
CONFIG = "config=$(cat /etc/app/config)"
_SCRIPT = f"""{CONFIG}
enough() {{ head -c 40000000 /dev/zero | tail -c 40000000 > /dev/null; }}
most() {{ cat /sys/fs/cgroup/memory/memory.limit_in_bytes || cat /sys/fs/cgroup/memory.max; }} 2> /dev/null
killed() {{ sleep 3; exit 1; }}
serve() {{ touch /work/up; trap 'exit 0' TERM; sleep 1000000 & wait; exit; }}
if [ -e /work/lock ]; then
  case $config in
    leaks) exec tail /dev/zero ;;
    leaks-once) [ -e /work/again ] || {{ touch /work/again; sleep 10; }} ;;
    outgrown) enough || killed; serve ;;
    outgrown-careful) until [ "$(most)" -gt 33554432 ]; do sleep 0.5; done; enough || killed; serve ;;
  esac
  echo 'another instance holds /work/lock'; exit 1
fi
touch /work/lock
if [ "$config" = bad ]; then echo 'bad configuration'; exit 1; fi
if [ "$config" = hangs ]; then sleep 1000000; fi
touch /work/up
case $config in fragile | leaks | leaks-once | outgrown*)
  until [ "$(wc -l < /work/probes)" -ge 10 ]; do sleep 0.1; done 2> /dev/null
  rm /work/up
  case $config in
    fragile) exit 1 ;;
    outgrown*) enough || killed ;;
    *) exec tail /dev/zero ;;
  esac
esac
if [ "$config" = fills ]; then sleep 15; dd if=/dev/zero of=/heap bs=1M count=8; fi
serve"""
_PROBE = "test -e /work/up && echo >> /work/probes"


class Story(Scene):
    """A scene whose effects are counted by the API server."""

    def __init__(self, world, keeper):
        super().__init__(world)
        self.keeper, self.api_server, self.gate = keeper, keeper.api, world.cluster.gate
        self._logs = {log: log.stat().st_size for log in self._all_logs()}

    def effects(self, namespace):
        return self.keeper.effects(self.home, namespace)

    def ended(self, namespace, *words, kind="Deployment"):
        """Wait until its incident's audit has one of the words; the incident and that word."""

        def said():
            incident = self.incident(namespace, kind=kind)
            return incident and next(((incident, word) for word in words if word in self.words(incident)), None)

        return self.until(said, lambda: f"none of {words}: {self.words(self.incident(namespace, kind=kind))}")

    def settle_fast(self):
        """Wait until the broker rests, while the lease of a run that got no answer ends before its last try."""
        self.world.pace(FAST)
        self.settle()
        self.world.pace(1)

    def succeeded(self, namespace):
        """Wait for it, minute by minute: what the broker has given up comes again by its `due` entry."""
        self.settle_fast()
        for _ in range(8):
            incident = self.incident(namespace)
            if "succeeded" in self.words(incident):
                return incident
            self.pass_(60)
        raise AssertionError(f"never succeeded: {self.words(self.incident(namespace))}")

    def told(self, incident):
        """Wait until a person has a ticket: after what failed comes a back-off, then nothing that is left to try."""
        for _ in range(15):
            self.pass_(61)
            if found := self.tickets(incident):
                return found[0]
        raise AssertionError(f"nobody was told about {incident}: {self.words(incident)}")

    def skipped_for(self, incident):
        return " | ".join(line.get("text") or "" for word in ("skipped", "failed", "unknown", "stopped")
                          for line in self.lines(incident, word))  # fmt: skip

    def tracebacks(self):
        """What the functions have logged of failures that nobody expected, since this story has begun."""
        texts = [log.read_bytes()[self._logs.get(log, 0) :].decode(errors="replace") for log in self._all_logs()]
        return [line for text in texts for line in text.splitlines() if "Traceback" in line]

    def _all_logs(self):
        return list((self.world.folder / "logs").glob("*.log"))

    def all_words(self, kind, namespace, name="web"):
        """What the audits of all incidents of that scope say."""
        scope = f"{kind}/{namespace}/{name}"
        return [word for one in self.new() if self.record(one).get("scope") == scope for word in self.words(one)]

    # Workloads that die of real causes ------------------------------------------------------------------------------

    def workload(self, namespace, config, kind="Deployment", *, replicas=1, serves=True, container=None, **pod):
        """A workload `web` whose container does what `config` says, and, unless not `serves`, has served once.

        `container` and `pod` replace fields of theirs.
        """
        self.cluster.configmap(namespace, "web", {"config": config})
        places = {"work": "/work", "app": "/etc/app"}
        volumes = [{"name": "work", "emptyDir": {}}, {"name": "app", "configMap": {"name": "web"}}]
        app = {
            "name": "app", "image": IMAGE, "command": ["sh", "-c", _SCRIPT],
            "readinessProbe": {"exec": {"command": ["sh", "-c", _PROBE]}, "periodSeconds": 1, "timeoutSeconds": 10},
            "resources": {"limits": {"memory": "32Mi"}},
            "volumeMounts": [{"name": volume, "mountPath": path} for volume, path in places.items()],
            **(container or {}),
        }  # fmt: skip
        inside = {"containers": [app], "terminationGracePeriodSeconds": 1, "volumes": volumes, **pod}
        spec = {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": inside},
            **({} if kind == "DaemonSet" else {"replicas": replicas}),
            **({"serviceName": "web"} if kind == "StatefulSet" else {}),
        }
        self.cluster.put(kind, namespace, {"apiVersion": KINDS[kind].api, "metadata": {"name": "web"}, "spec": spec})
        if serves:
            until(lambda: self.serves(kind, namespace), f"{kind} {namespace}/web never serves")

    def serves(self, kind, namespace):
        status = self.cluster.get(kind, namespace, "web")["status"]
        return status.get("availableReplicas", 0) or status.get("numberAvailable", 0)

    def configure(self, namespace, config):
        self.cluster.edit("ConfigMap", namespace, "web", {"data": {"config": config}})

    def looping(self, namespace, *, of="CrashLoopBackOff", but=()):
        """Wait until a pod that is not one of `but` waits for that reason; the pod's name."""

        def found():
            names = [pod["metadata"]["name"] for pod in self.on(namespace) if of in map(_waits_for, states(pod))]
            return next((name for name in names if name not in but), None)

        return self.until(found, f"no pod of {namespace} is ever in {of}")

    def look_while_it_waits(self, namespace, pod, *, times=1):
        """Let the next looks be while the kubelet holds the pod back: between two crashes there is no crash loop."""

        def held_back():
            found = self.cluster.get("Pod", namespace, pod)
            return found is None or "CrashLoopBackOff" in map(_waits_for, states(found))

        self.gate.before("Pod", "list", lambda: until(held_back), namespace=namespace, times=times)

    def pods(self, namespace):
        return self.cluster.all("Pod", namespace)

    def names(self, namespace):
        """Of its pods that are not on their way out."""
        return {pod["metadata"]["name"] for pod in self.on(namespace)}

    def on(self, namespace, node="", *, ready=False):
        """Its pods that are not on their way out, on that node if one is given."""
        pods = [pod for pod in self.pods(namespace) if node in {"", pod["spec"].get("nodeName")}]
        live = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
        return [pod for pod in live if not ready or is_ready(pod)]


def states(pod):
    return pod["status"].get("containerStatuses", [])


def _waits_for(state):
    return state["state"].get("waiting", {}).get("reason")
