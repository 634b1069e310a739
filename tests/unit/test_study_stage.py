"""Stage results on disk: computed once, again when an input changes, never read half-written or damaged."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from inspect import signature
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emospace.records import FeatureRecord, NotComputed, Results
from emospace.study import (
    StudySpec,
    aligning,
    cross_lingual,
    languages,
    predicting,
    selecting,
    stage as stages,
    steering,
)
from emospace.study.stage import Deferred, StageResult, deferred, identity, stage as as_stage


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


def stage(folder, compute, *inputs, name="features-en", version=1) -> StageResult:
    @as_stage(version)
    def computed(*, given):
        return compute()

    return computed.kept(folder, name, given=inputs)


def assert_same(first: StageResult, other: StageResult) -> None:
    assert {kind: list(rows) for kind, rows in first.records.items()} == {
        kind: list(rows) for kind, rows in other.records.items()
    }
    assert list(first.not_computed) == list(other.not_computed)
    assert list(first.tables) == list(other.tables)
    for name, table in first.tables.items():
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


def test_a_new_format_or_version_is_computed_again(tmp_path, monkeypatch):
    compute = Computing()
    stage(tmp_path, compute, "a")
    stage(tmp_path, compute, "a", version=2)
    assert compute.times == 2
    monkeypatch.setattr(stages, "FORMAT", stages.FORMAT + 1)
    stage(tmp_path, compute, "a")
    assert compute.times == 3


def test_an_argument_left_at_its_default_is_part_of_the_key(tmp_path):
    def made(default):
        @as_stage(1)
        def computed(*, seed=default):
            return result(seed)

        return computed.kept(tmp_path, "features-en")

    assert [made(seed).records["features"][0].n for seed in (3, 4, 3)] == [3, 4, 3]


@dataclass(frozen=True)
class Given:
    """A dataclass that a stage takes."""

    numbers: np.ndarray
    words: tuple[str, ...]
    kept: dict = field(default_factory=dict, init=False)


VALUES = [
    None,
    0,
    1,
    1.5,
    True,
    "1",
    (1,),
    (1, 2),
    (2, 1),
    {},
    {"a": 1, "b": 2},
    {"b": 2, "a": 1},
    {1: "a"},
    {"1": "a"},
    np.arange(3),
    np.arange(3.0),
    np.arange(3)[None],
    pd.DataFrame({"word": ["a", "b"], "r": [1.0, 2.0]}),
    pd.DataFrame({"word": ["b", "a"], "r": [1.0, 2.0]}),
    pd.DataFrame({"word": ["a", "b"], "r": [1.0, 3.0]}),
    pd.DataFrame({"r": [1.0, 2.0], "word": ["a", "b"]}),
    Given(np.arange(3), ("a",)),
    Given(np.arange(4), ("a",)),
    Given(np.arange(3), ("b",)),
    record(),
    record(11),
    Deferred("a", lambda: 1),
    Deferred("b", lambda: 1),
]


def test_what_differs_in_anything_has_another_identity():
    from emospace.artefacts import content_hash

    assert len({content_hash(identity(value)) for value in VALUES}) == len(VALUES)
    assert identity(Given(np.arange(3), ("a",))) == identity(Given(np.arange(3), ("a",)))


@pytest.mark.parametrize("value", [object(), StudySpec(), {1, 2}, [Path("here")], {"a": lambda: 1}])
def test_a_stage_takes_nothing_that_cannot_be_told_from_another(value):
    with pytest.raises(TypeError, match="a stage cannot take"):
        identity(value)


def test_what_is_deferred_is_made_once_and_only_for_a_stage_that_is_computed(tmp_path):
    made = []

    def double(n):
        made.append(n)
        return 2 * n

    @as_stage(1)
    def computed(*, numbers):
        return result(sum(numbers))

    def asked(n, folder=tmp_path):
        number = deferred(double, n=Deferred(str(n), lambda: n))
        return computed.kept(folder, "features-en", numbers=(number, number)).records["features"][0].n

    assert (asked(3), made) == (12, [3])
    assert (asked(3), made) == (12, [3])
    assert (asked(4), made) == (16, [3, 4])
    assert (asked(3, tmp_path / "elsewhere"), made) == (12, [3, 4, 3])


def test_stages_of_a_study_take_keyword_arguments_and_close_over_nothing():
    by_name = {
        name: value
        for module in (aligning, cross_lingual, languages, predicting, selecting, steering)
        for name, value in vars(module).items()
        if isinstance(value, stages.Stage)
    }
    assert len(by_name) == 8
    for name, each in by_name.items():
        given = signature(each.function).parameters.values()
        assert all(
            parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty
            for parameter in given
        ), name
        assert each.function.__closure__ is None, name


def test_every_kind_of_record_a_stage_gives_can_be_read_again():
    several = {
        name for name, value in Results.model_fields.items() if str(value.annotation).startswith("tuple[")
    }
    # Means are taken of the records of all stages, when these are done.
    assert set(stages.KINDS) == several - {"not_computed", "summary"}


def test_a_stage_that_fails_leaves_nothing_to_read(tmp_path):
    with pytest.raises(RuntimeError):
        stage(tmp_path, Computing(fails=RuntimeError("interrupted")), "a")
    compute = Computing()
    stage(tmp_path, compute, "a")
    assert compute.times == 1


def test_records_are_written_last(tmp_path, monkeypatch):
    """Whatever write is interrupted, the stage counts as unfinished."""
    write = stages.write_parquet

    def interrupted(path, table):
        if path.stem == "other":
            raise KeyboardInterrupt
        write(path, table)

    monkeypatch.setattr(stages, "write_parquet", interrupted)
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
        ("records.json", edit(tables={"one": "", "lost": ""})),
        ("records.json", lambda path: path.write_text(path.read_text().replace("1", "2", 1))),
        ("records.json", edit(not_computed=[])),
        ("one.parquet", cut),
        ("one.parquet", lambda path: path.write_bytes(b"")),
        ("one.parquet", lambda path: path.unlink()),
        ("one.parquet", lambda path: (pd.read_parquet(path) * 2).to_parquet(path)),
    ],
)
def test_a_damaged_stage_is_computed_again_and_said(tmp_path, caplog, name, damage):
    compute = Computing()
    stage(tmp_path, compute, "a")
    (path,) = tmp_path.rglob(name)
    damage(path)
    with caplog.at_level(logging.WARNING):
        answer = stage(tmp_path, compute, "a")
    assert compute.times == 2
    assert "computing it again" in caplog.text
    assert_same(answer, result())
    stage(tmp_path, compute, "a")
    assert compute.times == 2
