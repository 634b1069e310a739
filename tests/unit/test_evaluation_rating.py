"""People rate answers: the blinded sheet, sheets that come back in any state, and people beside judges."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from test_report_steering import steering_run
from typer.testing import CliRunner

from emospace.cli import app
from emospace.errors import DiskError, EmospaceError, InvalidInput
from emospace.evaluation.rating import COLUMNS, ID_LENGTH, ID_LETTERS, read_rows, read_sheets, write_sheet
from emospace.judges import BASIC_SEVEN
from emospace.report import write_report
from emospace.specs import RatingSpec
from pages import undescribed_in


@pytest.fixture(scope="module")
def studied(tmp_path_factory):
    """A finished study whose answers can be told apart."""
    folder = steering_run(tmp_path_factory.mktemp("rated") / "run")
    path = folder / "tables" / "steering_answers.parquet"
    table = pd.read_parquet(path)
    words = {"joy": "I am so happy and delighted", "anger": "this makes me furious", None: "the bus is blue"}
    table["text"] = [
        f"{words.get(row.emotion, '=1+1 plain')} {row.way} {row.emotion} {row.place}.\nA second line, with; marks"
        for row in table.itertuples()
    ]
    table.to_parquet(path)
    return folder


@pytest.fixture
def run(studied, tmp_path):
    return shutil.copytree(studied, tmp_path / "run")


def rows_of(path):
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline="")))


def filled(run, rater, choose, folder=None, **writing):
    """Write a rater's sheet: each row of the blank one with the emotion that is chosen for it."""
    key = pd.read_parquet(run / "tables" / "steering_rated.parquet").set_index("id")
    rows = rows_of(run / "rating" / "sheet.csv")
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=writing.get("delimiter", ","))
    writer.writerow(COLUMNS)
    for number, row in enumerate(rows):
        emotion = choose(key.loc[row["id"]], number)
        writer.writerow([row["id"], row["prompt"], row["answer"], emotion])
    path = (folder or run.parent) / f"{rater}.csv"
    path.write_bytes(text.getvalue().encode(writing.get("encoding", "utf-8")))
    return path


def target(answer, _number=0):
    """A rater who hears what was meant."""
    return answer["emotion"] if isinstance(answer["emotion"], str) else "neutral"


def test_the_sheet_shows_prompts_and_answers_and_nothing_of_how_they_were_made(run):
    sheet = write_sheet(RatingSpec(run=run, n_prompts=3))
    rows = rows_of(run / "rating" / "sheet.csv")
    assert tuple(rows[0]) == COLUMNS
    assert not any(row["emotion"] for row in rows)
    assert all(set(row["id"]) <= set(ID_LETTERS) and len(row["id"]) == ID_LENGTH for row in rows)
    assert len({row["id"] for row in rows}) == len(rows) == len(sheet.answers)
    assert not any(row["answer"].startswith("=") for row in rows)
    page = (run / "rating" / "sheet.html").read_text(encoding="utf-8")
    content = json.loads(re.search(r'id="data">(.*?)</script>', page, re.S)[1])
    assert [name for name, _ in content["labels"]] == list(BASIC_SEVEN)
    assert [row[0] for row in content["answers"]] == [row["id"] for row in rows]
    assert {len(row) for row in content["answers"]} == {3}
    assert "http" not in re.sub(r"Content-Security-Policy|http-equiv", "", page)


def test_every_way_answers_the_same_prompts_at_its_calibrated_dose_or_the_highest_below(run):
    answers = write_sheet(RatingSpec(run=run, n_prompts=3)).answers
    assert answers["place"].nunique() == 3
    assert {"mix", "dense", "prompt", "prompted", "none", "random", "shuffled"} <= set(answers["way"])
    factors = answers.groupby("way")["factor"].unique()
    assert factors["mix"].tolist() == [1.0]
    assert factors["prompted"].tolist() == [0.5]
    assert (answers.groupby(["way", "emotion"], dropna=False).size() == 3).all()
    # Several draws of a control take turns, so that each prompt is answered once.
    assert len(set(answers.loc[answers["way"] == "random", "draw"])) > 1
    assert not answers.reset_index()["way"].is_monotonic_increasing


def test_only_the_ways_and_emotions_asked_for(run):
    answers = write_sheet(RatingSpec(run=run, ways=("mix", "none"), emotions=("joy",), n_prompts=2)).answers
    assert set(answers["way"]) == {"mix", "none"}
    assert set(answers["emotion"].dropna()) == {"joy"}
    assert len(answers) == 4


def test_ids_are_the_same_on_another_sheet_and_a_sheet_is_never_overwritten(run, tmp_path):
    first = write_sheet(RatingSpec(run=run, n_prompts=12))
    with pytest.raises(InvalidInput, match="a sheet is there already"):
        write_sheet(RatingSpec(run=run))
    second = write_sheet(RatingSpec(run=run, n_prompts=12, seed=1, out=tmp_path / "other"))
    both = first.answers.merge(second.answers, on=["way", "emotion", "draw", "place", "text"])
    assert len(both) > 100
    assert (both["id_x"] == both["id_y"]).all()
    assert list(first.answers["id"]) != list(second.answers["id"])


def test_people_stand_beside_each_judge_in_the_same_tables(run):
    write_sheet(RatingSpec(run=run, ways=("mix", "none", "random"), emotions=("joy", "anger")))
    sheets = (filled(run, "ann", target), filled(run, "bo", lambda row, n: target(row) if n % 4 else "fear"))
    ratings = read_sheets(RatingSpec(run=run, sheets=sheets))
    rates = ratings.rates.set_index(["way", "emotion", "rater"])
    assert set(ratings.rates["rater"]) == {"people", "ngram", "subword"}
    assert set(ratings.rates["n"]) == {4}
    meant = rates.loc[("mix", "joy", "people")]
    assert meant["rate"] > 0.8
    assert 0 <= meant["rate_low"] < meant["rate"] <= meant["rate_high"] <= 1
    assert rates.loc[("none", "joy", "people"), "rate"] == 0
    # Four answers without a hit: Wilson's upper bound, not 0.
    assert rates.loc[("none", "joy", "people"), "rate_high"] == pytest.approx(0.49, abs=0.01)
    mean = ratings.rates[ratings.rates["emotion"].isna() & (ratings.rates["way"] == "mix")]
    assert len(mean) == 3
    agreement = ratings.agreement.set_index("second")
    assert 0 < agreement.loc["people", "alpha"] < 1
    assert agreement.loc["people", "n_ratings"] == 2 * agreement.loc["people", "n_answers"]
    assert {"ngram", "subword"} <= set(agreement.index)
    assert undescribed_in(run) == set()
    write_report(run)
    page = (run / "report.html").read_text(encoding="utf-8")
    assert 'id="table-steering-people"' in page
    assert 'id="table-steering-agreement"' in page


def test_raters_who_agree_throughout_have_an_alpha_of_one_and_a_single_rater_has_none(run):
    write_sheet(RatingSpec(run=run, ways=("mix",), emotions=("joy", "anger")))
    ann, bo = filled(run, "ann", target), filled(run, "bo", target)
    alpha = read_sheets(RatingSpec(run=run, sheets=(ann, bo))).agreement.iloc[0]
    assert (alpha["alpha"], alpha["equal"]) == (1.0, 1.0)
    alone = read_sheets(RatingSpec(run=run, sheets=(ann,))).agreement.iloc[0]
    assert np.isnan(alone["alpha"])
    assert alone["reason"] == "there is one rater"


def test_what_is_not_rated_is_counted_and_left_out(run):
    write_sheet(RatingSpec(run=run, ways=("mix",), emotions=("joy", "anger")))
    half = filled(run, "ann", lambda row, n: target(row) if n % 2 else "")
    ratings = read_sheets(RatingSpec(run=run, sheets=(half, filled(run, "bo", target))))
    assert ratings.unrated == {"ann": 4, "bo": 0}
    assert ratings.agreement.iloc[0]["n_answers"] == 4
    with pytest.raises(InvalidInput, match="not a single answer is rated"):
        read_sheets(RatingSpec(run=run, sheets=(filled(run, "cy", lambda row, n: ""),)))


@pytest.mark.parametrize(
    "writing",
    [
        {"delimiter": ";", "encoding": "utf-8-sig"},
        {"delimiter": "\t", "encoding": "utf-16"},
        {"delimiter": ";", "encoding": "cp1252"},
        {"delimiter": ",", "encoding": "gb18030"},
    ],
)
def test_a_sheet_that_a_spreadsheet_saved_again(run, writing):
    write_sheet(RatingSpec(run=run, ways=("mix",), emotions=("joy", "anger")))
    sheet = filled(run, "ann", lambda row, n: f" {target(row).upper()} ", **writing)
    assert read_sheets(RatingSpec(run=run, sheets=(sheet,))).unrated == {"ann": 0}


def changed(run, change):
    """Return a filled sheet with a change to its lines."""
    path = filled(run, "ann", target)
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join(change(lines)), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda lines: [lines[0], "zzzzzzzz,p,a,joy"],
            r"answer 1: the run has no answer with the id 'zzzzzzzz'",
        ),
        (lambda lines: [*lines[:2], lines[1]], r"answer 2: the id '\w+' is there twice"),
        (
            lambda lines: [lines[0], lines[1].replace(lines[1][:8], lines[2][:8]), *lines[3:]],
            "the answer beside the id '.*' is that of another id. Sort whole rows",
        ),
        (
            lambda lines: [lines[0], lines[1].rpartition(",")[0] + ",hapiness"],
            "answer 1: 'hapiness' is none of the emotions",
        ),
        (lambda lines: lines[1:], "its first line does not name the columns id and emotion"),
        (lambda lines: [], "its first line does not name"),
    ],
)
def test_a_sheet_that_was_changed_is_refused_with_the_row_and_what_to_do(run, change, message):
    write_sheet(RatingSpec(run=run, ways=("mix",), emotions=("joy", "anger")))
    with pytest.raises(EmospaceError, match=message):
        read_sheets(RatingSpec(run=run, sheets=(changed(run, change),)))


def test_files_that_are_no_sheets(run, tmp_path):
    write_sheet(RatingSpec(run=run, ways=("mix",)))
    workbook = tmp_path / "ann.csv"
    workbook.write_bytes(b"PK\x03\x04 something")
    with pytest.raises(InvalidInput, match=r"it is a workbook\. Save it as CSV"):
        read_sheets(RatingSpec(run=run, sheets=(workbook,)))
    with pytest.raises(DiskError, match="cannot be read"):
        read_sheets(RatingSpec(run=run, sheets=(tmp_path / "nobody.csv",)))
    sheet = filled(run, "ann", target)
    with pytest.raises(InvalidInput, match="two sheets have that name"):
        read_sheets(RatingSpec(run=run, sheets=(sheet, sheet)))
    with pytest.raises(InvalidInput, match="the name of a judge"):
        read_sheets(RatingSpec(run=run, sheets=(filled(run, "ngram", target),)))


@pytest.mark.parametrize(
    ("given", "message"), [({"ways": ("mixx",)}, "mix"), ({"emotions": ("pride",)}, "'pride'")]
)
def test_ways_and_emotions_that_are_not_there(run, given, message):
    with pytest.raises(InvalidInput, match=message):
        write_sheet(RatingSpec(run=run, **given))


def test_a_run_of_an_earlier_version_says_how_to_complete_it(run):
    (run / "tables" / "steering_answers.parquet").unlink()
    with pytest.raises(DiskError, match="completed by the same command again, which generates nothing anew"):
        write_sheet(RatingSpec(run=run))


def test_the_command_writes_a_sheet_and_reads_it_back(run):
    called = CliRunner().invoke(app, ["steer", "rate", str(run), "--ways", "mix,none", "--n-prompts", "2"])
    assert called.exit_code == 0, called.output
    assert "answers to rate" in called.output
    sheet = filled(run, "ann", target)
    called = CliRunner().invoke(app, ["steer", "rate", str(run), "--sheet", str(sheet)])
    assert called.exit_code == 0, called.output
    assert "Krippendorff" in called.output


def test_a_sheet_with_a_cell_of_any_length_is_read_or_named(tmp_path):
    path = tmp_path / "sheet.csv"
    path.write_text("id,emotion," + "x" * 200_000 + "\nabc,joy,\n", encoding="utf-8")
    with pytest.raises(InvalidInput, match="it is no CSV"):
        read_rows(path, "a sheet")
