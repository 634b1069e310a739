"""The shipped reader of the embedded model: it is the one today's sets make, and it reads plain sentences right."""

from __future__ import annotations

import numpy as np
import pytest
from typer.testing import CliRunner

from emospace.cli import app
from emospace.reading import ReaderWeights, building, load_reader


@pytest.fixture(scope="module")
def reader():
    return load_reader()


def test_the_shipped_reader_is_up_to_date(reader):
    """Fails when concept-sets, norms, SAE or model change: run recipes/bundle_reader.py again."""
    shipped = ReaderWeights.load(next(building._BUNDLED.glob("*-en.safetensors")))
    assert reader.weights.card == shipped.card
    assert reader.weights.card["reference"] == "given texts"
    assert len(reader.categories) == 42


def test_good_and_bad_news_differ_in_valence(reader):
    good = ["We danced all night and laughed until morning.", "What a wonderful surprise, thank you so much!"]
    bad = ["Her dog died last week and she cannot stop crying.", "They were killed in the terrible accident."]
    valence = reader.read([*good, *bad]).valence
    assert valence[:2].min() > valence[2:].max()


@pytest.mark.parametrize(
    ("text", "category"),
    [
        ("I am so happy today!", "joy"),
        ("I feel so sad and lonely.", "sadness"),
        ("This food is disgusting, it makes me sick.", "disgust"),
        ("I am furious with you, how dare you!", "anger"),
        ("The door opened and they screamed in terror at the sight.", "fear"),
    ],
)
def test_the_emotion_named_is_the_highest(reader, text, category):
    assert reader.read([text]).top(1)[0][0][0] == category


def test_neutral_text_is_near_zero(reader):
    neutral = [
        "The meeting takes place in room four on Tuesday.",
        "He put the box on the table and closed the door.",
        "The train to the city leaves every hour from the second platform.",
    ]
    reading = reader.read(neutral)
    assert np.abs(reading.scores).mean() < 1.5
    assert np.abs(reading.valence).max() < 0.25


def test_the_emotional_token_stands_out(reader):
    (reading,) = reader.read(["The door opened and they screamed in terror at the sight."]).tokens
    fear = reading.scores[:, reader.categories.index("fear")]
    assert reading.tokens[int(fear.argmax())].strip() in {"screamed", "terror"}


def test_the_command_line_reads(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text("I am so happy today!\n\nI hate this.\n", encoding="utf-8")
    ran = CliRunner().invoke(app, ["read", str(path), "--out", str(tmp_path / "read.json")])
    assert ran.exit_code == 0, ran.output
    assert "I hate this." in ran.output
    assert (tmp_path / "read.json").is_file()
