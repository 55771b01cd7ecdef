import socket
import sys

import pytest

from shared.dev.port import HOST, HeldPort


class TestAPortThatIsHeld:
    @pytest.mark.skipif(sys.platform != "linux", reason="only there may two sockets be bound to one address")
    def test_is_given_to_nobody_else_and_may_be_listened_at(self):
        with HeldPort() as held:
            with socket.socket() as other, pytest.raises(OSError, match="in use"):
                other.bind((HOST, held.number))
            with socket.create_server((HOST, held.number)) as listens, socket.create_connection((HOST, held.number)):
                assert listens.accept()

    def test_cannot_be_held_where_somebody_listens(self):
        with socket.create_server((HOST, 0)) as listens, pytest.raises(OSError, match="in use"):
            HeldPort(listens.getsockname()[1])

    def test_is_free_once_it_is_released(self):
        with HeldPort() as held, socket.socket() as other:
            held.release()
            other.bind((HOST, held.number))
