"""Measure the shipped judges as one: AUROC, calibration and recall of their mean on the held-out texts.

    python recipes/combine_judges.py --data DATA

DATA as for ``train_judges.py``. Nothing is fitted but the thresholds of F1, on the dev splits. Writes the card of the
combination into ``src/emospace/data/judges/`` and its figures into ``docs/results/judges.json``; no text enters either.
"""

from __future__ import annotations

import argparse
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from emospace.artefacts import read_json, write_json
from emospace.display import say, track
from emospace.judges import Judge, Judgement, load_judge
from judge_training import scoring
from judge_training.card import HEADS, joined, summary
from judge_training.corpus import Corpus, read_corpus
from judge_training.training import join
from train_judges import OUT, RESULTS, figures, parts_of

NAMES = ("ngram", "subword")
NOTE = (
    "Mean of the calibrated probabilities of both judges, and of their choices among seven. Nothing is fitted: the thresholds "
    "of F1 are from the dev splits. `ngram` calibrates doses, so figures of steering by the combination are not independent "
    "of the choice of doses. What else holds of the held-out texts stands on the cards of the parts."
)
SEED = 0
"""Decides which held-out texts are joined."""


def measured(judge: Judge, test: Corpus, thresholds: dict[str, float]) -> dict[str, Any]:
    """Return the scores of a judge on the test texts of one language, by source; as the cards of its parts have them."""
    language = str(test.language[0])
    judgement = judge.judge(list(test.texts), language)
    long = joined(test.texts, join(test, np.random.default_rng(SEED), 1.0).rows)
    chosen, chosen_long = judgement.seven.argmax(axis=1), judge.judge(long, language).seven.argmax(axis=1)
    cut = [thresholds[label] for label in judgement.labels]
    scores = {}
    for source in sorted(set(test.source)):
        here = test.source == source
        single = here & (test.seven >= 0)
        scores[source] = {
            **scoring.measure_labels(
                judgement.labels, judgement.probability[here], marks_of(test, judgement)[here], cut
            ),
            "seven": scoring.measure_seven(chosen[single], test.seven[single]),
            "seven_joined": scoring.measure_seven(chosen_long[single], test.seven[single]),
        }
    return scores


def marks_of(corpus: Corpus, judgement: Judgement) -> np.ndarray:
    """Return the marks ``[n_texts, n_labels]`` of the labels that a judgement has."""
    head = "fine" if len(judgement.labels) > len(HEADS["basic"]) else "basic"
    columns = [HEADS[head].index(label) for label in judgement.labels]
    return np.asarray(getattr(corpus, head)[:, columns])


def thresholds_of(judge: Judge, dev: Corpus) -> dict[str, float]:
    """Return the probability of each label at which F1 is highest on the dev texts of one block."""
    probability: dict[str, list[np.ndarray]] = {}
    marks: dict[str, list[np.ndarray]] = {}
    for language in sorted(set(dev.language)):
        here = dev.where(dev.language == language)
        judgement = judge.judge(list(here.texts), language)
        for place, label in enumerate(judgement.labels):
            known = marks_of(here, judgement)[:, place]
            probability.setdefault(label, []).append(judgement.probability[~np.isnan(known), place])
            marks.setdefault(label, []).append(known[~np.isnan(known)])
    return {
        label: scoring.best_threshold(np.concatenate(values), np.concatenate(marks[label]))
        for label, values in probability.items()
    }


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    corpus = read_corpus(parser.parse_args().data)
    judge = load_judge("+".join(NAMES))
    parts = {name: read_json(OUT / name / "card.json") for name in NAMES}
    languages = sorted(set.intersection(*(set(card["auroc"]) for card in parts.values())))
    thresholds = {
        block: thresholds_of(judge, texts.where((texts.part == "dev") & np.isin(texts.language, languages)))
        for block, texts in parts_of(corpus).items()
    }
    held_out = {}
    for language in track(languages, f"measured: {judge.name}", "languages"):
        test = corpus.where((corpus.language == language) & (corpus.part == "test"))
        held_out[language] = measured(
            judge, test, thresholds[language if language in thresholds else "other"]
        )
    card: dict[str, Any] = {
        "name": judge.name,
        "kind": judge.kind,
        "date": date.today().isoformat(),
        "command": "python recipes/combine_judges.py --data DATA",
        **{key: parts[NAMES[0]][key] for key in ("licence", "sources")},
        "note": NOTE,
        **summary(held_out),
        "weights_sha256": {name: part["weights_sha256"] for name, part in parts.items()},
        "blocks": {block: {"n_train": parts[NAMES[0]]["blocks"][block]["n_train"]} for block in thresholds},
        "held_out": held_out,
    }
    write_json(OUT / judge.name / "card.json", card)
    published = figures(card)
    del published["n_train"]
    write_json(RESULTS, read_json(RESULTS) | {judge.name: published})
    say(f"{judge.name}: AUROC {published['goemotions_auroc_mean_27']} over 27 emotions")


if __name__ == "__main__":
    main()
