"""Publish the figures of a run under docs/results.

    python recipes/publish_results.py RUN --name NAME --command COMMAND [--readme README.md]

Writes ``docs/results/NAME.json`` (the records of ``RUN/results.json`` with date, machine and command) and
``docs/results/NAME.md`` (the same as tables), and with ``--readme`` puts the key figures between its
``<!-- figures -->`` marks. Paths are cut to file names.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from emospace.artefacts import write_json, write_text
from emospace.cli.tables import ALIGNMENT, PREDICTION, alignment_rows, prediction_rows
from emospace.display import Get
from emospace.records import Results
from publishing import fill, gaps, load, made_by, made_on, markdown, parser

PREDICTIONS: Mapping[str, Get] = {
    "language": "language",
    "norms": "norms",
    "rating": "target",
    "features": lambda r: r.features + (f" ({r.static_source})" if r.static_source else ""),
    "concept words": lambda r: "out" if r.excluded_concepts else "in",
    "n": "n",
    "features used": "n_features",
    "r": "r",
    "low": "ci_low",
    "high": "ci_high",
}


def key_figures(results: Results) -> str:
    """Return the tables that the README shows: ratings predicted, and the axis and RSA figures."""
    ratings = [sets for sets in prediction_rows(results) if sets["space"].target != "dominance"]
    shape = [r for r in alignment_rows(results) if r.statistic in ("best_pc_r", "rsa_spearman")]
    return (
        f"Words' ratings from the emotion space, concept words out of the test folds:\n\n{markdown(PREDICTION, ratings)}\n\n"
        f"Categories in the model and in people:\n\n{markdown(ALIGNMENT, shape)}"
    )


def page(name: str, results: Results, card: dict[str, Any]) -> str:
    """Return the results page in markdown."""
    return (
        f"# Results: {name}\n\n"
        f"{results.model.model}, layer {results.manifest.layer}, seed {results.manifest.seed}. "
        f"{made_on(card)} Concept-sets are curated unless said otherwise. "
        f"Written by `recipes/publish_results.py` from [{name}.json]({name}.json).\n\n"
        f"## Key figures\n\n{key_figures(results)}\n\n"
        f"## All predictions\n\n{markdown(PREDICTIONS, results.prediction)}\n\n"
        f"## Not computed\n\n{gaps(results.not_computed)}\n"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, read, write."""
    command_line = parser(__doc__, "--name")
    command_line.add_argument("--readme", type=Path)
    options = command_line.parse_args(arguments)
    results, card = load(options.run), made_by(options.command)
    target = options.docs / f"{options.name}.json"
    write_json(target, {**card, "results": results.model_dump(mode="json")})
    write_text(target.with_suffix(".md"), page(options.name, results, card))
    fill(options.readme, "figures", key_figures(results))
    sys.stdout.write(f"{target}\n")


if __name__ == "__main__":
    main()
