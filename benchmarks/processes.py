"""Worker processes: each tool in its environment, started when first asked, kept until closed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ENVIRONMENTS: Mapping[str, str | None] = {
    "emospace": None,
    "saklas": "current",
    "nnsight": "current",
    "repeng": "repeng",
    "steering_vectors": "legacy",
    "dialz": "legacy",
    "rsatoolbox": None,
    "scikit_learn": None,
}
"""Tool -> folder under ``environments``; None is the environment of the project."""


class ToolError(Exception):
    """A tool could not do what was asked: its own message."""


@dataclass(frozen=True)
class Setting:
    """How all tools run."""

    threads: int
    device: str = "cpu"
    pythons: Mapping[str, str] = field(default_factory=dict)

    def python(self, tool: str) -> str:
        """Return the interpreter of a tool's environment."""
        environment = ENVIRONMENTS[tool]
        if environment is None:
            return self.pythons.get("project", sys.executable)
        interpreter = HERE / "environments" / environment / ".venv" / "bin" / "python"
        return self.pythons.get(environment, str(interpreter))


class Process:
    """One tool with one model in its own process."""

    def __init__(self, tool: str, setting: Setting, log: Path, load: Mapping[str, Any] | None = None) -> None:
        self.tool, self.setting, self.log, self.load = tool, setting, log, load
        self._process: subprocess.Popen[str] | None = None

    def ask(self, do: str, **fields: Any) -> dict[str, Any]:
        """Return the worker's answer; raises `ToolError` with the tool's message."""
        if self._process is None:
            self._start()
        return self._exchange(do, fields)

    def close(self) -> None:
        """End the process."""
        if self._process is None:
            return
        process, self._process = self._process, None
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _start(self) -> None:
        python = self.setting.python(self.tool)
        if not Path(python).exists():
            raise ToolError(f"not installed: run `make bench-environments` ({ENVIRONMENTS[self.tool]})")
        threads = str(self.setting.threads)
        limits = dict.fromkeys(
            ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"), threads
        )
        quiet = {
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "true",
            "PYTHONUNBUFFERED": "1",
            "TQDM_DISABLE": "1",
        }
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("a", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                [python, str(HERE / "worker.py"), self.tool],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, **limits, **quiet},
            )
        if self.load is not None:
            self._exchange("load", self.load)

    def _exchange(self, do: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise ToolError("its process is not there")
        try:
            process.stdin.write(json.dumps({"do": do, **fields}) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            code = process.wait()
            self._process = None
            raise ToolError(f"its process ended with {code} (was memory short?); see {self.log.name}")
        answer = dict(json.loads(line))
        if not answer.pop("ok"):
            raise ToolError(str(answer["error"]))
        return answer
