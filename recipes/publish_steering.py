"""Publish a steering study under docs/results.

    python recipes/publish_steering.py runs/steering --command COMMAND [--readme README.md]

Writes ``docs/results/NAME.json`` (``--name``, steering; records with date, machine, command) and ``NAME.md`` (the basic six, the
ways at equal cost, the study in figures, the other categories); with ``--readme`` the short table goes between its ``<!-- steering -->`` marks.
No generated text is published.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from emospace.artefacts import read_json, write_json, write_text
from emospace.display import Get, get_value
from emospace.evaluation.summary import way
from emospace.judges import BASIC
from emospace.records import Results
from publishing import fill, gaps, load, made_by, made_on, markdown, markdown_table, parser

AT_EQUAL_COST = (
    "Means over the basic emotions, read off each way's curve over doses where it meets the cost: perplexity "
    "ratios 1.5 and 2, and 80% of the facts kept. Never extrapolated: where its doses end before the cost, the reason says so."
)
COLUMNS: Mapping[str, Get] = {
    "emotion": "emotion",
    "vectors": way,
    "dose": "dose",
    "rate": "target_rate",
    "low": "ci_low",
    "high": "ci_high",
    "masked": "target_rate_masked",
    "unsteered": "base_rate",
    "p (FDR)": "p_fdr",
    "perplexity ratio": "perplexity_ratio",
    "distinct-2": "distinct2_ratio",
    "judge recall": "judge_recall",
    "judge recall, masked": "judge_recall_masked",
    "judge AUROC": "judge_auroc",
    "valence shift": "valence_shift",
    "arousal shift": "arousal_shift",
    "facts right": "answered",
    "facts kept": "facts_kept",
}
FIGURES: Mapping[str, Get] = {
    "vectors": "kind",
    "figure": "figure",
    "value": "value",
    "low": "value_low",
    "high": "value_high",
    "n": "n",
}
STABILITY: Mapping[str, Get] = {
    "emotion": lambda row: get_value(row, "emotion") or "mean",
    "vectors": "way",
    "rate": "rate",
    "least seed": "least",
    "greatest seed": "greatest",
    "in most seeds": "most",
    "in every seed": "every",
    "agreement": "agreement",
    "low": "agreement_low",
    "high": "agreement_high",
    "prompts": "n",
    "seeds": "n_seeds",
}
AT_COST: Mapping[str, Get] = {
    "way": "way",
    "at": "at",
    "level": "level",
    "figure": "figure",
    "value": "value",
    "low": "value_low",
    "high": "value_high",
    "emotions": "n_emotions",
    "reason": "reason",
}
TESTS: Mapping[str, Get] = {
    "way": "way",
    "against": "other",
    "ratio": "level",
    "figure": "figure",
    "difference": "difference",
    "low": "difference_low",
    "high": "difference_high",
    "p (FDR)": "p_fdr",
    "reason": "reason",
}
CURVE: Mapping[str, Get] = {
    "way": "way",
    "dose": "factor",
    "rate": "target_rate",
    "low": "target_rate_low",
    "high": "target_rate_high",
    "masked": "target_rate_masked",
    "perplexity ratio": "perplexity_ratio",
    "facts kept": "facts_kept",
    "facts low": "facts_kept_low",
    "facts high": "facts_kept_high",
}


def key_figures(figures: pd.DataFrame) -> str:
    """Return the table of the README: one row a kind of vector, the basic six at their calibrated doses."""
    names = {
        "target_rate": "target rate",
        "target_rate_masked": "words masked",
        "perplexity_ratio": "perplexity ratio",
        "distinct2_ratio": "distinct-2",
        "above_random": "categories above random",
        "valence_r": "valence r",
    }
    values = figures.pivot_table(index="kind", columns="figure", values="value", sort=False)
    # The name of vectors that act under guidance says which.
    kinds = ("mix", "sae", "dense", "prompt", "shuffled")
    order = [name for kind in kinds for name in values.index if name.partition(" guidance=")[0] == kind]
    values = values.reindex(order).reindex(columns=list(names))
    rows = [
        (name, *(None if pd.isna(value) else float(value) for value in values.loc[name])) for name in order
    ]
    return markdown_table(("vectors", *names.values()), rows)


def means(table: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the rows of a table of the frontier that are means over emotions."""
    return [row for row in table if get_value(row, "emotion") is None]


def page(name: str, published: Mapping[str, Any]) -> str:
    """Return the page of a published study.

    Parameters
    ----------
    name
        Of the published files.
    published
        What the JSON file holds: date, machine and command, the tables, the results.
    """
    results = Results.model_validate(published["results"])
    figures, stability = pd.DataFrame(published["figures"]), published.get("stability")
    basic = [record for record in results.steering if record.emotion in BASIC]
    others = [r for r in results.steering if r.emotion not in BASIC and r.vector == "mix" and r.calibrated]
    parts = {
        "The basic six, calibrated": f"{key_figures(figures)}\n\n{markdown(COLUMNS, (r for r in basic if r.calibrated))}",
        "Ways at equal cost": f"{AT_EQUAL_COST}\n\n{markdown(AT_COST, means(published['frontier_figures']))}",
        "Ways beside each other": markdown(TESTS, published["frontier_tests"]),
        "The curve of each way": markdown(CURVE, means(published["frontier"])),
        "The study in figures": markdown(FIGURES, published["figures"]),
        "Stability over seeds": markdown(STABILITY, stability) if stability else "Not studied.",
        "Other doses": markdown(COLUMNS, (r for r in basic if r.vector == "mix" and not r.calibrated)),
        "Random directions": markdown(COLUMNS, (r for r in basic if r.vector == "random")),
        "The other categories, calibrated": markdown(COLUMNS, others) if others else "Not studied.",
        "Not computed": gaps(results.not_computed, "Nothing."),
    }
    head = (
        f"# Results: {name}\n\n{results.model.model} in {results.model.dtype}, judge "
        f"`{results.steering[0].judge}`, seed {results.manifest.seed}. {made_on(published)} Written by "
        f"`recipes/publish_steering.py` from [{name}.json]({name}.json)."
    )
    body = "\n\n".join(f"## {title}\n\n{part}" for title, part in parts.items())
    return f"{head}\n\n{body}\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, read, write."""
    command_line = parser(__doc__)
    command_line.add_argument("--name", default="steering", help="of the published files")
    command_line.add_argument("--readme", type=Path)
    options = command_line.parse_args(arguments)
    results, card = load(options.run), made_by(options.command)
    names = ("figures", "frontier", "frontier_figures", "frontier_tests", "instructions", "stability")
    tables = {name: pd.read_parquet(options.run / "tables" / f"steering_{name}.parquet") for name in names}
    written = options.docs / f"{options.name}.json"
    write_json(
        written,
        {
            **card,
            **{name: table.to_dict("records") for name, table in tables.items()},
            "results": results.model_dump(mode="json"),
        },
    )
    write_text(written.with_suffix(".md"), page(options.name, read_json(written)))
    fill(options.readme, "steering", key_figures(tables["figures"]))
    sys.stdout.write(f"{written}\n")


if __name__ == "__main__":
    main()
