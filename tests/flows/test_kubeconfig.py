"""A real cluster is never touched unasked: `KUBECONFIG` and `~/.kube` are nothing to us."""

import socket
from urllib.parse import urlsplit

import yaml


class TestTheClusterOfThePersonAtThisMachine:
    def test_is_never_asked(self, scene, trap):
        namespace, alert = scene.patient()
        scene.heal(namespace, alert)

        assert scene.replicas(namespace) == 3
        assert trap.caught == 0

    def test_would_have_been_caught(self, trap):
        """The trap itself works: whoever follows `KUBECONFIG` comes to it."""
        config = yaml.safe_load(trap.kubeconfig.read_text())
        address = urlsplit(config["clusters"][0]["cluster"]["server"])
        before = trap.caught

        with socket.create_connection((address.hostname, address.port), timeout=5) as connection:
            assert connection.recv(1) == b""

        assert trap.caught == before + 1
        trap.caught = before
