"""Publish a comparison of studies under docs/results.

    python recipes/publish_comparison.py FOLDER --name NAME --command COMMAND

FOLDER is what `emospace compare` wrote. Makes ``docs/results/NAME.json`` (the records with date, machine and command)
and ``docs/results/NAME.md`` (arrangement, main figures and differences as tables).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from emospace.artefacts import write_json, write_text
from emospace.cli.compare import figure_rows
from emospace.comparison import Comparison
from publish_results import DOCS, made_by, markdown_table, without_paths


def page(name: str, comparison: Comparison, card: dict[str, Any]) -> str:
    """Return the page in markdown."""
    runs = [run.name for run in comparison.runs]
    arrangement = markdown_table(
        ("language", "a", "b", "categories", "RSA", "low", "high", "p (FDR)", "before the first block"),
        (
            (r.language, r.a, r.b, r.n, r.value, r.ci_low, r.ci_high, r.p_fdr, r.baseline)
            for r in comparison.rsa
        ),
    )
    figures = markdown_table(("language", "figure", "of", *runs), figure_rows(comparison))
    differences = markdown_table(
        ("run", "language", "norms", "rating", "features", "words", "difference", "low", "high", "p (FDR)"),
        (
            (
                *(r.run, r.language, r.norms, r.target, r.features, r.n),
                *(r.difference, r.ci_low, r.ci_high, r.p_fdr),
            )
            for r in comparison.differences
            if r.difference is not None
        ),
    )
    spaces = "; ".join(
        f"{run.name}: layer {run.layer} of {run.n_blocks}, {run.space} space"
        + (f", {run.n_latents:,} latents" if run.n_latents else "")
        for run in comparison.runs
    )
    missing = "\n".join(
        f"- {item.what} ({item.language or 'all'}): {item.why}" for item in comparison.not_computed
    )
    on = card["machine"]
    return (
        f"# Comparison: {' and '.join(runs)}\n\n{spaces}. Made on {card['date']} with `{card['command']}` on "
        f"{on['cpu']}, {on['cores']} cores, {on['memory_gib']} GiB. Written by `recipes/publish_comparison.py` from "
        f"[{name}.json]({name}.json); what each figure is: [models side by side](../compare.md).\n\n"
        f"## Arrangement of the categories\n\n{arrangement}\n\n"
        f"## Main figures side by side\n\n{figures}\n\n"
        f"## r less that of {comparison.baseline}, on the same words\n\n{differences}\n\n"
        f"## Not computed\n\n{missing or 'Nothing was left out.'}\n"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, read, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--command", required=True)
    parser.add_argument("--docs", type=Path, default=DOCS)
    options = parser.parse_args(arguments)
    recorded = Comparison.load(options.folder / "comparison.json")
    comparison = Comparison.model_validate(without_paths(recorded.model_dump(mode="json")))
    card = made_by(options.command)
    target = options.docs / f"{options.name}.json"
    write_json(target, {**card, "comparison": comparison.model_dump(mode="json")})
    write_text(target.with_suffix(".md"), page(options.name, comparison, card))
    sys.stdout.write(f"{target}\n")


if __name__ == "__main__":
    main()
