import json
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from shared.channels import Ticket
from shared.channels.webhook import Webhook
from shared.dev import tickets
from shared.errors import UnavailableError
from shared.secrets import Secrets

TICKET = Ticket(incident="i-1", title="web is down", reasons=("no remedy left",))


@pytest.fixture
def desk(tmp_path):
    with tickets.start(tmp_path / "tickets") as running:
        yield running


@pytest.fixture
def channel(desk, tmp_path):
    return Webhook(desk.url, Secrets(tmp_path), direct=True)


def post(url: str, body: object) -> tuple[int, dict]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = httpx.post(url, content=data, trust_env=False)
    return answer.status_code, answer.json() if answer.text.startswith("{") else {}


class TestTickets:
    def test_are_opened_updated_and_closed_by_the_webhook_channel(self, desk, channel):
        reference = channel.open(TICKET)
        channel.update(reference, TICKET.model_copy(update={"timeline": ("scaled 2 -> 4",)}))
        channel.close(reference, "healed")

        (ticket,) = desk.tickets()
        assert (ticket["reference"], ticket["correlation_id"], ticket["status"]) == (reference, "i-1", "closed")
        assert ticket["content"]["timeline"] == ["scaled 2 -> 4"]
        assert ticket["content"]["text"] == "healed"
        assert [entry["action"] for entry in ticket["history"]] == ["open", "update", "close"]

    def test_are_kept_as_readable_files(self, desk, channel):
        reference = channel.open(TICKET)

        text = (desk.folder / f"{reference}.json").read_text()
        assert json.loads(text) == desk.tickets()[0]
        assert text.startswith('{\n  "reference"')

    def test_are_one_per_incident(self, desk, channel):
        first = channel.open(TICKET)

        assert channel.open(TICKET) == first
        assert channel.open(TICKET.model_copy(update={"incident": "i-2"})) != first
        assert [len(ticket["history"]) for ticket in desk.tickets()] == [1, 1]
        assert desk.posts == 3

    def test_are_one_per_incident_even_when_many_ask_at_once(self, desk, channel):
        with ThreadPoolExecutor(8) as pool:
            references = set(pool.map(lambda _: channel.open(TICKET), range(40)))

        assert len(references) == len(desk.tickets()) == len(list(desk.folder.iterdir())) == 1

    def test_are_opened_again_under_the_same_reference(self, desk, channel):
        first = channel.open(TICKET)
        channel.close(first, "healed")

        channel.update(first, TICKET.model_copy(update={"title": "late word"}))
        assert desk.tickets()[0]["status"] == "closed"
        assert channel.open(TICKET) == first
        assert desk.tickets()[0]["status"] == "open"

    def test_a_repeated_word_adds_nothing_to_the_history(self, desk, channel):
        reference = channel.open(TICKET)
        for _ in range(3):
            channel.update(reference, TICKET)
        channel.close(reference, "x")
        channel.close(reference, "x")

        assert len(desk.tickets()[0]["history"]) == 2

    def test_outlive_the_desk(self, desk, channel, tmp_path):
        reference = channel.open(TICKET)
        desk.stop()
        with tickets.start(desk.folder) as again:
            assert Webhook(again.url, Secrets(tmp_path), direct=True).open(TICKET) == reference
            assert len(again.tickets()) == 1

    def test_a_number_is_never_given_twice_whatever_was_done_to_the_files(self, desk, channel, tmp_path):
        for incident in ("i-1", "i-2", "i-3"):
            channel.open(TICKET.model_copy(update={"incident": incident}))
        desk.stop()
        (desk.folder / "T-00001.json").unlink()
        (desk.folder / "T-00002.json").write_text("[]")
        (desk.folder / "T-00003.json").write_text("{torn")
        (desk.folder / "T-notes.json").write_text("mine")
        with tickets.start(desk.folder) as again:
            assert again.tickets() == []
            assert Webhook(again.url, Secrets(tmp_path), direct=True).open(TICKET) == "T-00004"
        assert (desk.folder / "T-00003.json").read_text() == "{torn"

    def test_that_were_handed_out_are_copies(self, desk, channel):
        channel.open(TICKET)
        desk.tickets()[0]["history"].clear()
        assert len(desk.tickets()[0]["history"]) == 1


class TestOutage:
    def test_down_takes_nothing_until_up(self, desk, channel):
        desk.down()
        with pytest.raises(UnavailableError):
            channel.open(TICKET)
        assert desk.tickets() == []
        desk.up()
        channel.open(TICKET)
        assert len(desk.tickets()) == 1
        assert desk.posts == 2

    def test_a_ticket_that_never_was_is_not_updated(self, channel):
        with pytest.raises(UnavailableError) as caught:
            channel.update("T-99999", TICKET)
        assert caught.value.reason == "ticket-gone"


class TestBadInput:
    @pytest.mark.parametrize(
        "body",
        [
            b"", b"{", b"\xff", b"[" * 100_000, [], "x", {}, {"action": "delete"}, {"action": "open"},
            {"action": "open", "correlation_id": ""}, {"action": "open", "correlation_id": 1}, {"action": ["open"]},
        ],
    )  # fmt: skip
    def test_is_refused(self, desk, body):
        assert post(desk.url, body)[0] == 400
        assert desk.tickets() == []

    @pytest.mark.parametrize("reference", ["../../etc/passwd", "", None, 1, ["T-00001"]])
    def test_a_reference_is_no_path(self, desk, reference):
        assert post(desk.url, {"action": "update", "reference": reference})[0] == 404

    def test_a_correlation_id_is_no_path(self, desk):
        status, answer = post(desk.url, {"action": "open", "correlation_id": "../../x"})
        assert (status, answer) == (201, {"reference": "T-00001"})
        assert [file.name for file in desk.folder.iterdir()] == ["T-00001.json"]

    def test_a_body_over_the_bound_is_refused(self, desk):
        assert post(desk.url, b" " * (tickets.MAX_BODY + 1))[0] == 413


class TestToken:
    def test_is_asked_for(self, tmp_path):
        (tmp_path / "ticket-token").write_text("good")
        with tickets.start(tmp_path / "t", token="good") as desk:
            assert post(desk.url, {"action": "open", "correlation_id": "i"})[0] == 401
            assert Webhook(desk.url, Secrets(tmp_path), direct=True).open(TICKET) == "T-00001"


class TestChanges:
    def test_are_told_with_a_copy_of_the_ticket(self, tmp_path):
        told: list[dict] = []
        with tickets.start(tmp_path / "t", on_change=told.append) as desk:
            channel = Webhook(desk.url, Secrets(tmp_path), direct=True)
            reference = channel.open(TICKET)
            channel.open(TICKET)
            channel.close(reference, "x")

        assert [ticket["status"] for ticket in told] == ["open", "closed"]


class TestRunning:
    def test_a_port_that_is_taken_is_told(self, desk, tmp_path):
        with pytest.raises(UnavailableError) as caught:
            tickets.start(tmp_path / "other", port=desk.port)
        assert caught.value.reason == "tickets-start"

    def test_stop_leaves_no_thread_and_may_be_repeated(self, tmp_path):
        desk = tickets.start(tmp_path)
        desk.stop()
        desk.stop()
        assert "tickets" not in [thread.name for thread in threading.enumerate()]
