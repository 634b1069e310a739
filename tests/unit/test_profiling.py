"""Timings nest, add up, survive errors, and are nothing at all when nobody asks."""

from __future__ import annotations

import json
from contextlib import nullcontext
from itertools import count as ticks
from threading import Thread
from time import sleep

import pytest
from typer.testing import CliRunner

from emospace import profiling
from emospace.cli import app
from emospace.cli.study import kept_profile
from emospace.errors import EmospaceError
from emospace.profiling import Timing, count, profile, timed


@pytest.fixture
def clock(monkeypatch):
    """Let every look at the clock take one second."""
    seconds = ticks()
    monkeypatch.setattr(profiling.time, "perf_counter", lambda: float(next(seconds)))


def test_timings_nest_and_add_up(clock):
    with profile(Timing("study")) as whole:
        for _ in range(3):
            with timed("stage"), timed("blocks"):
                count("tokens", 5)
        with timed("blocks"):
            pass
    stage = whole.inside["stage"]
    assert list(whole.inside) == ["stage", "blocks"]
    assert (stage.calls, stage.seconds, stage.other) == (3, 9.0, 6.0)
    assert (stage.inside["blocks"].calls, stage.inside["blocks"].counts) == (3, {"tokens": 15})
    assert whole.inside["blocks"].counts == {}
    assert whole.seconds == 15.0
    assert whole.other == 15.0 - 9.0 - 1.0


def test_nothing_is_kept_when_nobody_asks(clock):
    with timed("stage"):
        count("tokens", 5)
    with profile(Timing("all")) as whole:
        pass
    with timed("stage"):
        count("tokens", 5)
    assert (whole.inside, whole.counts) == ({}, {})
    assert whole.seconds == 1.0, "the clock was looked at while no profile was open"


def test_a_function_can_be_timed_and_still_fail():
    @timed("work")
    def work(fails: bool) -> int:
        if fails:
            raise ValueError("no")
        return 7

    with profile(Timing("all")) as whole:
        assert work(False) == 7
        with pytest.raises(ValueError, match="no"):
            work(True)
        with timed("after"):
            pass
    assert whole.inside["work"].calls == 2
    assert list(whole.inside) == ["work", "after"], "an error leaves its timing open"


def test_a_profile_inside_a_profile_is_its_own():
    with profile(Timing("outer")) as outer:
        with profile(Timing("inner")) as inner, timed("work"):
            pass
        with timed("more"):
            pass
    assert list(inner.inside) == ["work"]
    assert list(outer.inside) == ["more"]


def test_another_thread_is_not_counted():
    def work() -> None:
        with timed("there"):
            count("tokens", 1)

    with profile(Timing("all")) as whole:
        thread = Thread(target=work)
        thread.start()
        thread.join()
    assert whole.inside == {}


def test_rows_name_the_rest_and_leave_out_the_small():
    tree = Timing("all", 100, 1, {}, {})
    tree.inside = {
        "large": Timing("large", 60, 2, {"tokens": 12_000}, {"in": Timing("in", 50, 4)}),
        "small": Timing("small", 0.01, 1),
    }
    assert list(tree.rows(least=0.01)) == [
        ("all", 100, "1", ""),
        ("  large", 60, "2", "12,000 tokens"),
        ("    in", 50, "4", ""),
        ("    (the rest)", 10, "", ""),
        ("  (the rest)", 39.99, "", ""),
    ]
    saved = json.loads(json.dumps(tree.as_json()))
    assert saved["inside"][1] == {"name": "small", "seconds": 0.01, "calls": 1, "counts": {}, "inside": []}


@pytest.mark.parametrize("fails", [False, True])
def test_a_profile_is_printed_and_kept_in_the_run_folder(tmp_path, capsys, fails):
    with (
        pytest.raises(KeyboardInterrupt) if fails else nullcontext(),
        kept_profile(tmp_path, "emospace study"),
    ):
        with timed("features-en"), timed("encoding"):
            sleep(0.002)
        if fails:
            raise KeyboardInterrupt
    saved = json.loads((tmp_path / "profile.json").read_text())
    assert saved["name"] == "emospace study"
    assert [part["name"] for part in saved["inside"]] == ["features-en"]
    assert saved["seconds"] >= saved["inside"][0]["inside"][0]["seconds"] >= 0.002
    printed = [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()]
    assert printed[:5] == ["# Where the time went", "part", "emospace study", "  features-en", "    encoding"]


def test_the_study_command_profiles_only_when_asked(tmp_path, monkeypatch):
    asked = []

    def run_study(*_, **__):
        with timed("loading"):
            raise EmospaceError("this study", "it is not run here", "Ask another.")

    monkeypatch.setattr("emospace.study.run_study", run_study)
    for flags in ([], ["--profile"]):
        CliRunner().invoke(app, ["study", "--out", str(tmp_path), *flags])
        asked.append((tmp_path / "profile.json").is_file())
    assert asked == [False, True]
    assert json.loads((tmp_path / "profile.json").read_text())["inside"][0]["name"] == "loading"
