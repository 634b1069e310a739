"""One run at a time in a folder: a second one stops, a dead one is taken over."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

import pytest

from emospace.errors import EmospaceError
from emospace.study.lock import LOCK, sole_writer


def locked(folder, **changes):
    owner = {
        "pid": os.getppid(),
        "host": socket.gethostname(),
        "start": "2026-01-02T03:04:05+00:00",
        **changes,
    }
    (folder / LOCK).write_text(json.dumps(owner), encoding="utf-8")


def ended() -> int:
    """Return the number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_folder_is_locked_while_it_is_written_and_free_afterwards(tmp_path):
    folder = tmp_path / "new" / "run"
    with sole_writer(folder):
        owner = json.loads((folder / LOCK).read_text(encoding="utf-8"))
        assert (owner["pid"], owner["host"]) == (os.getpid(), socket.gethostname())
        with pytest.raises(EmospaceError, match=f"process {os.getpid()} on"), sole_writer(folder):
            pytest.fail("two runs in one folder")
        assert (folder / LOCK).exists()
    assert not (folder / LOCK).exists()
    with pytest.raises(KeyboardInterrupt), sole_writer(folder):
        raise KeyboardInterrupt
    assert not (folder / LOCK).exists()


@pytest.mark.parametrize(
    "owner", [{}, {"host": "elsewhere", "pid": 2**22 + 1}], ids=["alive", "on another machine"]
)
def test_another_run_is_named_with_the_way_out(tmp_path, owner):
    locked(tmp_path, **owner)
    with pytest.raises(EmospaceError) as caught, sole_writer(tmp_path):
        pytest.fail("two runs in one folder")
    said = json.loads((tmp_path / LOCK).read_text(encoding="utf-8"))
    assert caught.value.what == str(tmp_path)
    for part in (str(said["pid"]), said["host"], said["start"]):
        assert part in caught.value.why
    assert "--out" in caught.value.hint
    assert str(tmp_path / LOCK) in caught.value.hint


@pytest.mark.parametrize("pid", [ended, os.getpid], ids=["ended", "of an earlier process of our number"])
def test_the_lock_of_a_dead_process_is_taken_over(tmp_path, caplog, pid):
    locked(tmp_path, pid=pid())
    with sole_writer(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text(encoding="utf-8"))["pid"] == os.getpid()
    assert "is gone" in caplog.text


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"pid": "x"}'])
def test_a_lock_that_says_nothing_is_respected(tmp_path, text):
    (tmp_path / LOCK).write_text(text, encoding="utf-8")
    with pytest.raises(EmospaceError, match="another run"), sole_writer(tmp_path):
        pytest.fail("two runs in one folder")


@pytest.mark.parametrize("name", ["file", "file/run"])
def test_a_folder_that_cannot_be_written_is_told(tmp_path, name):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(EmospaceError, match="cannot be written"), sole_writer(tmp_path / name):
        pytest.fail("there is no such folder")


def test_what_a_killed_run_left_half_written_is_removed_and_nothing_else(tmp_path):
    (tmp_path / "tables").mkdir()
    kept = ["tables/figures.parquet", "tables/.hidden", ".gitignore"]
    left = ["tables/.figures.parquet.0123abcd.parquet", ".results.json.89abcdef.json"]
    for name in (*kept, *left):
        (tmp_path / name).write_text("x")
    with sole_writer(tmp_path):
        assert {name for name in (*kept, *left) if (tmp_path / name).exists()} == set(kept)
