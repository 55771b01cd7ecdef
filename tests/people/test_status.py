"""Numbers that the transitions wrote, and whether the record of an incident still holds."""

import pytest

from shared.errors import UnavailableError
from shared.event.here import Here
from shared.guard import keys
from shared.state.due import DUE


class TestStatus:
    def test_a_healed_incident_is_counted(self, world):
        world.heal()
        said = world.ok("GET", "v1/status")
        assert said["mode"] == "run"
        assert said["epoch_ok"] is True
        assert len(said["policy"]) == 12
        assert (said["incidents_open"], said["attempts"], said["writes"]) == (1, 1, 1)
        assert said["due"].keys() == DUE.keys()
        assert (said["due"]["soak"], said["due"]["incident"], said["due"]["retry"]) == (1, 1, 0)

    def test_what_observe_would_have_done(self, world):
        world.autonomy("observe")
        world.heal()
        said = world.ok("GET", "v1/status")
        assert (said["would_have_done"], said["writes"], said["attempts"]) == (1, 0, 0)

    def test_an_empty_redis_is_not_called_sound(self, world):
        world.here.state.store.read("FLUSHALL")
        said = world.ok("GET", "v1/status")
        assert (said["epoch_ok"], said["mode"], said["alerts_received"]) == (False, "unknown", 0)

    def test_without_redis_there_are_no_numbers(self, world, monkeypatch):
        monkeypatch.setenv("AKESO_REDIS__URL", "redis://127.0.0.1:1/0")
        world.here = Here("api")
        with pytest.raises(UnavailableError) as gone:
            world.ask("GET", "v1/status")
        assert gone.value.reason == "redis"


class TestMetrics:
    def page(self, world):
        status, page = world.ask("GET", "metrics")
        assert status == 200
        return page.decode().splitlines()

    def test_counters_and_gauges_stand_on_one_page(self, world):
        world.heal()
        page = self.page(world)
        assert "akeso_writes_total 1.0" in page
        assert "akeso_incidents_open 1.0" in page
        assert 'akeso_due{kind="soak"} 1.0' in page
        assert 'akeso_due{kind="hold"} 0.0' in page
        assert 'akeso_stop_mode{mode="run"} 1.0' in page

    def test_every_family_is_told_once(self, world):
        world.heal()
        families = [line.split()[2] for line in self.page(world) if line.startswith("# TYPE")]
        assert len(families) == len(set(families))

    def test_the_mode_moves(self, world):
        world.ok("POST", "v1/stop", {"mode": "freeze", "reason": "r", "by": "ada"})
        page = self.page(world)
        assert 'akeso_stop_mode{mode="run"} 0.0' in page
        assert 'akeso_stop_mode{mode="freeze"} 1.0' in page


class TestTimeline:
    def test_incidents_are_listed_the_newest_first(self, world):
        first = world.heal()
        second = world.drive(world.alert(name="KubePodNotReady", namespace="nowhere"))[0].incident
        listed = world.ok("GET", "v1/incidents")
        assert [one["id"] for one in listed["incidents"]] == [second, first]
        assert listed["incidents"][1]["scope"] == "Deployment/shop/checkout"
        assert listed["more"] is False

    def test_one_tells_its_way(self, world):
        incident = world.heal()
        seen = world.ok("GET", f"v1/incidents/{incident}")
        assert [record["what"] for record in seen["audit"]] == ["opened", "approved", "begun", "succeeded"]
        assert seen["audit"][3]["after"]["writes"][0]["after"] == 3
        assert seen["audit"][0]["at"].endswith("Z")
        assert (seen["verdict"], seen["links_ok"], seen["state"]) == ("", True, "open")
        (attempt,) = seen["attempts"]
        assert (attempt["action"], attempt["outcome"], attempt["undo"]) == (
            "scale_deployment", "succeeded", f"akeso undo {attempt['id']}",
        )  # fmt: skip

    def test_it_is_found_by_its_full_name_too(self, world):
        incident = world.heal()
        assert world.ok("GET", f"v1/incidents/default/default/{incident}")["id"] == incident
        assert world.ask("GET", f"v1/incidents/default/elsewhere/{incident}")[0] == 404

    @pytest.mark.parametrize("healthy", [True, False])
    def test_the_verdict_is_the_audits(self, world, healthy):
        incident = world.heal()
        attempt = world.ok("GET", f"v1/incidents/{incident}")["attempts"][0]["id"]
        world.here.state.take(
            world.cause("intake"), alerts=[{"ledger": "w", "watchdog": True, "event": "e"}], taken=[], lease=1000
        )
        world.drive(world.alert(status="resolved"))
        world.here.state.settle(
            world.cause("verifier"), "verdict", attempt=attempt, known=True, healthy=healthy, worse=False,
            patience=0, again=1000,
        )  # fmt: skip
        seen = world.ok("GET", f"v1/incidents/{incident}")
        assert seen["verdict"] == ("verified" if healthy else "ineffective")
        assert seen["state"] == "closed"

    def test_a_closed_one_is_still_found(self, world):
        incident = world.drive(world.alert(name="KubePodNotReady", namespace="nowhere"))[0].incident
        world.drive(world.alert(name="KubePodNotReady", namespace="nowhere", status="resolved"))
        assert world.ok("GET", "v1/status")["incidents_open"] == 0
        assert world.ok("GET", f"v1/incidents/{incident}")["closed_how"] == "resolved"

    def test_an_unknown_one_is_404(self, world):
        assert world.ask("GET", "v1/incidents/inc-0000000000000000")[0] == 404


class TestRecord:
    def edit(self, world, incident, change):
        key = f"{{akeso}}:default:default:audit:{incident}"
        line = world.here.state.store.read("LINDEX", key, 1)
        world.here.state.store.read("LSET", key, 1, change(line))

    def test_an_edited_line_breaks_it(self, world):
        incident = world.heal()
        self.edit(world, incident, lambda line: line.replace("scale_deployment", "notify_only"))
        seen = world.ok("GET", f"v1/incidents/{incident}")
        assert (seen["links_ok"], seen["seals"]["why"], seen["seals"]["index"]) == (False, "broken link", 1)

    def test_a_line_that_is_none_is_shown_as_such(self, world):
        incident = world.heal()
        self.edit(world, incident, lambda _: "gone")
        seen = world.ok("GET", f"v1/incidents/{incident}")
        assert seen["links_ok"] is False
        assert seen["audit"][1] == {"what": "unreadable", "text": "gone"}

    def test_seals_are_verified_where_their_key_is_mounted(self, world):
        from shared.audit.sealing import seal_new

        incident = world.heal()
        assert seal_new(Here("sweeper"), world.cause("sweeper")) == 1
        sealed = world.ok("GET", f"v1/incidents/{incident}")
        assert (sealed["links_ok"], sealed["seals"]["sealed"]) == (True, 4)
        (world.folder / "audit.pub").write_bytes(keys.make()["audit.pub"])
        foreign = world.ok("GET", f"v1/incidents/{incident}")
        assert (foreign["links_ok"], foreign["seals"]["why"]) == (False, "forged seal")

    def test_without_that_key_the_links_alone_speak(self, world):
        incident = world.heal()
        (world.folder / "audit.pub").unlink()
        assert world.ok("GET", f"v1/incidents/{incident}")["links_ok"] is True
