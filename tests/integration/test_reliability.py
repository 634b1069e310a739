"""The recipes behind docs/reliability.md: a little of each, and the page as its figures have it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_readers_read_or_refuse_by_name_what_is_damaged(tmp_path):
    out = tmp_path / "fuzz.json"
    command = [
        sys.executable,
        str(ROOT / "recipes" / "fuzz_readers.py"),
        "--share",
        "0.01",
        "--within",
        "1.5",
    ]
    run = subprocess.run(
        [*command, "--together", "--failing", str(tmp_path / "failing"), "--out", str(out)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    rows = json.loads(out.read_text())["rows"]
    assert len(rows) > 12
    assert all(row["inputs"] >= 1 and not row["crashes"] and not row["hangs"] for row in rows)


def test_every_comparison_with_another_implementation_is_a_test_that_exists():
    from compare_references import REFERENCES

    for reference in REFERENCES:
        for test in reference.tests:
            path, _, name = test.partition("::")
            assert re.search(rf"^def {name}\(", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE), test


def test_the_page_is_what_its_figures_say():
    from publish_reliability import page

    written = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    assert written == page(ROOT / "docs" / "results"), "run: make reliability"


def test_the_lock_has_a_hash_of_every_file_it_names():
    lock = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))
    fetched = [package for package in lock["package"] if "registry" in package["source"]]
    files = [
        file
        for package in fetched
        for file in [*package.get("wheels", ()), *filter(None, [package.get("sdist")])]
    ]
    assert len(files) > 500
    assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", file["hash"]) for file in files)
    local = [package["name"] for package in lock["package"] if "registry" not in package["source"]]
    assert all(
        "git" not in package["source"] and "url" not in package["source"] for package in lock["package"]
    ), local


def test_a_package_that_was_not_looked_up_is_not_called_sound():
    from audit import UNKNOWN, VULNERABLE, verdict

    sound, skipped = {"name": "a", "version": "1", "vulns": []}, {"name": "b", "skip_reason": "not found"}
    flawed = {"name": "c", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}]}
    assert verdict([sound]) == (["1 of 1 packages looked up, 0 known flaws"], 0)
    lines, code = verdict([skipped])
    assert code == UNKNOWN and "cannot be reached" in lines[-1]
    lines, code = verdict([sound, skipped, flawed])
    assert code == VULNERABLE and "repaired in 2" in lines[0] and "(b)" in lines[-1]
    assert verdict([])[1] == UNKNOWN
