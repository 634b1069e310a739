"""Reversed and mixed scales, scripts that are not the one said, words that are none."""

from __future__ import annotations

import tracemalloc
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emospace.concepts import bundled_languages, load_concepts
from emospace.errors import EmospaceError, InvalidInput
from emospace.norms import (
    ANCHORS,
    OpenQuestion,
    anchor_words,
    check_norms,
    directions,
    list_norms,
    load_norms,
    read_card,
    write_card,
)
from emospace.norms.languages import (
    check_script,
    one_in_simplified,
    script_of,
    simplified,
    words_by_script,
)

GOOD = [f"good{c}" for c in "abcdefghijkl"]
BAD = [f"bad{c}" for c in "abcdefghijkl"]
WILD = [f"wild{c}" for c in "abcdefghijkl"]
CALM = [f"calm{c}" for c in "abcdefghijkl"]
PLANTED = {
    "valence": (frozenset(GOOD), frozenset(BAD)),
    "arousal": (frozenset(WILD), frozenset(CALM)),
}


def anchors(language: str):
    return PLANTED if language == "en" else None


def ratings_file(
    folder: Path, high: float, low: float, *, n: int = 12, arousal: tuple[float, float] = (6, 3)
) -> Path:
    rng = np.random.default_rng(3)
    rows = [(w, high, 5) for w in GOOD[:n]] + [(w, low, 5) for w in BAD[:n]]
    rows += [(w, 5, arousal[0]) for w in WILD[:n]] + [(w, 5, arousal[1]) for w in CALM[:n]]
    lines = [f"{w},{v + rng.normal(0, 0.3):.3f},{a + rng.normal(0, 0.3):.3f}" for w, v, a in rows]
    path = folder / "ratings.csv"
    path.write_text("word,valence,arousal\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return path


# Reversed scales


def test_a_scale_that_runs_the_right_way_passes_and_says_so(tmp_path):
    norms = load_norms(ratings_file(tmp_path, 8, 2), language="en", scale=(1, 9), anchors=anchors)
    assert "12 words for high valence are rated" in norms.reading["direction"]
    assert "reversed" not in norms.reading["direction"]


def test_a_reversed_scale_is_refused_with_its_evidence_until_it_is_said(tmp_path):
    path = ratings_file(tmp_path, 2, 8)
    with pytest.raises(
        OpenQuestion, match=r"valence scale looks reversed: 12 words for high valence"
    ) as asked:
        load_norms(path, language="en", scale=(1, 9), anchors=anchors)
    assert asked.value.choices == ("valence",) and asked.value.key == "reversed"
    assert "--reversed valence" in asked.value.hint and "reversed = []" in asked.value.hint
    turned = load_norms(path, language="en", scale=(1, 9), anchors=anchors, reversed=["valence"])
    kept = load_norms(path, language="en", scale=(1, 9), anchors=anchors, reversed=[])
    assert np.allclose(turned.ratings("valence"), 10 - kept.ratings("valence"))
    assert np.allclose(turned.ratings("arousal"), kept.ratings("arousal"))
    assert "valence turned round" in turned.note and turned.content_hash != kept.content_hash
    assert "looks reversed although said otherwise" in kept.reading["direction"]
    assert "scale looks reversed" in set(check_norms(kept)["problem"])
    assert "scale looks reversed" not in set(check_norms(turned)["problem"])


def test_a_scale_of_negative_answers_is_turned_round_its_middle(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text("word,valence\njoy,-2.5\ngrief,3\n", encoding="utf-8")
    norms = load_norms(path, language="en", scale=(-3, 3), reversed=["valence"])
    assert norms.ratings("valence").tolist() == [2.5, -3]
    path.write_text("word,valence\njoy,4.5\ngrief,0\n", encoding="utf-8")
    assert load_norms(path, language="en", scale=(0, 5), reversed=["valence"]).ratings(
        "valence"
    ).tolist() == [0.5, 5]


def test_arousal_is_checked_by_itself(tmp_path):
    path = ratings_file(tmp_path, 8, 2, arousal=(3, 6))
    with pytest.raises(OpenQuestion, match="its arousal scale looks reversed") as asked:
        load_norms(path, language="en", scale=(1, 9), anchors=anchors)
    assert asked.value.choices == ("arousal",)


def test_few_anchors_decide_only_where_all_lie_one_way(tmp_path):
    with pytest.raises(OpenQuestion, match="looks reversed"):
        load_norms(ratings_file(tmp_path, 2, 8, n=3), language="en", scale=(1, 9), anchors=anchors)
    norms = load_norms(ratings_file(tmp_path, 8, 2, n=1), language="en", scale=(1, 9), anchors=anchors)
    assert "as expected, few words" in norms.reading["direction"]


def test_anchors_that_do_not_separate_are_asked_about_and_told(tmp_path):
    path = ratings_file(tmp_path, 5, 5)
    with pytest.raises(OpenQuestion, match="rated alike on valence") as asked:
        load_norms(path, language="en", scale=(1, 9), anchors=anchors)
    assert asked.value.key == "reversed" and "--column valence" in asked.value.hint
    norms = load_norms(path, language="en", scale=(1, 9), anchors=anchors, reversed=[])
    assert "positive and negative words are rated alike" in set(check_norms(norms)["problem"])


def test_a_language_without_anchors_is_asked_about(tmp_path):
    path = ratings_file(tmp_path, 2, 8)
    with pytest.raises(OpenQuestion, match="nothing tells whether its valence runs") as asked:
        load_norms(path, language="xx", scale=(1, 9), anchors=anchors)
    assert asked.value.key == "reversed" and asked.value.choices == ("valence",)
    norms = load_norms(path, language="xx", scale=(1, 9), anchors=anchors, reversed=[])
    assert norms.reading["direction"] == "not checked: no words of 'xx' are known that tell"
    direction = load_norms(path, language="en", scale=(1, 9)).reading["direction"]
    assert direction == "not checked: too few anchor words are rated"


def test_no_bundled_set_looks_reversed_and_their_turned_copies_do():
    checked = 0
    for row in list_norms().itertuples():
        if row.language not in bundled_languages():
            continue
        norms, words = load_norms(row.name), anchor_words(load_concepts([row.language]), row.language)
        checks = directions(norms, words)
        assert not [direction for direction in checks if direction.reversed], row.name
        table = norms.table.copy()
        for target in norms.targets:
            table[target] = sum(norms.scales[target]) - table[target]
        for before, after in zip(checks, directions(replace(norms, table=table), words), strict=True):
            if before.target == "valence" and min(before.n_high, before.n_low) >= 20:
                assert after.reversed, row.name
                checked += 1
    assert checked >= 1


def test_anchors_are_of_the_bundled_categories_and_never_on_both_sides():
    words = anchor_words(load_concepts(["en"]), "en")
    assert set(words) == set(ANCHORS)
    for high, low in words.values():
        assert len(high) > 50 and len(low) > 50 and not high & low
    assert "joy" in words["valence"][0] and "grief" in words["valence"][1]


# Mixed scales


def mixed(folder: Path, *, labelled: bool, low: float = -2.8, high: float = 2.8) -> Path:
    rng = np.random.default_rng(4)
    first = pd.DataFrame({"word": [f"a{i}" for i in range(300)], "valence": rng.uniform(1.2, 8.8, 300)})
    second = pd.DataFrame({"word": [f"b{i}" for i in range(60)], "valence": rng.uniform(low, high, 60)})
    frame = pd.concat([first.assign(source="Smith"), second.assign(source="Jones")])
    frame = frame.sample(frac=1, random_state=1) if labelled else frame.drop(columns="source")
    path = folder / "mixed.csv"
    frame.to_csv(path, index=False)
    return path


def test_a_source_on_another_scale_is_named(tmp_path):
    with pytest.raises(
        EmospaceError, match=r"mixes scales: the rows with source 'Jones' hold valence from -2\.\d+ to"
    ):
        load_norms(mixed(tmp_path, labelled=True), language="en", scale=(1, 9))


def test_a_run_of_rows_on_another_scale_is_named_by_its_rows(tmp_path):
    with pytest.raises(
        EmospaceError, match=r"mixes scales: rows 30\d to 36\d hold valence.*Split the file by scale"
    ):
        load_norms(mixed(tmp_path, labelled=False, low=0, high=1), language="en", scale=(1, 9))


def test_a_narrower_scale_inside_is_listed_and_not_refused(tmp_path):
    norms = load_norms(mixed(tmp_path, labelled=True, low=1.1, high=4.9), language="en", scale=(1, 9))
    assert norms.reading["suspects"] == ["source 'Jones': valence all within 1 to 5"]
    assert "sources that may lie on a narrower scale" in set(check_norms(norms)["problem"])


def test_scattered_typing_errors_and_sorted_files_are_no_mixture(tmp_path):
    values = np.sort(np.random.default_rng(5).uniform(1, 9, 400))
    values[[10, 200, 390]] = 77
    frame = pd.DataFrame({"word": [f"w{i}" for i in range(400)], "valence": values})
    frame.to_csv(tmp_path / "r.csv", index=False)
    norms = load_norms(tmp_path / "r.csv", language="en", scale=(1, 9))
    assert len(norms) == 397 and norms.rejected["row"].tolist() == [12, 202, 392]


# Chinese scripts

SIMPLIFIED = ["爱情", "愤怒", "恐惧", "欢乐", "悲伤", "惊讶", "厌恶", "满足", "骄傲", "紧张", "轻松", "烦恼"]
TRADITIONAL = ["愛情", "憤怒", "恐懼", "歡樂", "悲傷", "驚訝", "厭惡", "滿足", "驕傲", "緊張", "輕鬆", "煩惱"]


def chinese(folder: Path, *columns: list[str], header: str = "word") -> Path:
    rows = [",".join([*words, str(1 + i % 8)]) for i, words in enumerate(zip(*columns, strict=True))]
    path = folder / "zh.csv"
    path.write_text(f"{header},valence\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path


def test_the_table_of_characters_holds_what_the_character_sets_say():
    pairs = [(t, simplified(t)) for t in "愛憤懼歡樂傷驚厭滿驕緊鬆煩惱髮發臺"]
    assert [s for _, s in pairs] == list("爱愤惧欢乐伤惊厌满骄紧松烦恼发发台")
    assert all(script_of(t) == "Hant" for t, _ in pairs)
    assert script_of("爱") == "Hans" and script_of("人") == "" and script_of("a") == ""
    assert [simplified(word) for word in TRADITIONAL] == SIMPLIFIED


def test_the_script_is_found_and_one_that_is_not_the_one_said_is_refused(tmp_path):
    path = chinese(tmp_path, TRADITIONAL)
    assert load_norms(path, language="zh", scale=(1, 9)).script == "Hant"
    assert load_norms(path, language="zh", scale=(1, 9), script="Hant").script == "Hant"
    with pytest.raises(
        EmospaceError, match=r"12 of the 12 that tell \(100%\) are traditional: 愛情, 憤怒.*--script Hant"
    ):
        load_norms(path, language="zh", scale=(1, 9), script="Hans")
    path = chinese(tmp_path, SIMPLIFIED)
    assert load_norms(path, language="zh", scale=(1, 9)).script == "Hans"
    with pytest.raises(EmospaceError, match="are simplified: 爱情"):
        load_norms(path, language="zh", scale=(1, 9), script="Hant")
    with pytest.raises(EmospaceError, match="Hans"):
        load_norms(path, language="zh", scale=(1, 9), script="hans")


def test_a_column_of_both_scripts_is_never_merged(tmp_path):
    both = SIMPLIFIED[:6] + TRADITIONAL[:6]
    with pytest.raises(OpenQuestion, match="mix simplified and traditional script: 6 are simplified"):
        load_norms(chinese(tmp_path, both), language="zh", scale=(1, 9))
    few = [*SIMPLIFIED, "愛情"]
    norms = load_norms(chinese(tmp_path, few), language="zh", scale=(1, 9))
    assert norms.script == "Hans" and norms.reading["one_in_simplified"] == ["爱情, 愛情 (爱情)"]
    assert "words that are one in simplified script" in set(check_norms(norms)["problem"])


def test_a_column_of_each_script_is_chosen_by_script(tmp_path):
    path = chinese(tmp_path, TRADITIONAL, SIMPLIFIED, header="traditional,simplified")
    assert load_norms(path, language="zh", scale=(1, 9)).words[0] == "爱情"
    hant = load_norms(path, language="zh", scale=(1, 9), script="Hant")
    assert (hant.words[0], hant.script) == ("愛情", "Hant")
    path = chinese(
        tmp_path, ["頭髮", "頭發", *TRADITIONAL], ["头发", "头发", *SIMPLIFIED], header="繁體,简体"
    )
    norms = load_norms(path, language="zh", scale=(1, 9))
    assert norms.reading["traditional_words_merged"] == 2 and "头发" not in norms.words
    assert norms.rejected["reason"].str.startswith("rated more than once").sum() == 2


def test_counting_scripts():
    scripts = words_by_script(["爱情", "愛情", "人", "love"])
    assert scripts == {"Hans": ("爱情",), "Hant": ("愛情",)}
    assert check_script(["爱情"], "", "x") == "" and check_script(["爱情"], "Hant", "x") == "Hant"
    assert one_in_simplified(["發", "髮", "人"]) == {"发": ("發", "髮")}


# Words that are none


def test_words_empty_after_cleaning_are_rejected_by_row(tmp_path):
    path = tmp_path / "r.csv"
    words = ["joy", "grief", "sea", "sun", "moon", "bread", "ru\u00adst", "\u200bice", "\u200b", "--"]
    path.write_text("word,valence\n" + "".join(f"{word},5\n" for word in words), encoding="utf-8")
    norms = load_norms(path, language="en", scale=(1, 9))
    assert norms.words[-2:] == ("rust", "ice")
    assert norms.rejected[["row", "reason"]].to_numpy().tolist() == [
        [10, "no word"],
        [11, "no letter in the word: '--'"],
    ]


# Cards


def test_a_card_is_read_as_written_and_its_values_are_checked(tmp_path):
    path = ratings_file(tmp_path, 2, 8)
    card = {
        "language": "en",
        "scale": {"valence": [1, 9], "arousal": [1, 9.5]},
        "reversed": ["valence"],
        "columns": {"word": "word", "valence": "#2"},
        "note": 'said "so"',
    }
    written = write_card(path, card)
    assert written.name == "ratings.csv.toml" and read_card(path) == card
    norms = load_norms(path, anchors=anchors)
    assert norms.scales["arousal"] == (1, 9.5) and norms.note.startswith('said "so"; valence turned round')
    for text, message in {
        "langage = 'en'": "language",
        "language = 3": "its language cannot be 3",
        "scale = 9": r"its scale cannot be 9.*\[1, 9\]",
        "reversed = 'valence'": "its reversed cannot be",
        "reversed = ['val']": "target",
        "script = 'simplified'": "Hans",
        "language = 'German'": "as de",
        "[columns]\nwort = 'x'": "word",
        "language = ": "not valid TOML",
    }.items():
        written.write_text(text, encoding="utf-8")
        with pytest.raises(EmospaceError, match=message):
            load_norms(path)


def test_a_scale_is_not_asked_for_as_if_words_were_ratings(tmp_path):
    path = tmp_path / "ratings.csv"
    path.write_text("word;valence\njoy;high\nsad;low\n", encoding="utf-8")
    with pytest.raises(EmospaceError, match="none of its cells is a number"):
        load_norms(path, language="en")


@pytest.mark.parametrize("entry", ["xl/worksheets/sheet1.xml", "mimetype"])
def test_a_workbook_that_unpacks_to_far_more_than_it_holds_is_refused_unread(tmp_path, entry):
    path = tmp_path / "bomb.xlsx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open(entry, "w") as file:
        for _ in range(300):
            file.write(bytes(1 << 20))
    assert path.stat().st_size < 1 << 20
    tracemalloc.start()
    with pytest.raises(InvalidInput) as refused:
        load_norms(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "256 MB" in refused.value.why
    assert peak < 50 << 20


@pytest.mark.parametrize(
    "change", [lambda sheet: sheet[:200], lambda sheet: sheet.replace(b"<v>", b"<v>&c;", 1)]
)
def test_a_workbook_whose_sheet_is_no_whole_xml_is_named(tmp_path, change):
    whole, damaged = tmp_path / "whole.xlsx", tmp_path / "damaged.xlsx"
    pd.DataFrame({"word": ["joy", "fear"], "valence": [8.2, 2.1]}).to_excel(whole, index=False)
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(damaged, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            target.writestr(name, change(content) if name == "xl/worksheets/sheet1.xml" else content)
    with pytest.raises(EmospaceError, match="it is no whole workbook"):
        load_norms(damaged, language="en")


@pytest.mark.parametrize("name", ["ratings.csv", "ratings.json"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1]".encode("utf-16-le") * 9 + b"[", "cannot be read as text"),
        (b'\xef\xbb\xbf["joy", \xff]', "cannot be read as text"),
        (b"\xff\xfe", "the file is empty"),
        (b"\xef\xbb\xbf\n", "the file is empty"),
    ],
)
def test_a_file_that_is_not_in_the_encoding_it_says_is_named(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(EmospaceError, match=message):
        load_norms(path, language="en")


def test_a_column_without_ratings_is_left_out_by_an_option(tmp_path):
    path = tmp_path / "ratings.csv"
    path.write_text("word,valence,arousal\n" + "".join(f"{w},5,\n" for w in GOOD), encoding="utf-8")
    with pytest.raises(EmospaceError, match=r"no arousal rating in any of its 12 rows.*--targets valence"):
        load_norms(path, language="en", scale=(1, 9))
