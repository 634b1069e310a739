"""Build the bundled category structures: ``python recipes/bundle_structure.py --data DATA``.

DATA holds MANIFEST.json and structure/. Only counts and means go into src/emospace/data/structure, never a text:
label co-occurrence over texts with 20 random halves, colexifications by family, mean rated similarities.
DATA also holds texts/, of whose labels the co-occurrences in many languages are counted.
"""

from __future__ import annotations

import argparse
import json
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emospace.artefacts import file_hash, write_parquet, write_text

OUT = Path(__file__).parents[1] / "src" / "emospace" / "data" / "structure"
SPLITS, SEED = 20, 0
FEWEST_TEXTS = 500

KOTE_NAMES = {
    "슬픔": "sadness", "화남/분노": "anger", "공포/무서움": "fear", "역겨움/징그러움": "disgust", "놀람": "surprise",
    "기쁨": "joy", "고마움": "gratitude", "뿌듯함": "pride", "짜증": "annoyance", "안타까움/실망": "disappointment",
    "재미없음": "boredom", "안심/신뢰": "relief", "죄책감": "remorse", "부끄러움": "embarrassment",
    "신기함/관심": "interest", "아껴주는": "caring", "편안/쾌적": "calmness", "불안/걱정": "anxiety",
    "감동/감탄": "admiration", "즐거움/신남": "excitement",
}  # fmt: skip
CLICS_NAMES = {
    "ANGER": "anger", "ANXIETY": "anxiety", "FEAR (FRIGHT)": "fear", "GRIEF": "grief", "HAPPY": "joy",
    "LOVE": "love", "PROUD": "pride", "REGRET": "remorse", "SAD": "sadness", "SURPRISED": "surprise",
    "WANT": "desire",
}  # fmt: skip
CHILDFER_NAMES = {"happy": "joy", "sad": "sadness"}


def main() -> None:
    """Bundle the structures and their index."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with MANIFEST.json and structure/")
    data = parser.parse_args().data
    manifest = json.loads((data / "MANIFEST.json").read_text(encoding="utf-8"))
    records = {record["name"]: record for record in manifest}
    entries = [
        co_annotation(
            data, records["goemotions"], "goemotions", "neutral", {}, "texts carry the labels that at least two raters chose; "
            "phi over all texts, those labelled neutral alone among them",
        ),
        co_annotation(
            data, records["kote_ko"], "kote", "없음", KOTE_NAMES, "10,000 of the 50,000 comments (test and validation); "
            "which labels are which of our categories is our reading",
        ),
        co_annotation_by_language(data, records["brighter_semeval2025"]),
        colexification(data, records["clicsbp_emotion_colexification"]),
        rated(data, records["zh_childfer_2025"]),
    ]  # fmt: skip
    head = "# Made by recipes/bundle_structure.py: what each bundled structure is and where it is from.\n"
    write_text(OUT / "index.toml", head + "".join(entries))


def co_annotation(
    data: Path, record: dict[str, Any], name: str, none: str, names: dict[str, str], note: str
) -> str:
    """Bundle the co-occurrence of the labels of one collection of texts."""
    frame = pd.read_parquet(data / record["file"])
    labels = [column for column in frame.columns[4:] if column != none]
    called = [names.get(label, label) for label in labels]
    table, half_items = co_occurrence(frame["text"], frame[labels].to_numpy(np.int64), called)
    write_parquet(OUT / f"{name}.parquet", table)
    return entry(
        record,
        name,
        note=note,
        kind="co-annotation",
        categories=called,
        n_items=len(frame),
        half_items=half_items,
        seed=SEED,
        names=names,
    )


def co_occurrence(texts: pd.Series, marks: np.ndarray, labels: list[str]) -> tuple[pd.DataFrame, list[int]]:
    """Count how many texts carry both of two labels, over all texts and over the first of two random halves.

    The same text under two ids goes to the same half. Returns the counts of each pair and the sizes of the halves.
    """
    text, _ = pd.factorize(texts)
    rng = np.random.default_rng(SEED)
    halves = [rng.permutation(text.max() + 1)[text] % 2 == 0 for _ in range(SPLITS)]
    counts = {"count": marks.T @ marks}
    counts |= {f"half_{i:02d}": marks[half].T @ marks[half] for i, half in enumerate(halves)}
    pairs = list(combinations_with_replacement(range(len(labels)), 2))
    table = pd.DataFrame({"a": [labels[i] for i, _ in pairs], "b": [labels[j] for _, j in pairs]})
    for column, matrix in counts.items():
        table[column] = [int(matrix[i, j]) for i, j in pairs]
    return table.astype(dict.fromkeys(counts, "int32")), [int(half.sum()) for half in halves]


def co_annotation_by_language(data: Path, record: dict[str, Any]) -> str:
    """Bundle the co-occurrence of six emotions in each language with enough texts, of those labelled for all it has."""
    emotions = ["anger", "disgust", "fear", "joy", "sadness", "surprise"]
    frame = pd.read_parquet(data / record["file"], columns=["text", "language", *emotions])
    tables, n_items, half_items = [], {}, {}
    for language, group in frame.groupby("language"):
        labelled = group.dropna(axis="columns", how="all").dropna()
        asked = [emotion for emotion in emotions if emotion in labelled]
        if len(labelled) < FEWEST_TEXTS:
            continue
        table, halves = co_occurrence(labelled["text"], labelled[asked].to_numpy(np.int64), asked)
        tables.append(table.assign(variant=language))
        n_items[str(language)], half_items[str(language)] = len(labelled), halves
    write_parquet(OUT / "brighter.parquet", pd.concat(tables, ignore_index=True))
    return entry(
        record,
        "brighter",
        note="six emotions in each language, all splits with labels; English texts were not asked for disgust nor "
        "Afrikaans ones for surprise, so these are missing there; Arabic and Portuguese hold two varieties each",
        kind="co-annotation",
        categories=emotions,
        variants=list(n_items),
        variants_are="languages",
        seed=SEED,
        names={},
        n_items=n_items,
        half_items=half_items,
    )


def colexification(data: Path, record: dict[str, Any]) -> str:
    """Keep, for each family and pair of concepts it has words for, how many varieties have one word for both."""
    links = pd.read_parquet(data / record["file"])
    nodes = pd.read_parquet(data / record["folder"] / "nodes.parquet")
    count = {
        (family, *sorted((a, b))): int(n)
        for family, a, b, n in links[["family", "concept_a", "concept_b", "variety_count"]].itertuples(
            index=False
        )
    }
    rows = []
    for family, group in nodes.sort_values("concept").groupby("family"):
        known = dict(zip(group["concept"], group["variety_count"], strict=True))
        for a, b in combinations_with_replacement(sorted(known), 2):
            if a != b:
                both = count.pop((family, a, b), 0)
                rows.append((str(family).lower(), called(a), called(b), both, int(known[a]), int(known[b])))
    if count:
        raise SystemExit(f"links between concepts the family lacks: {count}")
    table = pd.DataFrame(rows, columns=["variant", "a", "b", "both", "varieties_a", "varieties_b"])
    write_parquet(OUT / "clics.parquet", table)
    concepts = sorted({called(concept) for concept in nodes["concept"]})
    return entry(
        record,
        "clics",
        note="over all families: share of the families with words for both concepts that colexify them; within one "
        "family: share of the varieties of the rarer concept; pairs no family has words for are missing",
        kind="colexification",
        categories=concepts,
        variants=sorted(table["variant"].unique()),
        variants_are="families",
        names=CLICS_NAMES,
    )


def called(concept: str) -> str:
    """Return our name of a Concepticon concept, or its own in lower case."""
    return CLICS_NAMES.get(concept, concept.lower())


def rated(data: Path, record: dict[str, Any]) -> str:
    """Keep the mean similarity of each pair of emotions by task, for children and adults apart."""
    frame = pd.read_parquet(data / record["file"])
    group = np.where(frame["age"] < 18, "children", "adults")
    task = frame["task"].map({"conceptual_rating": "rating", "sorting": "sorting"})
    frame["variant"] = [f"{who}-{what}" for who, what in zip(group, task, strict=True)]
    for side, column in (("a", "emotion1"), ("b", "emotion2")):
        frame[side] = frame[column].replace(CHILDFER_NAMES)
    grouped = frame.groupby(["variant", "a", "b"])["similarity"]
    table = grouped.agg(similarity="mean", sd="std", n="size").reset_index()
    write_parquet(OUT / "childfer.parquet", table)
    return entry(
        record,
        "childfer",
        note="four emotions; children of 5 to 11 years and adults of 18 to 26; rating: mean correlation of ratings, "
        "sorting: mean share of faces sorted together",
        kind="rated similarity",
        categories=["joy", "sadness", "anger", "fear"],
        variants=sorted(table["variant"].unique()),
        default="children-rating",
        names=CHILDFER_NAMES,
    )


def entry(record: dict[str, Any], name: str, **fields: Any) -> str:
    """Return the TOML entry of one structure."""
    fields = {
        "language": record["language"],
        **fields,
        "licence": record["licence"],
        "citation": record["citation"],
        "source": f"{record['source_repo']} {record['source_path']} at {record['source_commit'][:12]}",
        "sha256": file_hash(OUT / f"{name}.parquet"),
    }
    nested = {key: value for key, value in fields.items() if isinstance(value, dict)}
    lines = [f"\n[{name}]", *(_line(key, value) for key, value in fields.items() if key not in nested)]
    for key, values in nested.items():
        if values:
            pairs = (_line(json.dumps(inner, ensure_ascii=False), value) for inner, value in values.items())
            lines += [f"\n[{name}.{key}]", *pairs]
    return "\n".join(lines) + "\n"


def _line(key: str, value: Any) -> str:
    return f"{key} = {json.dumps(value, ensure_ascii=False)}"


if __name__ == "__main__":
    main()
