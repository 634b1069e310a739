"""What steering changes beside the tone: refusals, agreement with claims, words of abuse."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_evaluation_grid import BANK, FACTUAL, PROMPTS, Letters, spec  # noqa: F401

from conftest import tiny, with_chat_template
from emospace.concepts import load_concepts
from emospace.evaluation.cells import Cell, n_tokens, standard_cells
from emospace.evaluation.grid import evaluate
from emospace.evaluation.side_effects import (
    agreement,
    is_abusive,
    is_refusal,
    load_probes,
    n_requests,
)
from emospace.generation import Sampling, generate
from emospace.generation.forward import first_scores
from emospace.models import turns_of
from emospace.specs import Guidance
from emospace.steering import plan_steering
from pages import undescribed

FIGURES = ("refusals", "agreement_false", "agreement_true", "abuse")


@pytest.fixture
def asked(spec):  # noqa: F811
    return spec.model_copy(update={"side_effects": True, "emotions": ("joy", "sadness")})


def run(asked, model, **changes):
    asked = asked.model_copy(update=changes)
    cells = standard_cells(asked, BANK)
    sets = load_concepts(["en"])
    return asked, cells, evaluate(asked, model, cells, Letters(), sets=sets, prompts=PROMPTS, factual=FACTUAL)


def test_each_vector_is_set_beside_unsteered_answers(asked):
    model = with_chat_template(tiny("llama"))
    asked, cells, study = run(asked, model)
    records = {(record.emotion or record.vector, record.figure): record for record in study.side_effects}
    assert set(records) == {(name, figure) for name in ("joy", "sadness", "random") for figure in FIGURES}
    probes = load_probes("en")
    n = {"refusals": len(probes.requests), "abuse": len(PROMPTS)}
    for (name, figure), record in records.items():
        assert record.n == n.get(figure, len(probes.claims))
        assert record.n_draws == (2 if name == "random" else 1)
        assert record.change == pytest.approx(record.value - record.base_value)
        assert record.change_low <= record.change <= record.change_high
    assert study.tables["side_effects"]["figure"].tolist() == [record.figure for record in study.side_effects]
    assert not undescribed({"steering_side_effects": study.tables["side_effects"].columns})
    joy = next(cell for cell in cells if cell.emotion == "joy" and cell.factor == 1.0)
    given = generate(
        model, probes.requests, plan_steering(model, joy.vector, joy.dose), sampling=asked.sampling
    )
    share = np.mean([is_refusal(text, probes.refusals) for text in given.texts])
    assert records["joy", "refusals"].value == pytest.approx(share)


def test_a_base_model_is_asked_no_requests_and_other_languages_have_no_probes(asked):
    _, _, study = run(asked, tiny("llama"))
    assert {record.figure for record in study.side_effects} == set(FIGURES) - {"refusals"}
    assert [missing.what for missing in study.not_computed if missing.what == "refusals"]
    assert load_probes("xx") is None
    assert n_requests(asked.model_copy(update={"language": "fi"})) == 0


def test_requests_count_among_the_tokens_of_a_study(asked):
    cells = standard_cells(asked, BANK)
    probed = [cell for cell in cells if cell.is_probed]
    assert {(cell.kind, cell.factor) for cell in probed} == {("none", None), ("sae", 1.0), ("random", 1.0)}
    more = n_tokens(asked, cells, 8, 0, 24) - n_tokens(asked, cells, 8, 0)
    assert more == len(probed) * 24 * asked.sampling.n_tokens
    assert not Cell("joy", "prompt", instruction="Be glad.").is_probed


def test_first_scores_are_those_of_the_first_token_that_is_drawn():
    model = tiny("llama")
    rows = [model.prompt_ids(turns_of(prompt)) for prompt in PROMPTS]
    greedy = Sampling(n_tokens=1, temperature=0)
    for guidance in (None, Guidance(weight=3)):
        plan = plan_steering(model, BANK["joy"], guidance=guidance)
        scores = first_scores(model, rows, plan, batch_size=3)
        assert np.logaddexp.reduce(scores, axis=1) == pytest.approx(np.zeros(len(rows)), abs=1e-4)
        drawn = generate(model, PROMPTS, plan, sampling=greedy)
        for row, tokens in zip(scores, drawn.tokens, strict=True):
            assert not len(tokens) or int(row.argmax()) == int(tokens[0])
    plain = first_scores(model, rows)
    with torch.inference_mode():
        logits = model.model(torch.tensor([rows[0]])).logits[0, -1].log_softmax(-1)
    assert plain[0] == pytest.approx(logits.numpy(), abs=1e-4)


def test_agreement_is_the_share_of_yes_against_no(monkeypatch):
    from emospace.evaluation import side_effects

    model, probes = tiny("llama"), load_probes("en")
    yes, no = (side_effects._beginnings(model, words) for words in (("yes",), ("no",)))
    n_tokens = model.model.config.vocab_size

    def scores(_model, rows, _plan):
        table = np.full((len(rows), n_tokens), -20.0)
        table[:, yes], table[:, no] = np.log(0.3), np.log(0.1)
        return table

    monkeypatch.setattr(side_effects, "first_scores", scores)
    variant = probes.model_copy(update={"yes": ("yes",), "no": ("no",)})
    assert agreement(model, ["Is it true?"], None, variant) == pytest.approx([0.75])


def test_the_probes_are_what_they_say():
    probes = load_probes("en")
    assert len(set(probes.requests)) == len(probes.requests) == 24
    assert len({claim.false for claim in probes.claims} | {claim.true for claim in probes.claims}) == 48
    assert is_refusal("I’m sorry, but I can’t do that.", probes.refusals)
    assert not is_refusal("Dear neighbour, I hope you are well.", probes.refusals)
    assert is_abusive("You IDIOT!", probes.abuse)
    assert not is_abusive("Hello, Dumbarton: a shell, class and passion.", probes.abuse)
    assert not is_abusive(" ".join(probes.requests), probes.abuse)
