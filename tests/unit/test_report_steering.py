"""The report of steering and reading, from tables as the study of steering makes them."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from emospace.concepts import load_concepts
from emospace.evaluation.answers import Answers
from emospace.evaluation.cells import standard_cells
from emospace.evaluation.grid import Judged, _record, group_cells
from emospace.evaluation.scores import Scored
from emospace.evaluation.summary import calibrated, is_above_controls, nearest_random, steering_summary
from emospace.evaluation.tables import figure_table, study_tables
from emospace.judges import BASIC, BASIC_SEVEN, Judgement
from emospace.records import Manifest, ModelRecord, ReadingRecord, Results, SideEffectRecord, SteeringRecord
from emospace.report import write_report
from emospace.report.manifest import missing_table
from emospace.report.run import load_run
from emospace.report.steering import verdict
from emospace.report.wording import DASH, WITHOUT_MEANS, figure
from emospace.specs import SteeringSpec
from emospace.steering import DoseRange, SteeringVector

N_PROMPTS = 12
VALENCE = {
    "anger": -0.6,
    "disgust": -0.6,
    "fear": -0.5,
    "joy": 0.9,
    "sadness": -0.7,
    "surprise": 0.3,
    "pride": 0.6,
}
EMOTIONS = (*BASIC, "pride", "awe")
LABELS = (*BASIC, "neutral", "pride")
NASTY = "<script>alert('x')</script> & \u2028 <b>so it goes</b>"
INSTRUCTIONS = {name: f"Answer with {name}." for name in EMOTIONS}
COMMON = {"model": "tiny", "layer": None, "n": 12, "seed": 0}


def vectors_of(kind):
    return {
        name: SteeringVector(
            name=name,
            kind=kind,
            directions={2: np.random.default_rng(place).standard_normal(8)},
            medians={2: 4.0},
            model="tiny",
            model_hash="0",
            calibration={"relative": DoseRange(0.4 + 0.05 * place, 0.1, 2.0)},
        )
        for place, name in enumerate(EMOTIONS)
    }


JUDGE = SimpleNamespace(
    name="subword",
    kind="for tests",
    labels=LABELS,
    auroc=lambda language, label: {"pride": 0.7}.get(label, 0.9 if label in BASIC else None),
    recall=lambda language, label, masked=False: 0.63,
    calibration_error=lambda language, label: 0.021,
)


def heard(cell, rng, works, refused):
    """Return what a judge hears in a cell: the target, as often as the dose says, else anything."""
    strength = {"none": 0.0, "random": 0.05, "prompt": 0.5, "shuffled": 0.1}.get(
        cell.kind, min(cell.factor or 0, 1.0) * 0.95
    )
    seven = rng.random((N_PROMPTS, 7)) * 0.4
    if works and cell.emotion in BASIC:
        rows = rng.random(N_PROMPTS) < strength
        seven[rows, BASIC_SEVEN.index(cell.emotion)] = 3.0
    probability = np.column_stack([seven, rng.random(N_PROMPTS) * 0.3])
    judgement = Judgement(LABELS, probability / probability.max(), seven / seven.sum(axis=1, keepdims=True))
    judgement = judgement.without(np.array([cell.emotion in refused] * (N_PROMPTS - 2) + [False] * 2))
    if cell.emotion == "fear":
        judgement = judgement.without(np.full(N_PROMPTS, "fear" in refused))
    shift = 0.2 * strength * VALENCE.get(cell.emotion or "", 0.0)
    return Scored(
        judgement=judgement,
        masked=judgement,
        perplexity=np.exp(rng.normal(2 + 0.7 * strength, 0.1, N_PROMPTS)),
        valence=rng.normal(0.1 + shift, 0.01, N_PROMPTS),
        arousal=rng.normal(0.0, 0.01, N_PROMPTS),
        repetition=rng.random(N_PROMPTS) * 0.1,
        similarity=rng.random(N_PROMPTS),
        stopped=np.zeros(N_PROMPTS, dtype=bool),
        distinct2=0.9,
        facts=rng.random((2, 10)) < 0.9 - 0.5 * strength if cell.factual else None,
        applications=10,
    )


def steering_run(folder, *, works=True, refused=()):
    """Write a run folder as `emospace steer evaluate` does; of `refused` emotions few answers could be judged."""
    rng = np.random.default_rng(3)
    spec = SteeringSpec(doses=(0.5, 1.0, 1.5), random_doses=(0.5, 1.0, 2.0), n_random=3)
    cells = standard_cells(
        spec,
        vectors_of("mix"),
        baselines=[vectors_of("dense")],
        shuffled=[vectors_of("mix")],
        instructions=INSTRUCTIONS,
    )
    scored = [heard(cell, rng, works, refused) for cell in cells]
    groups = group_cells(spec, cells, scored, JUDGE)
    answers = [
        Answers(
            texts=[f"{NASTY} {number}" for number in range(N_PROMPTS)],
            n_tokens=[9] * N_PROMPTS,
            stopped=[False] * N_PROMPTS,
            perplexity=scores.perplexity.tolist(),
            applications=10,
            factual=[],
        )
        for scores in scored
    ]
    prompts = [f"What is {number}?" for number in range(N_PROMPTS)]
    judged = Judged(cells, prompts, answers, scored, groups)
    tables = study_tables(spec, judged, sets=load_concepts(["en"]), norms=None)
    affect = tables["affect"]
    affect["human_valence"] = affect["target"].map(VALENCE).astype(float)
    tables["figures"] = figure_table(groups, judged.base, affect, seed=0)
    (folder / "tables").mkdir(parents=True)
    for name, table in tables.items():
        table.to_parquet(folder / "tables" / f"steering_{name}.parquet", index=False)
    model = SimpleNamespace(name="tiny", tokenizer=SimpleNamespace(chat_template="{{messages}}"))
    records = tuple(_record(spec, model, JUDGE, group) for group in groups)
    results = Results(
        steering=records,
        summary=steering_summary(records),
        model=ModelRecord(**COMMON),
        manifest=Manifest(**COMMON, command="emospace steer evaluate --out runs/steering", languages=("en",)),
    )
    results.save(folder / "results.json")
    return folder


def test_side_effects_stand_in_a_table_of_their_own(folder, tmp_path):
    shape = {
        "vector": "mix",
        "dose": 0.4,
        "language": "en",
        "base_value": 0.25,
        "change_low": 0.1,
        "change_high": 0.9,
    }
    named = (("joy", "refusals", 0.75), (None, "abuse", 0.5))
    records = tuple(
        SideEffectRecord(
            **{**COMMON, "n": 24}, **shape, emotion=emotion, figure=figure, value=value, change=value - 0.25
        )
        for emotion, figure, value in named
    )
    run = tmp_path / "run"
    shutil.copytree(folder, run)
    Results.load(run / "results.json").model_copy(update={"side_effects": records}).save(run / "results.json")
    rows = Rows(write_report(run).read_text(encoding="utf-8")).tables["table-steering-side-effects"]
    assert [[cell.replace("\xa0", " ") for cell in row[1:]] for row in rows[1:]] == [
        ["Requests refused", ".75", ".25", ".50", ".10 to .90", "24"],
        ["Answers with abuse", ".50", ".25", ".25", ".10 to .90", "24"],
    ]
    assert rows[1][0] == "Joy"
    assert "table-steering-side-effects" not in (folder / "report.html").read_text(encoding="utf-8")


def test_stability_stands_in_a_table_of_its_own(folder, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(folder, run)
    row = {"way": "mix", "n_emotions": 1, "n_seeds": 3, "n": 24, "least": 0.6, "greatest": 0.8}
    for name, value in (("rate", 0.7), ("most", 0.75), ("every", 0.5), ("agreement", 0.9)):
        row |= {name: value, f"{name}_low": 0.1, f"{name}_high": 0.95}
    table = pd.DataFrame([{**row, "emotion": "joy"}, {**row, "emotion": None}])
    table.to_parquet(run / "tables" / "steering_stability.parquet")
    page = write_report(run).read_text(encoding="utf-8")
    rows = [
        [cell.replace("\xa0", " ") for cell in row] for row in Rows(page).tables["table-steering-stability"]
    ]
    assert [row[0] for row in rows[1:]] == ["Joy", "Mean"]
    assert rows[1][2:] == [".70", ".10 to .95", ".60", ".80", ".75", ".50", ".90", ".10 to .95", "24", "3"]
    assert "table-steering-stability" not in (folder / "report.html").read_text(encoding="utf-8")


def results_with(records):
    """Return results that hold records of steering and their means."""
    manifest = Manifest(**COMMON, command="emospace steer evaluate", languages=("en",))
    summary = steering_summary(records)
    return Results(steering=records, summary=summary, model=ModelRecord(**COMMON), manifest=manifest)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = steering_run(tmp_path_factory.mktemp("steering") / "run")
    write_report(folder)
    return folder


@pytest.fixture(scope="module")
def page(folder):
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def records(folder):
    return Results.load(folder / "results.json").steering


class Rows(HTMLParser):
    """Collects the rows of every table, and the tags of the page outside scripts."""

    def __init__(self, html):
        super().__init__()
        self.tables, self.tags, self.words, self.cell, self.where = {}, [], [], None, ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append((tag, attrs))
        if tag == "table":
            self.rows = self.tables.setdefault(attrs["id"], [])
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self.cell = self.rows[-1]
        self.where = tag

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.cell = None
        self.where = ""

    def handle_data(self, data):
        if self.cell is not None:
            self.cell[-1] += data
        if self.where not in ("script", "style"):
            self.words.append(data)

    def table(self, key):
        head, *rows = self.tables[key]
        return [dict(zip(head, row, strict=True)) for row in rows]


def charts_of(page):
    return json.loads(re.search(r'id="charts">(.*?)</script>', page, re.S)[1])


def test_the_page_has_its_own_sections_and_no_study(page):
    parser = Rows(page)
    assert [attrs["id"] for tag, attrs in parser.tags if tag == "section"] == [
        *(
            "answer",
            "frontier",
            "doses",
            "confusion",
            "affect",
            "categories",
            "samples",
            "missing",
            "manifest",
        ),
    ]
    words = " ".join(parser.words)
    assert "emospace steer evaluate" in words
    assert "Steering towards 8 emotions in English, judged by “subword”" in words
    names = [attrs["id"] for _, attrs in parser.tags if "id" in attrs]
    assert len(names) == len(set(names))


def test_the_first_sentence_answers_the_question(page, records):
    said = verdict("tiny", results_with(records))
    assert said[0] == (
        "Steering sets the tone of tiny's answers: the judge finds each of anger, disgust, fear, joy, sadness and "
        "surprise more often than under random directions."
    )
    assert "random directions ." in said[1]
    assert "the judge's own recall .63" in said[1]
    assert "12 neutral prompts" in said[1]
    assert said[0] in " ".join(Rows(page).words).replace("\n", " ")


def test_where_nothing_is_found_the_verdict_is_no(tmp_path):
    folder = steering_run(tmp_path / "run", works=False)
    said = verdict("tiny", Results.load(folder / "results.json"))
    assert said[0].startswith("By these measures steering does not set the tone of tiny's answers")
    write_report(folder)


def test_where_some_are_found_they_are_named(records):
    changed = [
        record.model_copy(update={"p_fdr": 0.4}) if record.emotion == "disgust" else record
        for record in records
    ]
    said = verdict("tiny", results_with(changed))[0]
    assert said.endswith("for anger, fear, joy, sadness and surprise, not for disgust.")


def test_the_basic_table_holds_the_records(page, records):
    rows = {row["Emotion"]: row for row in Rows(page).table("table-steering-basic")}
    assert set(rows) == {"Anger", "Disgust", "Fear", "Joy", "Sadness", "Surprise"}
    joy = next(r for r in calibrated(records) if r.emotion == "joy")
    assert joy.vector == "mix"
    assert rows["Joy"]["Target rate"] == f"{joy.target_rate:.2f}"[1 if joy.target_rate < 1 else 0 :]
    assert rows["Joy"]["Judge's recall"] == ".63"
    assert rows["Joy"]["AUROC"] == ".90"
    assert rows["Joy"]["Perplexity ratio"] == f"{joy.perplexity_ratio:.2f}"


def test_all_ways_stand_beside_each_other(page):
    rows = Rows(page).table("table-steering-compared")
    assert [row["Answers"] for row in rows] == [
        *("SAE and dense", "Dense mean difference", "Prompt alone", "Shuffled concept-sets"),
        *("Random directions", "Unsteered"),
    ]
    rate = {row["Answers"]: float(row["Target rate"]) for row in rows}
    assert rate["SAE and dense"] > rate["Prompt alone"] > rate["Random directions"]


def test_a_category_without_a_judge_gives_its_reason(page, records, folder):
    rows = {row["Emotion"]: row for row in Rows(page).table("table-steering-others")}
    assert rows["Awe"]["Target rate"] == "–"
    assert rows["Awe"]["Why no rate"] == "the judge has no label 'awe'"
    assert rows["Pride"]["p (FDR)"].startswith("(")
    missing = missing_table(load_run(folder)).rows
    assert ("target rate under steering: awe", "English", "the judge has no label 'awe'") in [
        tuple(cell.text for cell in row) for row in missing
    ]


def test_the_doses_are_drawn_with_the_random_control(page):
    chart = charts_of(page)["steering-rate"]["variants"][""]
    assert [trace["name"] for trace in chart["data"]] == [name.title() for name in BASIC] + [
        "Random directions"
    ]
    joy = chart["data"][BASIC.index("joy")]
    assert joy["x"][0] == 0
    assert joy["y"][0] < joy["y"][2]
    assert len(joy["x"]) == 4
    assert joy["marker"]["symbol"].count("diamond") == 1
    assert len(chart["data"][-1]["x"]) == 3
    assert charts_of(page)["steering-ratio"]["variants"][""]["layout"]["yaxis"]["type"] == "log"
    assert {row["Emotion"] for row in Rows(page).table("table-steering-slopes")} >= {"Joy", "Surprise"}


def test_ways_are_compared_at_equal_cost(page, folder):
    charts = charts_of(page)
    assert list(charts["steering-frontier-ratio"]["variants"]) == ["target_rate", "target_rate_masked"]
    lines = {
        trace["name"]: trace for trace in charts["steering-frontier-ratio"]["variants"]["target_rate"]["data"]
    }
    assert set(lines) == {
        *("SAE and dense", "Dense mean difference", "Prompt alone", "Prompt and vector"),
        *("Shuffled concept-sets", "Random directions"),
    }
    points = pd.read_parquet(folder / "tables" / "steering_frontier.parquet")
    mix = points[(points["way"] == "mix") & points["emotion"].isna()]
    assert lines["SAE and dense"]["x"] == pytest.approx(mix["perplexity_ratio"].tolist(), abs=1e-4)
    assert lines["SAE and dense"]["y"] == pytest.approx(mix["target_rate"].tolist(), abs=1e-4)
    assert len(lines["Prompt alone"]["x"]) == 1
    figures = pd.read_parquet(folder / "tables" / "steering_frontier_figures.parquet")
    of = figures[figures["emotion"].isna() & (figures["way"] == "mix") & (figures["level"] == 1.5)]
    rate = of.set_index("figure").loc["target_rate", "value"]
    rows = {row["Answers"]: row for row in Rows(page).table("table-steering-frontier")}
    assert rows["SAE and dense"]["Rate at 1.5"] == f"{rate:.2f}"[1:]
    assert rows["Prompt alone"]["Rate at 1.5"] == "–"
    tests = Rows(page).table("table-steering-frontier-tests")
    assert {row["Against"] for row in tests} == set(lines) - {"SAE and dense"}


def test_the_confusion_matrix_sums_to_one_and_ends_with_unsteered(page):
    variants = charts_of(page)["steering-confusion"]["variants"]
    assert list(variants) == ["mix", "dense", "prompt", "shuffled"]
    trace = variants["mix"]["data"][0]
    assert trace["y"] == [*(name.title() for name in BASIC), "(unsteered)"]
    assert np.allclose(np.sum(trace["z"], axis=1), 1, atol=1e-3)
    assert np.argmax(trace["z"][3]) == 3


def test_answers_that_could_not_be_judged_are_counted_on_the_page(page, tmp_path):
    assert "Judged" not in Rows(page).table("table-steering-basic")[0]
    folder = steering_run(tmp_path, refused=("joy", "fear"))
    html = write_report(folder).read_text(encoding="utf-8")
    rows = {row["Emotion"]: row for row in Rows(html).table("table-steering-basic")}
    assert (rows["Joy"]["Judged"], rows["Anger"]["Judged"]) == (f"2 of {N_PROMPTS}", "all")
    assert rows["Fear"]["Judged"] == f"0 of {N_PROMPTS}"
    assert "could be judged" in rows["Fear"]["Why no rate"]
    assert rows["Fear"]["Target rate"] == "–"
    trace = charts_of(html)["steering-confusion"]["variants"]["mix"]["data"][0]
    shown = dict(zip(trace["y"], trace["z"], strict=True))
    assert sum(shown[f"Joy (2 of {N_PROMPTS})"]) == pytest.approx(1, abs=1e-3)
    assert set(shown[f"Fear (0 of {N_PROMPTS})"]) == {None}
    assert "answers could be judged, and the rates are of these" in html


def test_word_shifts_are_drawn_over_peoples_ratings(page):
    chart = charts_of(page)["steering-valence"]
    assert [label["text"] for label in chart["options"]["labels"]] == [*BASIC, "pride"]
    assert re.search(r"r = (1\.00|\.9\d); 7 categories", page)
    assert "steering-arousal" not in charts_of(page)


def test_answers_are_shown_as_text_never_as_markup(page):
    rows = Rows(page).table("table-steering-samples")
    assert len(rows) % 3 == 0
    assert all("<script>alert('x')</script>" in row["Answer"] for row in rows)
    assert "<script>alert" not in page
    assert "<b>so it goes</b>" not in page
    assert {row["Target"] for row in rows} == {"(no target)", *(name.title() for name in EMOTIONS)}


def test_the_same_run_gives_the_same_bytes(folder, page):
    assert write_report(folder).read_text(encoding="utf-8") == page


def test_without_tables_every_part_says_why(folder, tmp_path):
    Results.load(folder / "results.json").save(tmp_path / "results.json")
    words = " ".join(Rows(write_report(tmp_path).read_text(encoding="utf-8")).words)
    for name in ("figures", "dose_response", "confusion", "affect", "samples"):
        assert f"the run folder has no tables/steering_{name}.parquet" in words


def test_means_are_those_of_the_records_and_the_page_shows_them(folder, page, records):
    results = Results.load(folder / "results.json")
    rows = {row["Answers"]: row for row in Rows(page).table("table-steering-compared")}
    prompted = [r for r in records if r.vector == "prompt" and r.emotion in BASIC]
    of = {"group": "compared", "way": "prompt"}
    for name, shown in (
        ("target_rate", "Target rate"),
        ("similarity", "Similarity"),
        ("distinct2_ratio", "Distinct-2"),
    ):
        mean = np.mean([getattr(r, name) for r in prompted])
        assert results.mean("steering", name, **of) == pytest.approx(mean)
        assert rows["Prompt alone"][shown] == figure(mean)
    ratio = np.median([r.perplexity_ratio for r in prompted])
    assert results.median("steering", "perplexity_ratio", **of) == pytest.approx(ratio)
    assert results.mean("steering", "perplexity_ratio", **of) is None
    main = [r for r in calibrated(records) if r.emotion in BASIC]
    random = [nearest_random(r, records).target_rate for r in main]
    mean = results.mean("steering", "target_rate", group="judged", way="random")
    assert mean == pytest.approx(np.mean(random))
    dashed = charts_of(page)["steering-rate"]["variants"][""]["data"][-1]
    assert dashed["name"] == "Random directions"
    for dose, rate in zip(dashed["x"], dashed["y"], strict=True):
        read = [
            r.target_rate
            for r in records
            if r.vector == "random" and r.emotion in BASIC and r.dose == pytest.approx(dose)
        ]
        assert rate == pytest.approx(np.mean(read), abs=1e-4)


def test_a_run_without_means_shows_dashes_and_says_why(folder, tmp_path):
    Results.load(folder / "results.json").model_copy(update={"summary": ()}).save(tmp_path / "results.json")
    page = write_report(tmp_path).read_text(encoding="utf-8")
    rows = Rows(page).table("table-steering-compared")
    assert {
        row[name] for row in rows for name in ("Target rate", "Perplexity ratio", "Δ valence (mean size)")
    } == {DASH}
    (why,) = (
        row["Reason"]
        for row in Rows(page).table("table-missing")
        if row["Figure"] == "means over emotions under steering"
    )
    assert why == WITHOUT_MEANS
    names = [trace["name"] for trace in charts_of(page)["steering-rate"]["variants"][""]["data"]]
    assert names and "Random directions" not in names
    assert f"Random directions are not drawn: {WITHOUT_MEANS}" in " ".join(Rows(page).words)


def test_controls_are_those_of_the_nearest_dose(records):
    joy = next(r for r in calibrated(records) if r.emotion == "joy")
    doses = {r.dose for r in records if r.vector == "random"}
    assert nearest_random(joy, records).dose == min(doses, key=lambda dose: abs(np.log(dose / joy.dose)))
    assert nearest_random(joy, [joy]) is None


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"p_fdr": 0.01, "p": 0.2}, True),
        ({"p_fdr": 0.2, "p": 0.001}, False),
        ({"p": 0.01}, True),
        ({"p": 0.01, "base_rate": 0.9}, False),
        ({"ci_low": 0.4}, True),
        ({"ci_low": 0.05}, False),
        ({}, False),
    ],
)
def test_what_counts_as_heard(given, expected):
    shape = {**COMMON, "emotion": "joy", "vector": "mix", "dose": 1.0, "judge": "subword", "language": "en"}
    shape |= {
        "n_prompts": 12,
        "target_rate": 0.6,
        "base_rate": 0.1,
        "perplexity_ratio": 1.5,
        "distinct2_ratio": 1.0,
    }
    assert is_above_controls(SteeringRecord(**shape | given)) is expected


def test_a_demo_is_marked_as_an_illustration(folder, records, tmp_path):
    shown = tuple(
        record.model_copy(update={"options": "illustration", "n_prompts": 8})
        for record in calibrated(records)
        if record.emotion in BASIC
    )
    said = verdict("tiny", results_with(shown))
    assert said[0].startswith("An illustration, not a test: tiny steered towards anger, disgust")
    assert "8 prompts for each are too few" in said[1]
    results = Results.load(folder / "results.json").model_copy(update={"steering": shown})
    results.save(tmp_path / "results.json")
    parser = Rows(write_report(tmp_path).read_text(encoding="utf-8"))
    assert len(parser.table("table-steering-basic")) == 6


def test_a_demo_in_two_languages_is_one_table_that_marks_what_the_judge_is_too_weak_for(
    folder, records, tmp_path
):
    english = [r for r in calibrated(records) if r.emotion in BASIC]
    chinese = [
        r.model_copy(update={"language": "zh", "judge_auroc": 0.87 if r.emotion == "joy" else 0.66})
        for r in english
    ]
    shown = tuple(
        r.model_copy(update={"options": "illustration", "n_prompts": 8, "source_language": source})
        for language, source in ((english, None), (chinese, "en"))
        for r in language
    )
    joy = next(r for r in chinese if r.emotion == "joy")
    said = verdict("tiny", results_with(shown))
    masked = f"concept words masked {figure(joy.target_rate_masked)}"
    assert f"{figure(joy.target_rate)} in Chinese (unsteered {figure(joy.base_rate)}; {masked})" in said[0]
    assert "anger (.66), disgust (.66), fear (.66), sadness (.66) and surprise (.66) in Chinese" in said[1]
    assert "English" not in said[1]
    samples = pd.read_parquet(folder / "tables" / "steering_samples.parquet")
    (tmp_path / "tables").mkdir()
    both = [samples.assign(language=language) for language in ("en", "zh")]
    pd.concat(both, ignore_index=True).to_parquet(tmp_path / "tables" / "steering_samples.parquet")
    results_with(shown).save(tmp_path / "results.json")
    page = Rows(write_report(tmp_path).read_text(encoding="utf-8"))
    rows = page.table("table-steering-basic")
    assert [row["Language"] for row in rows] == ["English"] * 6 + ["Chinese"] * 6
    assert {row["AUROC"] for row in rows if row["Language"] == "English"} == {".90"}
    assert {row["Emotion"]: row["AUROC"] for row in rows[6:]} == {
        name.title(): ".87" if name == "joy" else ".66: too weak to say" for name in BASIC
    }
    assert {row["Language"] for row in page.table("table-steering-samples")} == {"English", "Chinese"}


def test_an_emotion_the_judge_is_too_weak_for_is_shown_and_no_evidence(records):
    def weak(record, names):
        return record.model_copy(update={"judge_auroc": 0.7} if record.emotion in names else {})

    said = verdict("tiny", results_with(tuple(weak(record, ("joy", "anger")) for record in records)))
    assert said[0].startswith(
        "Steering sets the tone of tiny's answers: the judge finds each of disgust, fear, sadness and surprise"
    )
    assert "mean of 4 emotions" in said[1]
    assert said[2].startswith(
        "The judge is too weak to say (held-out AUROC below .75) for anger (.70) and joy (.70)"
    )
    assert verdict("tiny", results_with(tuple(weak(record, BASIC) for record in records))) == (
        "Whether steering sets the tone of tiny's answers cannot be said: no basic emotion was judged (judge AUROC .70: "
        "too weak to say).",
    )


def reading(method, value, target="valence", **given):
    shape = {
        **COMMON,
        "n": 1000,
        "source": "emobank",
        "language": "en",
        "metric": "r",
        "ci_low": None,
        "ci_high": None,
    }
    return ReadingRecord(**shape | {"target": target, "method": method, "value": value} | given)


def test_reading_is_a_table_of_methods_with_a_verdict(folder, tmp_path):
    given = (
        reading("features", 0.59, ci_low=0.55, ci_high=0.63),
        reading("static", 0.38),
        reading("ridge", None, reason="no training texts"),
        reading("features", 0.5, subset="no_concept_word", n=400),
        reading("features", 0.81, "joy", metric="auroc", source="goemotions"),
    )
    results = Results.load(folder / "results.json").model_copy(update={"reading": given})
    results.save(tmp_path / "results.json")
    page = write_report(tmp_path).read_text(encoding="utf-8")
    parser = Rows(page)
    rows = parser.table("table-reading")
    assert rows[0]["Features, no labelled text"] == ".59"
    assert rows[0]["Static vectors, no labelled text"] == ".38"
    assert rows[0]["Features, fitted"] == "–"
    assert (rows[1]["Texts"], rows[1]["n"]) == ("without concept words", "400")
    assert (rows[2]["Target"], rows[2]["Measure"]) == ("Joy", "AUROC")
    assert 'title="no training texts"' in page
    assert "the valence of 1,000 texts of emobank agrees with people's at r = .59 (95% CI .55" in " ".join(
        parser.words
    )
    assert "reading of emobank by ridge: valence" in " ".join(parser.words)


def test_a_study_without_steering_has_neither_section(folder, tmp_path):
    results = Results.load(folder / "results.json").model_copy(update={"steering": ()})
    results.save(tmp_path / "results.json")
    parser = Rows(write_report(tmp_path).read_text(encoding="utf-8"))
    sections = [attrs["id"] for tag, attrs in parser.tags if tag == "section"]
    assert sections[:2] == ["answer", "circumplex"]
    assert not {"steering", "reading"} & set(sections)
