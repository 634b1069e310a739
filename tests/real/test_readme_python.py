"""The README's Python runs as it stands, on the embedded model."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emospace.errors import EmospaceError
from emospace.models import EMBEDDED, PACKAGED

README = Path(__file__).parents[2] / "README.md"

try:
    PACKAGED[EMBEDDED].parts()
except EmospaceError as error:
    pytest.skip(str(error), allow_module_level=True)


def test_the_python_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert blocks
    # A block goes on from the one before it.
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    shown = capsys.readouterr().out
    matches = re.findall(r"^(\w+) (valence|arousal) (\S+) \S+$", shown, flags=re.MULTILINE)
    figures = {(statistic, target): float(value) for statistic, target, value in matches}
    # Where the first component is the best, the two differ in the last bit at most.
    assert figures["best_pc_r", "valence"] > figures["pc1_r", "valence"] - 1e-9 > 0
    answers = [line for line in shown.splitlines() if line.startswith(("['", '["'))]
    assert len(answers) == 1
    assert "I could hug everyone" in shown.split(answers[0])[1]
    assert np.corrcoef(names["predicted"], names["rated"]["valence"])[0, 1] > 0.5
