"""`emospace norms import` and `check`: what is asked, what is written, and that a study then needs no options."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from emospace.cli.app import app
from emospace.cli.norms import CardSpec, bundled_anchors, other_language
from emospace.concepts import load_concepts
from emospace.errors import EmospaceError
from emospace.norms import CARD_KEYS, load_norms

CASES = Path(__file__).parents[1] / "cases" / "norms"
ROWS = "wort;angenehm;valenz;erregung\nGlück;6,5;6,5;5\nLeid;1,5;1,5;4\nStein;4;4;2\n"


def run(*given: object, answers: str | None = None):
    return CliRunner().invoke(app, ["norms", *map(str, given)], input=answers)


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setattr("emospace.cli.norms.on_terminal", lambda: True)


def planted(folder: Path, content: str, name: str = "ratings.csv") -> Path:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return path


def english(folder: Path, sign: int = 1) -> Path:
    """Return a file that rates the bundled words of joy and of grief, grief lower where `sign` is 1."""
    rng = np.random.default_rng(1)
    sets = load_concepts(["en"])
    rows = []
    for category, mean in {"joy": 7, "love": 7, "grief": 3, "anger": 3}.items():
        rows += [(word, 5 + sign * (mean - 5) + rng.normal(0, 0.4)) for word in sets.words("en", category)]
    once = dict(rows)
    return planted(
        folder, "word,valence\n" + "".join(f'"{word}",{value:.2f}\n' for word, value in once.items())
    )


def test_without_a_terminal_each_open_question_names_its_flag(tmp_path):
    path = planted(tmp_path, ROWS)
    result = run("import", path)
    assert result.exit_code == 2
    assert "on which scale valence was rated (its ratings run from 1.5 to 6.5)" in result.output
    assert "--scale 1,9" in result.output
    assert "2 things are open" in result.output and "--language de" in result.output
    result = run("import", path, "--scale", "1,7")
    assert result.exit_code == 2 and "--language de" in result.output
    assert [p.name for p in tmp_path.iterdir()] == ["ratings.csv"]


def test_import_writes_a_card_and_the_file_then_needs_no_options(tmp_path):
    path = planted(tmp_path, ROWS)
    flags = ("--scale", "valence=1,7", "--scale", "arousal=0,8", "--language", "de")
    result = run("import", path, *flags, "--licence", "CC0", "--citation", "Ours (2020)", "--name", "de_ours")
    assert result.exit_code == 0, result.output
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ratings.csv", "ratings.csv.toml"]
    norms = load_norms(path)
    assert norms.scales == {"valence": (1, 7), "arousal": (0, 8)}
    assert (norms.name, norms.language, norms.licence, norms.citation) == (
        "de_ours",
        "de",
        "CC0",
        "Ours (2020)",
    )
    assert norms.ratings("valence")["Glück"] == 6.5
    assert norms.content_hash == load_norms(path, language="de").content_hash
    again = run("import", path)
    assert again.exit_code == 0 and "says all this already" in again.output


def test_a_card_written_by_hand_is_kept_without_yes(tmp_path, terminal, monkeypatch):
    path = planted(tmp_path, ROWS)
    card = tmp_path / "ratings.csv.toml"
    before = 'language = "de"\nscale = [1, 7]\n'
    card.write_text(before, encoding="utf-8")
    with monkeypatch.context() as patch:
        patch.setattr("emospace.cli.norms.on_terminal", lambda: False)
        result = run("import", path, "--scale", "0,8")
        assert result.exit_code == 2 and "scale: [1, 7] -> [0, 8]" in result.output
        assert "--yes" in result.output
    assert run("import", path, "--scale", "0,8", answers="n\n").exit_code == 1
    assert card.read_text(encoding="utf-8") == before
    assert run("import", path, "--scale", "0,8", answers="y\n").exit_code == 0
    assert load_norms(path).scales["valence"] == (0, 8)


def test_flags_stand_over_a_card_the_import_wrote(tmp_path):
    path = planted(tmp_path, ROWS.replace("angenehm", "valenz_en"))
    assert run("import", path, "--scale", "1,7", "--language", "de").exit_code == 0
    result = run("import", path, "--scale", "0,8")
    assert result.exit_code == 0, result.output
    assert "scale: [1, 7] -> [0, 8]" in result.output and load_norms(path).scales["valence"] == (0, 8)
    assert load_norms(path).language == "de"
    result = run("import", path, "--column", "valence=valenz_en", "--targets", "valence")
    assert result.exit_code == 0, result.output
    card = tomllib.loads((tmp_path / "ratings.csv.toml").read_text(encoding="utf-8"))
    assert card["columns"] == {"word": "wort", "valence": "valenz_en"} and card["targets"] == ["valence"]
    assert "columns.word" in card["found"] and "columns.valence" not in card["found"]
    result = run("check", path, "--scale", "1,9")
    assert result.exit_code == 0 and "said over its card" in result.output and "[1, 9]" in result.output


def test_another_language_looks_for_its_own_columns_again(tmp_path):
    path = tmp_path / "yi.csv"
    path.write_bytes((CASES / "zh_yi_two_languages.csv").read_bytes())
    assert run("import", path, "--scale", "1,9", "--language", "zh").exit_code == 0
    assert load_norms(path, language="en").ratings("valence")["joy"] == 8.2
    result = run("import", path, "--language", "en")
    assert result.exit_code == 0 and 'language: "zh" -> "en"' in result.output
    assert load_norms(path).ratings("valence")["joy"] == 8.2


def test_a_layout_stands_over_the_card_and_brings_its_scale(tmp_path):
    path = tmp_path / "bonin.csv"
    path.write_bytes((CASES / "fr_bonin_two_rows.csv").read_bytes())
    result = run("import", path)
    assert result.exit_code == 2 and "--layout fr_bonin_2018" in result.output
    assert run("import", path, "--scale", "0,9", "--language", "fr").exit_code == 0
    assert run("import", path, "--layout", "fr_bonin_2018").exit_code == 0
    assert load_norms(path).reading["layout"] == "fr_bonin_2018"
    (tmp_path / "bonin.csv.toml").unlink()
    assert run("import", path, "--layout", "fr_bonin_2018").exit_code == 0
    assert load_norms(path).scales["valence"] == (1, 5)
    result = run("check", planted(tmp_path, ROWS), "--layout", "fr_bonin_2018", "--language", "de")
    assert result.exit_code == 2 and "its words are 'fr'" in result.output


def test_words_of_another_language_than_the_headers_say_stop_an_import(tmp_path):
    words = [
        "mesa",
        "silla",
        "libro",
        "casa",
        "agua",
        "tiempo",
        "mujer",
        "hombre",
        "noche",
        "trabajo",
        "ciudad",
        "cabeza",
    ]
    rows = "".join(f"{word},{1 + i % 8},5,5\n" for i, word in enumerate(words))
    path = planted(tmp_path, "Word,V.Mean.Sum,A.Mean.Sum,D.Mean.Sum\n" + rows)
    result = run("import", path)
    assert result.exit_code == 2 and "frequent words of 'es'" in result.output
    assert run("import", path, "--language", "en").exit_code == 0


def test_on_a_terminal_the_questions_are_asked(tmp_path, terminal):
    path = planted(tmp_path, "item;note;valence;pleasantness\nGlück;a;6,5;5\nLeid;b;1,5;2\n")
    result = run("import", path, answers="pleasantness\n1,7\nde\n")
    assert result.exit_code == 0, result.output
    assert "Column of valence (valence, pleasantness)" in result.output
    assert load_norms(path).ratings("valence").tolist() == [5, 2]


def test_unknown_headers_are_asked_for_one_by_one(tmp_path, terminal):
    path = planted(tmp_path, "A1;B1\nGlück;6,5\nLeid;1,5\n")
    result = run("import", path, answers="A1\nB1\n1,7\nde\n")
    assert result.exit_code == 0, result.output
    assert load_norms(path).words == ("Glück", "Leid")


def test_one_answer_gives_the_scale_of_all_or_of_each_and_is_asked_again(tmp_path, terminal):
    path = planted(tmp_path, ROWS.replace("angenehm", "note"))
    assert run("import", path, answers="nine\nvalence=1,7\nvalence=1, 7 arousal=0,8\nde\n").exit_code == 0
    assert load_norms(path).scales == {"valence": (1, 7), "arousal": (0, 8)}


def test_a_reversed_scale_is_asked_about(tmp_path, terminal, monkeypatch):
    path = english(tmp_path, sign=-1)
    with monkeypatch.context() as patch:
        patch.setattr("emospace.cli.norms.on_terminal", lambda: False)
        for command in ("import", "check"):
            result = run(command, path, "--language", "en", "--scale", "1,9")
            assert (
                result.exit_code == 2
                and "looks reversed" in result.output
                and "--reversed none" in result.output
            )
    result = run("import", path, "--language", "en", "--scale", "1,9", answers="y\n")
    assert result.exit_code == 0, result.output
    assert "Does the valence scale run from high to low?" in result.output
    assert load_norms(path, anchors=bundled_anchors).ratings("valence")["joy"] > 6
    assert run("import", path, "--reversed", "none", "--yes").exit_code == 0
    assert load_norms(path, anchors=bundled_anchors).ratings("valence")["joy"] < 4


def test_a_right_scale_is_written_as_checked(tmp_path):
    path = english(tmp_path)
    assert run("import", path, "--language", "en", "--scale", "1,9").exit_code == 0
    assert "reversed = []" in (tmp_path / "ratings.csv.toml").read_text(encoding="utf-8")


def test_a_direction_too_few_words_tell_is_not_written_as_checked(tmp_path):
    path = planted(tmp_path, "kelime,valence\nkalem,5\nmasa,4\n")
    result = run("import", path, "--language", "tr", "--scale", "1,9")
    assert result.exit_code == 0 and "not checked: too few" in result.output
    assert "reversed" not in (tmp_path / "ratings.csv.toml").read_text(encoding="utf-8")


def test_import_asks_for_a_direction_that_no_word_of_many_tells(tmp_path):
    path = planted(tmp_path, "word,valence\n" + "".join(f"w{i:03d}x,{i % 9 + 1}\n" for i in range(60)))
    result = run("import", path, "--language", "en", "--scale", "1,9")
    assert result.exit_code == 2 and "--reversed none" in result.output
    assert run("import", path, "--language", "en", "--scale", "1,9", "--reversed", "none").exit_code == 0


def test_check_writes_nothing_and_says_what_is_unverified(tmp_path):
    path = planted(tmp_path, "NAWL_word,val_M_all,aro_M_all\nradość,2.5,3.1\nsmutek,-2.1,2.5\n")
    result = run("check", path)
    assert result.exit_code == 0 and "unverified: the published file was not seen" in result.output
    assert [p.name for p in tmp_path.iterdir()] == ["ratings.csv"]


def test_english_words_called_german_are_seen(tmp_path):
    words = [
        "love",
        "hate",
        "water",
        "house",
        "child",
        "mother",
        "father",
        "night",
        "bread",
        "fire",
        "light",
        "stone",
        "river",
        "winter",
        "summer",
        "money",
    ]
    words += ["school", "friend", "heart", "mouth", "flower", "animal", "window", "garden", "music", "story"]
    path = planted(
        tmp_path, "word,valence\n" + "".join(f"{word},{1 + i % 8}\n" for i, word in enumerate(words))
    )
    result = run("check", path, "--language", "de", "--scale", "1,9")
    assert result.exit_code == 0 and "frequent words of 'en'" in result.output
    assert other_language(load_norms(path, language="en", scale=(1, 9))) == ""


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--scale", "1"), "not two numbers"),
        (("--scale", "1,9", "--scale", "2,3"), "Say of which target"),
        (("--reversed", "none,valence"), "both none and some"),
        (("--column", "word"), "has no '='"),
        (("--layout", "fr_fan_2041"), "fr_fan_2014"),
        (("--script", "simplified"), "script"),
    ],
)
def test_flags_that_say_nothing(tmp_path, flags, message):
    result = run("import", planted(tmp_path, ROWS), *flags)
    assert result.exit_code == 2 and message in result.output


def test_each_key_of_a_card_is_declared_once():
    """The card, the keywords of `load_norms` and the options of both commands are one declaration."""
    helped = [option for command in ("check", "import") for option in (run(command, "--help").output,)]
    for key in CardSpec.model_fields:
        assert key in CARD_KEYS
        assert all(f"--{key.removesuffix('s') if key == 'columns' else key}" in text for text in helped), key
    with pytest.raises(EmospaceError, match="language"):
        load_norms("glasgow", langage="en")


def test_what_was_said_of_the_cells_is_kept_in_the_card(tmp_path):
    rows = [
        f"{rater},{word}*,{rating + rater % 2}"
        for rater in range(6)
        for word, rating in {"joy": 7, "war": 2}.items()
    ]
    path = planted(tmp_path, "rater,word,rating\n" + "\n".join([*rows, "7,joy*,-99"]) + "\n")
    flags = ("--language", "en", "--scale", "1,9", "--column", "valence=rating")
    result = run("check", path, *flags)
    assert result.exit_code == 2 and "--trials" in " ".join(result.output.split())
    result = run("import", path, *flags, "--trials", "--clean", "--missing", "-99")
    assert result.exit_code == 0, result.output
    norms = load_norms(path)
    assert norms.ratings("valence").to_dict() == {"joy": 7.5, "war": 2.5}
    assert norms.table["valence_n"].tolist() == [6, 6]
