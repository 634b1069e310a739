"""Compare ways to judge Chinese on the test split of BRIGHTER, after the judges are trained.

    python recipes/compare_chinese_judges.py --data DATA

Adds ``chinese`` to ``docs/results/judges.json``: of each judge, the AUROC of each basic emotion with a 95% interval
(percentile bootstrap over texts). Settings were chosen within the training texts: the penalty by cross-validation, those
of the neural block on a quarter held out. Before that a linear prototype (TF-IDF of 1- to 3-grams) had been scored once
on this test split, so that the choice of the linear way was not blind to it.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from emospace.artefacts import read_json, write_json
from emospace.judges import BASIC, load_judge
from emospace.judges.embedded import SCORERS, scores_of
from judge_training.corpus import Corpus, read_corpus
from judge_training.parameters import STARTS
from judge_training.scoring import auroc
from judge_training.training import Fit, train
from train_judges import JUDGES, OTHER, RESULTS, parts_of

# Chinese blocks trained step by step on the labelled texts alone.
GRADIENT = {
    "ngram": Fit(OTHER, n_rows=65536, epochs=10, rate=0.05, decay=0.05, drop=0.3, batch=64),
    "subword": Fit(OTHER, n_rows=16384, epochs=8, rate=0.003, drop=0.4, batch=64),
}
N_RESAMPLES = 1000


def intervals(scores: np.ndarray, marks: np.ndarray) -> dict[str, dict[str, Any]]:
    """Return AUROC and interval of each basic emotion from scores and marks ``[n_texts, 6]``."""
    rng = np.random.default_rng(0)
    draws = rng.multinomial(len(marks), np.full(len(marks), 1 / len(marks)), N_RESAMPLES)
    rows = {}
    for i, label in enumerate(BASIC):
        order = np.argsort(scores[:, i], kind="stable")
        cases = draws[:, order] * marks[order, i]
        controls = draws[:, order] - cases
        areas = (cases * controls.cumsum(axis=1)).sum(axis=1) / (cases.sum(axis=1) * controls.sum(axis=1))
        low, high = np.quantile(areas, [0.025, 0.975])
        rows[label] = {"auroc": auroc(scores[:, i], marks[:, i]), "low": float(low), "high": float(high)}
    return rows


def compare(name: str, corpus: Corpus) -> Mapping[str, Any]:
    """Return the figures of each way for one judge."""
    (_, logits), (half, _) = SCORERS[name], JUDGES[name]
    chinese, judge, fit = parts_of(corpus)["zh"], load_judge(name), GRADIENT[name]
    texts = chinese.where((chinese.part == "train") & (chinese.half == half))
    start = STARTS[name](fit.n_rows, fit.n_outputs, fit.seed)
    ways = {
        "block of all languages": judge.blocks["other"],
        "own block, gradient training": train(logits, start, texts, fit, name),
        "own block, shipped": judge.blocks["zh"],
    }
    test = chinese.where(chinese.part == "test")
    return {
        way: intervals(scores_of(logits, block, list(test.texts)), test.basic) for way, block in ways.items()
    }


def main() -> None:
    """Parse, compare, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    corpus = read_corpus(parser.parse_args().data)
    write_json(RESULTS, read_json(RESULTS) | {"chinese": {name: compare(name, corpus) for name in JUDGES}})


if __name__ == "__main__":
    main()
