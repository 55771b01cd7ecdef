import pytest

from tests.event.parts import Receiver


@pytest.fixture
def receiver():
    one = Receiver()
    yield one
    one.stop()
