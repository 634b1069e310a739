"""Stage results on disk: computed once, again when an input changes, never read half-written or damaged."""

from __future__ import annotations

import json
import logging

import numpy as np
import pandas as pd
import pytest

from emospace.records import FeatureRecord, NotComputed
from emospace.study import cache
from emospace.study.cache import StageResult, remembered

KINDS = {"features": FeatureRecord}


def record(n=10, **fields) -> FeatureRecord:
    given = {"model": "tiny", "layer": 2, "seed": 0, "language": "en", "category": "joy", "n_features": 3}
    return FeatureRecord(**{**given, "n": n, "n_concepts": n, **fields})


def result(n=10) -> StageResult:
    table = pd.DataFrame({"word": ["null", "nan", "快乐"], "r": [1 / 3, np.nan, 1e-300], "n": [1, 2, n]})
    return StageResult(
        {"features": [record(n), record(n + 1, reason=None)]},
        {"one": table, "other": table[["word"]]},
        [NotComputed(what="CEBRA", why="there are too few", language="en")],
    )


class Computing:
    """A stage that counts how often it is computed."""

    def __init__(self, given=None, fails=None):
        self.given, self.fails, self.times = given or result(), fails, 0

    def __call__(self) -> StageResult:
        self.times += 1
        if self.fails:
            raise self.fails
        return self.given


def stage(folder, compute, *inputs, name="features-en") -> StageResult:
    return remembered(folder, name, inputs, KINDS, compute)


def assert_same(one: StageResult, other: StageResult) -> None:
    assert {kind: list(rows) for kind, rows in one.records.items()} == {
        kind: list(rows) for kind, rows in other.records.items()
    }
    assert list(one.not_computed) == list(other.not_computed)
    assert list(one.tables) == list(other.tables)
    for name, table in one.tables.items():
        pd.testing.assert_frame_equal(table, other.tables[name])


def test_a_stage_is_computed_once_and_comes_back_as_it_was(tmp_path):
    compute = Computing()
    first, second = stage(tmp_path, compute, "a", 1), stage(tmp_path, compute, "a", 1)
    assert compute.times == 1
    assert first is compute.given
    assert_same(first, second)
    assert isinstance(second.records["features"][0], FeatureRecord)


@pytest.mark.parametrize(
    "changed", [("b", 1), ("a", 2), ("a", 1, None), (["a", 1],), ("a", {"seed": 0}), ("a", np.arange(3))]
)
def test_a_changed_input_is_computed_again_and_the_old_result_stays(tmp_path, changed):
    compute = Computing()
    stage(tmp_path, compute, "a", 1)
    stage(tmp_path, compute, *changed)
    assert compute.times == 2
    stage(tmp_path, compute, "a", 1)
    assert compute.times == 2


def test_stages_are_kept_apart(tmp_path):
    compute = Computing()
    stage(tmp_path, compute, "a", name="features-en")
    stage(tmp_path, compute, "a", name="features-zh")
    assert compute.times == 2


def test_a_new_format_is_computed_again(tmp_path, monkeypatch):
    compute = Computing()
    stage(tmp_path, compute, "a")
    monkeypatch.setattr(cache, "FORMAT", cache.FORMAT + 1)
    stage(tmp_path, compute, "a")
    assert compute.times == 2


def test_a_stage_that_fails_leaves_nothing_to_read(tmp_path):
    with pytest.raises(RuntimeError):
        stage(tmp_path, Computing(fails=RuntimeError("interrupted")), "a")
    compute = Computing()
    stage(tmp_path, compute, "a")
    assert compute.times == 1


def test_records_are_written_last(tmp_path, monkeypatch):
    """Whatever write is interrupted, the stage counts as unfinished."""
    write = cache.write_parquet

    def interrupted(path, table):
        if path.stem == "other":
            raise KeyboardInterrupt
        write(path, table)

    monkeypatch.setattr(cache, "write_parquet", interrupted)
    with pytest.raises(KeyboardInterrupt):
        stage(tmp_path, Computing(), "a")
    assert list(tmp_path.rglob("one.parquet"))
    assert not list(tmp_path.rglob("records.json"))
    monkeypatch.undo()
    compute = Computing()
    assert_same(stage(tmp_path, compute, "a"), result())
    assert compute.times == 1


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def edit(**changes):
    def change(path):
        path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}))

    return change


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("records.json", cut),
        ("records.json", lambda path: path.write_bytes(b"")),
        ("records.json", lambda path: path.write_bytes(b"\xff\xfe\x00")),
        ("records.json", lambda path: path.write_text("[]")),
        ("records.json", lambda path: path.write_text("{}")),
        ("records.json", edit(records={"features": [{"model": "tiny"}]})),
        ("records.json", edit(records={"figures": [{}]})),
        ("records.json", edit(records=[1])),
        ("records.json", edit(tables=["one", "lost"])),
        ("one.parquet", cut),
        ("one.parquet", lambda path: path.write_bytes(b"")),
        ("one.parquet", lambda path: path.unlink()),
    ],
)
def test_a_damaged_stage_is_computed_again_and_said(tmp_path, caplog, name, damage):
    compute = Computing()
    stage(tmp_path, compute, "a")
    (path,) = tmp_path.rglob(name)
    damage(path)
    with caplog.at_level(logging.WARNING):
        found = stage(tmp_path, compute, "a")
    assert compute.times == 2
    assert "computing it again" in caplog.text
    assert_same(found, result())
    stage(tmp_path, compute, "a")
    assert compute.times == 2
