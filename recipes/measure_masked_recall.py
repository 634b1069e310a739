"""Measure what each shipped judge recalls of people's texts whose concept words are masked: the ceiling of a masked rate.

    python recipes/measure_masked_recall.py --data DATA

DATA as for ``train_judges.py``. The texts are those that a card's `recall` is of. Writes `recall_masked` into the cards in
``src/emospace/data/judges/`` and ``docs/results/judges.json``; no text enters either. To be run after a judge is trained.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from combine_judges import NAMES
from emospace.artefacts import read_json, write_json
from emospace.concepts import bundled_languages, load_concepts
from emospace.display import say, track
from emospace.judges import BASIC, load_judge
from emospace.judges.masking import mask_concepts
from judge_training.card import SOURCES
from judge_training.corpus import read_corpus
from judge_training.scoring import FEWEST_OF_CLASS, measure_seven
from train_judges import OUT, RESULTS


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    corpus = read_corpus(parser.parse_args().data)
    corpus = corpus.where((corpus.part == "test") & (corpus.seven >= 0))
    published = read_json(RESULTS)
    for name in (*NAMES, "+".join(NAMES)):
        judge, card = load_judge(name), read_json(OUT / name / "card.json")
        recall_masked: dict[str, dict[str, float]] = {}
        measured = [language for language in bundled_languages() if language in card["recall"]]
        for language in track(measured, f"measured: {name}", "languages"):
            source = next(source for source in SOURCES if source in card["held_out"][language])
            texts = corpus.where((corpus.language == language) & (corpus.source == source))
            masked = mask_concepts(list(texts.texts), load_concepts([language]), language)
            chosen = judge.judge(masked, language).seven.argmax(axis=1)
            classes = measure_seven(chosen, texts.seven)["classes"]
            recall_masked[language] = {
                label: row["recall"] for label, row in classes.items() if row["n"] >= FEWEST_OF_CLASS
            }
        write_json(OUT / name / "card.json", card | {"recall_masked": recall_masked})
        published[name]["recall_masked"] = recall_masked
        write_json(RESULTS, published)
        english = [recall_masked["en"][emotion] for emotion in BASIC]
        say(f"{name}: recall of the basic six in English with concept words masked {np.mean(english):.2f}")


if __name__ == "__main__":
    main()
