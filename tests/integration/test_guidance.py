"""Guidance: tokens chosen between the steered and the unsteered model, of tiny models, against passes made by hand."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from conftest import D_MODEL, counting, tiny
from emospace.errors import EmospaceError
from emospace.generation import Sampling, generate, generate_together, loop, stream
from emospace.generation.guidance import LIKELIEST, Pairs
from emospace.generation.loop import Answer, Batch
from emospace.specs import Guidance
from emospace.steering import SteeringVector, mix, plan_steering, steer
from emospace.steering.kernel import Kernel, Probe

PROMPTS = ["She laughed", "the happiness of a quiet evening, the sadness", "他们感到快乐", "joy"]
SAMPLING = Sampling(n_tokens=10, seed=3)
GREEDY = Sampling(n_tokens=6, temperature=0)
STRONG = Guidance(weight=3, plausible=0.05)


@pytest.fixture
def llama():
    return tiny("llama")


def vector_for(model, layers=(2,), seed=0, **fields) -> SteeringVector:
    rng = np.random.default_rng(seed)
    return SteeringVector(
        name="joy",
        kind="dense",
        directions={layer: rng.standard_normal(D_MODEL) for layer in layers},
        medians=dict.fromkeys(layers, 5.0),
        model=model.name,
        model_hash=model.content_hash,
        **fields,
    )


def widths(monkeypatch) -> list[int]:
    """Return a list to which each forward pass of the loop adds its number of rows."""
    seen, forward = [], loop.forward
    monkeypatch.setattr(
        loop,
        "forward",
        lambda model, ids, *rest, **more: seen.append(len(ids)) or forward(model, ids, *rest, **more),
    )
    return seen


def test_plain_guidance_is_the_plain_path_without_a_second_row(llama, monkeypatch):
    vector = vector_for(llama)
    steered = generate(llama, PROMPTS, vector, dose=1.0, sampling=SAMPLING)
    seen = widths(monkeypatch)
    plain = Guidance(weight=1, plausible=0, cost=0, candidates=1)
    guided = generate(llama, PROMPTS, vector, dose=1.0, sampling=SAMPLING, guidance=plain)
    assert guided.texts == steered.texts
    assert set(seen) == {len(PROMPTS)}
    assert all((shifts == 0).all() for shifts in guided.shifts)


def test_dose_zero_is_unsteered_and_without_a_second_row(llama, monkeypatch):
    plain = generate(llama, PROMPTS, sampling=SAMPLING)
    seen = widths(monkeypatch)
    zero = generate(llama, PROMPTS, vector_for(llama), dose=0.0, sampling=SAMPLING, guidance=STRONG)
    assert [row.tolist() for row in zero.tokens] == [row.tolist() for row in plain.tokens]
    assert set(seen) == {len(PROMPTS)}


@pytest.mark.parametrize("scope", ["all", "response"])
@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma3"])
def test_tokens_are_those_of_the_mixed_logits_of_two_plain_passes(family, scope):
    model = tiny(family)
    vector = vector_for(model, layers=(1, 3), scope=scope)
    guidance = Guidance(weight=2.5, plausible=0.2)
    made = generate(model, PROMPTS, vector, dose=1.0, sampling=GREEDY, guidance=guidance)
    for prompt, tokens, shifts in zip(PROMPTS, made.tokens, made.shifts, strict=True):
        ids = [*model.start_ids(), *model.tokenizer(prompt)["input_ids"]]
        for place, token in enumerate(tokens):
            row = torch.tensor([[*ids, *tokens[:place].tolist()]])
            with torch.inference_mode():
                unsteered = model.model(row).logits[0, -1].float().log_softmax(-1)
                with steer(model, vector, 1.0, prompt_length=len(ids)):
                    steered = model.model(row).logits[0, -1].float().log_softmax(-1)
            mixed = unsteered + 2.5 * (steered - unsteered)
            mixed[unsteered < unsteered.max() + np.log(0.2)] = -torch.inf
            assert int(mixed.argmax()) == token
            assert shifts[place] == pytest.approx(float(steered[token] - unsteered[token]), abs=1e-3)


def test_guided_answers_do_not_depend_on_their_batch(llama):
    together = [
        (PROMPTS, plan_steering(llama, vector_for(llama), 1.0, guidance=STRONG)),
        (PROMPTS, None),
        (PROMPTS[1:3], plan_steering(llama, vector_for(llama, (1, 3), 1), 1.0, mode="constant")),
        (PROMPTS, plan_steering(llama, vector_for(llama), 1.5, guidance=Guidance(weight=2, cost=0.1))),
    ]
    for (prompts, plan), made in zip(
        together, generate_together(llama, together, sampling=SAMPLING, batch_size=5), strict=True
    ):
        alone = generate(llama, prompts, plan, sampling=SAMPLING, batch_size=1)
        assert made.texts == alone.texts
        assert made.applications == alone.applications


def test_guided_rows_come_and_go(llama):
    """Joined late and left early, each with a neighbour of another kind, they say what they say alone."""
    plan = plan_steering(llama, vector_for(llama), 1.0, guidance=STRONG)
    plans = (plan, None, replace(plan, guidance=Guidance()), plan)
    answers = [
        Answer(llama.text_ids(prompt), Sampling(n_tokens=4 + 3 * place, seed=1), plan)
        for place, (prompt, plan) in enumerate(zip(PROMPTS, plans, strict=True))
    ]
    batch = Batch(llama)
    for answer in answers:
        batch.join([answer])
        batch.leave()
        batch.step()
    while batch.rows:
        batch.leave()
        if batch.rows:
            batch.step()
    for answer, prompt, plan in zip(answers, PROMPTS, plans, strict=True):
        alone = generate(llama, [prompt], plan, sampling=answer.sampling)
        assert answer.tokens == alone.tokens[0].tolist()
        assert answer.shifts == pytest.approx(alone.shifts[0].tolist(), abs=1e-4)


def test_a_stream_is_the_answer_and_its_events_hold_all_shifts(llama):
    vector = vector_for(llama)
    whole = generate(llama, PROMPTS[:1], vector, dose=1.0, sampling=SAMPLING, guidance=STRONG)
    assert (
        "".join(stream(llama, PROMPTS[0], vector, dose=1.0, sampling=SAMPLING, guidance=STRONG))
        == whole.texts[0]
    )
    events = []
    plan = plan_steering(llama, vector, 1.0, guidance=STRONG)
    answer = Answer(llama.text_ids(PROMPTS[0]), SAMPLING, plan, emit=events.append)
    for _ in loop.run(llama, [answer]):
        pass
    assert sum(event.shift for event in events) == pytest.approx(whole.shifts[0].sum(), abs=1e-3)
    assert np.abs(whole.shifts[0]).max() > 0.01


def readings(n_rows=6, n_tokens=40) -> torch.Tensor:
    """Return logits of steered and unsteered rows in turn."""
    return torch.from_numpy(np.random.default_rng(0).normal(0, 3, (2 * n_rows, n_tokens)).astype(np.float32))


def test_no_token_is_left_that_the_unsteered_model_finds_unlikely():
    logits = readings()
    mixed = Pairs([Guidance(weight=4, plausible=0.1)] * 6, "cpu").guided(logits)
    likely = logits[1::2].softmax(-1)
    assert torch.equal(mixed.isfinite(), likely >= 0.1 * likely.amax(-1, keepdim=True))


def test_the_weight_is_lowered_to_the_cost_and_no_further():
    logits = readings()
    unsteered = logits[1::2].log_softmax(-1)

    def cost(guidance: Guidance) -> torch.Tensor:
        share = Pairs([guidance] * 6, "cpu").guided(logits).softmax(-1)
        return -(share * unsteered).sum(-1) + (unsteered.exp() * unsteered).sum(-1)

    free = cost(Guidance(weight=3))
    bound = cost(Guidance(weight=3, cost=0.5))
    assert logits.shape[1] <= LIKELIEST
    assert (free > 0.5).any()
    assert (bound <= 0.5 + 1e-4).all()
    assert torch.allclose(bound[free <= 0.5], free[free <= 0.5], atol=1e-4)
    assert (bound[free > 0.5] > 0.4).all()


def test_what_is_left_open_is_as_calibrated(llama):
    vector = vector_for(llama, guidance=STRONG)
    assert plan_steering(llama, vector, 1.0).guidance == STRONG.over(None)
    assert plan_steering(llama, vector, 1.0, guidance=Guidance(weight=1)).guidance.plausible == 0.05
    assert plan_steering(llama, vector, 1.0, mode="constant").acting_guidance is None
    assert plan_steering(llama, vector_for(llama), 1.0).acting_guidance is None


def test_a_vector_keeps_its_guidance_on_disk(llama, tmp_path):
    vector = vector_for(llama, guidance=STRONG)
    assert SteeringVector.load(vector.save(tmp_path / "joy")).guidance == STRONG
    assert "guidance" not in vector_for(llama).card()


def test_vectors_of_different_guidance_are_not_mixed(llama):
    with pytest.raises(EmospaceError, match="cannot be mixed"):
        mix([(vector_for(llama), 0.5), (vector_for(llama, seed=1, guidance=STRONG), 0.5)])


def test_readings_are_cosines_of_unsteered_states_and_the_vector(llama):
    vector = vector_for(llama, layers=(1, 2), shares={1: 0.25, 2: 0.75})
    made = generate(llama, PROMPTS, vector, dose=1.0, sampling=SAMPLING, guidance=STRONG)
    for prompt, tokens, reading in zip(PROMPTS, made.tokens, made.readings, strict=True):
        ids = llama.text_ids(prompt)
        with torch.inference_mode():
            states = llama.model(
                torch.tensor([[*ids, *tokens.tolist()]]), output_hidden_states=True
            ).hidden_states
        cosines = [
            share
            * torch.cosine_similarity(states[layer][0, len(ids) :], torch.tensor(vector.directions[layer]))
            for layer, share in ((1, 0.25), (2, 0.75))
        ]
        # The last token of an answer cut short is never run.
        n_run = min(len(tokens), SAMPLING.n_tokens - 1)
        assert reading == pytest.approx(float(sum(cosines)[:n_run].mean()), abs=1e-3)


def test_the_candidate_in_which_most_of_the_tone_is_read_is_the_answer(llama):
    vector = vector_for(llama)
    rows = {}
    for n in (1, 5):
        guidance = STRONG.model_copy(update={"candidates": n})
        rows[n] = generate(
            llama, PROMPTS, vector, dose=1.0, sampling=SAMPLING, guidance=guidance, batch_size=3
        )
    assert (
        rows[1].texts == generate(llama, PROMPTS, vector, dose=1.0, sampling=SAMPLING, guidance=STRONG).texts
    )
    assert len(rows[5].texts) == len(PROMPTS)
    assert rows[5].texts != rows[1].texts
    asked = {"dose": 1.0, "sampling": SAMPLING, "guidance": Guidance(weight=3, plausible=0.05, candidates=5)}
    assert "".join(stream(llama, PROMPTS[0], vector, **asked)) == rows[5].texts[0]


def test_sharpened_tokens_are_those_of_a_lower_temperature(llama):
    vector = vector_for(llama)
    asked = {"dose": 1.0, "guidance": Guidance(weight=1, sharpen=2.0)}
    sharp = generate(llama, PROMPTS, vector, sampling=SAMPLING, **asked)
    cool = SAMPLING.model_copy(update={"temperature": SAMPLING.temperature / 2})
    assert sharp.texts == generate(llama, PROMPTS, vector, dose=1.0, sampling=cool).texts
    greedy = generate(llama, PROMPTS, vector, sampling=GREEDY, **asked)
    assert greedy.texts == generate(llama, PROMPTS, vector, dose=1.0, sampling=GREEDY).texts


def test_tokens_of_which_the_unsteered_model_is_sure_are_drawn_from_it(llama):
    torch.manual_seed(2)
    logits = 4 * torch.randn(12, 40)
    unsteered = logits[1::2].log_softmax(dim=-1)
    certainty = float(unsteered.exp().amax(dim=-1).median())
    guidance = Guidance(weight=2, cost=0.5, plausible=0.01, sharpen=1.5)
    free = Pairs([guidance] * 6, "cpu").guided(logits.clone()).softmax(dim=-1)
    kept = guidance.model_copy(update={"certainty": certainty})
    held = Pairs([kept] * 6, "cpu").guided(logits.clone()).softmax(dim=-1)
    is_sure = unsteered.exp().amax(dim=-1) >= certainty
    assert 0 < is_sure.sum() < 6
    likely = unsteered >= unsteered.amax(dim=-1, keepdim=True) + np.log(0.01)
    expected = (1.5 * unsteered).masked_fill(~likely, -torch.inf).softmax(dim=-1)
    assert torch.allclose(held[is_sure], expected[is_sure], atol=1e-6)
    assert torch.equal(held[~is_sure], free[~is_sure])

    vector = vector_for(llama)
    everywhere = generate(
        llama, PROMPTS, vector, dose=1.0, sampling=GREEDY, guidance=Guidance(weight=3, certainty=1e-9)
    )
    assert everywhere.texts == generate(llama, PROMPTS, sampling=GREEDY).texts


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma3"])
def test_a_prompt_is_read_once_under_each_plan(family, monkeypatch):
    model = tiny(family)
    vector = vector_for(model)
    guidance = Guidance(weight=2, candidates=3, block=4)
    plans = [plan_steering(model, vector, dose, guidance=guidance) for dose in (0.5, 1.0)]
    asked = [(PROMPTS, plan) for plan in plans]
    # Each answer has the noise of its number, which is 0 where it is alone.
    first = [generate(model, PROMPTS[:1], plan, sampling=SAMPLING).texts[0] for plan in plans]
    seen = widths(monkeypatch)
    together = generate_together(model, asked, sampling=SAMPLING, batch_size=64)
    n_candidates = 2 * 3 * len(PROMPTS)
    assert seen[0] == 3 * len(PROMPTS)
    assert seen[1] == 2 * n_candidates
    assert [made.texts[0] for made in together] == first
    seen.clear()
    generate(model, [PROMPTS[0]] * 4, sampling=SAMPLING)
    assert (seen[0], seen[1]) == (1, 4)


def test_likeliest_tokens_have_no_candidates(llama, monkeypatch):
    seen = widths(monkeypatch)
    guidance = Guidance(weight=2, candidates=4)
    generate(llama, PROMPTS, vector_for(llama), dose=1.0, sampling=GREEDY, guidance=guidance)
    assert set(seen) == {2 * len(PROMPTS)}


def test_candidates_alone_take_nothing_from_the_steered_model(llama):
    """The first of them is the answer without guidance, but for rounding."""
    vector = vector_for(llama)
    steered = generate(llama, PROMPTS, vector, dose=1.0, sampling=SAMPLING)
    plan = plan_steering(llama, vector, 1.0, guidance=Guidance(candidates=3))
    answers = [Answer(llama.text_ids(prompt), SAMPLING, plan, index) for index, prompt in enumerate(PROMPTS)]
    for _ in loop.run(llama, answers):
        pass
    assert [answer.tokens for answer in answers] == [row.tolist() for row in steered.tokens]


def test_a_token_of_a_guided_stream_places_nothing_anew_and_copies_twice(llama, monkeypatch):
    """What tokens are chosen by lies on the device; what comes back is the token, and its shift and reading in one."""
    done = Counter()

    for kind in (Pairs, Probe, Kernel):
        monkeypatch.setattr(kind, "__init__", counting(done, kind.__name__, kind.__init__))
    monkeypatch.setattr(loop, "end_ids", lambda _model: [])
    monkeypatch.setattr(loop._OnDevice, "draw", counting(done, "tokens", loop._OnDevice.draw))
    monkeypatch.setattr(loop._OnDevice, "figures", counting(done, "figures", loop._OnDevice.figures))
    counts = []
    for n_tokens in (2, 12):
        done.clear()
        sampling = Sampling(n_tokens=n_tokens)
        list(stream(llama, "joy", vector_for(llama), dose=1.0, sampling=sampling, guidance=STRONG))
        assert done.pop("tokens") == done.pop("figures") == n_tokens
        counts.append(dict(done))
    assert counts[0] == counts[1] == {"Pairs": 1, "Probe": 1, "Kernel": 1}
