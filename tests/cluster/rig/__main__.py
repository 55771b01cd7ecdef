"""`python -m tests.cluster.rig up | test [PYTEST ARGUMENTS] | run COMMAND...`: what the make targets call.

`up` keeps a cluster until Ctrl-C. `test` builds the image, which needs the package registries, and then runs pytest
inside the cluster's network, or, with --on FILE, here against the cluster that FILE names. `run` runs a command here;
`{}` in it becomes the path of a kubeconfig that works here.
"""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import NoReturn

from shared.errors import AkesoError, UnavailableError
from tests.cluster.rig import build, image, needs, plane
from tests.cluster.rig.machine import Machine
from tests.cluster.rig.relay import Relay

_SKIP = "MAY_SKIP"
_IMAGE = "tests/cluster/test_image.py"
_TESTS = ["tests/cluster", "tests/contract/test_actions_live.py", "tests/flows", f"--deselect={_IMAGE}"]


def main(arguments: list[str]) -> int:
    do, rest = arguments[0] if arguments else "", arguments[1:]
    signal.signal(signal.SIGTERM, _end)
    try:
        if do == "up":
            return _up()
        if do == "test":
            return _test(rest)
        if do == "run" and rest:
            return _run(rest)
    except AkesoError as error:
        if error.reason == "cluster-needs" and do == "test" and os.environ.get(_SKIP) == "1":
            print(f"skipped: {error}", flush=True)
            return 0
        print(f"{error}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        return 130
    print(__doc__, file=sys.stderr)
    return 2


def _up() -> int:
    with Machine() as machine, Relay((plane.ADDRESS, plane.PORT), pid=machine.pid) as relay:
        print(f"KUBECONFIG={_outside(machine, relay)}")
        print(f"kubectl:  {machine.folder}/bin/kube kubectl --kubeconfig {machine.folder}/kubeconfig get nodes")
        print(f"product:  .venv/bin/akeso dev --kubeconfig {machine.folder}/kubeconfig")
        print("Ctrl-C ends it", flush=True)
        threading.Event().wait()
    return 0


def _run(command: list[str]) -> int:
    with Machine() as machine, Relay((plane.ADDRESS, plane.PORT), pid=machine.pid) as relay:
        file = str(_outside(machine, relay))
        return subprocess.run([word.replace("{}", file) for word in command], check=False).returncode


def _test(arguments: list[str]) -> int:
    if arguments[:1] == ["--on"]:
        file = Path(arguments[1])
        if not file.is_file():
            print(f"KUBECONFIG={file}: no such file", file=sys.stderr)
            return 2
        print(f"testing on the cluster of {file}, in namespaces akeso-test-* that are removed at the end", flush=True)
        return _pytest([], file, arguments[2:], {})
    needs.check()
    for name in ("kube", "etcd"):
        build.binary(name)
    built = 0 if arguments else _pytest([], None, [_IMAGE], {})
    archive = image.akeso_image(build.cache().parent / "image")
    _simulator()
    with Machine() as machine:
        env = {"AKESO_RIG": str(machine.folder), "AKESO_IMAGE": str(archive)}
        env |= {} if arguments else {"AKESO_WHOLE": "1"}
        return _pytest(machine.enter(), machine.kubeconfig, arguments, env) or built


def _simulator() -> None:
    """Build what simulates nodes while there is a network; the tests that need it skip without."""
    try:
        build.kwok()
    except UnavailableError as error:
        print(f"no simulated nodes: {error}", flush=True)


def _pytest(enter: list[str], kubeconfig: Path | None, arguments: list[str], env: dict[str, str]) -> int:
    on = ["--kubeconfig", str(kubeconfig)] if kubeconfig else []
    command = [*enter, sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *on, *(arguments or _TESTS)]
    return subprocess.run(command, env={**os.environ, **env}, check=False).returncode


def _outside(machine: Machine, relay: Relay) -> Path:
    file = machine.folder / "kubeconfig"
    plane.kubeconfig(machine.folder, "admin", file, server=f"https://{relay.host}:{relay.port}")
    return file


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
