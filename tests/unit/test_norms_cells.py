"""From cells to ratings: missing ones, numbers as people write them, several rows a word, words that are not clean."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pytest

from emospace.errors import EmospaceError
from emospace.norms import WordNorms, check_norms, load_norms, norms_from_table
from emospace.norms.cells import (
    cleaned,
    is_number,
    missing_codes,
    read_numbers,
    unclean,
    written_plainly,
)
from emospace.norms.ratings import averaged
from emospace.structure.ratings import Ratings

CASES = Path(__file__).parents[1] / "cases" / "norms"


def planted(folder: Path, content: str, name: str = "ratings.csv") -> Path:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return path


def english(path: Path, **said) -> WordNorms:
    return load_norms(path, **{"language": "en", "scale": (1, 9), **said})


def rows(*cells: str, header: str = "word,valence,arousal") -> str:
    """Return a file of these rows after 20 good ones."""
    good = [f"w{chr(97 + i)},{2 + i % 6},{1 + i % 4}.5" for i in range(20)]
    return "\n".join([header, *good, *cells]) + "\n"


def problems(norms: WordNorms) -> dict[str, tuple[int, str]]:
    return {row.problem: (row.n, row.detail) for row in check_norms(norms).itertuples()}


# Missing ratings


def test_a_spreadsheets_errors_and_na_drop_that_rating_alone():
    norms = load_norms(CASES / "zh_song_excel_errors.csv", language="zh", scale=(1, 9))
    assert len(norms) == 21 and norms.rejected.empty
    table = norms.table.set_index("word")
    assert np.isnan(table.loc["战争", "valence"]) and table.loc["战争", "arousal"] == 7.1
    assert table.loc["快乐", "valence"] == 8.1 and np.isnan(table.loc["快乐", "arousal"])
    assert norms.reading["missing"] == {"valence": {"#DIV/0!": 1, "#N/A": 1}, "arousal": {"NA": 1}}
    assert problems(norms)["no rating, the row's others are kept"][0] in (1, 2)


def test_null_of_spss_is_a_missing_rating():
    columns = {"word": "items", "valence": "Mean valence", "arousal": "Mean arousal"}
    norms = load_norms(CASES / "fr_bonin_two_rows.csv", language="fr", scale=(1, 5), columns=columns)
    mort = norms.table.set_index("word").loc["mort"]
    assert mort["valence"] == 1.2 and np.isnan(mort["arousal"])
    assert norms.reading["missing"] == {"arousal": {"#NULL!": 2}}


def test_words_that_read_like_a_missing_value_stay_words(tmp_path):
    norms = english(planted(tmp_path, rows("null,5,5", "nan,5,5", "NA,5,5", "none,5,NA")))
    assert norms.words[-4:] == ("null", "nan", "NA", "none")


def test_who_needs_every_target_gets_the_words_rated_on_all(tmp_path):
    norms = english(planted(tmp_path, rows("half,5,", "other,NA,5", "nothing,,NA")))
    assert len(norms) == 22 and len(norms.complete()) == 20 and len(norms.only(("valence",))) == 21
    assert norms.rejected["reason"].tolist() == ["no valence or arousal rating"]
    assert Ratings.from_norms(norms).find("half") is None
    assert Ratings.from_norms(norms.only(("valence",))).find("half") is not None
    with_spread = norms.table.assign(valence_sd=1.0, valence_n=20.0)
    whole = WordNorms("x", "en", with_spread, norms.scales, norms.targets)
    assert np.isfinite(whole.reliability("valence"))


@pytest.mark.parametrize("code", ["-99", "999"])
def test_a_code_for_missing_answers_is_told_and_taken_as_one_on_request(tmp_path, code):
    few = english(planted(tmp_path, rows(f"gap,{code},5")))
    assert problems(few)["looks like a code for a missing answer"] == (1, f"{code}: say --missing {code}")
    many = planted(tmp_path, rows(*(f"gap{chr(97 + i)},{code}.0,5" for i in range(10))))
    with pytest.raises(EmospaceError, match="off the scale") as refused:
        english(many)
    assert f"--missing {code}" in refused.value.hint and "10 cells" in refused.value.hint
    norms = english(many, missing=[code])
    assert len(norms) == 30 and norms.rejected.empty and norms.table["arousal"].notna().all()


def test_a_range_in_a_question_leaves_codes_out_and_reads_every_digit(tmp_path):
    path = planted(tmp_path, "word;valence\njoy;８,5\nsea;-99\nsun;2,5 (1,1)\n")
    with pytest.raises(EmospaceError, match=r"run from 2.5 to 8.5; -99 looks like a code"):
        load_norms(path, language="en")


def test_codes_are_told_from_ratings():
    assert missing_codes([5, -99, -99, 7], (1, 9)) == {"-99": 2}
    assert missing_codes([50, 99, 100], (0, 100)) == {}
    assert missing_codes([2, 7, 999]) == {"999": 1} and missing_codes([2, -9, 7]) == {"-9": 1}
    assert missing_codes([50, 88, 99, 95]) == {} and missing_codes([]) == {}


# Numbers


@pytest.mark.parametrize(
    ("cell", "plain"),
    [
        ("７．５", "7.5"),
        ("۷٫۵", "7.5"),
        ("٧٫٥", "7.5"),
        ("−2,5", "-2,5"),
        ("–2.5", "-2.5"),
        ("५.५", "5.5"),
        ("７.５（1.2）", "7.5（1.2）"),
        ("７５％", "75%"),
        (" 7.5 ", "7.5"),
        ("爱情", "爱情"),
        ("٧ أيام", "7 أيام"),
    ],
)
def test_digits_of_other_scripts_are_read(cell, plain):
    assert written_plainly(cell) == plain
    assert is_number(cell) == (plain[-1] not in "情م")


def test_percentages_are_read_where_all_are(tmp_path):
    cells = [f"w{chr(97 + i)},{10 + 4 * i}%" for i in range(20)]
    path = planted(tmp_path, "word,valence\n" + "\n".join(cells))
    assert english(path, scale=(0, 100)).ratings("valence").iloc[1] == 14
    with pytest.raises(EmospaceError, match="off the scale") as refused:
        english(path, scale=(0, 1))
    assert "0,100" in refused.value.hint
    path = planted(tmp_path, "word,valence\n" + "\n".join(cells).replace("%", "", 10))
    with pytest.raises(EmospaceError, match="no number") as refused:
        english(path, scale=(0, 100))
    assert "percentages and some are not" in refused.value.hint


def test_digits_and_decimal_commas_in_a_file(tmp_path):
    norms = english(planted(tmp_path, "word;valence\njoy;۸٫۵\nsea;７，２\nsun;7,5\n"))
    assert norms.ratings("valence").tolist() == [8.5, 7.2, 7.5]


@pytest.mark.parametrize(
    ("cell", "advice"),
    [
        ("=A1+1", "formulas"),
        ("2024-05-08 00:00:00", "dates"),
        ("8-May", "dates"),
        ("[1; 2]", "lists"),
        ("1.234.5", "two decimal marks"),
        ("high", "--column valence=HEADER"),
    ],
)
def test_the_advice_fits_what_the_cells_look_like(tmp_path, cell, advice):
    path = planted(tmp_path, rows(*(f"x{chr(97 + i)},{cell},5" for i in range(20))))
    with pytest.raises(EmospaceError, match="valence is no number") as refused:
        english(path)
    assert advice in refused.value.hint


def test_formulas_without_stored_values_are_named(tmp_path):
    book = openpyxl.Workbook()
    for row in (["word", "valence", "arousal"], ["joy", "=4+4", 6], ["sea", "=3+4", 2]):
        book.active.append(row)
    book.save(tmp_path / "r.xlsx")
    with pytest.raises(EmospaceError, match="no valence rating in 2 of 2 rows") as refused:
        english(tmp_path / "r.xlsx")
    assert "formulas saved without their values" in refused.value.hint


def test_numbers_keep_what_is_missing_apart_from_what_is_unreadable():
    read = read_numbers(pd.Series(["5", "", "NA", "#N/A", "x", "-9", "1e1", "inf"]), codes=["-9"])
    assert read.missing.tolist() == [False, True, True, True, False, True, False, False]
    assert read.numbers.dropna().tolist() == [5, 10]


def test_an_sd_that_was_not_read_is_not_said_to_be_lacking(tmp_path):
    text = "word,valence,valence_sd,arousal,SD_odd_rest\njoy,8,much,5,1\nsea,2,more,4,1\n"
    norms = english(planted(tmp_path, text))
    table = check_norms(norms)
    detail = {(row.problem.split(":")[0], row.target): row.detail for row in table.itertuples()}
    assert detail["no SD", "valence"].startswith("not read from 'valence_sd'")
    assert detail["no rater count", "valence"] == "the set has none"


# Several rows a word


def test_means_of_single_ratings_and_of_means():
    table = pd.DataFrame({"word": ["a", "a", "b", "a"], "valence": [1.0, 2.0, 5.0, np.nan]})
    means = averaged(table, ("valence",)).set_index("word")
    assert means.loc["a"].tolist() == [1.5, pytest.approx(np.sqrt(0.5)), 2]
    assert means.loc["b", "valence_n"] == 1 and np.isnan(means.loc["b", "valence_sd"])
    rng = np.random.default_rng(1)
    first, second = rng.normal(5, 1, 30), rng.normal(6, 2, 12)
    parts = pd.DataFrame(
        {
            "word": "a",
            "valence": [first.mean(), second.mean()],
            "valence_sd": [first.std(ddof=1), second.std(ddof=1)],
            "valence_n": [30.0, 12.0],
        }
    )
    both = np.concatenate([first, second])
    assert averaged(parts, ("valence",)).iloc[0, 1:].tolist() == pytest.approx(
        [both.mean(), both.std(ddof=1), 42]
    )
    assert list(averaged(parts.drop(columns="valence_n"), ("valence",))) == ["word", "valence"]
    assert list(averaged(parts.drop(columns="valence_sd"), ("valence",))) == ["word", "valence", "valence_n"]


def test_one_row_a_trial_gives_mean_sd_and_n_by_word():
    with pytest.raises(EmospaceError, match="no column of valence") as refused:
        load_norms(CASES / "long_trials.csv", language="en", scale=(1, 9))
    assert "--column valence='rating' --trials" in refused.value.hint
    said = {"language": "en", "scale": (1, 9), "columns": {"valence": "rating"}}
    with pytest.raises(EmospaceError, match="rated more than once") as refused:
        load_norms(CASES / "long_trials.csv", **said)
    assert "--trials" in refused.value.hint and "trials = true" in refused.value.hint
    norms = load_norms(CASES / "long_trials.csv", **said, trials=True)
    assert norms.words == ("joy", "war", "table", "moon", "snake")
    joy = norms.table.set_index("word").loc["joy"]
    assert joy.tolist() == [pytest.approx(7.4), pytest.approx(np.std([7, 8, 7, 8, 7], ddof=1)), 5]
    assert norms.table.set_index("word").loc["moon", "valence_n"] == 4
    assert norms.rejected["reason"].tolist() == ["valence is no number: 'n'"]
    assert norms.reading["trials"] == 24 and "24 single ratings" in norms.note
    assert norms.reliability("valence") > 0.9


def test_duplicates_that_disagree_are_left_out_or_their_mean_is_taken(tmp_path):
    path = planted(tmp_path, rows("bank,4,5", "bank,7,5", "same,4,5", "same,4,"))
    dropped = english(path)
    assert "bank" not in dropped.words and dropped.ratings("arousal")["same"] == 5
    problem = problems(dropped)["rejected: rated more than once and the ratings differ"]
    assert problem[0] == 2 and "--duplicates mean" in problem[1]
    norms = english(path, duplicates="mean")
    bank = norms.table.set_index("word").loc["bank"]
    assert (bank["valence"], bank["valence_n"]) == (5.5, 2) and bank["valence_sd"] == pytest.approx(
        2.1213, abs=1e-4
    )
    assert norms.words[-2:] == ("bank", "same") and norms.reading["averaged"] == ["bank"]
    assert (norms.reading["merged"], dropped.reading["merged"]) == (1, 1)
    assert problems(norms)["words rated more than once, their mean taken"][0] == 1
    with pytest.raises(EmospaceError, match="its duplicates cannot be 'first'"):
        english(path, duplicates="first")


# Words


@pytest.mark.parametrize(
    ("word", "clean"),
    [
        ('"joy"', "joy"),
        ("“joy”", "joy"),
        ("«joy»", "joy"),
        ("'joy'", "joy"),
        ("joy*", "joy"),
        ("*joy†", "joy"),
        ("joy¹", "joy"),
        ("“joy*”", "joy"),
        ("ice_cream", "ice cream"),
        ("ice.cream.cone", "ice cream cone"),
        ("l'amour", "l'amour"),
        ("'tis", "'tis"),
        ("dogs'", "dogs'"),
        ("e.g.", "e.g."),
        ("a.m.", "a.m."),
        ("USA", "USA"),
        ("Glück", "Glück"),
        ("null", "null"),
    ],
)
def test_words_are_cleaned_of_what_is_no_part_of_them(word, clean):
    assert cleaned([word, "sea"]) == [clean, "sea"]
    assert bool(unclean([word, "sea"])) == (word != clean)


def test_capitals_are_made_small_where_nearly_all_words_are_written_so():
    assert cleaned(["JOY", "SEA", "ÉTÉ", "I"]) == ["joy", "sea", "été", "I"]
    assert cleaned(["IŞIK", "İYİ"], "tr") == ["ışık", "iyi"]
    assert unclean(["JOY", "sea", "sun"]) == {} and cleaned(["快乐", "海"]) == ["快乐", "海"]


def test_unclean_words_are_counted_and_cleaned_on_request(tmp_path):
    path = planted(tmp_path, rows("joy*,8,5", "ice_cream,7,5", "bread†,6,5"))
    norms = english(path)
    assert "joy*" in norms.words and "--clean" in norms.note
    assert problems(norms)["words not clean: marks"][0] == 2
    clean = english(path, clean=True)
    assert clean.words[-3:] == ("joy", "ice cream", "bread") and "--clean" not in clean.note
    assert problems(clean)["words cleaned: marks"][0] == 2
    assert not [problem for problem in problems(clean) if problem.startswith("words not clean")]


def test_words_that_hold_a_tab_are_refused():
    frame = pd.DataFrame({"word": ["joy\t8", "sea\t7", "sun\t7"], "valence": [2, 3, 4]})
    with pytest.raises(EmospaceError, match="most of its words hold a tab"):
        norms_from_table(frame, "planted", language="en", scale=(1, 9))


def test_a_card_says_it_too(tmp_path):
    path = planted(tmp_path, rows("gap,-99,5", "joy*,8,5", "bank,4,5", "bank,7,5"))
    card = 'language = "en"\nscale = [1, 9]\nclean = true\nduplicates = "mean"\nmissing = ["-99"]\n'
    planted(tmp_path, card, "ratings.csv.toml")
    norms = load_norms(path)
    assert {"joy", "bank", "gap"} <= set(norms.words) and norms.rejected.empty


# Shapes: no header, a header too short, sections


def test_a_list_in_the_last_cell_does_not_choose_the_separator():
    columns = {"word": "#1", "valence": "#2", "valence_sd": "#3"}
    norms = load_norms(CASES / "ratings_in_brackets.txt", language="en", scale=(-4, 4), columns=columns)
    assert norms.words == ("happy", "war", "grief", "love", "kill")
    assert norms.ratings("valence").tolist() == [2.7, -2.9, -2.2, 3.2, -3.7]
    assert norms.table["valence_sd"].tolist() == [0.9, 1.1, 0.6, 0.4, 0.46]


@pytest.mark.parametrize("columns", [None, {"valence": "Havg"}, {"word": "Word", "valence": "#3"}])
def test_a_header_with_a_name_too_few_is_never_read_by_its_names(columns):
    with pytest.raises(EmospaceError, match="header names 5 columns and its rows have 6 cells") as refused:
        load_norms(CASES / "header_one_short.txt", language="zh", scale=(1, 9), columns=columns)
    assert "#1" in refused.value.hint


def test_a_header_with_a_name_too_few_is_read_by_numbers():
    columns = {"word": "#1", "valence": "#3", "valence_sd": "#4"}
    norms = load_norms(CASES / "header_one_short.txt", language="zh", scale=(1, 9), columns=columns)
    assert len(norms) == 8 and norms.ratings("valence")["死亡"] == 1.9
    assert list(norms.table) == ["word", "valence", "valence_sd"] and norms.rejected.empty
    last = load_norms(
        CASES / "header_one_short.txt",
        language="zh",
        scale=(1, 9999),
        columns={"word": "#1", "valence": "#5"},
    )
    assert last.ratings("valence").iloc[0] == 3675


def test_the_first_of_sections_with_the_same_words_is_taken():
    norms = load_norms(CASES / "prose_before_header.txt")
    assert norms.name == "en_anew" and norms.words == ("abduction", "happy", "table", "war", "love")
    assert norms.ratings("valence").tolist() == [2.8, 8.2, 5.2, 2.1, 8.7] and norms.rejected.empty
    assert "section 'All subjects'" in norms.note
    assert "'Male subjects' (5 rows), 'Female subjects' (5 rows)" in norms.note


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ("Nouns", "Verbs", ("joy", "sea", "run", "eat")),
        ("Men", "All", ("joy", "sea")),
        ("Men", "Women", None),
        ("word,valence,arousal", "word,valence,arousal", ("joy", "sea")),
    ],
)
def test_sections_of_other_words_are_kept_and_parts_of_the_sample_never_taken(tmp_path, first, second, words):
    again = "run,4,5\neat,6,5" if first == "Nouns" else "joy,7,5\nsea,6,5"
    head = "" if first.startswith("word") else "word,valence,arousal\n"
    path = planted(tmp_path, f"{head}{first}\njoy,8,5\nsea,7,5\n{second}\n{again}\n")
    if words is None:
        with pytest.raises(EmospaceError, match="each by a part of the sample: Men, Women"):
            english(path)
        return
    norms = english(path)
    assert norms.words == words
    assert norms.ratings("valence")["joy"] == (7 if second == "All" else 8)


def test_a_published_file_without_header_is_known_by_its_shape_or_its_name(tmp_path):
    for said in ({}, {"layout": "en_nrc_vad_v1"}, {"language": "en"}):
        norms = load_norms(CASES / "headless_vad.txt", **said)
        assert (norms.name, norms.language, norms.scales["dominance"]) == ("en_nrc_vad_v1", "en", (0, 1))
        assert norms.table.iloc[0].tolist() == ["aaaaaaah", 0.38, 0.79, 0.63] and len(norms) == 12
    other = planted(tmp_path, "joy\t0.9\t0.5\t0.1\nsea\t0.7\t0.2\t0.3\n")
    with pytest.raises(EmospaceError, match="its first row is data and no header") as refused:
        load_norms(other, language="en", scale=(0, 1))
    assert "--layout en_nrc_vad_v1" in refused.value.hint
    assert load_norms(other, layout="en_nrc_vad_v1").ratings("arousal").tolist() == [0.5, 0.2]
