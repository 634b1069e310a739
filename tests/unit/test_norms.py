from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emospace.artefacts import file_hash
from emospace.errors import EmospaceError
from emospace.norms import LAYOUTS, Layout, check_norms, list_norms, load_norms, norms_from_table
from emospace.norms.delimited import decode

TIDY = [["word", "valence", "arousal"], ["joy", "8.5", "6.1"], ["null", "4.5", "2.0"], ["nan", "5", "5"]]


def text(rows: list[list[str]], separator: str = ",", end: str = "\n") -> str:
    return end.join(separator.join(row) for row in rows) + end


def planted(folder: Path, content: str | bytes, name: str = "ratings.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def english(path: Path, **said):
    return load_norms(path, **{"language": "en", "scale": (1, 9), **said})


# What is bundled


def test_every_bundled_set_is_whole_and_on_its_scale():
    listed = list_norms()
    assert len(listed) == 12 and set(listed["language"]) == {"en", "zh", "pl", "it", "fi", "id", "ko"}
    for row in listed.itertuples():
        norms = load_norms(row.name)
        assert len(norms) == row.words and norms.redistributable
        assert norms.licence and norms.citation and "sha256:" in norms.source
        assert norms.table["word"].is_unique and (norms.table["word"] != "").all()
        for target in norms.targets:
            low, high = norms.scales[target]
            assert norms.ratings(target).between(low, high).all()
            assert norms.unit(target).between(-1, 1).all()


def test_bundled_files_are_those_of_the_index():
    import tomllib

    folder = Path(str(files("emospace"))) / "data" / "norms"
    index = tomllib.loads((folder / "index.toml").read_text(encoding="utf-8"))
    assert {path.stem for path in folder.glob("*.parquet")} == set(index)
    for name, entry in index.items():
        assert file_hash(folder / f"{name}.parquet") == entry["sha256"]
        assert "NC" not in entry["licence"] and "ND" not in entry["licence"]


def test_a_part_of_a_name_is_enough_where_only_one_set_has_it():
    assert load_norms("glasgow").name == "en_glasgow_2019"
    assert load_norms("va_kor").name == "ko_va_kor_merged"
    assert load_norms("Imbir").name == "pl_imbir_2016_anpw_r"
    with pytest.raises(EmospaceError, match="it_borsa_2025, it_borelli_2018_pain, it_falcinelli_2024"):
        load_norms("it")
    with pytest.raises(EmospaceError, match="glasgow"):
        load_norms("glasgwo")
    with pytest.raises(EmospaceError, match="path of your copy"):
        load_norms("warriner")
    with pytest.raises(EmospaceError, match="'en', not 'zh'"):
        load_norms("glasgow", language="zh")


def test_what_is_special_about_a_set_is_said():
    assert "four-character" in load_norms("liu").note
    assert load_norms("liu").table["word"].str.len().eq(4).all()
    assert (load_norms("liu").script, load_norms("yee").script) == ("Hans", "Hant")
    assert load_norms("borelli").scales == {"valence": (-3, 3), "arousal": (1, 7)}
    assert load_norms("borelli").rejected["reason"].tolist() == ["no valence rating"] * 2
    assert not load_norms("park_min").table["word"].str.contains("*", regex=False).any()


def test_senses_are_left_out_and_counted():
    norms = load_norms("glasgow")
    bare = norms.without_senses()
    assert bare.senses_left_out == 871 and len(bare) == len(norms) - 871
    assert "871 sense-marked entries left out" in bare.note
    assert "bank (money)" in norms.words and not any("(" in word for word in bare.words)
    assert bare.content_hash != norms.content_hash
    assert bare.without_senses() is bare


def test_reliability_of_glasgow_and_of_a_set_without_raters():
    norms = load_norms("glasgow")
    assert norms.reliability("valence") == pytest.approx(0.979, abs=0.001)
    assert norms.ceiling("arousal") == pytest.approx(np.sqrt(0.894), abs=0.001)
    assert (
        load_norms("imbir").reliability("valence") is None and load_norms("imbir").ceiling("valence") is None
    )
    with pytest.raises(EmospaceError, match="hold no dominance"):
        load_norms("borsa").ratings("dominance")


def test_reliability_recovers_a_planted_one():
    rng = np.random.default_rng(1)
    truth = rng.normal(5, 1, 4000)
    answers = truth[:, None] + rng.normal(0, 2, (4000, 12))
    frame = pd.DataFrame({"word": [f"w{i}" for i in range(4000)], "valence": answers.mean(1)})
    frame["valence_sd"], frame["valence_n"] = answers.std(1, ddof=1), 12
    norms = norms_from_table(frame, "planted", language="en", scale=(-9, 19))
    planted_reliability = np.corrcoef(truth, answers.mean(1))[0, 1] ** 2
    assert norms.reliability("valence") == pytest.approx(planted_reliability, abs=0.02)


# Encodings, separators, file kinds


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "gb18030"])
def test_chinese_is_read_in_every_encoding(tmp_path, encoding):
    rows = [["word", "valence"], ["高兴", "8"], ["鬱悶", "2"], ["null", "5"]]
    norms = english(planted(tmp_path, text(rows).encode(encoding)), language="zh")
    assert norms.words == ("高兴", "鬱悶", "null")
    assert norms.reading["encoding"] == encoding


@pytest.mark.parametrize(
    ("encoding", "expected", "words"),
    [
        ("latin-1", "latin-1", ["Ärger", "Süße", "für", "Überfluß"]),
        ("cp1252", "latin-1", ["été", "naïveté", "forêt", "œuvre"]),
        ("cp949", "cp949", ["기쁨", "슬픔", "분노", "공포"]),
        ("gb18030", "gb18030", ["高興", "說話", "愤怒", "恐惧"]),
    ],
)
def test_encodings_without_a_mark_are_told_apart(encoding, expected, words):
    content = text([["word", "valence"], *([word, "5.1"] for word in words)]).encode(encoding)
    decoded, name = decode(content)
    assert name == expected and all(word in decoded for word in words)


def test_a_given_encoding_stands(tmp_path):
    path = planted(tmp_path, text([["word", "valence"], ["źle", "2"]]).encode("cp1250"))
    assert english(path, language="pl", encoding="cp1250").words == ("źle",)
    with pytest.raises(EmospaceError, match="cannot be read as utf-8"):
        english(path, encoding="utf-8")


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_separators_and_line_ends(tmp_path, separator, end):
    norms = english(planted(tmp_path, text(TIDY, separator, end)))
    assert norms.words == ("joy", "null", "nan") and norms.ratings("arousal")["nan"] == 5
    assert norms.reading["separator"] == separator


def test_decimal_commas(tmp_path):
    rows = [
        ["word", "valence", "valence_sd", "valence_n"],
        ["Glück", "8,5", "0,75", "20"],
        ["Leid", "1,5", "1,25", "21"],
    ]
    norms = english(planted(tmp_path, text(rows, ";")), language="de")
    assert norms.ratings("valence").tolist() == [8.5, 1.5]
    assert norms.table["valence_sd"].tolist() == [0.75, 1.25]
    assert norms.reading["decimal"] == ","
    quoted = text([["word", "valence"], ["Glück", '"8,5"'], ["Leid", '"1,5"']])
    assert english(planted(tmp_path, quoted)).ratings("valence").tolist() == [8.5, 1.5]


def test_unquoted_decimal_commas_between_commas_are_refused(tmp_path):
    with pytest.raises(EmospaceError, match=r"header names 2 columns.*3 cells.*semicolons"):
        english(planted(tmp_path, "word,valence\njoy,8,5\ngrief,1,5\n"))


def test_quotation_marks_that_are_no_quotes_swallow_nothing(tmp_path):
    rows = [["word", "valence", "arousal"], ['"odd', "5", "5"], *([f"w{i}", "5", "5"] for i in range(60))]
    assert len(english(planted(tmp_path, text(rows, "\t")))) == 61
    rows[40][0] = '"odder'
    assert len(english(planted(tmp_path, text(rows, "\t")))) == 61


def test_workbooks_keep_their_words(tmp_path):
    frame = pd.DataFrame({"word": ["null", True, "joy"], "valence": [4.5, 6, 8.25], "arousal": [2, 3, 6]})
    path = tmp_path / "ratings.xlsx"
    with pd.ExcelWriter(path) as book:
        pd.DataFrame({"about": ["this sheet is prose"]}).to_excel(book, sheet_name="Legend", index=False)
        frame.to_excel(book, sheet_name="Data", index=False)
    norms = english(path)
    assert norms.words == ("null", "true", "joy") and norms.ratings("valence").tolist() == [4.5, 6, 8.25]
    assert norms.reading["sheet"] == "Data"
    with pytest.raises(EmospaceError, match="no sheet 'Daten'"):
        english(path, sheet="Daten")


def test_parquet_and_old_workbooks(tmp_path):
    pd.DataFrame({"word": ["null", "joy"], "valence": [4.5, 8.25]}).to_parquet(tmp_path / "r.parquet")
    assert english(tmp_path / "r.parquet").ratings("valence")["null"] == 4.5
    with pytest.raises(EmospaceError, match="no whole workbook"):
        english(planted(tmp_path, b"\xd0\xcf\x11\xe0 not a workbook", "r.xls"))
    with pytest.raises(EmospaceError, match="no whole parquet"):
        english(planted(tmp_path, b"PAR1 cut short", "r2.parquet"))


def test_a_text_file_under_a_workbooks_suffix_is_read(tmp_path):
    assert len(english(planted(tmp_path, text(TIDY, "\t"), "ratings.xls"))) == 3


# Layouts


def test_a_title_above_the_header_is_passed_over(tmp_path):
    assert len(english(planted(tmp_path, "Ratings of a study\n" + text(TIDY)))) == 3


def test_a_new_layout_is_one_entry(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "emospace.norms.layouts.LAYOUTS",
        [
            Layout("fi_new", {"word": "sana", "valence": "miellyttävyys"}, scale=(0, 10), language="fi"),
            *LAYOUTS,
        ],
    )
    norms = load_norms(planted(tmp_path, "Sana;Miellyttävyys\nilo;9,5\n"))
    assert (norms.name, norms.unit("valence")["ilo"]) == ("fi_new", pytest.approx(0.9))


def test_columns_scale_and_language_can_be_said_in_a_card(tmp_path):
    path = planted(tmp_path, "Wort;Angenehm;StAbw;Z\nGlück;6,5;0,5;10\n")
    with pytest.raises(
        EmospaceError, match=r"no column of valence or arousal.*'Wort', 'Angenehm', 'StAbw', 'Z'"
    ):
        load_norms(path)
    card = (
        'language = "de"\nscale = [1, 7]\ncitation = "Ours"\n[columns]\nword = "Wort"\nvalence = "Angenehm"\n'
    )
    planted(tmp_path, card + 'valence_sd = "StAbw"\nvalence_n = "Z"\n', "ratings.csv.toml")
    norms = load_norms(path)
    assert (norms.language, norms.scales["valence"], norms.citation) == ("de", (1, 7), "Ours")
    assert norms.table.iloc[0].tolist() == ["Glück", 6.5, 0.5, 10]
    assert load_norms(path, scale=(0, 10)).scales["valence"] == (0, 10)
    planted(tmp_path, "langage = 'de'\n", "ratings.csv.toml")
    with pytest.raises(EmospaceError, match="language"):
        load_norms(path)


def test_the_language_may_stand_in_a_column(tmp_path):
    path = planted(tmp_path, "word,language,valence\nmare,it,7\nsole,it,8\n")
    assert load_norms(path, scale=(1, 9)).language == "it"
    path = planted(tmp_path, "word,language,valence\nmare,it,7\nsun,en,8\n")
    with pytest.raises(EmospaceError, match="which language"):
        load_norms(path, scale=(1, 9))


# Bad input


def test_bad_rows_are_rejected_with_reason_and_counted(tmp_path):
    good = [[f"w{i}", str(2 + i % 6), "5"] for i in range(40)]
    bad = [
        ["", "5", "5"],
        ["high", "9.5", "5"],
        ["prose", "many", "5"],
        ["gap", "", "n/a"],
        ["wide", "5", "5", "5"],
    ]
    twice = [["same", "4", "5"], ["same", "4.0000000001", "5"], ["bank", "4", "5"], ["bank", "7", "5"]]
    norms = english(planted(tmp_path, text([TIDY[0], *good, *bad, [""], *twice])))
    assert dict(zip(norms.rejected["row"], norms.rejected["reason"].str.partition(":")[0], strict=True)) == {
        42: "no word",
        43: "valence off the scale 1 to 9",
        44: "valence is no number",
        45: "no valence or arousal rating",
        46: "more cells than the header",
        50: "rated more than once and the ratings differ",
        51: "rated more than once and the ratings differ",
    }
    assert len(norms) == 41 and "bank" not in norms.words and norms.words.count("same") == 1
    assert (norms.reading["rows"], norms.reading["merged"], norms.reading["blank"]) == (49, 1, 1)
    assert norms.reading["rows"] == len(norms) + len(norms.rejected) + norms.reading["merged"]
    counts = check_norms(norms).set_index("problem")["n"]
    assert counts["rejected: rated more than once and the ratings differ"] == 2
    assert counts["duplicate rows that agree, merged"] == 1 and counts["blank lines"] == 1


def test_words_are_told_apart_by_case_but_not_by_unicode_form_or_spaces(tmp_path):
    rows = "word,valence\nTurkey,5\nturkey,6\ncafe\u0301,7\ncafé ,7\n"
    norms = english(planted(tmp_path, rows))
    assert norms.words == ("Turkey", "turkey", "café") and norms.reading["merged"] == 1


@pytest.mark.parametrize(
    ("content", "said", "message"),
    [
        ("word,valence\njoy,80\ngrief,10\n", {}, r"2 of 2 rows.*off the scale 1 to 9.*Give the scale"),
        (
            "word,valence,arousal\njoy,8,\ngrief,1,\n",
            {},
            "no arousal rating.*--targets valence",
        ),
        ("word,valence\nbank,8\nbank,1\n", {}, "rated more than once"),
        ("word,valence\n", {}, "no ratings"),
        ("", {}, "empty"),
        ("joy\ngrief\n", {}, "one column only"),
        ("joy,8\ngrief,1\n", {}, "no word column.*add a header row"),
        ("word,frequency\njoy,8\n", {}, "no column of valence or arousal"),
        (text(TIDY), {"scale": (9, 1)}, "is no scale"),
        (text(TIDY), {"scale": {"valence": (1, 9)}}, "on which scale arousal"),
        (text(TIDY), {"targets": ["dominance"]}, "no dominance ratings"),
        (text(TIDY), {"targets": ["valance"]}, "valence"),
        (text(TIDY), {"language": None}, "which language"),
        (text(TIDY), {"columns": {"word": "words", "valence": "valence"}}, "no column 'words'"),
        (text(TIDY), {"columns": {"wort": "word"}}, "word"),
        (text(TIDY), {"columns": {"word": "#7"}}, "no column #7.*It has 3 columns"),
        (text(TIDY), {"language": "german"}, "no language code.*as de"),
        (text(TIDY), {"language": "zh_TW"}, "language zh and script Hant"),
        (text(TIDY), {"layout": "fr_fan"}, "fr_fan_2014"),
        (text(TIDY), {"reversed": ["valance"]}, "valence"),
    ],
)
def test_what_cannot_be_used_is_refused_with_a_mend(tmp_path, content, said, message):
    with pytest.raises(EmospaceError, match=message):
        english(planted(tmp_path, content), **said)


def test_missing_files_and_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EmospaceError, match="is a folder"):
        load_norms(".")
    with pytest.raises(EmospaceError, match="no such file"):
        load_norms(str(tmp_path / "none.csv"))
    with pytest.raises(EmospaceError, match="is a folder"):
        load_norms(tmp_path)


def test_targets_can_be_left_out(tmp_path):
    norms = english(planted(tmp_path, "word,valence,valence_n,arousal\njoy,8,20,\n"), targets=["valence"])
    assert norms.targets == ("valence",) and list(norms.table) == ["word", "valence", "valence_n"]
    assert load_norms("glasgow", targets=["arousal"]).targets == ("arousal",)


def test_findings_about_ratings(tmp_path):
    rows = (
        "word,valence,valence_sd,valence_n\n"
        + "calm,4.5,0,20\nodd,4.6,9,20\nshaky,4.7,1,many\nstar*,4.8,1,20\n"
    )
    norms = english(planted(tmp_path, rows + "ice cream,5,1,20\n"))
    details = check_norms(norms).set_index("problem")["detail"]
    assert details["SD 0 with a mean no single answer gives"] == "calm"
    assert details["SD larger than the scale allows"] == "odd"
    assert details["no rater count"] == "shaky" and details["words not clean: marks"].startswith(
        "star*: --clean"
    )
    assert details["entries of several words"] == "ice cream"
    assert details["ratings fill less than half of the scale"] == "4.5 to 5 on 1..9"
    assert norms.reading["unread"] == 1


def test_the_hash_follows_the_ratings(tmp_path):
    first = english(planted(tmp_path, text(TIDY)))
    again = english(planted(tmp_path, text(TIDY, ";")))
    other = english(planted(tmp_path, text(TIDY).replace("8.5", "8.4")))
    assert first.content_hash == again.content_hash != other.content_hash
    assert english(planted(tmp_path, text(TIDY)), scale=(0, 10)).content_hash != first.content_hash


@pytest.mark.skipif("EMOSPACE_WARRINER" not in os.environ, reason="EMOSPACE_WARRINER is not set")
def test_the_original_warriner_file():
    norms = load_norms(os.environ["EMOSPACE_WARRINER"])
    assert len(norms) == 13_915 and norms.rejected.empty and "null" in norms.words
    assert norms.scales == dict.fromkeys(("valence", "arousal", "dominance"), (1, 9))
    assert norms.ratings("valence")["null"] == 4.32 and norms.table["valence_n"].iloc[0] == 19
    assert norms.reliability("valence") == pytest.approx(0.912, abs=0.001)
    assert norms.reliability("arousal") == pytest.approx(0.690, abs=0.001)
    assert not norms.redistributable


def test_words_rated_twice_get_their_own_mend(tmp_path):
    path = tmp_path / "twice.csv"
    path.write_text("word,valence,arousal\njoy,8,5\njoy,3,5\nsad,2,4\n", encoding="utf-8")
    with pytest.raises(EmospaceError, match="Keep one row a word"):
        load_norms(path, language="en", scale=(1, 9))
