"""Publish the figures of a run under docs/results.

    python recipes/publish_results.py RUN --name NAME --command COMMAND [--readme README.md]

Writes ``docs/results/NAME.json`` (the records of ``RUN/results.json`` with date, machine and command) and
``docs/results/NAME.md`` (the same as tables), and with ``--readme`` puts the key figures between its
``<!-- figures -->`` marks. Paths are cut to file names: where a file lay is nobody's business.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from emospace.artefacts import write_json, write_text
from emospace.cli.closing import ALIGNMENT, PREDICTION, alignment_rows, prediction_rows
from emospace.records import Results

DOCS = Path(__file__).parent.parent / "docs" / "results"
MARKS = ("<!-- figures -->", "<!-- /figures -->")


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
    """Return a JSON value in which every absolute path is its last part."""
    if isinstance(value, dict):
        return {key: without_paths(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_paths(item) for item in value]
    if isinstance(value, str):
        return re.sub(r"(?<![\w:/.])~?(?:/[\w.+@-]+)+/([\w.+@-]+)", r"\1", value)
    return value


def made_by(command: str) -> dict[str, Any]:
    """Return what stands with published figures: the date, this machine, and the command without its paths."""
    return {
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "command": without_paths(command),
    }


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table in markdown; floats with three digits, nothing as a dash."""

    def cell(value: object) -> str:
        if value is None:
            return "–"
        return f"{value:.3f}" if isinstance(value, float) else str(value)

    lines = [" | ".join(columns), " | ".join("---" for _ in columns)]
    lines += [" | ".join(cell(value) for value in row) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


def key_figures(results: Results) -> str:
    """Return the tables that the README shows: ratings predicted, and the axis and RSA figures."""
    ratings = markdown_table(PREDICTION, (row for row in prediction_rows(results) if row[2] != "dominance"))
    shown = (row for row in alignment_rows(results) if str(row[1]).startswith(("best", "RSA")))
    shape = markdown_table(ALIGNMENT, (row for row in shown if "given" not in str(row[1])))
    return (
        f"Words' ratings from the emotion space, concept words out of the test folds:\n\n{ratings}\n\n"
        f"Categories in the model and in people:\n\n{shape}"
    )


def page(name: str, results: Results, card: dict[str, Any]) -> str:
    """Return the results page in markdown."""
    predictions = markdown_table(
        (
            "language",
            "norms",
            "rating",
            "features",
            "concept words",
            "n",
            "features used",
            "r",
            "low",
            "high",
        ),
        (
            (
                record.language,
                record.norms,
                record.target,
                record.features + (f" ({record.static_source})" if record.static_source else ""),
                "out" if record.excluded_concepts else "in",
                record.n,
                record.n_features,
                record.r,
                record.ci_low,
                record.ci_high,
            )
            for record in results.prediction
        ),
    )
    missing = "\n".join(
        f"- {item.what} ({item.language or 'all'}): {item.why}" for item in results.not_computed
    )
    on = card["machine"]
    return (
        f"# Results: {name}\n\n"
        f"{results.model.model}, layer {results.manifest.layer}, seed {results.manifest.seed}. "
        f"Made on {card['date']} with `{card['command']}` on {on['cpu']}, {on['cores']} cores, "
        f"{on['memory_gib']} GiB. Concept-sets are curated unless said otherwise. "
        f"Written by `recipes/publish_results.py` from [{name}.json]({name}.json).\n\n"
        f"## Key figures\n\n{key_figures(results)}\n\n"
        f"## All predictions\n\n{predictions}\n\n"
        f"## Not computed\n\n{missing or 'Nothing was left out.'}\n"
    )


def fill(text: str, block: str) -> str:
    """Return a text with the block between its marks replaced."""
    start, end = (text.index(mark) for mark in MARKS)
    return f"{text[: start + len(MARKS[0])]}\n{block}\n{text[end:]}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, read, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--command", required=True)
    parser.add_argument("--docs", type=Path, default=DOCS)
    parser.add_argument("--readme", type=Path)
    options = parser.parse_args(arguments)
    recorded = Results.load(options.run / "results.json")
    results = Results.model_validate(without_paths(recorded.model_dump(mode="json")))
    card = made_by(options.command)
    target = options.docs / f"{options.name}.json"
    write_json(target, {**card, "results": results.model_dump(mode="json")})
    write_text(target.with_suffix(".md"), page(options.name, results, card))
    if options.readme:
        write_text(options.readme, fill(options.readme.read_text(encoding="utf-8"), key_figures(results)))
    sys.stdout.write(f"{target}\n")


if __name__ == "__main__":
    main()
