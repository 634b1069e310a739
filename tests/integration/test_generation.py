"""Answers of tiny models: the same in any batch, on common noise, and as likely as a plain pass says."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from conftest import D_MODEL, counting, make_hf_model, make_tokenizer, tiny
from emospace.activations import extract_words
from emospace.errors import EmospaceError
from emospace.generation import (
    Generated,
    Sampling,
    forward,
    generate,
    generate_together,
    loop,
    perplexity,
    stream,
)
from emospace.generation.loop import draw
from emospace.models import wrap_model
from emospace.steering import SteeringVector, plan_steering, steer
from emospace.steering.hooks import RowSteering
from emospace.steering.kernel import Kernel

PROMPTS = [
    "She laughed",
    "the happiness of a quiet evening, the sadness",
    "他们感到快乐",
    "joy",
    "the fear was gone and",
]
# Rotary, learned and additive positions; windows; a model within a model.
FAMILIES = ("llama", "gpt2", "bloom", "falcon_alibi", "gemma2", "gemma3")
SAMPLING = Sampling(n_tokens=12, seed=3)


def vector_for(model, layers=(2,), seed=0) -> SteeringVector:
    rng = np.random.default_rng(seed)
    return SteeringVector(
        name="joy",
        kind="dense",
        directions={layer: rng.standard_normal(D_MODEL) for layer in layers},
        medians=dict.fromkeys(layers, 5.0),
        model=model.name,
        model_hash=model.content_hash,
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_an_answer_does_not_depend_on_its_batch(family):
    model = tiny(family)
    together = generate(model, PROMPTS, sampling=SAMPLING, batch_size=5)
    apart = generate(model, PROMPTS, sampling=SAMPLING, batch_size=1)
    assert together.texts == apart.texts
    assert any(len(answer) for answer in together.tokens)


def test_a_model_that_does_not_keep_what_it_read_is_an_error(llama, monkeypatch):
    """As where a model swallows the cache under a name that it does not know: each token would be its first."""
    monkeypatch.setitem(vars(llama), "arguments", llama.arguments - {"cache", "past_key_values"})
    with pytest.raises(EmospaceError, match="takes no key-value cache"):
        generate(llama, PROMPTS[:1], sampling=SAMPLING)
    monkeypatch.setattr(forward, "cache_argument", lambda *_: "unheard_of")
    with pytest.raises(EmospaceError, match="its key-value cache holds 0"):
        generate(llama, PROMPTS[:1], sampling=SAMPLING)


def test_greedy_answers_are_those_of_generate(llama):
    ours = generate(llama, PROMPTS, sampling=Sampling(n_tokens=10, temperature=0))
    for prompt, answer in zip(PROMPTS, ours.tokens, strict=True):
        ids = torch.tensor([[*llama.start_ids(), *llama.tokenizer(prompt)["input_ids"]]])
        tokens = llama.model.generate(ids, max_new_tokens=10, do_sample=False)[0, ids.shape[1] :].tolist()
        assert answer.tolist() == tokens[: tokens.index(2)] if 2 in tokens else tokens


def test_the_seed_and_the_place_of_a_prompt_make_the_noise(llama):
    twice = ["joy", "joy"]
    first = generate(llama, twice, sampling=SAMPLING)
    assert first.texts == generate(llama, twice, sampling=SAMPLING).texts
    assert first.texts[0] != first.texts[1]
    other = generate(llama, twice, sampling=SAMPLING.model_copy(update={"seed": 4}))
    assert first.texts != other.texts
    assert generate(llama, ["joy"], sampling=SAMPLING).texts[0] == first.texts[0]


def test_dose_zero_changes_nothing_and_a_dose_does(llama):
    vector = vector_for(llama)
    plain = generate(llama, PROMPTS, sampling=SAMPLING)
    zero = generate(llama, PROMPTS, vector, dose=0.0, sampling=SAMPLING)
    steered = generate(llama, PROMPTS, vector, dose=2.0, sampling=SAMPLING)
    assert zero.texts == plain.texts
    assert zero.applications == plain.applications == 0
    assert steered.texts != plain.texts
    assert generate(llama, PROMPTS, sampling=SAMPLING).texts == plain.texts


@pytest.mark.parametrize("scope", ["prompt", "response", "all"])
def test_applications_count_what_was_steered_whatever_the_batch(llama, scope):
    vector = vector_for(llama, layers=(1, 3))
    widths = [len(llama.tokenizer(prompt)["input_ids"]) for prompt in PROMPTS]
    counts = []
    for size in (1, 5):
        made = generate(llama, PROMPTS, vector, dose=0.5, sampling=SAMPLING, batch_size=size, scope=scope)
        # The last token of an unfinished answer is sampled but never read.
        read = [len(answer) - (not ended) for answer, ended in zip(made.tokens, made.stopped, strict=True)]
        n_tokens = {"prompt": sum(widths), "response": sum(read), "all": sum(widths) + sum(read)}[scope]
        assert made.applications == 2 * n_tokens
        counts.append(made.applications)
    assert counts[0] == counts[1]


@pytest.mark.parametrize("family", FAMILIES)
def test_sets_answered_together_are_answered_as_each_alone(family):
    model = tiny(family)
    asked = [
        (PROMPTS, None),
        (PROMPTS[1:4], plan_steering(model, vector_for(model), 2.0, mode="relative")),
        ((), None),
        (PROMPTS, plan_steering(model, vector_for(model, layers=(1, 3), seed=1), 0.5, mode="constant")),
    ]
    answers = generate_together(model, asked, sampling=SAMPLING, batch_size=6)
    assert len({tuple(made.texts) for made in answers}) == len(asked)
    for (prompts, plan), made in zip(asked, answers, strict=True):
        alone = generate(model, prompts, plan, sampling=SAMPLING)
        assert made.texts == alone.texts
        assert [row.tolist() for row in made.tokens] == [row.tolist() for row in alone.tokens]
        assert made.stopped.tolist() == alone.stopped.tolist()
        assert made.applications == alone.applications


def test_sets_answered_together_share_their_passes(llama):
    passes = []
    handle = llama.blocks[0].register_forward_hook(lambda *_: passes.append(1))
    joy = vector_for(llama)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "end_ids", lambda _model: [])
        asked = [
            (PROMPTS, None),
            *((PROMPTS, plan_steering(llama, joy, dose)) for dose in (1.0, 2.0)),
        ]
        generate_together(llama, asked, sampling=SAMPLING)
    handle.remove()
    assert len(passes) == SAMPLING.n_tokens


def test_a_set_whose_vector_never_acts_is_named(llama):
    late = replace(vector_for(llama), scope="response", window=(SAMPLING.n_tokens, None))
    with pytest.raises(EmospaceError, match="applied to no token"):
        plan = plan_steering(llama, late, 1.0)
        generate_together(llama, [(PROMPTS, None), (PROMPTS, plan)], sampling=SAMPLING)


def ending(model, token):
    """Return the model with another token that ends an answer."""
    other = make_hf_model("llama")
    other.generation_config.eos_token_id = [2, token]
    return wrap_model(other, model.tokenizer, name="ending")


def test_an_answer_ends_at_the_end_token_and_the_others_go_on(llama):
    free = generate(llama, PROMPTS, sampling=SAMPLING)
    token = int(free.tokens[1][4])
    ended = generate(ending(llama, token), PROMPTS, sampling=SAMPLING)
    for before, after, stopped in zip(free.tokens, ended.tokens, ended.stopped, strict=True):
        cut = before.tolist().index(token) if token in before else len(before)
        assert after.tolist() == before[:cut].tolist()
        assert stopped == (len(after) < SAMPLING.n_tokens)
    assert ended.stopped[1]
    assert not ended.stopped.all()


def test_no_answer_ends_before_its_least_tokens(llama):
    token = int(generate(llama, PROMPTS, sampling=SAMPLING).tokens[1][0])
    model = ending(llama, token)
    assert min(map(len, generate(model, PROMPTS, sampling=SAMPLING).tokens)) == 0
    lasting = generate(model, PROMPTS, sampling=SAMPLING.model_copy(update={"least_tokens": 3}))
    assert min(map(len, lasting.tokens)) >= 3
    assert token not in {int(sampled) for answer in lasting.tokens for sampled in answer}


def plain_perplexity(model, prompt, answer):
    ids = [*model.start_ids(), *model.tokenizer(prompt)["input_ids"]]
    with torch.no_grad():
        logits = model.model(torch.tensor([[*ids, *answer.tolist()]])).logits[0].log_softmax(-1)
    scores = [float(logits[len(ids) - 1 + place, token]) for place, token in enumerate(answer)]
    return np.exp(-np.mean(scores))


@pytest.mark.parametrize("family", FAMILIES)
def test_perplexity_is_that_of_one_plain_pass_each(family):
    model = tiny(family)
    made = generate(model, PROMPTS, sampling=SAMPLING)
    short = [answer[: 3 + 2 * place] for place, answer in enumerate(made.tokens)]
    values = perplexity(model, PROMPTS, made._replace(tokens=short), batch_size=3)
    for prompt, answer, value in zip(PROMPTS, short, values, strict=True):
        assert value == pytest.approx(plain_perplexity(model, prompt, answer), rel=1e-3)


def test_an_answer_without_a_token_has_no_perplexity(llama):
    empty = Generated(["", "x"], [np.empty(0, dtype=np.int64), np.array([7])], np.array([True, False]), 0)
    values = perplexity(llama, PROMPTS[:2], empty)
    assert np.isnan(values[0])
    assert np.isfinite(values[1])
    with pytest.raises(EmospaceError, match="2 answers to 1 prompts"):
        perplexity(llama, PROMPTS[:1], empty)


def test_a_prompt_longer_than_the_model_reads_is_named(llama):
    with pytest.raises(EmospaceError, match="more than the 256 the model reads"):
        generate(llama, ["joy " * 300], sampling=SAMPLING)


def test_no_prompts_no_answers(llama):
    made = generate(llama, [], vector_for(llama), dose=1.0)
    assert made.texts == []
    assert made.applications == 0
    assert perplexity(llama, [], made).shape == (0,)


def chat_model():
    from copy import deepcopy

    tokenizer = deepcopy(make_tokenizer())
    tokenizer.chat_template = (
        "{% for m in messages %}<s>{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant:"
    )
    return replace(tiny("llama"), tokenizer=tokenizer)


def test_a_chat_model_reads_its_template_and_the_system_text():
    model = chat_model()
    plain = generate(model, ["joy"], sampling=SAMPLING)
    system = generate(model, ["joy"], sampling=SAMPLING, system="be sad")
    assert plain.texts != system.texts
    base = replace(model, tokenizer=make_tokenizer())
    bare = generate(base, ["<s>user: joy\nassistant:"], sampling=SAMPLING)
    assert bare.texts != plain.texts or base.start_ids() == ()  # a base model gets one start token more


def test_a_stream_is_the_answer_of_generate_in_whole_characters(llama):
    vector = vector_for(llama)
    long = Sampling(n_tokens=40, seed=1)
    for given, dose in ((None, None), (vector, 0.7)):
        pieces = list(stream(llama, "这个词", given, dose=dose, sampling=long))
        assert len(pieces) > 1
        assert "".join(pieces) == generate(llama, ["这个词"], given, dose=dose, sampling=long).texts[0]


def test_a_stream_holds_back_a_character_until_it_is_whole(llama, monkeypatch):
    """The answer is fixed here: a word, three single bytes of one character, a word."""
    character = "福"
    ids = llama.tokenizer("joy" + character + " joy", add_special_tokens=False)["input_ids"]
    assert len(llama.tokenizer(character, add_special_tokens=False)["input_ids"]) == 3
    left = iter(ids)
    monkeypatch.setattr(loop, "draw", lambda *_: torch.tensor([next(left)]))
    pieces = list(stream(llama, "x", sampling=Sampling(n_tokens=len(ids))))
    assert "".join(pieces) == "joy福 joy"
    assert all("\ufffd" not in piece for piece in pieces)


def test_a_token_of_a_stream_costs_no_hooks_no_copies_and_no_compiling_anew(llama, monkeypatch):
    """Direction and dose lie where the block runs, and a compiled model notices hooks that come and go by a reset."""
    done = Counter()

    import torch._dynamo

    class Block(type(llama.blocks[1])):
        register_forward_hook = counting(done, "hooks", torch.nn.Module.register_forward_hook)

    monkeypatch.setattr(llama.blocks[1], "__class__", Block)
    monkeypatch.setattr(torch._dynamo, "reset", counting(done, "resets", torch._dynamo.reset))
    monkeypatch.setattr(Kernel, "__init__", counting(done, "directions", Kernel.__init__))
    monkeypatch.setattr(loop, "end_ids", lambda _model: [])
    counts = []
    for n_tokens in (2, 12):
        done.clear()
        pieces = stream(llama, "joy", vector_for(llama), dose=1.0, sampling=Sampling(n_tokens=n_tokens))
        list(pieces)
        counts.append(dict(done))
    assert counts[0] == counts[1] == {"hooks": 1, "resets": 2, "directions": 1}


def test_a_pass_all_of_whose_states_are_steered_takes_no_mask(llama):
    steering = RowSteering(llama, [plan_steering(llama, vector_for(llama), 1.0), None])
    state = torch.randn(2, 1, D_MODEL)
    ids, real = torch.zeros(2, 1, dtype=torch.long), torch.ones(2, 1, dtype=torch.bool)
    with steering.attached(), steering.on(ids, real) as counts:
        change = steering.apply(2, state, state) - state
        assert steering._pass.mask_for(state) is None
    assert counts == [1, 0]
    assert change[0].abs().max() > 0
    assert change[1].abs().max() == 0


def test_a_result_that_was_steered_otherwise_than_asked_is_an_error(llama, monkeypatch):
    vector, inner = vector_for(llama, layers=(1, 3)), RowSteering.on

    def padded(part):
        return torch.cat([part, part[:, -1:]], dim=1)

    with monkeypatch.context() as patch:  # a token more than there is
        patch.setattr(RowSteering, "on", lambda rows, *given: inner(rows, *(padded(part) for part in given)))
        with pytest.raises(EmospaceError, match="its steering was prepared for"):
            generate(llama, PROMPTS[:1], vector, dose=1.0, sampling=SAMPLING)
    with monkeypatch.context() as patch:  # every pass taken for a prompt
        patch.setattr(RowSteering, "on", lambda rows, answered, real: inner(rows, answered - 99, real))
        for run in (generate, lambda *args, **options: list(stream(args[0], args[1][0], args[2], **options))):
            with pytest.raises(EmospaceError, match="ask for"):
                run(llama, PROMPTS[:1], vector, dose=1.0, sampling=SAMPLING)
    skipping = wrap_model(make_hf_model("llama"), llama.tokenizer)
    skipping.model.config.num_hidden_layers = 2
    with pytest.raises(EmospaceError, match="did not reach the hooks of layers \\[3\\]"):
        generate(skipping, PROMPTS[:1], vector, dose=1.0, sampling=SAMPLING)


@pytest.mark.parametrize("scope", ["prompt", "response", "all"])
def test_the_first_position_is_steered_on_request(llama, scope, monkeypatch):
    monkeypatch.setattr(loop, "end_ids", lambda _model: [])
    counts = [
        generate(
            llama, PROMPTS, vector_for(llama), dose=0.5, sampling=SAMPLING, scope=scope, first_position=first
        ).applications
        for first in (False, True)
    ]
    assert counts[1] - counts[0] == (0 if scope == "response" else len(PROMPTS))


def test_one_new_token_in_scope_response_steers_nothing_and_says_so(llama, caplog):
    sampling = Sampling(n_tokens=1, temperature=0)
    plain = generate(llama, PROMPTS, sampling=sampling)
    steered = generate(llama, PROMPTS, vector_for(llama), dose=2.0, sampling=sampling, scope="response")
    assert steered.texts == plain.texts
    assert steered.applications == 0
    assert "".join(stream(llama, "joy", vector_for(llama), dose=2.0, sampling=sampling, scope="response"))
    assert ["changed no state" in said for said in caplog.messages] == [True, True]


def test_a_stream_that_waits_leaves_the_model_unchanged_for_captures(llama, tmp_path, caplog):
    pieces = stream(llama, "joy", vector_for(llama), dose=3.0, sampling=SAMPLING)
    next(pieces)
    extract_words(llama, ["joy"], "She felt {word}", [2], store=tmp_path)
    assert not caplog.records
    assert list(tmp_path.rglob("*.safetensors"))


def test_streams_read_in_turn_do_not_steer_each_other(llama):
    joy, grief = vector_for(llama, seed=1), vector_for(llama, layers=(1, 3), seed=2)
    alone = [
        list(stream(llama, "joy", given, dose=dose, sampling=SAMPLING))
        for given, dose in ((None, None), (joy, 1.0), (grief, 1.0))
    ]
    streams = [
        stream(llama, "joy", given, dose=dose, sampling=SAMPLING)
        for given, dose in ((None, None), (joy, 1.0), (grief, 1.0))
    ]
    turns = [[], [], []]
    while any(turn is not None for turn in streams):
        for place, pieces in enumerate(streams):
            if pieces is None:
                continue
            piece = next(pieces, None)
            if piece is None:
                streams[place] = None
            else:
                turns[place].append(piece)
    assert turns == alone
    assert alone[1] != alone[0] != alone[2]


def test_a_stream_closed_early_leaves_the_model_as_it_was(llama):
    before = generate(llama, ["joy"], sampling=SAMPLING).texts
    pieces = stream(llama, "joy", vector_for(llama), dose=3.0, sampling=SAMPLING)
    next(pieces)
    assert generate(llama, ["joy"], sampling=SAMPLING).texts == before
    pieces.close()
    assert generate(llama, ["joy"], sampling=SAMPLING).texts == before


def test_a_stream_says_where_its_vector_never_acted(llama):
    with pytest.raises(EmospaceError, match="applied to no token"):
        list(
            stream(
                llama,
                "joy",
                vector_for(llama),
                dose=1.0,
                sampling=SAMPLING,
                scope="response",
                window=(50, None),
            )
        )


def test_generation_inside_a_callers_own_steering_is_steered_too(llama):
    vector = vector_for(llama)
    inner = generate(llama, PROMPTS, vector, dose=1.0, sampling=SAMPLING)
    with steer(llama, vector, 1.0):
        outer = generate(llama, PROMPTS, sampling=SAMPLING)
    assert inner.texts == outer.texts


def test_draws_follow_the_truncated_distribution():
    logits = torch.log(torch.tensor([0.05, 0.4, 0.3, 0.2, 0.05]))
    uniform = (torch.arange(1000) + 0.5) / 1000
    rows = logits.expand(1000, 5)

    def shares(**settings):
        drawn = draw(rows, uniform, Sampling(temperature=1.0, **settings))
        return np.bincount(drawn.numpy(), minlength=5) / 1000

    assert shares(top_k=0) == pytest.approx([0.05, 0.4, 0.3, 0.2, 0.05], abs=0.002)
    assert shares(top_k=3) == pytest.approx([0, 4 / 9, 3 / 9, 2 / 9, 0], abs=0.002)
    assert shares(top_k=3, top_p=0.7) == pytest.approx([0, 4 / 7, 3 / 7, 0, 0], abs=0.002)
    assert shares(top_k=3, top_p=1e-9) == pytest.approx([0, 1, 0, 0, 0])


THOUGHT = "hm hm</think>joy"


@pytest.fixture
def thinking(monkeypatch):
    """A chat model whose template opens a thought, and which says `THOUGHT` whatever it is asked."""
    model = chat_model()
    model.tokenizer.chat_template += "<think>\n"
    ids = [*model.tokenizer(THOUGHT, add_special_tokens=False)["input_ids"], 2]
    places = iter(range(10_000))
    monkeypatch.setattr(loop, "draw", lambda logits, *_: torch.full(logits.shape[:1], ids[next(places)]))
    return model, len(ids) - 1


@pytest.mark.parametrize("whole", [True, False])
def test_a_thought_is_kept_apart_from_the_answer(thinking, caplog, whole):
    model, n = thinking
    made = generate(model, ["joy"], sampling=Sampling(n_tokens=n + 1 if whole else n - 4))
    assert made.texts == ["joy" if whole else ""]
    assert made.reasoning[0].startswith("hm h")
    assert made.stopped.tolist() == [whole]
    assert ("1 of 1 answers ended inside the model's thought" in caplog.text) is not whole


def test_a_thought_is_not_streamed(thinking):
    model, n = thinking
    kept = []
    pieces = stream(model, "joy", sampling=Sampling(n_tokens=n + 1))
    while True:
        try:
            kept.append(next(pieces))
        except StopIteration as end:
            assert "".join(kept) == "joy"
            assert (end.value.texts, end.value.reasoning) == (["joy"], ["hm hm"])
            return


def test_answers_under_other_template_arguments_are_other_answers():
    from emospace.evaluation import Cell, SteeringSpec
    from emospace.evaluation.answers import cell_hash

    model, spec, cell = chat_model(), SteeringSpec(), Cell(None, "none")
    keys = {
        cell_hash(spec, replace(model, template_args=args), cell, ["a"], [])
        for args in ({}, {"a": 1}, {"a": 2})
    }
    assert len(keys) == 3
