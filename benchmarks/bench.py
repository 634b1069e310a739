"""What every workload is given, and how its rows are finished."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from inputs import RANDOM, Sizes
from processes import Process, Setting
from rounds import Taken, array_agreement, compared, interleave, rate_row

MODEL_TOOLS = ("emospace", "saklas", "nnsight", "repeng", "steering_vectors", "dialz")
OWN = "emospace"


@dataclass
class Bench:
    """Everything a workload needs to know."""

    out: Path
    files: Mapping[str, Path]
    sizes: Sizes
    setting: Setting
    rounds: int
    minutes: float
    tools: Sequence[str]
    alone: bool = False
    folders: Mapping[str, Path] = field(default_factory=dict)
    dtypes: Mapping[str, str] = field(default_factory=dict)
    open: dict[tuple[str, str | None, str], Process] = field(default_factory=dict)

    def process(self, tool: str, model: str | None = None, mark: str = "") -> Process:
        """Return a tool's process with a model loaded, not yet started."""
        load = None
        if model is not None:
            load = {
                "folder": str(self.folders[model]),
                "dtype": self.dtype(model),
                "device": self.setting.device,
                "threads": self.setting.threads,
            }
        return Process(tool, self.setting, self.out / "logs" / f"{tool}{mark}.log", load)

    def dtype(self, model: str) -> str:
        """Return the precision of a model's weights."""
        return self.dtypes.get(model) or (RANDOM[model][1] if model in RANDOM else "float32")

    def pool(self, tools: Sequence[str], model: str | None = None, mark: str = "") -> dict[str, Process]:
        """Return a process for each tool; they are kept for the next workload of the same model."""
        for key in [key for key in self.open if key[1] != model]:
            self.open.pop(key).close()
        return {
            tool: self.open.setdefault((tool, model, mark), self.process(tool, model, mark)) for tool in tools
        }

    def close(self) -> None:
        """End all processes."""
        for process in self.open.values():
            process.close()
        self.open.clear()

    def turn(self, process: Process, do: str, **fields: Any) -> Taken:
        """Ask a process; with `alone` it is ended afterwards, so that one model at a time is in memory."""
        try:
            return process.ask(do, **fields)
        finally:
            if self.alone:
                process.close()

    def run(self, turns: Mapping[str, Callable[[], Taken]]) -> dict[str, list[Taken] | str]:
        """Interleave the rounds of a workload."""
        return interleave(turns, self.rounds, self.minutes)


def finish(
    rows: Sequence[Taken], outcomes: Mapping[str, list[Taken] | str], amounts: Mapping[str, float]
) -> None:
    """Write rates, or the message of a tool that could not, into the rows."""
    whole: dict[str, list[Taken]] = {}
    for row in rows:
        rounds = outcomes.get(row["name"])
        if isinstance(rounds, str):
            row["error"] = rounds
        elif rounds:
            row |= rate_row(rounds, amounts[row["name"]])
            row["amount"] = amounts
            whole[row["name"]] = rounds
    compared([row for row in rows if "rate" in row], whole, OWN)
    for row in rows:
        row.pop("amount", None)
        row.pop("tried", None)


def arrays_agree(
    rows: Sequence[Taken], paths: Mapping[str, Path], reference: str, keys: Sequence[str]
) -> None:
    """Hold saved arrays against emospace's."""
    if not paths[reference].exists():
        return
    expected = {key: value for key, value in np.load(paths[reference]).items() if key in keys}
    for row in rows:
        path = paths[row["name"]]
        if row["name"] != reference and "error" not in row and path.exists():
            arrays = dict(np.load(path))
            if all(arrays[key].shape == expected[key].shape for key in expected if key in arrays):
                row["agreement"] = array_agreement(arrays, expected)
