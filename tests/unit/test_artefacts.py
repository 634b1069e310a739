"""Files are whole or absent; hashes change with what they stand for."""

from __future__ import annotations

import errno
import json
import os
import pickle
import stat
import tomllib

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from emospace.artefacts import (
    atomic_write,
    cache_dir,
    content_hash,
    file_hash,
    jsonable,
    parse_json,
    parse_toml,
    read_json,
    read_parquet,
    write_json,
    write_parquet,
    write_tensors,
    write_text,
)
from emospace.errors import DiskError, EmospaceError, InvalidInput, MissingDependency, unknown


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_into_folders_that_do_not_exist_yet(tmp_path):
    path = tmp_path / "a" / "b" / "text.txt"
    write_text(path, "快乐\n")
    assert path.read_text(encoding="utf-8") == "快乐\n"
    assert names(path.parent) == ["text.txt"]


def test_a_writer_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "value.json"
    write_json(path, {"n": 1})

    def fail(temporary):
        temporary.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        atomic_write(path, fail)
    assert read_json(path) == {"n": 1}
    assert names(tmp_path) == ["value.json"]


def test_a_reader_never_sees_the_file_before_it_is_whole(tmp_path):
    path = tmp_path / "value.txt"

    def look(temporary):
        temporary.write_text("first half")
        assert not path.exists()
        assert temporary.parent == path.parent, "a rename is atomic within one folder only"
        temporary.write_text("whole")

    atomic_write(path, look)
    assert path.read_text() == "whole"


@pytest.mark.parametrize(
    ("number", "message"),
    [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "it cannot be written")],
)
def test_a_disk_error_names_the_file_and_keeps_the_old_one(tmp_path, number, message):
    path = tmp_path / "value.txt"
    write_text(path, "old")

    def fail(_):
        raise OSError(number, os.strerror(number))

    with pytest.raises(EmospaceError, match=message) as caught:
        atomic_write(path, fail)
    assert caught.value.what == str(path)
    assert isinstance(caught.value, OSError)
    assert caught.value.errno == number
    assert path.read_text() == "old"
    assert names(tmp_path) == ["value.txt"]


def test_a_full_disk_while_syncing_is_the_same_error(tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EmospaceError, match="the disk is full"):
        write_tensors(tmp_path / "a.safetensors", {"x": np.zeros(3)})
    assert names(tmp_path) == []


def test_a_folder_that_is_a_file_is_an_error_of_ours(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EmospaceError, match="cannot be written"):
        write_text(tmp_path / "file" / "below.txt", "x")


@pytest.mark.parametrize(
    "write",
    [
        lambda path: write_text(path, "x"),
        lambda path: write_tensors(path, {"x": np.zeros(3)}),
        lambda path: write_parquet(path, pd.DataFrame({"x": [1]})),
    ],
)
def test_files_have_the_rights_the_umask_gives_and_leave_it_to_other_threads(tmp_path, monkeypatch, write):
    umask = os.umask
    before = umask(0o027)
    monkeypatch.setattr(os, "umask", lambda _: pytest.fail("the umask of the whole process was changed"))
    try:
        write(tmp_path / "a")
    finally:
        umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_json_keeps_words_and_turns_what_it_cannot_hold_into_null(tmp_path):
    value = {
        "word": "null",
        "zh": "快乐",
        "r": np.float32(0.5),
        "n": np.int64(3),
        "bad": float("nan"),
        "inf": np.inf,
        "array": np.array([[1.0, np.nan]]),
        "pair": (1, "a"),
        "path": tmp_path,
        "flag": np.True_,
        3: None,
    }
    write_json(tmp_path / "v.json", value)
    text = (tmp_path / "v.json").read_text(encoding="utf-8")
    assert "快乐" in text
    assert json.loads(text, parse_constant=pytest.fail) == {
        "word": "null",
        "zh": "快乐",
        "r": 0.5,
        "n": 3,
        "bad": None,
        "inf": None,
        "array": [[1.0, None]],
        "pair": [1, "a"],
        "path": str(tmp_path),
        "flag": True,
        "3": None,
    }
    assert jsonable({"x": np.float64("nan")}) == {"x": None}


def test_tensors_come_back_equal_with_their_metadata(tmp_path):
    from safetensors import safe_open

    path = tmp_path / "a.safetensors"
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    write_tensors(path, {"x": array.T, "y": array[:, ::2]}, {"checksum": "abc"})
    tensors = load_file(path)
    assert np.array_equal(tensors["x"], array.T)
    assert np.array_equal(tensors["y"], array[:, ::2])
    with safe_open(path, "np") as file:
        assert file.metadata() == {"checksum": "abc"}


def test_parquet_keeps_the_words_null_and_nan(tmp_path):
    write_parquet(tmp_path / "t.parquet", pd.DataFrame({"word": ["null", "nan", "NA"], "r": [1.0, 2.0, 3.0]}))
    table = pd.read_parquet(tmp_path / "t.parquet")
    assert table.word.tolist() == ["null", "nan", "NA"]
    assert list(table.columns) == ["word", "r"]


def test_a_content_hash_changes_with_any_part():
    base = np.arange(6.0)
    hashes = [
        content_hash(),
        content_hash("a", "b"),
        content_hash("ab"),
        content_hash("b", "a"),
        content_hash(b"a"),
        content_hash(["a", "b"]),
        content_hash({"a": 1}),
        content_hash({"a": "1"}),
        content_hash(base),
        content_hash(base.reshape(2, 3)),
        content_hash(base.astype(np.float32)),
        content_hash(base[::-1]),
    ]
    assert len(set(hashes)) == len(hashes)
    assert all(len(digest) == 16 for digest in hashes)
    assert content_hash({"a": 1, "b": 2}) == content_hash({"b": 2, "a": 1})
    assert content_hash(base[::2]) == content_hash(base[::2].copy())


def test_a_file_hash_is_that_of_the_bytes_in_order(tmp_path):
    import hashlib

    first, second = tmp_path / "1", tmp_path / "2"
    first.write_bytes(b"a" * (1 << 20) + b"b")
    second.write_bytes(b"c")
    assert file_hash(first) == hashlib.sha256(first.read_bytes()).hexdigest()
    assert file_hash([first, second]) == hashlib.sha256(first.read_bytes() + b"c").hexdigest()
    assert file_hash([second, first]) != file_hash([first, second])


def test_the_cache_is_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("EMOSPACE_CACHE", str(tmp_path))
    assert cache_dir() == tmp_path
    monkeypatch.delenv("EMOSPACE_CACHE")
    assert cache_dir().parts[-2:] == (".cache", "emospace")


def test_an_error_says_what_why_and_how_to_mend_it():
    error = EmospaceError("norms file 'a.csv'", "it has no word column", "Name it with --word.")
    assert str(error) == "norms file 'a.csv': it has no word column. Name it with --word."


@pytest.mark.parametrize(
    ("kind", "builtin"), [(InvalidInput, ValueError), (MissingDependency, ImportError), (DiskError, OSError)]
)
def test_an_error_is_also_the_builtin_a_caller_would_catch(kind, builtin):
    with pytest.raises(builtin) as caught:
        raise kind("a", "b", "c")
    assert isinstance(caught.value, EmospaceError)
    assert str(caught.value) == "a: b. c"
    assert str(pickle.loads(pickle.dumps(caught.value))) == "a: b. c"


def test_an_unknown_name_brings_the_nearest_known_ones():
    assert "Did you mean admiration?" in str(unknown("category", "admiraton", ["joy", "admiration"]))
    assert "Known: awe, joy." in str(unknown("category", "zzz", ("joy", "awe")))


@pytest.mark.parametrize(
    ("content", "kind"), [(None, DiskError), (b"", InvalidInput), (b"PAR1 no table PAR1", InvalidInput)]
)
def test_a_table_that_is_missing_or_damaged_is_named(tmp_path, content, kind):
    path = tmp_path / "table.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(kind) as refused:
        read_parquet(path)
    assert refused.value.what == str(path)


@pytest.mark.parametrize(
    ("parse", "text"), [(parse_toml, "x = " + "[" * 5000), (parse_json, '{"a":' * 200_000)]
)
def test_text_that_is_nested_too_deeply_is_no_such_text(parse, text):
    with pytest.raises(ValueError, match="deep"):
        parse(text)


@pytest.mark.parametrize("value", ["9" * 5000, "2020-13-45", "25:00:00"])
def test_a_value_that_toml_cannot_take_in_is_an_error_of_toml(value):
    with pytest.raises(tomllib.TOMLDecodeError):
        parse_toml(f"x = {value}")


def readers():
    from emospace.concepts import load_concepts
    from emospace.concepts.loading import category_lists
    from emospace.evaluation.prompts import load_prompts
    from emospace.norms import read_card
    from emospace.records import Results

    def card(path):
        return read_card(path.with_suffix(""))

    yield "concepts.toml", lambda path: load_concepts(path=path)
    yield "categories.toml", lambda path: category_lists(path.parent)
    yield "prompts.toml", lambda path: load_prompts("en", "calibration", path)
    yield "ratings.csv.toml", card
    yield "results.json", Results.load


@pytest.mark.parametrize(("name", "read"), readers())
def test_files_that_are_nested_too_deeply_are_refused(tmp_path, name, read):
    path = tmp_path / name
    path.write_text('{"a":' * 200_000 if name.endswith("json") else "x = " + "[" * 5000, encoding="utf-8")
    with pytest.raises(EmospaceError):
        read(path)


@pytest.mark.parametrize(
    "card",
    [{}, [], {"categories": 1}, {"language": "en", "categories": ["joy"], "n_words": [1], "unknown": 2}],
)
def test_tensors_beside_another_card_are_named(tmp_path, card):
    import json

    from emospace.reading.reader import ReaderWeights
    from emospace.space import EmotionSpace
    from emospace.space.matrix import _CARD

    path = tmp_path / "x.safetensors"
    write_tensors(path, {"matrix": np.zeros((1, 1))}, {_CARD: json.dumps(card), "reader": json.dumps(card)})
    for kind in (EmotionSpace, ReaderWeights):
        with pytest.raises(InvalidInput):
            kind.load(path)
