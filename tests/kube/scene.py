"""An emulated cluster's client with what containers wrote and who was told what, for tests of what is taken along."""


class Scene:
    """Answers logs and events from here, all else from the cluster; `asked` is every request in order."""

    def __init__(self, kube):
        self._kube = kube
        self.logs, self.said, self.asked = {}, [], []
        self.broken = {}

    def _ask(self, *what):
        self.asked.append(what)
        for word, error in self.broken.items():
            if word in what or word == "all":
                raise error

    def get(self, kind, namespace, name):
        self._ask("get", kind, name)
        return self._kube.get(kind, namespace, name)

    def list(self, kind, namespace="", **more):
        self._ask("list", kind, namespace)
        return self._kube.list(kind, namespace, **more)

    def events(self, namespace, *, uid, limit):
        self._ask("events", namespace, uid)
        return [one for one in self.said if one["involvedObject"]["uid"] == uid][:limit]

    def log(self, namespace, pod, container, *, previous, tail_lines, limit_bytes):
        self._ask("log", namespace, pod, container, previous)
        text = self.logs.get((container, previous), "")
        kept = "".join(line + "\n" for line in text.split("\n")[-tail_lines:])
        return kept.encode()[:limit_bytes].decode(errors="replace")

    def event(self, uid, reason, message, *, kind="Warning", name="web", at="2026-01-01T00:00:00Z", count=1):
        self.said.append({
            "type": kind, "reason": reason, "message": message, "count": count, "lastTimestamp": at,
            "involvedObject": {"kind": "Pod", "name": name, "uid": uid},
        })  # fmt: skip
