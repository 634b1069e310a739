"""Publish a steering study under docs/results.

    python recipes/publish_steering.py runs/steering --command COMMAND [--readme README.md]

Writes ``docs/results/steering.json`` (records with date, machine and command) and ``steering.md`` (the basic six, the
study in figures, the other categories); with ``--readme`` the short table goes between its ``<!-- steering -->`` marks.
No generated text is published.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from emospace.artefacts import write_json, write_text
from emospace.judges import BASIC
from emospace.records import Results, SteeringRecord
from publish_results import DOCS, made_by, markdown_table, without_paths

MARKS = ("<!-- steering -->", "<!-- /steering -->")
COLUMNS = (
    *("emotion", "vector", "dose", "rate", "low", "high", "masked", "unsteered", "p (FDR)"),
    *(
        "perplexity ratio",
        "distinct-2",
        "judge recall",
        "judge AUROC",
        "valence shift",
        "arousal shift",
        "facts right",
    ),
)


def row(record: SteeringRecord) -> tuple[object, ...]:
    """Return a record as a row of `COLUMNS`."""
    return (
        *(record.emotion, record.vector, record.dose, record.target_rate, record.ci_low, record.ci_high),
        *(record.target_rate_masked, record.base_rate, record.p_fdr, record.perplexity_ratio),
        *(record.distinct2_ratio, record.judge_recall, record.judge_auroc),
        *(record.valence_shift, record.arousal_shift, record.answered),
    )


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
    order = [kind for kind in ("mix", "sae", "dense", "prompt", "shuffled") if kind in values.index]
    values = values.reindex(order).reindex(columns=list(names))
    rows = [
        (kind, *(None if pd.isna(value) else float(value) for value in values.loc[kind])) for kind in order
    ]
    return markdown_table(("vectors", *names.values()), rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, read, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--command", required=True)
    parser.add_argument("--docs", type=Path, default=DOCS)
    parser.add_argument("--readme", type=Path)
    options = parser.parse_args(arguments)
    recorded = Results.load(options.run / "results.json")
    results = Results.model_validate(without_paths(recorded.model_dump(mode="json")))
    figures = pd.read_parquet(options.run / "tables" / "steering_figures.parquet")
    card = made_by(options.command)
    write_json(
        options.docs / "steering.json",
        {**card, "figures": figures.to_dict("records"), "results": results.model_dump(mode="json")},
    )
    short = key_figures(figures)
    calibrated = [record for record in results.steering if record.calibrated]
    random = [record for record in results.steering if record.vector == "random" and record.emotion in BASIC]
    basic = markdown_table(COLUMNS, (row(record) for record in calibrated if record.emotion in BASIC))
    others = markdown_table(
        COLUMNS,
        (row(record) for record in calibrated if record.emotion not in BASIC and record.vector == "mix"),
    )
    doses = markdown_table(
        COLUMNS,
        (row(r) for r in results.steering if r.emotion in BASIC and r.vector == "mix" and not r.calibrated),
    )
    every = markdown_table(
        ("vectors", "figure", "value", "low", "high", "n"),
        figures[["kind", "figure", "value", "value_low", "value_high", "n"]].itertuples(index=False),
    )
    missing = "\n".join(f"- {item.what}: {item.why}" for item in results.not_computed)
    on = card["machine"]
    write_text(
        options.docs / "steering.md",
        f"# Results: steering\n\n{results.model.model} in {results.model.dtype}, judge "
        f"`{results.steering[0].judge}`, seed {results.manifest.seed}. Made on {card['date']} with "
        f"`{card['command']}` on {on['cpu']}, {on['cores']} cores, {on['memory_gib']} GiB. Written by "
        f"`recipes/publish_steering.py` from [steering.json](steering.json).\n\n## The basic six, calibrated\n\n"
        f"{short}\n\n{basic}\n\n## The study in figures\n\n{every}\n\n## Other doses\n\n{doses}\n\n"
        f"## Random directions\n\n{markdown_table(COLUMNS, map(row, random))}\n\n"
        f"## The other categories, calibrated\n\n{others}\n\n## Not computed\n\n{missing or 'Nothing.'}\n",
    )
    if options.readme:
        text = options.readme.read_text(encoding="utf-8")
        start, end = (text.index(mark) for mark in MARKS)
        block = f"{text[: start + len(MARKS[0])]}\n{short}\n{text[end:]}"
        write_text(options.readme, block)
    sys.stdout.write(f"{options.docs / 'steering.json'}\n")


if __name__ == "__main__":
    main()
