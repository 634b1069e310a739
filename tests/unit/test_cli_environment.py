"""`emospace doctor` and `emospace cache`."""

from __future__ import annotations

import json
import os
import time

import pytest
from typer.testing import CliRunner

from emospace.cli import app

DAY = 86_400


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache with parts used 1 and 40 days ago."""
    monkeypatch.setenv("EMOSPACE_CACHE", str(tmp_path))
    for name, days in {
        "activations/ab/new.safetensors": 1,
        "activations/ab/old.safetensors": 40,
        "models/old-123/model.safetensors": 40,
        "models/old-123/config.json": 40,
        "models/half-456/model.safetensors": 40,
        "models/half-456/config.json": 1,
        "steering/abc-mix/card.json": 40,
        "steering/trials/x.json": 40,
        "judges/gpt/a.json": 40,
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 1000)
        os.utime(path, (time.time() - days * DAY,) * 2)
    return tmp_path


def run(*arguments):
    done = CliRunner().invoke(app, list(arguments))
    assert done.exit_code == 0, done.output
    return done


def left(cache):
    return {str(path.relative_to(cache)) for path in cache.rglob("*") if path.is_file()}


def test_what_was_not_used_is_deleted_and_a_model_as_a_whole(cache):
    before = left(cache)
    assert "2 parts" in run("cache", "gc", "--dry-run").stderr
    assert left(cache) == before
    run("cache", "gc")
    assert before - left(cache) == {
        "activations/ab/old.safetensors",
        "models/old-123/model.safetensors",
        "models/old-123/config.json",
    }


def test_what_is_dear_is_deleted_only_by_name(cache):
    run("cache", "gc", "--days", "0")
    assert left(cache) == {"steering/abc-mix/card.json", "steering/trials/x.json", "judges/gpt/a.json"}
    run("cache", "gc", "--days", "50", "--kinds", "steering,judges")
    assert len(left(cache)) == 3
    run("cache", "gc", "--kinds", "steering")
    assert left(cache) == {"judges/gpt/a.json"}


def test_an_unknown_kind_deletes_nothing_and_is_named(cache):
    before = left(cache)
    done = CliRunner().invoke(app, ["cache", "gc", "--days", "0", "--kinds", "activation"])
    assert done.exit_code == 2
    assert "kind of the cache 'activation'" in done.stderr
    assert "activations" in done.stderr
    assert left(cache) == before


def test_the_cache_is_listed_by_kind(cache):
    document = json.loads(run("--json", "cache", "ls").stdout)
    rows = {row[0]: row[1:] for row in document["tables"][0]["rows"]}
    assert rows["models"] == [4, "0.0", "1"]
    assert set(rows) == {"activations", "models", "steering", "judges"}


def test_an_empty_cache_is_no_error(tmp_path, monkeypatch):
    monkeypatch.setenv("EMOSPACE_CACHE", str(tmp_path / "none"))
    assert run("cache", "gc").stderr.startswith("Deleted 0 parts")
    assert json.loads(run("--json", "cache", "ls").stdout)["tables"][0]["rows"] == []


def test_the_doctor_says_what_is_here(cache, monkeypatch):
    monkeypatch.setattr("emospace.cli.environment._installed", lambda name: name != "cebra")
    rows = dict(json.loads(run("doctor", "--json").stdout)["tables"][0]["rows"])
    assert {"Python", "emospace", "torch", "device", "--dtype auto", "model embedded", "model hub"} <= set(
        rows
    )
    assert rows["extra cebra"] == "pip install 'emospace[cebra]'"
    assert rows["extra saelens"] == "installed"
    assert str(cache) in rows["cache"]
    assert "writable" in rows["cache"]
