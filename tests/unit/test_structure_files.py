"""Category structures from files people have: matrices, pairs, labelled items, graded ratings and free sorting."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import pdist, squareform
from typer.testing import CliRunner

from emospace.cli.app import app
from emospace.errors import EmospaceError
from emospace.norms import OpenQuestion
from emospace.specs.structures import StructureCard
from emospace.structure import phi, read_structure_card, structure_from_file

NAMES = ["anger", "disgust", "fear", "joy", "sadness", "surprise"]
POINTS = np.random.default_rng(0).normal(size=(6, 2))
DISTANCE = squareform(pdist(POINTS))
SIMILARITY = 1 - DISTANCE / DISTANCE.max()
EN = StructureCard(language="en")


def planted(tmp_path, frame, name="mine.csv", **options):
    path = tmp_path / name
    options = {"index": False} | options
    frame.to_csv(path, **options)
    return path


def square(matrix, names=NAMES):
    return pd.DataFrame(matrix, index=names, columns=names)


@pytest.mark.parametrize(("matrix", "values"), [(SIMILARITY, "similarity"), (DISTANCE, "distance")])
def test_a_square_table_is_read_by_its_diagonal(tmp_path, matrix, values):
    path = planted(tmp_path, square(matrix), index=True)
    structure, card = structure_from_file(path, EN, known=NAMES)
    assert (card.layout, card.values) == ("matrix", values)
    assert structure.categories == tuple(NAMES)
    assert structure.kind == "rated similarity"
    np.testing.assert_allclose(structure.similarity, SIMILARITY, atol=1e-9)


def test_workbook_triangle_decimal_commas_and_order(tmp_path):
    lower = np.where(np.tri(6, dtype=bool), SIMILARITY, np.nan)
    path = tmp_path / "mine.xlsx"
    square(lower).iloc[::-1].to_excel(path)
    structure, _ = structure_from_file(path, EN, known=NAMES)
    order = [structure.categories.index(name) for name in NAMES]
    np.testing.assert_allclose(structure.similarity[np.ix_(order, order)], SIMILARITY, atol=1e-9)
    path = planted(tmp_path, square(SIMILARITY).round(6), index=True, sep=";", decimal=",")
    structure, _ = structure_from_file(path, EN, known=NAMES)
    np.testing.assert_allclose(structure.similarity, SIMILARITY, atol=1e-5)


def test_scale_of_rated_similarity_does_not_change_order(tmp_path):
    rated = 1 + 6 * SIMILARITY
    structure, card = structure_from_file(planted(tmp_path, square(rated), index=True), EN)
    off = np.triu_indices(6, 1)
    assert card.values == "similarity" and abs(structure.similarity).max() <= 1
    assert (np.argsort(structure.similarity[off]) == np.argsort(SIMILARITY[off])).all()


def test_pairs_need_to_know_which_way_they_run(tmp_path):
    rows = [(a, b, SIMILARITY[NAMES.index(a), NAMES.index(b)]) for a, b in combinations(NAMES, 2)]
    path = planted(tmp_path, pd.DataFrame(rows, columns=["first", "second", "value"]))
    with pytest.raises(OpenQuestion) as raised:
        structure_from_file(path, EN)
    assert (raised.value.key, raised.value.choices) == ("values", ("similarity", "distance", "counts"))
    structure, _ = structure_from_file(path, EN.model_copy(update={"values": "similarity"}))
    np.testing.assert_allclose(structure.similarity, SIMILARITY, atol=1e-9)
    twice = planted(tmp_path, pd.DataFrame([*rows, ("joy", "anger", 0.99)], columns=["a", "b", "value"]))
    with pytest.raises(EmospaceError) as error:
        structure_from_file(twice, EN)
    assert error.value.what.endswith("row 17")


def test_counts_give_phi_and_need_their_total(tmp_path):
    marks = np.random.default_rng(1).integers(0, 2, (200, 6))
    path = planted(tmp_path, square(marks.T @ marks), index=True)
    with pytest.raises(OpenQuestion) as raised:
        structure_from_file(path, EN)
    assert raised.value.key == "n_items"
    structure, card = structure_from_file(path, EN.model_copy(update={"n_items": 200}))
    assert (structure.kind, card.values, structure.n_items) == ("co-annotation", "counts", 200)
    np.testing.assert_allclose(structure.similarity, np.corrcoef(marks.T), atol=1e-9)
    with pytest.raises(EmospaceError):
        structure_from_file(path, EN.model_copy(update={"n_items": 10}))


def test_labelled_items_are_co_annotation_however_they_are_written(tmp_path):
    marks = np.random.default_rng(2).integers(0, 2, (120, 6))
    table = pd.DataFrame(marks, columns=NAMES)
    table.insert(0, "id", range(1, 121))
    structure, card = structure_from_file(planted(tmp_path, table), EN, known=NAMES)
    assert card.layout == "items" and structure.categories == tuple(NAMES)
    np.testing.assert_allclose(structure.similarity, phi(marks.T @ marks, 120))
    assert structure.halves.shape == (20, 2, 6, 6) and structure.split_half() is not None
    written = ["; ".join(name for name, mark in zip(NAMES, row, strict=True) if mark) for row in marks]
    labels = pd.DataFrame({"text": [f"text {i}" for i in range(120)], "labels": written})
    same, card = structure_from_file(planted(tmp_path, labels), EN, known=NAMES)
    assert card.layout == "labels"
    np.testing.assert_allclose(same.similarity, structure.similarity)


def test_graded_ratings_of_items_are_correlated(tmp_path):
    ratings = np.random.default_rng(3).normal(size=(50, 6)) @ np.random.default_rng(4).normal(size=(6, 6))
    structure, _ = structure_from_file(planted(tmp_path, pd.DataFrame(ratings, columns=NAMES)), EN)
    assert structure.kind == "rated similarity" and structure.counts is None
    np.testing.assert_allclose(structure.similarity, np.corrcoef(ratings.T), atol=1e-9)


def test_free_sorting_is_the_share_of_people_who_put_two_together(tmp_path):
    piles = {
        "p1": [["anger", "disgust", "fear"], ["joy", "surprise"], ["sadness"]],
        "p2": [["anger", "disgust"], ["fear", "sadness"], ["joy", "surprise"]],
    }
    rows = [
        (person, name, f"pile {number}")
        for person, sorted_by in piles.items()
        for number, pile in enumerate(sorted_by)
        for name in pile
    ]
    path = planted(tmp_path, pd.DataFrame(rows, columns=["Participant", "Emotion", "Group"]))
    structure, card = structure_from_file(path, EN, known=NAMES)
    similarity = square(structure.similarity, structure.categories)
    assert card.layout == "piles" and structure.n_items == 2
    assert similarity.loc["anger", "disgust"] == 1 and similarity.loc["joy", "surprise"] == 1
    assert similarity.loc["anger", "fear"] == 0.5 and similarity.loc["joy", "sadness"] == 0


def test_names_of_other_languages_are_mapped_and_typos_refused(tmp_path):
    german = ["Wut", "Ekel", "Angst", "Freude", "Trauer", "Staunen"]
    path = planted(tmp_path, square(SIMILARITY, german), index=True)
    with pytest.raises(EmospaceError) as few:
        structure_from_file(path, StructureCard(language="de"), known=NAMES)
    assert few.value.why.startswith("0 of its 6 categories")
    names = dict(zip(german, NAMES, strict=True))
    structure, _ = structure_from_file(path, StructureCard(language="de", names=names), known=NAMES)
    assert structure.categories == tuple(NAMES)
    for wrong in ({"Wutt": "anger"}, {"Wut": "angr"}):
        with pytest.raises(EmospaceError) as unknown:
            structure_from_file(path, StructureCard(language="de", names=wrong), known=NAMES)
        assert next(iter(wrong)) in str(unknown.value) or "angr" in unknown.value.what


@pytest.mark.parametrize(
    "content",
    [
        "",
        "a\n",
        "a,b,c\n1,2,3\n",
        "x,joy,fear\njoy,1,0.5\nanger,0.5,1\n",
        "x,joy,fear,anger\njoy,1,0.9,0\nfear,0.1,1,0\nanger,0.7,0.2,1\n",
        "x,joy,fear,anger\njoy,1,0,0\nfear,0,1,0\nanger,0,0,1\n",
        "id," + ",".join(NAMES) + "\n" + "".join(f"{i},1,0,1,0,1,0\n" for i in range(40)),
    ],
)
def test_what_is_no_structure_is_refused_by_name(tmp_path, content):
    path = tmp_path / "bad.csv"
    path.write_text(content)
    with pytest.raises(EmospaceError) as error:
        structure_from_file(path, EN, known=NAMES)
    assert str(path) in error.value.what and error.value.hint


def test_import_writes_a_card_with_which_a_study_needs_no_option(tmp_path):
    german = ["Wut", "Ekel", "Angst", "Freude", "Trauer", "Überraschung"]
    path = planted(tmp_path, square(SIMILARITY, german), "ähnlich.csv", index=True)
    mapping = [f"--category={theirs}={ours}" for theirs, ours in zip(german, NAMES, strict=True)]
    refused = CliRunner().invoke(app, ["structures", "import", str(path), *mapping])
    assert refused.exit_code == 2 and "--language" in refused.output
    command = ["structures", "import", str(path), "--language", "de", *mapping]
    assert CliRunner().invoke(app, command).exit_code == 0
    card = read_structure_card(path)
    assert card.names["Überraschung"] == "surprise" and card.values == "similarity"
    structure, again = structure_from_file(path, known=NAMES)
    assert structure.categories == tuple(NAMES) and again == card


def test_a_terminal_is_asked_what_the_file_leaves_open(tmp_path, monkeypatch):
    monkeypatch.setattr("emospace.cli.structures.on_terminal", lambda: True)
    rows = [(a, b, DISTANCE[NAMES.index(a), NAMES.index(b)]) for a, b in combinations(NAMES, 2)]
    path = planted(tmp_path, pd.DataFrame(rows, columns=["a", "b", "value"]))
    result = CliRunner().invoke(app, ["structures", "import", str(path)], input="alike\ndistance\nen\n")
    assert result.exit_code == 0, result.output
    assert (read_structure_card(path).values, read_structure_card(path).language) == ("distance", "en")


@pytest.mark.parametrize("card", ["layout = 'heap'\n", "nonsense = 1\n", "layout = \n"])
def test_a_card_that_cannot_be_used_is_named(tmp_path, card):
    path = planted(tmp_path, square(SIMILARITY), index=True)
    (tmp_path / "mine.csv.toml").write_text(card)
    with pytest.raises(EmospaceError) as error:
        structure_from_file(path)
    assert error.value.what.endswith("mine.csv.toml")
