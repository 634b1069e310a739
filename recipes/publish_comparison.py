"""Publish a comparison of studies under docs/results.

    python recipes/publish_comparison.py FOLDER --name NAME --command COMMAND

FOLDER is what `emospace compare` wrote. Makes ``docs/results/NAME.json`` (the records with date, machine and command)
and ``docs/results/NAME.md`` (arrangement, main figures and differences as tables).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from emospace.artefacts import write_json, write_text
from emospace.cli.compare import DIFFERENCE, figure_rows
from emospace.comparison import Comparison
from emospace.display import Get
from publishing import gaps, made_by, made_on, markdown, markdown_table, parser, without_paths

RSA: Mapping[str, Get] = {
    "language": "language",
    "a": "a",
    "b": "b",
    "categories": "n",
    "RSA": "value",
    "low": "ci_low",
    "high": "ci_high",
    "p (FDR)": "p_fdr",
    "before the first block": "baseline",
}
DIFFERENCES: Mapping[str, Get] = {
    **DIFFERENCE,
    "low": "ci_low",
    "high": "ci_high",
    "p (FDR)": "p_fdr",
}


def page(name: str, comparison: Comparison, card: dict[str, Any]) -> str:
    """Return the page in markdown."""
    runs = [run.name for run in comparison.runs]
    figures = markdown_table(("language", "figure", "of", *runs), figure_rows(comparison))
    differences = markdown(DIFFERENCES, (r for r in comparison.differences if r.difference is not None))
    spaces = "; ".join(
        f"{run.name}: layer {run.layer} of {run.n_blocks}, {run.space} space"
        + (f", {run.n_latents:,} latents" if run.n_latents else "")
        for run in comparison.runs
    )
    return (
        f"# Comparison: {' and '.join(runs)}\n\n{spaces}. {made_on(card)} Written by "
        f"`recipes/publish_comparison.py` from [{name}.json]({name}.json); what each figure is: "
        "[models side by side](../compare.md).\n\n"
        f"## Arrangement of the categories\n\n{markdown(RSA, comparison.rsa)}\n\n"
        f"## Main figures side by side\n\n{figures}\n\n"
        f"## r less that of {comparison.baseline}, on the same words\n\n{differences}\n\n"
        f"## Not computed\n\n{gaps(comparison.not_computed)}\n"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, read, write."""
    options = parser(__doc__, "--name").parse_args(arguments)
    recorded = Comparison.load(options.run / "comparison.json")
    comparison = Comparison.model_validate(without_paths(recorded.model_dump(mode="json")))
    card = made_by(options.command)
    target = options.docs / f"{options.name}.json"
    write_json(target, {**card, "comparison": comparison.model_dump(mode="json")})
    write_text(target.with_suffix(".md"), page(options.name, comparison, card))
    sys.stdout.write(f"{target}\n")


if __name__ == "__main__":
    main()
