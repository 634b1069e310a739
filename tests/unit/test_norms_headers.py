"""What headers say, in several languages, and which columns are chosen by them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from emospace.norms import OpenQuestion, headers, load_norms
from emospace.norms.headers import parse_header

VALENCE, AROUSAL, DOMINANCE = "valence", "arousal", "dominance"


def planted(folder: Path, content: str, name: str = "ratings.csv", encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(content.encode(encoding))
    return path


@pytest.mark.parametrize(
    ("header", "target", "statistic"),
    [
        *[
            (h, VALENCE, "mean")
            for h in ("V.Mean.Sum", "M V", "ValMn", "Val-Mn-All", "ALL_Valence_Mean", "效价均值")
        ],
        *[
            (h, VALENCE, "mean")
            for h in ("Mittelwert Valenz", "Media valencia", "Valence moyenne", "Średnia walencja")
        ],
        *[
            (h, VALENCE, "")
            for h in ("Valência", "Valenza", "쾌-불쾌", "感情価", "愉悅度", "Pleasantness", "V")
        ],
        *[
            (h, AROUSAL, "mean")
            for h in ("ArousalMean", "唤醒度平均值", "喚醒度均值", "Erregung (Mittelwert)", "M_Aro")
        ],
        *[
            (h, AROUSAL, "")
            for h in ("활성화", "Erregung", "Ativação", "Virittävyys", "覚醒度", "Pobudzenie", "Activación")
        ],
        *[
            (h, VALENCE, "sd")
            for h in ("Valenz SD", "Écart-type valence", "Valencia DT", "效价标准差", "V.SD.Sum", "ValSD")
        ],
        *[(h, AROUSAL, "n") for h in ("N Arousal", "A.Rat.Sum", "arousal_n_all", "唤醒度人数")],
        *[(h, DOMINANCE, "mean") for h in ("M P", "Dom-Mn-All", "优势度均值", "mean_dominance")],
    ],
)
def test_headers_in_many_languages(header, target, statistic):
    said = parse_header(header)
    assert said.targets == (target,) and said.statistics == frozenset({statistic} - {""})
    assert not (said.group or said.unknown or said.word)


@pytest.mark.parametrize(
    "header",
    [
        "V.Mean.M",
        "V.Mean.F",
        "A.SD.Y",
        "D.Rat.O",
        "V.Mean.L",
        "V.Mean.H",
        "Val-Mn-Fem",
        "valence_mean_old",
        "效价均值_女",
    ],
)
def test_columns_of_a_part_of_the_sample_are_known_as_such(header):
    assert parse_header(header).group


@pytest.mark.parametrize(
    "header",
    [
        "valence_z_all",
        "ARO_Mean_(ANEW)",
        "%ValenceRaters",
        "wordClass",
        "Word No.",
        "valence_category",
        "z_val",
    ],
)
def test_headers_that_say_more_than_is_understood_are_no_rating_and_no_word(header):
    assert parse_header(header).unknown


@pytest.mark.parametrize(
    ("header", "language", "script"),
    [
        ("E-Word", "en", ""),
        ("polish word", "pl", ""),
        ("Ita_Word", "it", ""),
        ("EP-Word", "pt", ""),
        ("word_chinese-gsd", "zh", "Hant"),
        ("word_chinese-gsds", "zh", "Hans"),
        ("Words (Indonesian)", "id", ""),
        *[
            (h, "", "")
            for h in (
                "Wörter",
                "palabra",
                "Mots",
                "Słowo",
                "词语",
                "詞彙",
                "単語",
                "단어",
                "wordStem",
                "S-Word",
            )
        ],
    ],
)
def test_word_columns(header, language, script):
    said = parse_header(header)
    assert said.word and not said.unknown and (said.language, said.script) == (language, script)


def test_a_scale_may_stand_in_a_header(tmp_path):
    path = planted(tmp_path, "Wort;Valenz (-3 bis 3);Erregung [1-5]\nGlück;2,5;3,5\n")
    assert load_norms(path, language="de").scales == {"valence": (-3, 3), "arousal": (1, 5)}
    assert load_norms(path, language="de", scale={"arousal": (0, 5)}).scales["arousal"] == (0, 5)


def test_german_header_of_two_rows_with_decimal_commas_in_latin_1(tmp_path):
    rows = "Wort;Valenz;;;Erregung;;;Valenz Frauen\n;MW;SD;N;MW;SD;N;MW\nÄrger;1,5;0,5;30;6,2;1,1;31;9\n"
    norms = load_norms(planted(tmp_path, rows, encoding="latin-1"), language="de", scale=(1, 9))
    assert norms.table.iloc[0].tolist() == ["Ärger", 1.5, 0.5, 30, 6.2, 1.1, 31]
    assert (norms.reading["encoding"], norms.reading["decimal"]) == ("latin-1", ",")
    assert norms.rejected.empty


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "gb18030"])
def test_chinese_headers_without_spaces(tmp_path, encoding):
    rows = "序号,双字词,英文翻译,效价均值,效价标准差,唤醒度均值,效价均值(男)\n1,高兴,happy,7.5,1.2,6,1\n2,愤怒,anger,2,1,7,9\n"
    norms = load_norms(planted(tmp_path, rows, encoding=encoding), language="zh", scale=(1, 9))
    assert norms.words == ("高兴", "愤怒") and norms.ratings("valence").tolist() == [7.5, 2]
    assert norms.reading["columns"]["valence_sd"] == "效价标准差"


def test_ratings_of_men_are_told_from_means(tmp_path):
    path = planted(tmp_path, "word,ValM,ValF,Val\njoy,1,1,8\n")
    assert load_norms(path, language="en", scale=(1, 9)).ratings("valence")["joy"] == 8
    path = planted(tmp_path, "word,ValM,ValSD\njoy,8,1\n")
    assert load_norms(path, language="en", scale=(1, 9)).ratings("valence")["joy"] == 8
    path = planted(tmp_path, "word,ValM,ValF\njoy,8,7\n")
    with pytest.raises(OpenQuestion, match="which column is valence") as asked:
        load_norms(path, language="en", scale=(1, 9))
    assert asked.value.choices == ("ValM", "ValF")


def test_two_columns_that_could_be_valence_are_asked_about(tmp_path):
    path = planted(tmp_path, "word,Valence,Pleasantness,arousal\njoy,8,7,6\n")
    with pytest.raises(
        OpenQuestion, match=r"2 columns could be valence: 'Valence' \(column 2\), 'Pleasantness'"
    ) as asked:
        load_norms(path, language="en", scale=(1, 9))
    assert (asked.value.key, asked.value.choices) == ("columns.valence", ("Valence", "Pleasantness"))
    norms = load_norms(path, language="en", scale=(1, 9), columns={"valence": "Pleasantness"})
    assert norms.ratings("valence")["joy"] == 7 and norms.ratings("arousal")["joy"] == 6
    twice = planted(tmp_path, "word,Valence,Valence\njoy,8,7\n")
    with pytest.raises(OpenQuestion) as asked:
        load_norms(twice, language="en", scale=(1, 9))
    assert asked.value.choices == ("#2", "#3")
    assert (
        load_norms(twice, language="en", scale=(1, 9), columns={"valence": "#3"}).ratings("valence")["joy"]
        == 7
    )


def test_of_two_languages_the_one_said_is_taken(tmp_path):
    path = planted(
        tmp_path, "Finnish Word,English Word,Finnish Valence mean,English Valence mean\nilo,joy,8,7\n"
    )
    assert load_norms(path, language="fi", scale=(1, 9)).table.iloc[0].tolist() == ["ilo", 8]
    assert load_norms(path, language="en", scale=(1, 9)).table.iloc[0].tolist() == ["joy", 7]


def test_three_columns_like_words(tmp_path):
    rows = "word,Greek word,English translation,valence\n" + "".join(
        f"w{c},λέξη{c},t{c},5\n" for c in "abcdefghijkl"
    )
    path = planted(tmp_path, rows)
    with pytest.raises(OpenQuestion, match=r"2 columns could be the word: 'word' \(column 1\), 'Greek word'"):
        load_norms(path, scale=(1, 9))
    assert load_norms(path, language="el", scale=(1, 9)).words[0] == "λέξηa"
    with pytest.raises(
        OpenQuestion, match=r"only 0% of the words in column 'word'.*'el'.*--column word='Greek word'"
    ):
        load_norms(path, language="el", scale=(1, 9), columns={"word": "word"})


def test_a_column_of_numbers_is_no_word(tmp_path):
    path = planted(tmp_path, "Item,Word,Valence\n1,joy,8\n2,grief,2\n")
    assert load_norms(path, language="en", scale=(1, 9)).words == ("joy", "grief")


def test_a_file_without_header_row(tmp_path):
    path = planted(tmp_path, "joy,8.5,6\ngrief,1.5,5\n")
    with pytest.raises(OpenQuestion, match=r"its first row is data and no header.*#1"):
        load_norms(path, language="en", scale=(1, 9))
    numbered = {"word": "#1", "valence": "#2", "arousal": "#3"}
    norms = load_norms(path, language="en", scale=(1, 9), columns=numbered)
    assert norms.words == ("joy", "grief") and norms.ratings("arousal").tolist() == [6, 5]


def test_mean_and_sd_in_one_cell(tmp_path):
    path = planted(
        tmp_path, "Word\tValence Mean(SD)\tArousal\njoy\t7,52 (1,31)\t6.1 ± 2\ngrief\t1.9 (0.5)\t5 ± 1.5\n"
    )
    norms = load_norms(path, language="en", scale=(1, 9))
    assert norms.table[["valence", "valence_sd", "arousal", "arousal_sd"]].to_numpy().tolist() == [
        [7.52, 1.31, 6.1, 2],
        [1.9, 0.5, 5, 1.5],
    ]
    assert norms.reading["mean_and_sd_in_one_cell"] == ["valence", "arousal"]


def test_a_neighbourhood_size_is_no_rater_count(tmp_path):
    rows = "word,valence,valence_sd,n\n"
    norms = load_norms(planted(tmp_path, rows + "joy,8,1,0\nsea,7,1,12\n"), language="en", scale=(1, 9))
    assert "valence_n" not in norms.table
    norms = load_norms(planted(tmp_path, rows + "joy,8,1,30\nsea,7,1,12\n"), language="en", scale=(1, 9))
    assert norms.table["valence_n"].tolist() == [30, 12]


def test_several_sheets_with_ratings_are_asked_about(tmp_path):
    path = tmp_path / "ratings.xlsx"
    with pd.ExcelWriter(path) as book:
        pd.DataFrame({"about": ["prose"]}).to_excel(book, sheet_name="Legend", index=False)
        for sheet, rating in {"Total": 8, "Children": 5}.items():
            frame = pd.DataFrame({"word": ["joy"], "valence": [rating]})
            frame.to_excel(book, sheet_name=sheet, index=False)
    with pytest.raises(OpenQuestion, match="2 of its sheets hold ratings: 'Total', 'Children'"):
        load_norms(path, language="en", scale=(1, 9))
    assert load_norms(path, language="en", scale=(1, 9), sheet="Total").ratings("valence")["joy"] == 8


def test_a_cell_too_long_for_a_header_is_not_read_as_one(monkeypatch):
    monkeypatch.setattr(headers, "_labelled_ends", lambda text: pytest.fail("read"))
    header = headers.parse_header("(1 = " + "x" * headers.LONGEST_HEADER + ")")
    assert header.unknown and not header.targets and header.scale is None
