"""The steering study on a tiny model, with a judge that counts words."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from conftest import D_MODEL, tiny, with_chat_template
from emospace.concepts import load_concepts
from emospace.errors import EmospaceError
from emospace.evaluation import answers, grid
from emospace.evaluation.answers import answer, cell_hash
from emospace.evaluation.cells import Cell, n_tokens, random_vectors, standard_cells
from emospace.evaluation.grid import evaluate
from emospace.evaluation.prompts import FactualPrompt, load_factual, load_instructions, load_prompts
from emospace.generation import generate, generate_together, perplexity
from emospace.judges import BASIC_SEVEN, Judgement
from emospace.judges.endpoint import Parameters
from emospace.judges.llm import LanguageModelJudge
from emospace.judges.masking import mask_concepts
from emospace.specs import Guidance, Sampling, SteeringSpec
from emospace.steering import DoseRange, SteeringVector, plan_steering
from pages import undescribed

PROMPTS = tuple(
    f"{subject} {verb}" for subject in ("she", "he", "they", "a dog") for verb in ("felt", "laughed")
)
FACTUAL = (
    FactualPrompt(prompt="rain is", answers=("wet",)),
    FactualPrompt(prompt="the word", answers=("a", "e", "i", "o")),
)
LABELS = ("joy", "sadness", "neutral", "pride")


class Letters:
    """A judge of letters: a text with many of an emotion's letters carries it."""

    name = "letters"
    kind = "counts letters"
    labels = LABELS

    def __init__(self):
        self.asked = 0

    def auroc(self, language, label):
        return {"joy": 0.95, "sadness": 0.9, "pride": 0.7}.get(label)

    def recall(self, language, label, *, masked=False):
        return 0.3 if masked else 0.75

    def calibration_error(self, language, label):
        return 0.02

    def check_language(self, language):
        if language != "en":
            raise EmospaceError(f"language '{language}'", "no held-out score", "Choose en.")

    def judge(self, texts, language="en"):
        self.check_language(language)
        self.asked += 1
        counts = np.array(
            [
                [sum(text.count(c) for c in letters) for letters in ("aeiou", "stnr", "z", "pdl")]
                for text in texts
            ]
        )
        share = (counts + 0.5) / (counts.sum(axis=1, keepdims=True) + 2)
        seven = np.full((len(texts), 7), 0.01)
        for label in ("joy", "sadness", "neutral"):
            seven[:, BASIC_SEVEN.index(label)] = share[:, LABELS.index(label)]
        return Judgement(LABELS, share, seven / seven.sum(axis=1, keepdims=True))


class Moody(Letters):
    """`Letters`, but for some texts it has no usable reply, as a language model has none for what it refuses."""

    def __init__(self, refuses):
        super().__init__()
        self.refuses = refuses

    def judge(self, texts, language="en"):
        whole = super().judge(texts, language)
        return whole.without(np.array([self.refuses(text) for text in texts], dtype=bool))


def by_name(*vectors):
    return {vector.name: vector for vector in vectors}


def vector(name, seed, kind="sae", layers=(2,), dose=0.5, **given):
    rng = np.random.default_rng(seed)
    return SteeringVector(
        name=name,
        kind=kind,
        directions={layer: rng.standard_normal(D_MODEL) for layer in layers},
        medians=dict.fromkeys(layers, 4.0),
        model="tiny-llama",
        model_hash=tiny("llama").content_hash,
        calibration={"relative": DoseRange(dose, 0.1, 2.0)} if dose else {},
        **given,
    )


BANK = by_name(vector("joy", 1), vector("sadness", 2, dose=0.8), vector("pride", 3), vector("awe", 4))
DENSE = by_name(vector("joy", 5, "dense", layers=(1, 2)))
INSTRUCTIONS = {name: f"Answer with {name}." for name in BANK}
SHUFFLED = [by_name(vector("joy", 6 + draw, dose=None)) for draw in range(2)]


@pytest.fixture
def spec(tmp_path):
    return SteeringSpec(
        doses=(0.5, 2.0, 3.0),
        random_doses=(1.0, 2.0),
        sampling=Sampling(n_tokens=6),
        factual_tokens=3,
        n_random=2,
        judge="letters",
        out=tmp_path / "steering",
    )


@pytest.fixture(scope="module")
def sets():
    return load_concepts(["en"])


def run(spec, cells=None, judge=None, **given):
    model = tiny("llama")
    cells = cells or standard_cells(
        spec, BANK, baselines=[DENSE], shuffled=SHUFFLED, instructions=INSTRUCTIONS
    )
    settings = {"prompts": PROMPTS, "factual": FACTUAL, "norms": None} | given
    return evaluate(spec, model, cells, judge or Letters(), **settings)


def test_the_standard_cells_are_those_of_the_study(spec):
    cells = standard_cells(spec, BANK, baselines=[DENSE], shuffled=SHUFFLED, instructions=INSTRUCTIONS)
    assert [cell.kind for cell in cells if cell.emotion is None] == ["none"] + ["random"] * 4
    doses = {
        (name, kind): [round(cell.dose, 6) for cell in cells if (cell.emotion, cell.kind) == (name, kind)]
        for name, kind in (
            ("joy", "sae"),
            ("sadness", "sae"),
            ("pride", "sae"),
            ("joy", "dense"),
            ("joy", "shuffled"),
            ("joy", "prompted"),
        )
    }
    assert doses == {
        ("joy", "sae"): [0.25, 0.5, 1.0, 1.5],
        ("sadness", "sae"): [0.4, 0.8, 1.6, 2.4],
        ("pride", "sae"): [0.5],
        ("joy", "dense"): [0.25, 0.5, 1.0, 1.5],
        ("joy", "shuffled"): [0.5, 0.5],
        ("joy", "prompted"): [0.25],
    }
    prompts = {cell.emotion: cell.instruction for cell in cells if cell.kind == "prompt"}
    assert prompts == {"joy": "Answer with joy.", "sadness": "Answer with sadness."}
    assert {cell.instruction for cell in cells if (cell.emotion, cell.kind) == ("joy", "prompted")} == {
        "Answer with joy."
    }
    assert not any(cell.instruction for cell in standard_cells(spec, BANK))
    alone = standard_cells(spec.model_copy(update={"doses": (1.0, 2.0)}), BANK, instructions=INSTRUCTIONS)
    assert [cell.dose for cell in alone if (cell.emotion, cell.kind) == ("joy", "prompted")] == [0.5]
    every = standard_cells(spec.model_copy(update={"baselines_for": "all"}), BANK, instructions=INSTRUCTIONS)
    assert {cell.emotion for cell in every if cell.kind == "prompt"} == {"joy", "sadness", "pride", "awe"}
    random = [cell for cell in cells if cell.kind == "random"]
    assert [cell.dose for cell in random] == pytest.approx([0.5, 1.0, 0.5, 1.0])
    factual = {(cell.emotion, cell.kind, cell.factor) for cell in cells if cell.factual}
    upto = {(name, "sae", factor) for name in ("joy", "sadness") for factor in (0.5, 1.0, 2.0, 3.0)}
    assert factual == {
        *upto,
        *((name, "prompt", None) for name in ("joy", "sadness")),
        *((name, "prompted", 0.5) for name in ("joy", "sadness")),
        *(("joy", "dense", factor) for factor in (0.5, 1.0, 2.0, 3.0)),
        ("joy", "shuffled", 1.0),
        (None, "none", None),
        (None, "random", 1.0),
    }


def test_guidance_that_is_asked_for_goes_with_every_vector(spec):
    asked = Guidance(weight=2, cost=0.5)
    cells = standard_cells(
        spec.model_copy(update={"guidance": asked}), BANK, baselines=[DENSE], shuffled=SHUFFLED
    )
    plain = Guidance().over(None)
    assert {cell.settings.get("guidance") for cell in cells if cell.vector is not None} == {asked, plain}
    assert {cell.kind for cell in cells if cell.settings.get("guidance") == plain} == {"sae"}
    assert {cell.options for cell in cells if cell.kind == "dense"} == {"guidance=weight=2 cost=0.5"}
    assert not any(cell.settings for cell in standard_cells(spec, BANK))
    guided = replace(BANK["joy"], guidance=asked)
    assert random_vectors([guided], 1, seed=0)[0].guidance == asked
    assert Cell("joy", "sae", guided).options == "weight=2 cost=0.5"


def test_random_directions_act_where_most_vectors_do():
    vectors = [
        vector("a", 1, layers=(1, 3), window=(2, None)),
        vector("b", 2, layers=(1, 3), window=(2, None)),
        vector("c", 3),
    ]
    drawn = random_vectors(vectors, 3, seed=0)
    assert [item.layers for item in drawn] == [(1, 3)] * 3
    assert drawn[0].window == (2, None)
    assert np.allclose(drawn[0].directions[1], drawn[0].directions[3])
    assert abs(drawn[0].directions[1] @ drawn[1].directions[1]) < 0.8
    again = random_vectors(vectors, 3, seed=0)
    assert np.array_equal(again[2].directions[1], drawn[2].directions[1])
    assert not np.array_equal(random_vectors(vectors, 1, seed=1)[0].directions[1], drawn[0].directions[1])


def test_a_wrong_specification_is_named(spec):
    with pytest.raises(EmospaceError, match="'joi'"):
        standard_cells(spec.model_copy(update={"emotions": ("joi",)}), BANK)
    with pytest.raises(EmospaceError, match="no calibrated dose"):
        standard_cells(spec, by_name(vector("joy", 1, dose=None)))
    with pytest.raises(ValueError, match="positive multiple"):
        SteeringSpec(doses=(0.0, 1.0))


def test_a_study_over_the_cap_stops_before_anything_is_generated(spec, sets, monkeypatch):
    monkeypatch.setattr(grid, "answer", lambda *_: pytest.fail("generated"))
    cells = standard_cells(spec, BANK)
    total = n_tokens(spec, cells, len(PROMPTS), len(FACTUAL))
    assert total == len(cells) * 8 * 6 + sum(cell.factual for cell in cells) * 2 * 2 * 3
    small = spec.model_copy(update={"token_cap": total - 1})
    with pytest.raises(EmospaceError, match=f"{total:,} tokens.*Keep at most {len(cells) - 1} cells"):
        run(small, cells, sets=sets)
    with pytest.raises(EmospaceError, match="no held-out score"):
        run(spec.model_copy(update={"language": "zh"}), cells, sets=sets)
    with pytest.raises(EmospaceError, match="exactly one cell of kind 'none'"):
        run(spec, cells[1:], sets=sets)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory, sets):
    spec = SteeringSpec(
        doses=(0.5, 2.0, 3.0),
        random_doses=(1.0, 2.0),
        sampling=Sampling(n_tokens=6),
        factual_tokens=3,
        n_random=2,
        out=tmp_path_factory.mktemp("study"),
    )
    from emospace.norms import load_norms

    return spec, run(spec, sets=sets, norms=load_norms("en_glasgow_2019"))


def test_records_hold_what_was_measured(evaluated):
    spec, study = evaluated
    records = {(record.emotion, record.vector, record.dose): record for record in study.records}
    assert len(records) == len(study.records)
    joy = records["joy", "sae", 0.5]
    model = tiny("llama")
    made = generate(model, PROMPTS, BANK["joy"], dose=0.5, sampling=spec.sampling)
    plain = generate(model, PROMPTS, sampling=spec.sampling)
    judge = Letters()
    assert joy.target_rate == pytest.approx((judge.judge(made.texts).choice == "joy").mean())
    assert joy.base_rate == pytest.approx((judge.judge(plain.texts).choice == "joy").mean())
    ratios = perplexity(model, PROMPTS, made) / perplexity(model, PROMPTS, plain)
    assert joy.perplexity_ratio == pytest.approx(np.nanmedian(ratios), rel=1e-3)
    assert joy.applications == made.applications
    assert (joy.calibrated, joy.layer, joy.layers, joy.mode) == (True, 2, (2,), "relative")
    assert (joy.judge, joy.judge_recall, joy.judge_auroc, joy.n, joy.n_prompts) == (
        "letters",
        0.75,
        0.95,
        8,
        8,
    )
    assert joy.judge_recall_masked == 0.3
    assert joy.ci_low <= joy.target_rate <= joy.ci_high
    assert joy.p is not None
    assert joy.p_fdr >= joy.p
    none = records["joy", "none", 0.0]
    assert none.target_rate == joy.base_rate
    assert none.perplexity_ratio == none.distinct2_ratio == none.similarity == pytest.approx(1.0)
    assert all(0 <= record.in_language <= 1 for record in study.records)
    random = records["joy", "random", 0.5]
    assert (random.n, random.n_prompts, random.p) == (16, 8, None)
    dense = records["joy", "dense", 0.5]
    assert (dense.layer, dense.layers) == (None, (1, 2))


def test_what_the_judge_cannot_say_is_null_with_its_reason(evaluated):
    _, study = evaluated
    awe = next(record for record in study.records if record.emotion == "awe" and record.vector == "sae")
    assert awe.target_rate is None
    assert "awe" in awe.reason
    assert awe.perplexity_ratio is not None
    pride = next(record for record in study.records if record.emotion == "pride" and record.calibrated)
    assert pride.p is not None
    assert pride.p_fdr is None
    said = {row.what: row.why for row in study.not_computed}
    assert "awe" in said["target rates"]
    assert "pride" in said["p over categories"]


def test_tables_hold_the_study(evaluated):
    _, study = evaluated
    tables = study.tables
    assert len(tables["cells"]) == len(study.records)
    doses = tables["dose_response"].set_index(["target", "kind", "outcome"])
    assert doses.loc[("joy", "sae", "rate"), "n_doses"] == 5
    assert ("awe", "sae", "rate") not in doses.index
    confusion = tables["confusion"].set_index(["kind", "target"])
    assert confusion[list(BASIC_SEVEN)].sum(axis=1).to_numpy() == pytest.approx(1)
    joy = next(
        record
        for record in study.records
        if record.emotion == "joy" and record.vector == "sae" and record.calibrated
    )
    assert confusion.loc[("sae", "joy"), "joy"] == pytest.approx(joy.target_rate)
    affect = tables["affect"].set_index(["kind", "target"])
    assert affect.loc[("sae", "joy"), "human_valence"] > 0.5 > affect.loc[("sae", "sadness"), "human_valence"]
    random = tables["random"].set_index(["kind", "target"])
    row = random.loc[("sae", "joy")]
    assert row["deviation"] == pytest.approx(row["random_rate"] - row["base_rate"])
    figures = tables["figures"].set_index(["kind", "figure"])
    assert figures.loc[("sae", "above_random"), "n"] == 2
    assert {"target_rate", "target_rate_masked", "perplexity_ratio", "valence_r"} <= set(
        figures.loc["sae"].index
    )
    basic = random.loc[[("sae", "joy"), ("sae", "sadness")], "deviation"].to_numpy(float)
    assert figures.loc[("sae", "random_deviation"), "value"] == pytest.approx(basic.mean())
    assert abs(figures.loc[("sae", "random_deviation_worst"), "value"]) == pytest.approx(np.abs(basic).max())
    assert ("prompt", "random_deviation") not in figures.index
    samples = tables["samples"]
    assert (samples.groupby(["emotion", "kind", "dose", "draw"], dropna=False).size() == 3).all()
    assert samples["prompt"].nunique() == 3


def test_every_column_of_the_tables_is_in_the_data_dictionary(evaluated):
    _, study = evaluated
    assert not undescribed({f"steering_{name}": table.columns for name, table in study.tables.items()})


def test_a_second_run_generates_nothing_and_finds_the_same(evaluated, sets, monkeypatch):
    from emospace.evaluation import answers
    from emospace.norms import load_norms

    spec, study = evaluated
    monkeypatch.setattr(answers, "generate_together", lambda *_args, **_given: pytest.fail("generated again"))
    again = run(spec, sets=sets, norms=load_norms("en_glasgow_2019"))
    assert again.records == study.records


def test_a_damaged_cell_alone_is_made_again(spec, caplog, monkeypatch):
    from emospace.evaluation import answers

    joy = Cell("joy", "sae", BANK["joy"], 0.5, 1.0, "relative")
    model, cells = tiny("llama"), [Cell(None, "none"), joy]
    first = answer(spec, model, cells, PROMPTS)
    path = spec.out / "cells" / f"{cell_hash(spec, model, joy, PROMPTS, ())}.json"
    path.write_text(path.read_text()[:100])
    asked = []

    def counted(model, sets, **options):
        asked.append([plan.vector for _, plan in sets])
        return generate_together(model, sets, **options)

    monkeypatch.setattr(answers, "generate_together", counted)
    for _ in range(2):
        again = answer(spec, model, cells, PROMPTS)
        for after, before in zip(again, first, strict=True):
            assert after.texts == before.texts
            assert np.array_equal(after.perplexity, before.perplexity, equal_nan=True)
    assert "cannot be read" in caplog.text
    assert asked == [[joy.vector]] * 3  # free answers and both readings of factual ones, once


@pytest.mark.parametrize(("batch_size", "n_batches"), [(len(PROMPTS), 3), (2 * len(PROMPTS), 2), (1, 3)])
def test_cells_are_answered_together_as_far_as_a_batch_has_room(spec, monkeypatch, batch_size, n_batches):
    from emospace.evaluation import answers

    spec, sizes = spec.model_copy(update={"batch_size": batch_size}), []
    cells = [Cell(None, "none")] + [
        Cell("joy", "sae", BANK["joy"], dose, 1.0, "relative") for dose in (0.5, 1.0)
    ]
    generated = answers._generated
    monkeypatch.setattr(
        answers, "_generated", lambda *given: (sizes.append(len(given[2])), generated(*given))[1]
    )
    assert len(answer(spec, tiny("llama"), cells, PROMPTS)) == 3
    assert (len(sizes), sum(sizes)) == (n_batches, 3)


def test_a_cells_hash_changes_with_all_that_made_it(spec):
    model, joy = tiny("llama"), BANK["joy"]
    cell = Cell("joy", "sae", joy, 0.5, 1.0, "relative", factual=True)
    asked = ["rain is"]

    def digest(cell=cell, spec=spec, model=model, prompts=PROMPTS, factual=asked):
        return cell_hash(spec, model, cell, prompts, factual)

    others = [
        digest(replace(cell, dose=0.6)),
        digest(replace(cell, mode="constant")),
        digest(replace(cell, vector=BANK["sadness"])),
        digest(replace(cell, vector=replace(joy, scope="response"))),
        digest(replace(cell, vector=replace(joy, window=(1, None)))),
        digest(replace(cell, vector=replace(joy, shares={2: 0.5}))),
        digest(replace(cell, instruction="Answer with joy.")),
        digest(replace(cell, settings={"scope": "response"})),
        digest(replace(cell, settings={"decoding": Sampling(seed=1)})),
        digest(replace(cell, settings={"decoding": Sampling(seed=2)})),
        digest(spec=spec.model_copy(update={"sampling": Sampling(n_tokens=6, seed=1)})),
        digest(model=tiny("qwen2")),
        digest(prompts=PROMPTS[1:]),
        digest(factual=[]),
    ]
    assert len({digest(), *others}) == len(others) + 1
    # What it is called, and what it is a multiple of, makes no text.
    assert digest(replace(cell, emotion="x", factor=2.0, draw=3, vector=replace(joy, name="x"))) == digest()
    assert digest(spec=spec.model_copy(update={"token_cap": 9, "batch_size": 3})) == digest()


def test_controls_are_the_random_directions_at_the_nearest_dose():
    pairs = [
        (Cell(None, "none"), "base"),
        (Cell(None, "random", dose=0.5, factor=1.0), "a"),
        (Cell(None, "random", dose=1.0, factor=2.0), "b"),
        (Cell(None, "random", dose=1.0, factor=2.0, draw=1), "c"),
    ]
    assert grid._controls(Cell("joy", "sae", dose=0.6), pairs) == ["a"]
    assert grid._controls(Cell("joy", "sae", dose=3.0), pairs) == ["b", "c"]
    assert grid._controls(Cell("joy", "prompt"), pairs) == ["a"]
    assert grid._controls(pairs[1][0], pairs) == []


# --- answers that could not be judged


def refuses(text):
    return len(text) % 3 == 0


def test_an_answer_that_could_not_be_judged_is_missing_and_counted(spec, sets):
    model = tiny("llama")
    study = run(spec, judge=Moody(refuses), sets=sets)
    joy = next(
        record
        for record in study.records
        if (record.emotion, record.vector, record.dose) == ("joy", "sae", 0.5)
    )
    made = generate(model, PROMPTS, BANK["joy"], dose=0.5, sampling=spec.sampling)
    plain = generate(model, PROMPTS, sampling=spec.sampling)
    masked = mask_concepts(made.texts, sets, "en")
    known = np.array([not refuses(a) and not refuses(b) for a, b in zip(made.texts, masked, strict=True)])
    assert 0 < known.sum() < len(known)
    whole, base = Letters().judge(made.texts), Letters().judge(plain.texts)
    assert (joy.n, joy.n_judged, joy.n_unjudged) == (8, known.sum(), (~known).sum())
    assert joy.target_rate == pytest.approx((whole.choice == "joy")[known].mean())
    assert joy.target_probability == pytest.approx(whole.for_category("joy")[known].mean())
    assert joy.target_rate_masked == pytest.approx((Letters().judge(masked).choice == "joy")[known].mean())
    base_known = np.array(
        [
            not refuses(a) and not refuses(b)
            for a, b in zip(plain.texts, mask_concepts(plain.texts, sets, "en"), strict=True)
        ]
    )
    assert joy.base_rate == pytest.approx((base.choice == "joy")[base_known].mean())
    assert joy.ci_low <= joy.target_rate <= joy.ci_high
    # Nothing the judge never said counts as the first of its labels.
    anger = [record for record in study.records if record.emotion == "anger"]
    assert not anger
    confusion = study.tables["confusion"].set_index(["kind", "target"]).loc[("sae", "joy")]
    assert confusion[list(BASIC_SEVEN)].sum() == pytest.approx(1)
    assert confusion["joy"] == pytest.approx(joy.target_rate)
    assert (confusion["n_judged"], confusion["n_unjudged"]) == (joy.n_judged, joy.n_unjudged)
    figures = study.tables["figures"].set_index(["kind", "figure"])
    basic = [
        record.target_rate
        for record in study.records
        if record.vector == "sae" and record.calibrated and record.emotion in ("joy", "sadness")
    ]
    assert figures.loc[("sae", "target_rate"), "value"] == pytest.approx(np.mean(basic))
    samples = study.tables["samples"]
    assert "unjudged" in set(samples["judged"])
    assert "anger" not in set(samples["judged"])
    (said,) = [row.why for row in study.not_computed if row.what == "judgements"]
    n_answers = study.n_answers
    assert f"of {n_answers} answers" in said


def test_a_rate_over_no_judged_answer_is_null_with_the_reason(spec, sets):
    study = run(spec, judge=Moody(lambda text: True), sets=sets)
    for record in study.records:
        assert record.target_rate is record.base_rate is record.p is record.ci_low is None
        if record.emotion != "awe":
            assert "could be judged" in record.reason
            assert (record.n_judged, record.n_unjudged) == (0, record.n)
        assert record.perplexity_ratio is not None
    assert set(study.tables["samples"]["judged"]) == {"unjudged"}


def test_what_a_language_model_refuses_to_judge_is_no_anger(spec, sets, tmp_path):
    replies = {
        True: "I cannot help with that.",
        False: json.dumps(dict.fromkeys(BASIC_SEVEN, 5) | {"joy": 90}),
    }
    endpoint = SimpleNamespace(
        url="http://127.0.0.1/v1",
        model="m",
        parameters=Parameters(9),
        client=lambda at_once: nullcontext(),
        ask=lambda client, messages, usable: (replies[refuses(messages[1]["content"])], Parameters(9)),
    )
    judge = LanguageModelJudge(endpoint, BASIC_SEVEN, tmp_path / "judge")
    cells = [
        Cell(None, "none"),
        Cell("anger", "sae", replace(BANK["joy"], name="anger"), 0.5, 1.0, "relative"),
    ]
    study = run(spec, cells, judge, sets=sets, factual=())
    (anger,) = [record for record in study.records if record.vector == "sae"]
    assert anger.n_unjudged > 0 < anger.n_judged
    assert anger.target_rate == anger.base_rate == 0
    assert anger.target_probability == pytest.approx(0.05)
    assert set(study.tables["samples"]["judged"]) <= {"joy", "unjudged"}


def test_n_answers_are_those_given(evaluated, spec, sets):
    _, study = evaluated
    cells = standard_cells(spec, BANK, baselines=[DENSE], shuffled=SHUFFLED, instructions=INSTRUCTIONS)
    assert study.n_answers == len(cells) * len(PROMPTS)  # not the 40 prompts a study has at most


@pytest.mark.parametrize("kind", ["questions", "stems"])
def test_a_chat_model_is_asked_questions_and_a_base_model_goes_on_from_stems(spec, sets, kind, monkeypatch):
    model = with_chat_template(tiny("llama")) if kind == "questions" else tiny("llama")
    given = []
    monkeypatch.setattr(
        answers,
        "generate_together",
        lambda model, asked, **options: given.extend(asked) or made(model, asked, **options),
    )
    made = generate_together
    few = spec.model_copy(update={"n_prompts": 2})
    cells = [
        Cell(None, "none", factual=True),
        Cell("joy", "prompt", instruction=load_instructions("en", kind=kind)[0].replace("{label}", "joy")),
    ]
    study = evaluate(few, model, cells, Letters(), sets=sets)
    assert {record.prompt_kind for record in study.records} == {kind}
    asked = load_prompts("en", "evaluation", kind=kind)[:2]
    known = [each.prompt for each in load_factual("en", kind=kind)]
    instructed = (
        [f"{prompt} Answer with joy." for prompt in asked]
        if kind == "questions"
        else [f"Mood: joy\n\n{prompt}" for prompt in asked]
    )
    assert [list(prompts) for prompts, _ in given] == [list(asked), instructed, *[known, []] * 2]


def test_an_instruction_stands_after_the_prompt_or_around_it():
    assert answers._instructed(["a {b}"], Cell("joy", "prompt", instruction="joy! {prompt}")) == [
        "joy! a {b}"
    ]
    assert answers._instructed(["She"], Cell("joy", "prompt", instruction="Be glad.")) == ["She Be glad."]
    assert answers._instructed(["She"], Cell(None, "none")) == ["She"]


def test_another_setting_of_a_vector_is_another_way_with_answers_of_its_own(spec, sets):
    joy = Cell("joy", "sae", BANK["joy"], 0.5, 1.0, "relative")
    later = replace(joy, settings={"window": (3, None)})
    study = run(spec, [Cell(None, "none"), joy, later], sets=sets, factual=())
    (usual,) = (record for record in study.records if record.vector == "sae" and record.setting is None)
    (other,) = (record for record in study.records if record.setting is not None)
    assert (other.vector, other.setting, other.options) == ("sae", "window=(3, None)", "window=(3, None)")
    assert 0 < other.applications < usual.applications
    assert set(study.tables["figures"]["kind"]) == {"sae", "sae window=(3, None)"}


def test_answers_without_guidance_are_not_chosen_among_candidates(spec):
    few = spec.model_copy(update={"emotions": ("joy",), "n_random": 0, "n_shuffled": 0})
    drawn = by_name(replace(BANK["joy"], guidance=Guidance(weight=3, candidates=4)))
    cells = standard_cells(few, drawn)
    for cell in cells:
        if cell.vector is not None:
            acting = plan_steering(tiny("llama"), cell.vector, cell.dose, **cell.settings).acting_guidance
            assert (acting and acting.candidates) == (4 if cell.way == "sae" else None)
    guided = sum(cell.way == "sae" for cell in cells)
    assert n_tokens(few, cells, 1, 0) == (len(cells) + 3 * guided) * few.sampling.n_tokens
    asked = standard_cells(few.model_copy(update={"guidance": Guidance(weight=2)}), drawn)
    assert n_tokens(few, asked, 1, 0) == n_tokens(few, cells, 1, 0)


def test_guided_vectors_are_tried_without_guidance_too_and_an_instruction_takes_them_without(spec):
    few = spec.model_copy(update={"emotions": ("joy",), "n_random": 0, "n_shuffled": 0})
    guided = by_name(replace(BANK["joy"], guidance=Guidance(weight=3, cost=0.5)))

    def ways(spec, bank):
        cells = standard_cells(spec, bank, instructions=INSTRUCTIONS)
        return {way: [c.factor for c in cells if c.way == way] for way in dict.fromkeys(c.way for c in cells)}

    alone = {"none": [None], "sae": [0.5, 1.0, 2.0, 3.0], "prompt": [None], "prompted": [0.5]}
    assert ways(few, BANK) == alone
    assert ways(few, guided) == alone | {"sae guidance=plain": [0.5, 1.0]}
    asked = few.model_copy(update={"guidance": Guidance(plausible=0.1)})
    assert set(ways(asked, BANK)) == {
        "none",
        "sae guidance=plausible=0.1",
        "sae guidance=plain",
        "prompt",
        "prompted",
    }
    for cell in standard_cells(few, guided, instructions=INSTRUCTIONS):
        acting = (
            cell.vector
            and plan_steering(tiny("llama"), cell.vector, cell.dose, **cell.settings).acting_guidance
        )
        assert (acting is not None) == (cell.way == "sae")
