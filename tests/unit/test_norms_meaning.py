"""What the columns of a file mean: parts of a sample, languages side by side, statistics, odd headers, directions."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from emospace.norms import OpenQuestion, check_norms, load_norms
from emospace.norms.headers import parse_header
from emospace.norms.languages import anchor_lists, likely_languages

CASES = Path(__file__).parents[1] / "cases" / "norms"
WORDS = ("love", "joy", "peace", "friend", "smile", "death", "war", "murder", "fear", "cancer")
LIKED = (8.1, 8.3, 7.7, 8.0, 7.9, 1.5, 1.8, 1.3, 2.4, 1.6)


def planted(folder: Path, header: str, *columns: object, words=WORDS, name: str = "ratings.csv") -> Path:
    """Write a file of words, their valence, and more columns: a number or text for all rows, or one for each."""
    lines = [header]
    for i, word in enumerate(words):
        cells = [column[i] if isinstance(column, tuple) else column for column in columns]
        lines.append(",".join(map(str, [word, *cells])))
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def asked(path: Path, **said) -> OpenQuestion:
    with pytest.raises(OpenQuestion) as raised:
        load_norms(path, **said)
    return raised.value


# Languages and blocks


def test_of_two_languages_side_by_side_the_one_said_is_read_and_without_it_both_are_named():
    path = CASES / "zh_yi_two_languages.csv"
    question = asked(path, scale=(1, 9))
    assert question.key == "language" and question.choices == ("zh", "en") and len(question.questions) == 1
    chinese = load_norms(path, scale=(1, 9), language="zh")
    assert (chinese.language, chinese.ratings("valence")["快乐"]) == ("zh", 8.1)
    assert chinese.reading["columns"]["arousal_sd"] == "arousal.sd.CH"
    english = load_norms(path, scale=(1, 9), language="en")
    assert english.ratings("valence")["joy"] == 8.2 and "valence_sd" not in english.table


def test_of_blocks_of_the_sample_the_whole_is_taken_and_shown():
    norms = load_norms(CASES / "it_montefinese_two_rows.csv")
    assert norms.reading["columns"]["valence"] == "All: M_Val"
    assert norms.reading["layout"] == "it_montefinese_2014"
    assert norms.ratings("valence")["gioia"] == 8.5 and norms.table["valence_sd"][0] == 1.2
    assert load_norms(
        CASES / "it_montefinese_two_rows.csv", columns={"valence": "Females:M_Val"}, scale=(1, 9)
    ).ratings("valence")["gioia"] == pytest.approx(8.6)


def test_blocks_of_parts_alone_are_asked_about(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text(
        ",Females,,Males,\nWord,M_Val,M_Aro,M_Val,M_Aro\njoy,8,6,7,5\nwar,2,7,1,6\n", encoding="utf-8"
    )
    question = asked(path, language="en", scale=(1, 9))
    assert question.choices == ("Females: M_Val", "Males: M_Val")


def test_a_header_whose_second_row_says_more_of_few_columns():
    norms = load_norms(CASES / "fr_bonin_two_rows.csv", language="fr", scale=(1, 5))
    assert norms.ratings("valence")["bonheur"] == 4.9 and "no word" not in set(norms.rejected["reason"])


def test_a_sheet_of_a_part_of_the_sample_is_never_taken_by_itself(tmp_path):
    path = tmp_path / "fan.xlsx"
    with pd.ExcelWriter(path) as book:
        for sheet, header in {"All": "Valence FAN", "Females": "Valence"}.items():
            pd.DataFrame({"Mot": ["joie", "guerre"], header: [8, 2]}).to_excel(
                book, sheet_name=sheet, index=False
            )
    question = asked(path, language="fr", scale=(1, 9))
    assert question.key == "sheet" and question.choices == ("All", "Females")
    said = {"language": "fr", "scale": (1, 9), "sheet": "All"}
    assert asked(path, **said).choices == ("Valence FAN",)
    assert load_norms(path, **said, columns={"valence": "Valence FAN"}).ratings("valence")["joie"] == 8
    with pd.ExcelWriter(path) as book:
        pd.DataFrame({"Mot": ["joie"], "Valence": [8]}).to_excel(book, sheet_name="Hommes", index=False)
    assert asked(path, language="fr", scale=(1, 9)).choices == ("Hommes",)


# What is no rating


@pytest.mark.parametrize(
    "header",
    [
        "p_valence", "t_valence", "pval", "p-val", "Valence p", "z_valence", "d_valence", "valence_se", "valence CI low",
        "Valence Rank", "valence_rank", "valence_id", "N letters", "valence_var", "F_valence", "ci_low_valence",
    ],
)  # fmt: skip
def test_statistics_ranks_and_identifiers_are_no_ratings(tmp_path, header):
    path = planted(tmp_path, f"word,{header},arousal", LIKED, 5.5)
    norms = load_norms(path, language="en", scale=(1, 9), targets=["arousal"])
    assert norms.targets == ("arousal",)
    path = planted(tmp_path, f"word,valence,{header}", LIKED, 0.04)
    norms = load_norms(path, language="en", scale=(1, 9))
    assert norms.reading["columns"] == {"word": "word", "valence": "valence"}
    assert not norms.reading["near"]


def test_a_p_value_does_not_make_dominance_ambiguous(tmp_path):
    path = planted(tmp_path, "word,valence,dominance,p_dominance,p_valence", LIKED, 5.5, 0.01, 0.02)
    assert load_norms(path, language="en", scale=(1, 9)).reading["columns"]["dominance"] == "dominance"


# Ratings under odd headers


@pytest.mark.parametrize("header", ["Affect_Mean", "Hedonic tone", "Valence xyz", "Valence (joy)"])
def test_valence_under_an_odd_header_is_asked_for_and_never_dropped(tmp_path, header):
    path = planted(tmp_path, f"No,word,{header},Arousal_Mean,Valence_SD,letters", "joy", 1, words=())
    rows = [
        f"{i},{w},{v},{5 + i % 3}.5,1.1,{len(w)}"
        for i, (w, v) in enumerate(zip(WORDS, LIKED, strict=True), 1)
    ]
    path.write_text(path.read_text(encoding="utf-8") + "\n".join(rows), encoding="utf-8")
    question = asked(path, language="en", scale=(1, 9))
    assert question.key == "columns.valence" and question.choices == (header,)
    assert "--targets arousal" in question.hint
    said = {"language": "en", "scale": (1, 9)}
    assert load_norms(path, **said, columns={"valence": header}).ratings("valence")["joy"] == 8.3
    assert load_norms(path, **said, targets=["arousal"]).targets == ("arousal",)


@pytest.mark.parametrize(
    ("header", "scale", "falls"),
    [
        ("Valence (1 = positive, 9 = negative)", (1, 9), True),
        ("Valence (negative = 1; positive = 7)", (1, 7), False),
        ("Valence [1: sehr angenehm; 7: sehr unangenehm]", (1, 7), True),
        ("Valence (1-9, 9 = pleasant)", (1, 9), False),
        ("Valence (-3 = unpleasant, +3 = pleasant)", (-3, 3), False),
        ("效价（1=消极，9=积极）", (1, 9), False),
        ("Valence (1-9)", (1, 9), None),
        ("Valence (unhappy - happy)", None, False),
        ("Valence (very happy to very unhappy)", None, True),
    ],
)
def test_a_header_may_say_its_scale_and_direction(header, scale, falls):
    said = parse_header(header)
    assert (said.targets, said.scale, said.reversed, said.unknown) == (("valence",), scale, falls, ())


def test_a_stated_direction_is_followed_and_checked(tmp_path):
    falling = tuple(10 - value for value in LIKED)
    path = planted(tmp_path, '"word","Valence (1 = positive, 9 = negative)","arousal (1-9)"', falling, 5.5)
    norms = load_norms(path, language="en")
    assert norms.scales["valence"] == (1, 9) and norms.ratings("valence")["joy"] == pytest.approx(8.3)
    assert norms.reading["reversed"] == ["valence"]
    path = planted(tmp_path, '"word","Valence (1 = positive, 9 = negative)","arousal (1-9)"', LIKED, 5.5)
    assert asked(path, language="en").key == "reversed"


# Directions


TURKISH = ("sevgi", "mutluluk", "barış", "dost", "umut", "ölüm", "savaş", "cinayet", "korku", "kanser")


@pytest.mark.parametrize("language", sorted(anchor_lists()))
def test_a_reversed_scale_is_seen_in_every_language_with_anchors(tmp_path, language):
    high, low = (sorted(side) for side in anchor_lists()[language]["valence"])
    assert min(len(high), len(low)) >= 12 and not set(high) & set(low)
    words = (*high[:6], *low[:6])
    for sign in (1, -1):
        values = tuple(5 + sign * (3 if i < 6 else -3) + 0.1 * (i % 3) for i in range(12))
        path = planted(tmp_path, "word,valence", values, words=words)
        if sign == 1:
            assert "as expected" in load_norms(path, language=language, scale=(1, 9)).reading["direction"]
        else:
            assert "looks reversed" in asked(path, language=language, scale=(1, 9)).why


def test_translations_tell_the_direction_where_the_words_do_not(tmp_path):
    words = tuple(f"xw{c}" for c in "abcdefghij")
    for values, expected in ((LIKED, True), (tuple(10 - v for v in LIKED), False)):
        path = planted(tmp_path, "word,valence,English translation", values, WORDS, words=words)
        if expected:
            direction = load_norms(path, language="xx", scale=(1, 9)).reading["direction"]
            assert "translations in 'English translation'" in direction and "as expected" in direction
        else:
            assert "looks reversed" in asked(path, language="xx", scale=(1, 9)).why


def test_words_of_another_language_than_the_layout_says_are_asked_about(tmp_path):
    spanish = (
        "amor",
        "alegría",
        "paz",
        "amigo",
        "sonrisa",
        "muerte",
        "guerra",
        "asesinato",
        "miedo",
        "cáncer",
    )
    header = "Word,V.Mean.Sum,V.SD.Sum,A.Mean.Sum,D.Mean.Sum"
    path = planted(tmp_path, header, LIKED, 1.2, 5.5, 5.1, words=spanish)
    question = asked(path)
    assert question.key == "language" and question.choices == ("es", "en")
    assert load_norms(path, language="es", scale=(1, 9)).language == "es"
    assert load_norms(planted(tmp_path, header, LIKED, 1.2, 5.5, 5.1)).reading["layout"] == "en_warriner_2013"


def test_words_suggest_their_language(tmp_path):
    assert next(iter(likely_languages(TURKISH))) == "tr"
    question = asked(planted(tmp_path, "word,valence", LIKED, words=TURKISH), scale=(1, 9))
    assert question.choices[0] == "tr" and "--language tr" in question.hint


# One message


def test_everything_that_is_open_is_asked_at_once(tmp_path):
    values = tuple(10 - value for value in LIKED)
    path = planted(tmp_path, "word,valence,pleasantness", values, values)
    question = asked(path)
    assert [q.key for q in question.questions] == ["columns.valence", "scale.valence", "language"]
    path = planted(tmp_path, "word,valence,arousal", values, 5.5)
    question = asked(path)
    assert [q.key for q in question.questions] == ["scale", "language", "reversed"]
    for flag in ("--scale", "--language en", "--reversed valence"):
        assert flag in question.hint


def test_a_set_has_none_only_where_no_column_may_hold_it(tmp_path):
    path = planted(tmp_path, "word,valence,StDev,Valence SD (raw)", LIKED, 1.1, 1.2)
    details = check_norms(load_norms(path, language="en", scale=(1, 9))).set_index("problem")["detail"]
    assert "'StDev'" in details["no SD: no reliability can be given"]
    assert details["no rater count: no reliability can be given"] == "the set has none"


def test_a_word_column_under_an_unknown_header_is_asked_with_all_else(tmp_path):
    falling = tuple(10 - value for value in LIKED)
    path = planted(tmp_path, "Reizwort,pos,valence", ("noun",) * 10, falling)
    question = asked(path, scale=(1, 9))
    assert [q.key for q in question.questions] == ["columns.word", "language"]
    assert question.choices == ("Reizwort",)
    assert asked(path, scale=(1, 9), language="en", columns={"word": "Reizwort"}).key == "reversed"


@pytest.mark.parametrize(
    ("language", "header"),
    [("fa", "کلمه"), ("he", "מילה"), ("cs", "slovo"), ("hu", "szó"), ("th", "คำ"), ("bg", "дума")],
)
def test_words_are_found_by_their_name_in_many_languages(tmp_path, language, header):
    high, low = (sorted(side)[:5] for side in anchor_lists()[language]["valence"])
    norms = load_norms(
        planted(tmp_path, f"{header},valence", LIKED, words=(*high, *low)), language=language, scale=(1, 9)
    )
    assert norms.reading["columns"]["word"] == header


def test_what_is_said_stands_over_a_card_key_by_key(tmp_path):
    path = planted(tmp_path, "Reizwort,valence,pleasure", LIKED, LIKED[::-1])
    card = 'language = "en"\nscale = [1, 9]\nreversed = []\ncolumns = { word = "Reizwort", valence = "valence" }\n'
    path.with_name(path.name + ".toml").write_text(card, encoding="utf-8")
    assert load_norms(path).ratings("valence")["love"] == 8.1
    other = load_norms(path, columns={"valence": "pleasure"})
    assert other.ratings("valence")["love"] == 1.6 and len(other.reading["said_over_card"]) == 1
    assert load_norms(path, language="en").reading.get("said_over_card") is None


def test_too_few_words_say_so_and_no_p(tmp_path):
    path = planted(tmp_path, "word,valence,arousal", (8, 2, 5), (3, 4, 5), words=("joy", "war", "calmness"))
    direction = load_norms(path, language="en", scale=(1, 9)).reading["direction"]
    assert "as expected, few words" in direction and "Welch" not in direction


def test_the_spread_of_a_column_that_was_named_is_found_beside_it(tmp_path):
    path = planted(tmp_path, "word,Affect_Mean,Affect_SD,Affect_N,Other_SD", LIKED, 1.25, 20, 9)
    norms = load_norms(path, language="en", scale=(1, 9), columns={"valence": "Affect_Mean"})
    assert (norms.table["valence_sd"] == 1.25).all() and (norms.table["valence_n"] == 20).all()


def test_ratings_that_are_all_alike_have_no_reliability(tmp_path):
    path = planted(
        tmp_path, "word,valence,valence_sd,valence_n,arousal,arousal_sd,arousal_n", LIKED, 1, 20, 5.1, 1, 20
    )
    norms = load_norms(path, language="en", scale=(1, 9))
    assert norms.reliability("arousal") is None and norms.reliability("valence") > 0.9
