"""Train the two judges that ship with the package and measure them on held-out texts.

    python recipes/train_judges.py --data DATA [--only ngram] [--block zh]

DATA is the folder of labelled texts listed in ``docs/data.md``. The two judges learn from disjoint halves of the
training texts; the dev splits calibrate, the test splits are only scored. `--block` trains one block anew and keeps the
stored weights, calibration and scores of the others. Writes ``src/emospace/data/judges/`` and
``docs/results/judges.json``; no text enters either.
"""

from __future__ import annotations

import argparse
import json
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from emospace.artefacts import file_hash, read_json, write_json, write_tensors
from emospace.display import say
from emospace.judges.embedded import SCORERS, scores_of, unpack
from judge_training import linear
from judge_training.card import calibrate, held_out, summary
from judge_training.corpus import Corpus, read_corpus
from judge_training.parameters import STARTS, pack, start_from
from judge_training.scoring import FEWEST_OF_CLASS
from judge_training.training import Fit, train

ROOT = Path(__file__).parents[1]
OUT = ROOT / "src" / "emospace" / "data" / "judges"
RESULTS = ROOT / "docs" / "results" / "judges.json"
HEADS = {"en": "fine", "other": "basic", "zh": "basic"}
ENGLISH, OTHER = ("fine", "seven"), ("basic", "seven")
PENALTY = 10.0
"""Of the linear solution for Chinese, chosen by cross-validation within the training texts."""

# Judge -> its half of the training texts, and settings by block, chosen on the dev splits.
JUDGES: dict[str, tuple[int, dict[str, Fit]]] = {
    "ngram": (
        0,
        {
            "en": Fit(ENGLISH, n_rows=65536, epochs=10, rate=0.05, decay=0.05, drop=0.3),
            "other": Fit(OTHER, n_rows=220_000, epochs=4, rate=0.05, decay=0.05, drop=0.3, batch=512),
            # Solved, not trained step by step: rate and epochs are not used.
            "zh": Fit(OTHER, n_rows=65536, epochs=0, rate=0.0, joined=1.0),
        },
    ),
    "subword": (
        1,
        {
            "en": Fit(ENGLISH, n_rows=32768, epochs=10, rate=0.004, drop=0.4, batch=128),
            "other": Fit(OTHER, n_rows=49152, epochs=2, rate=0.003),
            "zh": Fit(OTHER, n_rows=32768, epochs=2, rate=0.001, drop=0.3, batch=64),
        },
    ),
}


def parts_of(corpus: Corpus) -> dict[str, Corpus]:
    """Return the texts of each block; Chinese has one of its own, and `other` learns from Chinese all the same."""
    english, chinese = corpus.language == "en", corpus.language == "zh"
    return {
        "en": corpus.where(english),
        "other": corpus.where(~english),
        # The projected lines of XED would be two in five texts, and their labels are noisy.
        "zh": corpus.where(chinese & (corpus.source == "brighter")),
    }


def trained_block(name: str, block: str, texts: Corpus) -> dict[str, Any]:
    """Return the parameters of one block of a judge, trained on its half of the texts."""
    (_, logits), fit = SCORERS[name], JUDGES[name][1][block]
    if block != "zh":
        start = STARTS[name](fit.n_rows, fit.n_outputs, fit.seed)
        return train(logits, start, texts, fit, f"{name}, {block}")
    solution = linear.solve(texts, fit, PENALTY)
    if name == "ngram":
        return solution
    return train(logits, start_from(solution, fit.seed), texts, fit, f"{name}, {block}")


def build(name: str, corpus: Corpus, sources: list[dict[str, str]], only: str | None) -> dict[str, Any]:
    """Train, calibrate and measure one judge, write it, and return its card.

    Parameters
    ----------
    only
        The one block to train; weights, calibration and scores of the others stay as they are stored.
    """
    (kind, logits), (half, fits) = SCORERS[name], JUDGES[name]
    parts, path = parts_of(corpus), OUT / name / "model.safetensors"
    kept = read_json(OUT / name / "card.json") if only else {"blocks": {}, "held_out": {}}
    tensors = load_file(str(path)) if only else {}
    tensors = {key: value for key, value in tensors.items() if key.partition(".")[0] != only}
    blocks, measured = kept["blocks"], kept["held_out"]
    for block in [only] if only else fits:
        fit, here = fits[block], parts[block]
        texts = here.where((here.part == "train") & (here.half == half))
        stored = pack({block: trained_block(name, block, texts)})
        tensors |= stored
        score = partial(scores_of, logits, unpack(stored, block))
        facts = calibrate(score, here.where(here.part == "dev"), fit, HEADS[block])
        # Chinese is scored on the test texts of XED too, and with its own block alone.
        scored = corpus.where(corpus.language == "zh") if block == "zh" else here
        scores = held_out(score, scored.where(scored.part == "test"), facts, fit, HEADS[block])
        measured |= {key: value for key, value in scores.items() if (key == "zh") == (block == "zh")}
        blocks[block] = facts | {"n_train": len(texts), "fit": vars(fit)}
        if block == "zh":
            blocks[block]["penalty"] = PENALTY
    write_tensors(path, tensors)
    card = {
        "name": name,
        "kind": kind,
        "half": half,
        "date": date.today().isoformat(),
        "command": f"python recipes/train_judges.py --data DATA --only {name}",
        "licence": "CC BY 4.0",
        "sources": sources,
        "note": NOTE,
        **summary(measured),
        "weights_sha256": file_hash(path),
        "blocks": blocks,
    }
    card["held_out"] = measured
    write_json(OUT / name / "card.json", card)
    return card


NOTE = (
    "English and Finnish XED lines carry human labels; XED lines of other languages carry labels projected from "
    "aligned subtitles, and so do the AUROC and recall of the languages under `projected`. XED here has no neutral "
    "lines, so languages known from XED alone have no recall of neutral. BRIGHTER has no disgust in English and no "
    "surprise in Afrikaans, and its English test split comes without labels: the AUROC "
    "and recall of English are of GoEmotions, those of XED beside them in `held_out`. "
    "The halves are disjoint by text; two translations of one subtitle can lie on both sides. `recall` is of the "
    "choice among seven at equal priors; `seven_joined` is the same over held-out texts joined two to four in a row. "
    "`threshold` is the probability at which F1 is highest on the dev splits. Chinese has a block of its own, trained on "
    "the Chinese texts of BRIGHTER; `ngram` solves it by logistic regression, and `subword` begins at such a "
    "solution of its own half."
)


def figures(card: dict[str, Any]) -> dict[str, Any]:
    """Return what is published of a card: English in full, the means of every other language by source."""
    english = card["held_out"]["en"]
    fine = {label: row for label, row in english["goemotions"]["labels"].items() if label != "neutral"}
    sizes = {block: facts["n_train"] for block, facts in card["blocks"].items()}
    return {
        **{key: card[key] for key in ("kind", "date", "command", "note", "weights_sha256", "projected")},
        "n_train": sizes,
        "goemotions_auroc_mean_27": mean(fine, "auroc"),
        "english": english,
        "languages": {
            language: {
                source: {
                    "n_texts": held["n_texts"],
                    "auroc_mean": mean(held["labels"], "auroc"),
                    "macro_f1": held["macro_f1"],
                    "ece": held["ece"],
                    "recall_mean": mean(held["seven"]["classes"], "recall", FEWEST_OF_CLASS),
                    "classes": sum(row["n"] >= FEWEST_OF_CLASS for row in held["seven"]["classes"].values()),
                }
                for source, held in sources.items()
            }
            for language, sources in card["held_out"].items()
        },
    }


def mean(rows: dict[str, Any], what: str, fewest: int = 0) -> float | None:
    """Return the mean of a figure over the rows that have it and at least `fewest` texts."""
    values = [row[what] for row in rows.values() if row[what] is not None and row["n"] >= fewest]
    return round(float(np.mean(values)), 4) if values else None


def main() -> None:
    """Parse, train, measure, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--only", choices=list(JUDGES), help="train this judge alone")
    parser.add_argument("--block", choices=list(HEADS), help="train this block alone, keep the others")
    options = parser.parse_args()
    records = json.loads((options.data / "MANIFEST.json").read_text(encoding="utf-8"))
    sources = [
        {key: record[key] for key in ("name", "licence", "citation", "source_repo", "source_commit")}
        for record in records
        if record["name"] in ("goemotions", "brighter_semeval2025", "xed")
    ]
    corpus = read_corpus(options.data)
    for name in [options.only] if options.only else JUDGES:
        published = figures(build(name, corpus, sources, options.block))
        others = read_json(RESULTS) if RESULTS.exists() else {}
        write_json(RESULTS, others | {name: published})
        seven = {
            source: mean(held["seven"]["classes"], "recall") for source, held in published["english"].items()
        }
        say(f"{name}: AUROC {published['goemotions_auroc_mean_27']} over 27 emotions, recall {seven}")


if __name__ == "__main__":
    main()
