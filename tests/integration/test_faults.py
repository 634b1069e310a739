"""A study that is killed gives the same bytes when it is run again; `make faults` does this at volume."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

RECIPE = Path(__file__).parents[2] / "recipes" / "faults.py"


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="runs are forked")
def test_a_killed_study_goes_on_where_it_stopped(tmp_path):
    out = tmp_path / "faults.json"
    # A process of its own: one that has started threads cannot be forked.
    run = subprocess.run(
        [sys.executable, str(RECIPE), "--kills", "2", "--others", "0", "--out", str(out)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    trials = json.loads(out.read_text())["trials"]
    assert [(trial["ended"], trial["lost"], trial["same"]) for trial in trials] == [("SIGKILL", 0, True)] * 2
