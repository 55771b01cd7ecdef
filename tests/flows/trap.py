"""A Kubernetes API that nobody may ever ask: what a person's own kubeconfig would lead to."""

import json
import socket
import threading
from pathlib import Path
from typing import Self


class Trap:
    """Listens on loopback and counts who comes. `kubeconfig` names it, and `home` has it as `~/.kube/config`."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.kubeconfig = home / ".kube" / "config"
        self.caught = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        server = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        named = {"name": "trap", "cluster": {"server": server}, "user": {"token": "x"}}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "trap",
            "clusters": [named],
            "users": [named],
        }
        config["contexts"] = [{"name": "trap", "context": {"cluster": "trap", "user": "trap"}}]
        self.kubeconfig.parent.mkdir(parents=True)
        self.kubeconfig.write_text(json.dumps(config))
        threading.Thread(target=self._catch, daemon=True).start()

    def _catch(self) -> None:
        try:
            while True:
                connection, _ = self._socket.accept()
                self.caught += 1
                connection.close()
        except OSError:
            return  # closed

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
