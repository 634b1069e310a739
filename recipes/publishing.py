"""What the published pages of docs/results share: date, machine and command, Markdown tables, the command line."""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import re
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from emospace.artefacts import write_text
from emospace.display import Get, bare
from emospace.records import NotComputed, Results

DOCS = Path(__file__).parent.parent / "docs" / "results"


def machine() -> dict[str, Any]:
    """Return processor, cores and memory of this machine."""
    info = Path("/proc/cpuinfo")
    named = re.search(r"model name\s*:\s*(.+)", info.read_text()) if info.exists() else None
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cpu": named[1] if named else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory, 1),
    }


def without_paths(value: Any) -> Any:
    """Return a JSON value in which every absolute path is its last part: where a file lay is not published."""
    if isinstance(value, dict):
        return {key: without_paths(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_paths(item) for item in value]
    if isinstance(value, str):
        return re.sub(r"(?<![\w:/.])~?(?:/[\w.+@-]+)+/([\w.+@-]+)", r"\1", value)
    return value


def load(folder: Path) -> Results:
    """Return the results of a run folder without paths."""
    return Results.model_validate(
        without_paths(Results.load(folder / "results.json").model_dump(mode="json"))
    )


def made_by(command: str) -> dict[str, Any]:
    """Return what stands with published figures: the date, this machine, and the command without its paths."""
    return {
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "command": without_paths(command),
    }


def command_line() -> str:
    """Return the command of this process, without where its figures go: what makes them again."""
    words = [f"recipes/{Path(sys.argv[0]).name}", *sys.argv[1:]]
    if "--out" in words:
        at = words.index("--out")
        del words[at : at + 2]
    return shlex.join(["python", *words])


def made_on(card: Mapping[str, Any]) -> str:
    """Return the sentence on date, command and machine."""
    on = card["machine"]
    return (
        f"Made on {card['date']} with `{card['command']}` on {on['cpu']}, {on['cores']} cores, "
        f"{on['memory_gib']} GiB."
    )


def markdown_table(names: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table in Markdown; floats with three digits, nothing as a dash."""

    def cell(value: object) -> str:
        if value is None:
            return "–"
        return f"{value:.3f}" if isinstance(value, float) else str(value)

    lines = [" | ".join(names), " | ".join("---" for _ in names)]
    lines += [" | ".join(cell(value) for value in row) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


def markdown(columns: Mapping[str, Get], rows: Iterable[Any]) -> str:
    """Return a table of records in Markdown, by the names of its columns and the fields they show."""
    return markdown_table(*bare(columns, rows))


def gaps(missing: Sequence[NotComputed], none: str = "Nothing was left out.") -> str:
    """Return the list of what was not computed."""
    lines = [f"- {gap.what} ({gap.language or 'all'}): {gap.why}" for gap in missing]
    return "\n".join(lines) or none


def parser(about: str | None, *named: str, several: bool = False) -> argparse.ArgumentParser:
    """Return a recipe's command line: the run folder or folders, ``--command``, ``--docs`` and required options."""
    made = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("runs" if several else "run", type=Path, nargs="+" if several else None)
    for name in ("--command", *named):
        made.add_argument(name, required=True)
    made.add_argument("--docs", type=Path, default=DOCS)
    return made


def fill(readme: Path | None, mark: str, block: str) -> None:
    """Put a block between ``<!-- mark -->`` and ``<!-- /mark -->`` of a README, where one is given."""
    if readme is None:
        return
    text = readme.read_text(encoding="utf-8")
    start, end = text.index(f"<!-- {mark} -->") + len(f"<!-- {mark} -->"), text.index(f"<!-- /{mark} -->")
    write_text(readme, f"{text[:start]}\n{block}\n{text[end:]}")
