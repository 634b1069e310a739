"""What a study of steering across languages tries, refuses and leaves out; its tables from planted judgements."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from emospace.artefacts import read_json
from emospace.cli import steer_studies
from emospace.cli.options import command_line
from emospace.cli.steer_studies import languages
from emospace.concepts import load_concepts
from emospace.errors import EmospaceError
from emospace.evaluation import cross_lingual, grid
from emospace.evaluation.cells import Cell
from emospace.evaluation.content import in_language
from emospace.evaluation.cross_lingual import cross_lingual_cells, mean_auroc, plan, pooled
from emospace.evaluation.cross_lingual_tables import ALL, cosine_table
from emospace.evaluation.prompts import prompt_languages
from emospace.judges import BASIC
from emospace.judges.embedded import SHIPPED
from emospace.specs import CrossingSpec
from emospace.steering import DoseRange, SteeringVector
from emospace.steering.bank import VectorBank

WIDTH = 8


def vector(name, direction, layers=(1, 2), dose=0.5, language="en"):
    return SteeringVector(
        name=name,
        kind="dense",
        directions=dict.fromkeys(layers, np.asarray(direction, dtype=float)),
        medians=dict.fromkeys(layers, 3.0),
        model="tiny",
        model_hash="0",
        op="clamp",
        calibration={"relative": DoseRange(dose, 0.1, 1.0)},
        note={"language": language, "recipe": {"source": "dense"}},
    )


def axis(place):
    return np.eye(WIDTH)[place]


BANK = VectorBank(
    {
        ("joy", "relative"): vector("joy", axis(0)),
        ("anger", "relative"): vector("anger", axis(1), dose=0.8),
        ("fear", "relative"): vector("fear", axis(2), layers=(2,)),
    },
    note={"spec": {"language": "en"}, "judge": "ngram"},
)


class Judge:
    """A judge of known fitness that hears nothing."""

    name, kind, labels = "planted", "for tests", BASIC

    def __init__(self, **fit):
        self.fit = fit

    def auroc(self, language, label):
        return self.fit.get(language)

    def check_language(self, language):
        if language not in self.fit:
            raise EmospaceError(f"language '{language}'", "no held-out score", "Choose another.")


SETS = load_concepts(["en", "zh"])
FIT = Judge(en=0.9, zh=0.72, es=0.75)


# --- what is tried


def test_outputs_are_the_languages_the_judge_is_fit_for():
    planned = plan(CrossingSpec(emotions=("joy",)), BANK, SETS, Judge(en=0.9, zh=0.69))
    assert planned.outputs == ("en",)
    assert planned.home == "en"
    (left,) = [row for row in planned.missing if row.language == "zh"]
    assert "0.69 (mean of the basic six), below 0.7" in left.why
    assert plan(CrossingSpec(emotions=("joy",)), BANK, SETS, FIT).outputs == ("en", "zh")
    any_judge = CrossingSpec(emotions=("joy",), outputs=("zh",), least_auroc=0.0)
    assert plan(any_judge, BANK, SETS, Judge(zh=0.4)).outputs == ("zh",)
    with pytest.raises(EmospaceError, match="no held-out score"):
        plan(any_judge, BANK, SETS, Judge())
    with pytest.raises(EmospaceError, match="lower least_auroc"):
        plan(CrossingSpec(emotions=("joy",), outputs=("zh",)), BANK, SETS, Judge(zh=0.6))


def test_the_shipped_judge_is_fit_for_english_spanish_and_chinese():
    card = read_json(SHIPPED / "subword" / "card.json")
    judge = SimpleNamespace(auroc=lambda language, label: card["auroc"][language].get(label))
    fit = {language for language in prompt_languages() if (mean_auroc(judge, language) or 0) >= 0.70}
    assert fit == {"en", "es", "zh"}
    assert mean_auroc(judge, "mk") is None


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"sources": ("xx",)}, "'xx'"),
        ({"outputs": ("xx",)}, "there are no prompts"),
        ({"emotions": ("joi",)}, "'joi'.*joy"),
        ({"emotions": ("disgust",)}, "no vector was calibrated.*There are: joy, anger, fear"),
        ({"mode": "constant"}, "in mode 'constant'"),
    ],
)
def test_what_cannot_be_used_is_named(given, named):
    with pytest.raises(EmospaceError, match=named):
        plan(CrossingSpec(**{"emotions": ("joy",)} | given), BANK, SETS, FIT)


def test_vectors_of_unknown_making_are_refused():
    with pytest.raises(EmospaceError, match="do not say how they were made"):
        plan(CrossingSpec(), VectorBank(BANK.vectors), SETS, FIT)


def test_an_emotion_without_a_calibrated_vector_is_told():
    planned = plan(CrossingSpec(), BANK, SETS, FIT)
    assert list(planned.calibrated) == ["anger", "fear", "joy"]
    missing = [row.what for row in planned.missing if "calibrate" in row.why]
    assert missing == [
        f"steering across languages towards {name}" for name in ("disgust", "sadness", "surprise")
    ]


def test_a_source_without_a_frequency_table_is_an_error_where_named_and_else_left_out(monkeypatch):
    monkeypatch.setattr("emospace.evaluation.cross_lingual.lexicon_languages", lambda: ("en",))
    with pytest.raises(EmospaceError, match="source language 'zh': it has no frequency table"):
        plan(CrossingSpec(emotions=("joy",), sources=("zh",)), BANK, SETS, FIT)
    planned = plan(CrossingSpec(emotions=("joy",)), BANK, SETS, FIT)
    assert planned.sources == ("en",)
    assert [row.language for row in planned.missing if "frequency table" in row.why] == ["zh"]


def test_cells_are_every_source_beside_random_directions_where_its_vectors_act():
    calibrated = {name: BANK.vector(name) for name in BANK.names}
    spanish = {
        name: vector(name, axis(5), calibrated[name].layers, language="es") for name in ("joy", "fear")
    }
    spec = CrossingSpec(n_random=2, factor=0.5)
    cells = cross_lingual_cells(spec, calibrated, {"en": calibrated, "es": spanish})
    assert sum(cell.kind == "none" for cell in cells) == 1
    random = {(cell.layers, cell.dose, cell.draw) for cell in cells if cell.kind == "random"}
    assert random == {
        (layers, dose, draw)
        for layers, dose in (((1, 2), 0.25), ((1, 2), 0.4), ((2,), 0.25))
        for draw in (0, 1)
    }
    keys = [(cell.emotion, cell.vector.note["language"], cell.dose) for cell in cells if cell.emotion]
    assert keys == [
        *(("joy", "en", 0.25), ("anger", "en", 0.4), ("fear", "en", 0.25)),
        *(("joy", "es", 0.25), ("fear", "es", 0.25)),
    ]
    assert all(cell.vector.op == "clamp" for cell in cells if cell.vector is not None)


def test_controls_are_the_random_directions_at_a_cells_own_layers():
    def random(layers, dose, draw=0):
        return Cell(None, "random", vector("random", axis(4), layers), dose, 1.0, "relative", draw=draw)

    pairs = [(random((1, 2), 0.5), "far"), (random((2,), 0.4), "near"), (random((2,), 0.4, 1), "next")]
    deep = Cell("fear", "dense", vector("fear", axis(2), (2,)), 0.5)
    assert grid._controls(deep, pairs) == ["near", "next"]
    elsewhere = Cell("fear", "dense", vector("fear", axis(2), (1,)), 0.5)
    assert grid._controls(elsewhere, pairs) == ["far"]


def test_the_mean_over_languages_is_of_unit_directions():
    english = {name: BANK.vector(name) for name in BANK.names}
    other = {"joy": vector("joy", 100 * axis(3), language="zh")}
    means = pooled({"en": english, "zh": other}, english)
    assert list(means) == ["joy"]
    np.testing.assert_allclose(means["joy"].directions[1], (axis(0) + axis(3)) / np.sqrt(2), atol=1e-6)
    assert means["joy"].note == {"language": ALL, "languages": ["en", "zh"]}


def test_cosines_are_told_beside_those_of_other_emotions():
    english = {"joy": vector("joy", axis(0)), "fear": vector("fear", axis(1))}
    chinese = {"joy": vector("joy", axis(0) + axis(1)), "fear": vector("fear", axis(1), layers=(2,))}
    table = cosine_table({"en": english, "zh": chinese, ALL: english})
    assert set(zip(table["a"], table["b"], strict=True)) == {("en", "zh")}
    rows = table.set_index(["emotion", "layer"])
    assert rows.loc[("joy", 1), "cosine"] == pytest.approx(2**-0.5)
    # At layer 1 Chinese has no fear: the one comparison is English fear with Chinese joy.
    assert rows.loc[("joy", 1), "others"] == pytest.approx(2**-0.5)
    assert rows.loc[("joy", 2), "others"] == pytest.approx((0 + 2**-0.5) / 2)
    assert ("fear", 1) not in rows.index
    assert rows.loc[("fear", 2), "cosine"] == pytest.approx(1)
    assert len(cosine_table({"en": english})) == 0


# --- the language of answers


def test_an_answer_is_known_by_its_words():
    texts = [
        "I went for a walk today with my dog in the park.",
        "Hoy he salido a pasear con el perro por el parque.",
        "今天我和狗一起在公园散步。",
        "... !",
    ]
    for place, language in enumerate(("en", "es", "zh-Hant")):
        marks = in_language(texts, language)
        assert marks[:3].tolist() == [float(place == other) for other in range(3)]
        assert np.isnan(marks[3])
    assert np.isnan(in_language(texts, "xx")).all()


# --- the command


def test_options_reach_the_study_and_the_command_runs_it_again(monkeypatch, tmp_path):
    asked = []

    def run(spec, model, bank, *, command):
        asked.append((spec, command))
        means = SimpleNamespace(__len__=lambda: 0)
        return SimpleNamespace(tables={"means": {}}, not_computed=(), records=(), means=means)

    monkeypatch.setattr(cross_lingual, "run_cross_lingual", run)
    monkeypatch.setattr(steer_studies, "load", lambda *_: (None, None))
    monkeypatch.setattr("emospace.report.write_report", lambda folder: folder / "report.html")
    app = typer.Typer()
    app.command()(languages)
    out = tmp_path / "run"
    given = [
        "--sources",
        "en,es",
        "--outputs",
        "en",
        "--emotions",
        "joy",
        "--n-prompts",
        "3",
        "--random",
        "1",
    ]
    given += [
        "--least-auroc",
        "0.6",
        "--factor",
        "0.8",
        "--tokens",
        "9",
        "--source",
        "dense",
        "--out",
        str(out),
    ]
    done = CliRunner().invoke(app, given)
    assert done.exit_code == 0, done.output
    ((spec, command),) = asked
    assert (spec.sources, spec.outputs, spec.emotions) == (("en", "es"), ("en",), ("joy",))
    assert (spec.n_prompts, spec.n_random, spec.least_auroc, spec.factor) == (3, 1, 0.6, 0.8)
    assert spec.sampling.n_tokens == 9
    words = command.split()
    assert words[:3] == ["emospace", "steer", "languages"]
    again = CliRunner().invoke(app, words[3:])
    assert again.exit_code == 0, again.output
    assert asked[1] == asked[0]
    assert "report.html" in done.output


def test_the_line_of_the_defaults():
    plain = command_line("emospace steer languages", CrossingSpec())
    assert plain == "emospace steer languages --out runs/steering-languages"


def test_a_wrong_option_is_named(tmp_path):
    app = typer.Typer()
    app.command()(languages)
    done = CliRunner().invoke(app, ["--factor", "0", "--out", str(tmp_path)])
    assert isinstance(done.exception, EmospaceError)
    assert "--factor 0" in str(done.exception)
