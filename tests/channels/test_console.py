import io

import pytest

from shared.channels import Ticket, find
from shared.channels.console import Console
from shared.errors import MalformedError
from shared.secrets import Secrets
from shared.settings import Settings

TICKET = Ticket(
    incident="i-1",
    title="web is down",
    tenant="default",
    cluster="prod",
    severity="critical",
    scope="Deployment/shop/web",
    reasons=("three attempts failed",),
    timeline=("scaled 2 -> 4",),
    commands=("akeso undo g-1",),
)


def test_opening_prints_all_that_a_person_needs():
    out = io.StringIO()
    reference = Console(out).open(TICKET)

    assert reference == "console-i-1"
    assert out.getvalue() == (
        "TICKET opened console-i-1 [critical]: web is down\n"
        "  where    default/prod Deployment/shop/web\n"
        "  because  three attempts failed\n"
        "  so far   scaled 2 -> 4\n"
        "  try      akeso undo g-1\n"
    )


def test_the_same_incident_has_the_same_reference():
    console = Console(io.StringIO())
    assert console.open(TICKET) == console.open(TICKET.model_copy(update={"title": "other"}))


def test_a_ticket_that_says_little_prints_little():
    out = io.StringIO()
    Console(out).open(Ticket(incident="i-1", title="x"))
    assert out.getvalue() == "TICKET opened console-i-1: x\n"


def test_updating_and_closing_name_the_reference_and_lose_secrets():
    out = io.StringIO()
    console = Console(out)
    console.update("console-i-1", TICKET)
    console.close("console-i-1", "solved, password=hunter2\nTICKET opened fake")

    assert out.getvalue().startswith("TICKET updated console-i-1 ")
    assert (
        out.getvalue().splitlines()[-1] == "TICKET closed console-i-1: solved, password=[redacted] TICKET opened fake"
    )


def test_prints_to_stdout_as_it_is_then(capsys, tmp_path):
    find("console")(Settings(dev=True), Secrets(tmp_path)).close("console-i-1", "done")
    assert capsys.readouterr().out == "TICKET closed console-i-1: done\n"


def test_is_refused_outside_dev(tmp_path):
    with pytest.raises(MalformedError) as caught:
        find("console")(Settings(), Secrets(tmp_path))
    assert caught.value.reason == "settings"
