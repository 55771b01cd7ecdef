"""What a storm is measured with: how AlertManager sends a large group, and how much memory the functions have taken."""

import time
from pathlib import Path
from typing import Any

from tests.flows.harness import Scene


def send(scene: Scene, body: Any) -> list[int]:
    """Post the group again and again while it is answered 503, as AlertManager does; the answers."""
    statuses: list[int] = []
    for _ in range(60):
        statuses.append(scene.post(body))
        if statuses[-1] != 503:
            break
        time.sleep(0.2)
        scene.world.advance(5)
    return statuses


def memory_mb(scene: Scene) -> dict[str, int]:
    """Largest resident set that a process of each running service has ever had."""
    seen: dict[str, int] = {}
    for name, group_id in scene.world.functions.pids().items():
        for pid in _of_group(group_id):
            lines = dict(line.partition(":")[::2] for line in _status(pid).splitlines())
            seen[name] = max(seen.get(name, 0), int(lines.get("VmHWM", "0 kB").split()[0]) // 1024)
    return seen


def _of_group(group_id: int) -> list[str]:
    return [
        entry.name for entry in Path("/proc").iterdir() if entry.name.isdigit() and _stat(entry)[2:3] == [str(group_id)]
    ]


def _stat(entry: Path) -> list[str]:
    try:
        return (entry / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _status(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return ""
