"""The page of steering across languages, from records and tables as the study makes them."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from emospace.evaluation.summary import cross_lingual_summary
from emospace.judges import BASIC
from emospace.records import Manifest, ModelRecord, Results, SteeringRecord
from emospace.report import write_report
from emospace.report.run import load_run
from emospace.report.steering_languages import (
    crossing_verdict,
    is_crossing_run,
    matrix,
    means_table,
)

COMMON = {"model": "tiny", "layer": None, "n": 24, "seed": 0}
SOURCES, OUTPUTS = ("en", "es", "ja", "all"), ("en", "es")
NASTY = "<script>alert('x')</script>"


def record(emotion, source, output, rate, vector="dense", **given):
    return SteeringRecord(
        **COMMON,
        emotion=emotion,
        source_language=source if source != output else None,
        vector=vector,
        dose=0.5,
        judge="subword",
        language=output,
        n_prompts=24,
        target_rate=rate,
        base_rate=0.15,
        judge_auroc=0.9 if output == "en" else 0.76,
        perplexity_ratio=1.5,
        distinct2_ratio=0.9,
        p=0.01,
        options="op=clamp dose_of=en" if vector == "dense" and source != "en" else None,
        **given,
    )


def rate_of(source, output, place):
    return round(0.3 + 0.1 * SOURCES.index(source) + 0.02 * place + 0.05 * (output == "es"), 3)


def records():
    rows = []
    for output in OUTPUTS:
        for place, emotion in enumerate(BASIC):
            rows += [
                record(emotion, None, output, 0.15, "none"),
                record(emotion, None, output, 0.2, "random"),
            ]
            rows += [record(emotion, source, output, rate_of(source, output, place)) for source in SOURCES]
    return tuple(rows)


def means(p=0.001):
    rows = [
        {
            "source": source,
            "output": output,
            "n_emotions": 6,
            "n_prompts": 24,
            "rate": np.mean([rate_of(source, output, place) for place in range(6)]),
            "rate_low": 0.25,
            "rate_high": 0.9,
            "rate_masked": 0.3,
            "base_rate": 0.15,
            "control_rate": 0.2,
            "others_rate": 0.1,
            "p": p,
            "p_fdr": p,
            "perplexity_ratio": 1.5,
            "distinct2_ratio": 0.9,
            "in_language": 0.4 if output == "es" else 1.0,
            "base_in_language": 0.5 if output == "es" else 1.0,
        }
        for output in OUTPUTS
        for source in SOURCES
    ]
    return pd.DataFrame(rows)


def results_with(steering, means, cosines=None):
    """Return results that hold records of steering and the means over them and their tables."""
    return Results(
        steering=steering,
        summary=cross_lingual_summary(steering, means, pd.DataFrame() if cosines is None else cosines),
        model=ModelRecord(**COMMON),
        manifest=Manifest(**COMMON, command="emospace steer languages", languages=OUTPUTS),
    )


def said_of(means):
    return crossing_verdict("tiny", means, results_with(records(), means))


def crossing_run(folder):
    (folder / "tables").mkdir(parents=True)
    cosines = [
        {"a": a, "b": b, "emotion": name, "layer": 2, "cosine": value, "others": 0.1}
        for a, b, value in (("en", "es", 0.8), ("en", "ja", 0.4), ("es", "ja", 0.3))
        for name in BASIC
    ]
    samples = [
        {
            "emotion": emotion,
            "kind": "dense" if source else "none",
            "dose": 0.5,
            "factor": 1.0,
            "draw": 0,
            "prompt": f"{output} {place}",
            "text": NASTY,
            "judged": "joy",
            "perplexity": 9.0,
            "source": source,
            "output": output,
        }
        for output in OUTPUTS
        for source, emotion in ((None, None), *((source, "joy") for source in SOURCES))
        for place in range(3)
    ]
    tables = {"means": means(), "cosines": pd.DataFrame(cosines), "samples": pd.DataFrame(samples)}
    for name, table in tables.items():
        table.to_parquet(folder / "tables" / f"crossing_{name}.parquet", index=False)
    results_with(records(), means(), pd.DataFrame(cosines)).save(folder / "results.json")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = crossing_run(tmp_path_factory.mktemp("crossing") / "run")
    write_report(folder)
    return folder


@pytest.fixture(scope="module")
def page(folder):
    return (folder / "report.html").read_text(encoding="utf-8")


class Rows(HTMLParser):
    """Collects the rows of every table, and the section's names."""

    def __init__(self, html):
        super().__init__()
        self.tables, self.sections, self.cell = {}, [], None
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "section":
            self.sections.append(attrs["id"])
        if tag == "table":
            self.rows = self.tables.setdefault(attrs["id"], [])
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self.cell = self.rows[-1]

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.cell = None

    def handle_data(self, data):
        if self.cell is not None:
            self.cell[-1] += data

    def table(self, key):
        head, *rows = self.tables[key]
        return [dict(zip(head, row, strict=True)) for row in rows]


def test_the_page_is_that_of_languages(folder, page):
    assert is_crossing_run(load_run(folder))
    assert Rows(page).sections == ["answer", "emotions", "vectors", "samples", "missing", "manifest"]


def test_the_matrix_holds_the_records_and_the_controls(page):
    variants = json.loads(re.search(r'id="charts">(.*?)</script>', page, re.S)[1])["crossing-matrix"][
        "variants"
    ]
    assert list(variants) == ["mean", *BASIC]
    trace = variants["joy"]["data"][0]
    assert trace["y"] == ["English", "Spanish", "Japanese", "All languages", "Random directions", "Unsteered"]
    assert trace["x"] == ["English", "Spanish"]
    joy = BASIC.index("joy")
    assert trace["z"][0] == pytest.approx([rate_of("en", "en", joy), rate_of("en", "es", joy)])
    assert trace["z"][4:] == [pytest.approx([0.2, 0.2]), pytest.approx([0.15, 0.15])]
    whole = variants["mean"]["data"][0]["z"]
    assert whole[1][0] == pytest.approx(np.mean([rate_of("es", "en", place) for place in range(6)]), abs=1e-3)
    bold = [
        trace["y"][annotation["y"]]
        for annotation in variants["mean"]["layout"]["annotations"]
        if annotation["text"].startswith("<b>")
    ]
    assert bold == ["English", "Spanish"]


def test_a_missing_square_stays_blank():
    some = [entry for entry in records() if (entry.source_language, entry.language) != ("ja", "es")]
    trace = matrix(results_with(some, means())).variants["mean"]["data"][0]
    row = trace["z"][trace["y"].index("Japanese")]
    assert row[0] is not None
    assert row[1] is None


def test_the_verdict_counts_pairs_of_different_languages():
    first, second, third = said_of(means())
    assert first.startswith("A tone crosses languages in tiny: in each of 4 pairs of different languages")
    assert "unsteered .15" in second
    assert "by random directions .20" in second
    assert "Spanish 40% (unsteered 50%)" in third
    assert said_of(means(p=0.2))[0].startswith("By these measures a tone does not cross")
    mixed = means()
    mixed.loc[(mixed["source"] == "ja") & (mixed["output"] == "es"), "p_fdr"] = 0.5
    assert "in 3 of 4 pairs" in said_of(mixed)[0]
    assert "2 of 2 in English and 1 of 2 in Spanish answers" in said_of(mixed)[0]
    lower = means()
    lower["control_rate"] = 0.99
    assert "does not cross" in said_of(lower)[0]
    any_emotion = means()
    any_emotion["others_rate"] = 0.3
    assert "does not cross" in said_of(any_emotion)[0]
    alone = means()[lambda table: table["source"] == table["output"]]
    assert "was not tried" in said_of(alone)[0]


def test_tables_hold_the_figures(page):
    parser = Rows(page)
    rows = {(row["Concepts"], row["Answers"]): row for row in parser.table("table-crossing-means")}
    assert len(rows) == len(SOURCES) * len(OUTPUTS)
    assert rows["Spanish", "English"]["Random"] == ".20"
    assert rows["Japanese", "Spanish"]["In language"] == "40%"
    rates = parser.table("table-crossing-rates")
    assert len(rates) == len(SOURCES) * len(OUTPUTS) * 6
    assert {row["Random"] for row in rates} == {".20"}
    pairs = {
        (row["Language"], row["And"]): row["Mean cosine"] for row in parser.table("table-crossing-pairs")
    }
    assert pairs == {
        ("English", "Spanish"): ".80",
        ("English", "Japanese"): ".40",
        ("Spanish", "Japanese"): ".30",
    }
    assert len(parser.table("table-crossing-samples")) == 2 * (1 + len(SOURCES))
    assert "<script>alert" not in page
    assert "calibrated for the English one" in page


def test_without_tables_every_part_says_why(folder, tmp_path):
    Results.load(folder / "results.json").save(tmp_path / "results.json")
    page = write_report(tmp_path).read_text(encoding="utf-8")
    for name in ("means", "cosines", "samples"):
        assert f"the run folder has no tables/crossing_{name}.parquet" in page
    assert "crossing-matrix" in page


@pytest.mark.parametrize("source", ["en", "es"])
def test_a_study_of_one_language_keeps_its_own_page(tmp_path, source):
    kept = [
        entry for entry in records() if entry.language == "en" and entry.source_language in (None, source)
    ]
    if source != "en":
        # As `steer evaluate` in another language than that of the vectors, an instruction beside them.
        kept = [entry for entry in kept if entry.source_language or entry.vector in ("none", "random")]
        kept.append(record("joy", None, "en", 0.4, "prompt"))
    results = Results(
        steering=tuple(kept),
        model=ModelRecord(**COMMON),
        manifest=Manifest(**COMMON, command="emospace steer evaluate", languages=("en",)),
    )
    results.save(tmp_path / "results.json")
    run = load_run(tmp_path)
    assert not is_crossing_run(run)


def test_answers_that_could_not_be_judged_are_counted_beside_the_rates():
    whole = means().assign(n_judged=144, n_unjudged=0)
    assert "Judged" not in means_table(whole).columns
    table = means_table(whole.assign(n_judged=100, n_unjudged=44))
    place = list(table.columns).index("Judged")
    assert {row[place].text for row in table.rows} == {"100 of 144"}


def test_a_run_without_means_shows_dashes(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "run")
    old = Results.load(folder / "results.json").model_copy(update={"summary": ()})
    old.save(tmp_path / "run" / "results.json")
    assert "another language –; by those" in crossing_verdict("tiny", means(), old)[1]
    page = write_report(tmp_path / "run").read_text(encoding="utf-8")
    rows = Rows(page).table("table-crossing-pairs")
    assert {(row["Mean cosine"], row["Other emotions"]) for row in rows} == {("–", "–")}
    assert {row["Figure"] for row in Rows(page).table("table-missing")} >= {
        "means over emotions under steering"
    }


def test_means_over_cosines_are_shown_by_emotion_and_by_pair(page):
    pairs = {
        (row["Language"], row["And"]): row["Mean cosine"] for row in Rows(page).table("table-crossing-pairs")
    }
    assert pairs == {
        ("English", "Spanish"): ".80",
        ("English", "Japanese"): ".40",
        ("Spanish", "Japanese"): ".30",
    }
    emotions = Rows(page).table("table-crossing-cosines")
    assert {row["Mean cosine"] for row in emotions} == {".50"}
