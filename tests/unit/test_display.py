"""Bars and tables on a terminal, plain lines elsewhere; results and progress never share a stream."""

from __future__ import annotations

import io
import sys

import pytest
from rich.text import Text

from emospace import display


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    now = {"s": 0.0}
    monkeypatch.setattr(display.time, "monotonic", lambda: now["s"])
    return now


def test_elsewhere_progress_is_at_most_a_line_in_ten_seconds_on_the_error_stream(capsys, clock):
    with display.progress("States of words", 100, "words") as advance:
        for _ in range(100):
            clock["s"] += 0.5
            advance()
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert len(lines) == 4
    assert lines[0] == "States of words: 20 of 100 words, about 40 s left"
    assert "\r" not in err
    assert "\x1b" not in err


def test_a_short_step_says_nothing(capsys, clock):
    with display.progress("Short", 3) as advance:
        clock["s"] += 9
        advance(3)
    assert capsys.readouterr() == ("", "")


def test_a_resumed_step_that_starts_late_does_not_divide_by_zero(capsys, clock):
    with display.progress("Empty", 0) as advance:
        clock["s"] += 60
        advance(0)
    assert capsys.readouterr().out == ""


def test_on_a_terminal_progress_is_a_bar_with_a_count(monkeypatch):
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    with display.progress("States of words", 3, "words") as advance:
        for _ in range(3):
            advance()
    assert "States of words" in stream.getvalue()
    assert "3/3" in stream.getvalue()


def test_an_error_inside_a_step_comes_through(monkeypatch):
    for stream in (io.StringIO(), Terminal()):
        monkeypatch.setattr(sys, "stderr", stream)
        with pytest.raises(KeyError), display.progress("x", 1):
            raise KeyError("x")


def test_track_yields_every_item_in_order():
    assert list(display.track(["a", "b", "c"], "Items")) == ["a", "b", "c"]


def test_say_goes_to_the_error_stream(capsys):
    display.say("Report: runs/x")
    assert capsys.readouterr() == ("", "Report: runs/x\n")


def test_a_table_elsewhere_is_tab_separated_on_the_output_stream(capsys):
    display.table("Norms", ["name", "r", "n"], [["glasgow", 0.8349, 3000], ["[x]", None, "null"]])
    out, err = capsys.readouterr()
    assert err == ""
    assert out.splitlines() == ["# Norms", "name\tr\tn", "glasgow\t0.835\t3000", "[x]\t-\tnull"]


def test_a_table_on_a_terminal_is_drawn(monkeypatch):
    stream = Terminal()
    monkeypatch.setattr(sys, "stdout", stream)
    display.table("Norms", ["name", "r"], [["glasgow", 0.8349]])
    assert "glasgow" in stream.getvalue()
    assert "0.835" in stream.getvalue()
    assert "\t" not in stream.getvalue()


def test_names_and_words_are_whole_on_a_narrow_terminal(monkeypatch):
    stream = Terminal()
    monkeypatch.setenv("COLUMNS", "50")
    monkeypatch.setattr(sys, "stdout", stream)
    note = "four-character words and idioms, rated by young and old adults"
    display.table("Norms", ["name", "scale", "note"], [["pl_imbir_2016_anpw_r", "1..9", note]])
    shown = stream.getvalue()
    assert "pl_imbir_2016_anpw_r" in shown
    assert "…" not in shown
    assert max(len(Text.from_ansi(line).plain) for line in shown.splitlines()) <= 50
