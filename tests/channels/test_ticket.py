import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.channels import MAX_LINE, MAX_LINES, Ticket, find, line, names
from shared.errors import MalformedError


class TestTicket:
    def test_its_correlation_id_is_the_incident(self):
        assert Ticket(incident="i-1", title="x").correlation_id == "i-1"

    def test_texts_lose_secrets(self):
        ticket = Ticket(
            incident="i-1",
            title="db redis://:hunter2@db",
            scope="password=hunter2",
            reasons=("token: hunter2",),
            timeline=("Bearer hunter2hunter2",),
            commands=("curl --token hunter2",),
        )
        assert "hunter2" not in ticket.model_dump_json()

    def test_texts_are_one_printable_line(self):
        assert line("a\nb\x00c\x1b[2J\u202ed\ud800 e") == "a b c [2J d e"

    def test_long_texts_are_cut_and_not_refused(self):
        ticket = Ticket(incident="i-1", title="x " * 10_000)
        assert len(ticket.title) == MAX_LINE
        assert ticket.title.endswith("…")

    def test_long_lists_keep_the_first_reasons_and_the_last_of_the_timeline(self):
        many = [str(n) for n in range(100)]
        ticket = Ticket(incident="i-1", title="x", reasons=many, timeline=many, commands=many)

        assert ticket.reasons == (*many[:49], "and 51 more")
        assert ticket.timeline == ("51 earlier", *many[51:])
        assert len(ticket.commands) == MAX_LINES

    def test_full_lists_stay_whole(self):
        full = tuple(str(n) for n in range(MAX_LINES))
        ticket = Ticket(incident="i-1", title="x", reasons=full, timeline=full)
        assert ticket.reasons == ticket.timeline == full

    @given(st.text(min_size=1, max_size=50), st.text(), st.lists(st.text()))
    def test_any_text_makes_a_ticket_that_stays_the_same_when_read_again(self, incident, text, texts):
        try:
            incident.encode()
        except UnicodeEncodeError:
            return
        ticket = Ticket(incident=incident, title=text, reasons=texts, timeline=texts)
        assert Ticket.model_validate_json(ticket.model_dump_json()) == ticket

    @pytest.mark.parametrize("incident", ["", "x" * 201])
    def test_without_an_incident_there_is_none(self, incident):
        with pytest.raises(ValidationError):
            Ticket(incident=incident, title="x")


class TestFind:
    def test_finds_every_file_that_makes_a_channel_and_no_other(self):
        assert {"console", "webhook"} <= set(names())
        assert "deliver" not in names()
        assert all(callable(find(name)) for name in names())

    @pytest.mark.parametrize("name", ["pager", "", "__init__", "../errors", "webhook.py", "x" * 1000])
    def test_one_that_does_not_exist_is_refused_with_those_that_do(self, name):
        with pytest.raises(MalformedError) as caught:
            find(name)
        assert caught.value.reason == "unknown-channel"
        assert "there are: " + ", ".join(names()) in str(caught.value)
        assert len(str(caught.value)) < 200
