"""A fresh executor process that takes itself for a pod: what it asks the API server and what it writes to disk.

It reads facts of one Deployment and makes one write, by the product's own code.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]


class Cold(NamedTuple):
    requests: list[tuple[str, str]]  # method and path
    written: list[str]


def run(folder, *, token, ca, port, namespace, name, host="127.0.0.1", home="home"):
    environ = {
        "KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": str(port), "AKESO_ACTION": "grow",
        "AKESO_KUBE__NAMESPACE": home, "AKESO_KUBE__TIMEOUT_MS": "20000",
        "HOME": str(folder / "nowhere"), "TMPDIR": str(folder), "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    made = subprocess.run(
        [sys.executable, "-B", __file__, str(token), str(ca), namespace, name],
        env=environ, cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    requests, written = json.loads(made.stdout)
    return Cold([tuple(request) for request in requests], written)


def main(token, ca, namespace, name):
    requests, written = [], []

    def watch(event, args):
        if event == "open":
            path, _, flags = args
            if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) and path != os.devnull:
                written.append(str(path))
        elif event in {"os.mkdir", "os.rename", "os.link", "os.symlink", "os.truncate", "tempfile.mkstemp"}:
            written.append(str(args[0]))
        elif event == "http.client.send" and args[1].split(b"\r\n")[0].endswith(b" HTTP/1.1"):
            requests.append(args[1].decode().split(" ")[:2])

    sys.addaudithook(watch)
    from kubernetes.config import incluster_config

    incluster_config.SERVICE_TOKEN_FILENAME, incluster_config.SERVICE_CERT_FILENAME = token, ca
    from shared.event.here import Here
    from shared.kube import facts, write
    from shared.model.facts import ObjectRef, Scope
    from shared.model.plan import Write

    here = Here("executor")
    scope = Scope(kind="Deployment", namespace=namespace, name=name)
    found = facts.take(here.kube, scope, None, stop_namespace=here.settings.kube.namespace)
    target = ObjectRef(kind="Deployment", namespace=namespace, name=name, uid=found.scope.uid)
    now = found.replicas.desired
    change = Write(verb="patch", target=target, path="/spec/replicas", before=now, after=now + 1)
    version = write.read(here.kube, change).resource_version
    write.apply(
        here.kube, change, mark="g/0", undo=False, field_manager="akeso-grow", resource_version=version, dry_run=False
    )
    print(json.dumps([requests, written]))


if __name__ == "__main__":
    main(*sys.argv[1:])
