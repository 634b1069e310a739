"""The hot path held to plain forward passes: every family, every way to batch, pad and share."""

from __future__ import annotations

import copy
import logging
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import CARRIER, FAMILIES, TEXTS, WINDOW, WORDS, make_hf_model, make_tokenizer, tiny
from emospace.activations import (
    Span,
    capture,
    extract,
    extract_words,
    packing,
    pooled_states,
    states,
    stream_words,
    text_spans,
    token_figures,
    token_states,
    word_spans,
)
from emospace.errors import EmospaceError
from emospace.models import LanguageModel, wrap_model

TOLERANCE = 1e-5
SAME_HEAD = ("joy", "grief", "fear", "calm", "anger", "happiness", "hope")
FINAL_NORMS = ("norm", "ln_f", "final_layer_norm", "final_layernorm")


def without_final_norm(model: LanguageModel):
    """Return a copy of the blocks' module whose output is the residual stream itself; no hook involved."""
    backbone = copy.deepcopy(model.backbone)
    (name,) = [name for name in FINAL_NORMS if hasattr(backbone, name)]
    setattr(backbone, name, torch.nn.Identity())
    return backbone


def plain_states(model: LanguageModel, ids: torch.Tensor, **inputs: torch.Tensor) -> torch.Tensor:
    """Return every layer's state of every token from plain forward passes, [n_layers, n_rows, n_tokens, d]."""
    with torch.inference_mode():
        hidden = model.model(ids, output_hidden_states=True, use_cache=False, **inputs).hidden_states
        last = without_final_norm(model)(ids, use_cache=False, **inputs).last_hidden_state
    assert len(hidden) == model.n_blocks + 1
    return torch.stack([*hidden[:-1], last])


def single_runs(model: LanguageModel, spans: list[Span], pooling: str) -> np.ndarray:
    rows = []
    for span in spans:
        plain = plain_states(model, torch.tensor([span.ids]))[:, 0]
        rows.append(plain[:, -1] if pooling == "last" else plain[:, span.start :].mean(1))
    return torch.stack(rows).numpy()


def left_padded_run(model: LanguageModel, spans: list[Span]) -> np.ndarray:
    width = max(len(span.ids) for span in spans)
    ids = torch.zeros(len(spans), width, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, span in enumerate(spans):
        ids[row, -len(span.ids) :] = torch.tensor(span.ids)
        mask[row, -len(span.ids) :] = 1
    inputs = {"attention_mask": mask}
    if model.model.config.model_type != "bloom":
        inputs["position_ids"] = (mask.cumsum(1) - 1).clamp(min=0)
    return plain_states(model, ids, **inputs)[:, :, -1].transpose(0, 1).numpy()


def collect(model: LanguageModel, spans: list[Span], pooling: str = "last", **options) -> np.ndarray:
    layers = range(model.n_blocks + 1)
    array = np.full((len(spans), model.n_blocks + 1, model.d_model), np.nan, dtype=np.float32)
    for indices, values in pooled_states(model, spans, layers, pooling, **options):
        assert np.isnan(array[indices]).all(), "a span came twice"
        array[indices] = values
    return array


def relative_error(actual: np.ndarray, reference: np.ndarray) -> float:
    assert actual.shape == reference.shape
    return float((np.linalg.norm(actual - reference, axis=-1) / np.linalg.norm(reference, axis=-1)).max())


def slides(model: LanguageModel) -> bool:
    config = getattr(model.model.config, "text_config", model.model.config)
    return getattr(config, "sliding_window", None) == WINDOW


def beginnings(spans: list[Span], n_head: int) -> set[tuple[int, ...]]:
    """Return all that spans begin with, each once, after a head they share: what a tree of them holds."""
    return {span.ids[:end] for span in spans for end in range(n_head + 1, len(span.ids) + 1)}


@pytest.fixture(params=FAMILIES)
def model(request) -> LanguageModel:
    return tiny(request.param)


# --- what is captured -------------------------------------------------------------------------------------


def test_states_are_the_residual_stream_at_every_layer(model):
    ids = torch.tensor([word_spans(model, ["happiness"], CARRIER)[0].ids])
    with torch.inference_mode():
        theirs = model.model(ids, output_hidden_states=True, use_cache=False).hidden_states
    plain = plain_states(model, ids)
    for layer in range(model.n_blocks + 1):
        ours = token_states(model, ids, layer)
        assert relative_error(ours.numpy(), plain[layer].numpy()) <= TOLERANCE, layer
    assert relative_error(ours.numpy(), theirs[-1].numpy()) > 0.05, "the last layer is after the final norm"


def test_states_are_those_that_transformers_returns(model):
    ids = torch.tensor([word_spans(model, ["happiness"], CARRIER)[0].ids])
    with torch.inference_mode():
        theirs = model.model(ids, output_hidden_states=True, use_cache=False).hidden_states
    for layer, expected in enumerate(theirs[:-1]):
        torch.testing.assert_close(token_states(model, ids, layer), expected, rtol=1e-5, atol=1e-5)


def test_every_way_to_run_gives_the_same_states(model):
    spans = word_spans(model, WORDS, CARRIER)
    reference = single_runs(model, spans, "last")
    head = spans[0].start
    assert head > 2 * 4, "the carrier is to be longer than every sliding window"
    runs = {
        "batched, padded right": collect(model, spans, share_heads=False),
        "one by one": collect(model, spans, share_heads=False, token_budget=1),
        "shared head": collect(model, spans, share_heads=True),
        "shared head, one by one": collect(model, spans, share_heads=True, token_budget=1),
        "padded left, plain": left_padded_run(model, spans),
    }
    errors = {name: relative_error(run, reference) for name, run in runs.items()}
    assert max(errors.values()) <= TOLERANCE, errors


def test_mean_pooling_is_the_mean_of_the_span(model):
    spans = word_spans(model, WORDS, CARRIER)
    assert max(len(span.ids) - span.start for span in spans) > 2
    reference = single_runs(model, spans, "mean")
    for share in (False, True):
        assert relative_error(collect(model, spans, "mean", share_heads=share), reference) <= TOLERANCE


def test_bare_words_run_after_bos(model):
    spans = word_spans(model, WORDS, "{word}")
    assert {(span.ids[0], span.start) for span in spans} == {(1, 1)}
    assert relative_error(collect(model, spans), single_runs(model, spans, "last")) <= TOLERANCE


def test_texts_pool_all_but_the_first_position(model):
    spans = text_spans(model, TEXTS, 64)
    assert {(span.ids[0], span.start) for span in spans} == {(1, 1)}
    assert relative_error(collect(model, spans, "mean"), single_runs(model, spans, "mean")) <= TOLERANCE


def test_the_head_runs_once_and_nothing_after_the_last_wanted_block(model):
    calls = {"head": 0, "norm": 0, **{f"block {index}": 0 for index in range(model.n_blocks)}}
    tokens = []

    def count(name):
        def hook(*_):
            calls[name] += 1

        return hook

    def measure(_module, args, kwargs):
        tokens.append((args[0] if args else kwargs["hidden_states"]).shape[:2])

    (norm,) = [getattr(model.backbone, name) for name in FINAL_NORMS if hasattr(model.backbone, name)]
    modules = [
        ("head", model.model.get_output_embeddings()),
        ("norm", norm),
        *((f"block {index}", block) for index, block in enumerate(model.blocks)),
    ]
    handles = [module.register_forward_hook(count(name)) for name, module in modules]
    handles.append(model.blocks[0].register_forward_pre_hook(measure, with_kwargs=True))
    try:
        spans = word_spans(model, SAME_HEAD, CARRIER)
        head = spans[0].start
        for _ in pooled_states(model, spans, [0, 2]):
            pass
        # The shared head is one run, the words are another.
        assert calls == {"head": 0, "norm": 0, "block 0": 2, "block 1": 2, "block 2": 0}
        assert tokens[0] == (1, head)
        if model.model.config.model_type in ("bloom", "falcon") or (head > WINDOW and slides(model)):
            assert tokens[1] == (len(SAME_HEAD), max(len(span.ids) for span in spans) - head)
        else:
            assert tokens[1] == (1, len(beginnings(spans, head)))
        assert len(tokens) == 2
    finally:
        for handle in handles:
            handle.remove()


def test_a_run_that_stops_early_leaves_the_model_as_it_was(model):
    ids = torch.tensor([[1, 40, 41, 42, 43]])
    with torch.inference_mode():
        before = model.model(ids, output_hidden_states=True)
        collect(model, word_spans(model, WORDS, CARRIER))
        after = model.model(ids, output_hidden_states=True)
    assert torch.equal(before.logits, after.logits)
    assert len(after.hidden_states) == model.n_blocks + 1
    assert all(torch.equal(a, b) for a, b in zip(before.hidden_states, after.hidden_states, strict=True))


ALIKE = (
    "sad",
    "sadly",
    "sadness",
    "a",
    "sad",
    "hopeful",
    "hopeless",
    "hopelessly",
    "hopelessly happy",
    "hop",
)


@pytest.mark.parametrize("family", ["gemma2", "gemma3", "gemma3_text", "mistral", "phi3"])
def test_words_within_the_sliding_window_are_packed_as_everywhere(family):
    settings = {"sliding_window": 128}
    if family == "gemma3":
        settings = {"text_config": {**FAMILIES["gemma3"][1]["text_config"], **settings}}
    model = wrap_model(make_hf_model(family, **settings), make_tokenizer(), name="wide window")
    spans = word_spans(model, (*WORDS, *ALIKE), CARRIER)
    assert max(len(span.ids) for span in spans) < capture._most_packed(model) == 128
    for pooling in ("last", "mean"):
        assert relative_error(collect(model, spans, pooling), single_runs(model, spans, pooling)) <= TOLERANCE


@pytest.mark.parametrize("row_tokens", [1, 7, 16, 4096])
def test_words_that_begin_alike_are_as_if_alone(monkeypatch, row_tokens):
    model = tiny("gpt2")
    monkeypatch.setattr(capture, "pack", lambda paths: packing.pack(paths, row_tokens))
    for carrier in (CARRIER, "{word}"):
        spans = word_spans(model, ALIKE, carrier)
        for pooling in ("last", "mean"):
            reference = single_runs(model, spans, pooling)
            assert relative_error(collect(model, spans, pooling), reference) <= TOLERANCE


def test_every_family_sees_the_trees(model):
    spans = word_spans(model, ALIKE, "The word is {word}")
    assert relative_error(collect(model, spans), single_runs(model, spans, "last")) <= TOLERANCE


def test_long_and_short_texts_run_together(model, monkeypatch):
    monkeypatch.setattr(capture, "_PACKED_MAX", 12)
    spans = text_spans(model, [*TEXTS, *WORDS], 64)
    lengths = [len(span.ids) for span in spans]
    assert min(lengths) < 12 < max(lengths)
    assert relative_error(collect(model, spans, "mean"), single_runs(model, spans, "mean")) <= TOLERANCE


def test_eager_attention_sees_the_same_trees():
    model = wrap_model(make_hf_model("llama", attn_implementation="eager"), make_tokenizer(), name="eager")
    assert model.model.config._attn_implementation == "eager"
    spans = word_spans(model, ALIKE, CARRIER)
    assert relative_error(collect(model, spans), single_runs(model, spans, "last")) <= TOLERANCE


@pytest.mark.parametrize("family", ["gemma3_text", "qwen2"])
def test_a_window_shorter_than_the_carrier_after_a_full_first_block(family):
    kinds = ["full_attention", "sliding_attention", "full_attention"]
    mixed = make_hf_model(family, layer_types=kinds, sliding_window=4, use_sliding_window=True)
    model = wrap_model(mixed, make_tokenizer(), name="mixed")
    spans = word_spans(model, WORDS, CARRIER)
    assert relative_error(collect(model, spans), single_runs(model, spans, "last")) <= TOLERANCE


def test_eager_attention_shares_heads_too():
    model = wrap_model(make_hf_model("mistral", attn_implementation="eager"), make_tokenizer(), name="eager")
    assert model.model.config._attn_implementation == "eager"
    spans = word_spans(model, WORDS, CARRIER)
    assert relative_error(collect(model, spans), single_runs(model, spans, "last")) <= TOLERANCE


def unlisted(family: str) -> LanguageModel:
    import transformers

    sizes = {"vocab_size": len(make_tokenizer()), "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    config = {
        "opt": lambda: transformers.OPTConfig(
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            ffn_dim=32,
            word_embed_proj_dim=32,
            **sizes,
        ),
        "mpt": lambda: transformers.MptConfig(d_model=32, n_layers=2, n_heads=2, **sizes),
        "mamba": lambda: transformers.MambaConfig(hidden_size=32, num_hidden_layers=2, state_size=4, **sizes),
    }[family]()
    model = transformers.AutoModelForCausalLM.from_config(config)
    return wrap_model(model, make_tokenizer(), name=family)


@pytest.mark.parametrize(("family", "after_first_block"), [("opt", 1), ("mpt", 1), ("mamba", 0)])
def test_an_unlisted_family_is_found_and_runs_whole_carriers(family, after_first_block):
    model = unlisted(family)
    assert model.n_blocks == 2
    spans = word_spans(model, WORDS, CARRIER)
    with torch.inference_mode():
        single = [
            model.model(torch.tensor([span.ids]), output_hidden_states=True).hidden_states[after_first_block][
                0, -1
            ]
            for span in spans
        ]
    assert relative_error(collect(model, spans)[:, 1], torch.stack(single).numpy()) <= TOLERANCE


def test_half_precision_states_come_back_as_float32():
    half = wrap_model(make_hf_model("llama").to(torch.bfloat16), make_tokenizer(), name="half")
    states = extract_words(half, WORDS, CARRIER, [0, 3]).states
    assert states.dtype == np.float32
    full = extract_words(tiny("llama"), WORDS, CARRIER, [0, 3]).states
    assert relative_error(states, full) < 0.1


# --- which tokens are pooled ------------------------------------------------------------------------------


def pooled_text(model: LanguageModel, span: Span) -> str:
    return model.tokenizer.decode(span.ids[span.start :])


@pytest.mark.parametrize("adds_bos", [False, True])
@pytest.mark.parametrize(
    "carrier", [CARRIER, "They said {word} to them, and {more}", "This is “{word}”.", "{word} is the word"]
)
def test_the_span_is_the_word(carrier, adds_bos):
    model = tiny("llama", adds_bos=adds_bos)
    words = [*WORDS, "{}", "{word}", "x{y}z", "null"]
    for word, span in zip(words, word_spans(model, words, carrier), strict=True):
        assert pooled_text(model, span).strip() == word
        assert span.start >= 1
        assert span.ids.count(1) == (1 if adds_bos or carrier.startswith("{word}") else 0)
        before = carrier[: carrier.index("{word}")]
        assert model.tokenizer.decode(span.ids, skip_special_tokens=True) == before + word


def test_a_word_of_several_tokens_is_pooled_to_its_last_or_over_all():
    model = tiny()
    (span,) = word_spans(model, ["unaccountable"], CARRIER)
    assert len(span.ids) - span.start > 3
    plain = plain_states(model, torch.tensor([span.ids]))[:, 0]
    last = extract_words(model, ["unaccountable"], CARRIER, range(4)).states[0]
    mean = extract_words(model, ["unaccountable"], CARRIER, range(4), pooling="mean").states[0]
    assert relative_error(last, plain[:, -1].numpy()) <= TOLERANCE
    assert relative_error(mean, plain[:, span.start :].mean(1).numpy()) <= TOLERANCE


def test_a_piece_that_joins_carrier_and_word_counts_as_the_words():
    model = tiny()
    pieces = model.tokenizer("这个词是快乐", return_offsets_mapping=True)["offset_mapping"]
    assert any(low < 4 < high for low, high in pieces), (
        "the tokenizer is to merge across the word's beginning"
    )
    joined, apart = word_spans(model, ["快乐", "恨"], "这个词是{word}")
    assert pooled_text(model, joined).endswith("快乐")
    assert pooled_text(model, joined) != "快乐"
    assert pooled_text(model, apart).endswith("恨")


def test_no_piece_reaches_past_the_end_of_the_word():
    model = tiny()
    whole = model.tokenizer("我快乐。这", return_offsets_mapping=True)["offset_mapping"]
    (span,) = word_spans(model, ["快"], "我{word}乐。")
    assert any(low < 2 < high for low, high in whole), "the tokenizer is to merge across the word's end"
    assert pooled_text(model, span).endswith("快")


def test_a_carrier_needs_its_place_and_words_need_tokens():
    model = tiny()
    for carrier in ("The word is", "{word} and {word}"):
        with pytest.raises(EmospaceError, match="exactly once"):
            word_spans(model, ["joy"], carrier)
    with pytest.raises(EmospaceError, match=r"2 word\(s\), such as '', ''"):
        word_spans(model, ["joy", "", ""], CARRIER)


def test_a_slow_tokenizer_is_refused():
    class Slow:
        is_fast = False
        bos_token_id = eos_token_id = 1

        def __call__(self, *_args, **_options):
            return {"input_ids": []}

    model = LanguageModel("slow", tiny().model, Slow(), tiny().blocks)
    with pytest.raises(EmospaceError, match=r"tokenizer of 'slow'.*offsets"):
        word_spans(model, ["joy"], CARRIER)


def test_texts_are_cut_where_asked_and_where_positions_end(caplog):
    model = tiny("gpt2")
    with caplog.at_level(logging.WARNING):
        (span,) = text_spans(model, ["joy " * 1000], 10)
        assert len(span.ids) == 10
        (span,) = text_spans(model, ["joy " * 1000], 100_000)
        assert len(span.ids) == 256
    assert caplog.text.count("1 of 1 texts were cut") == 2
    assert np.isfinite(extract(model, ["joy " * 1000], [3], max_tokens=100_000).states).all()


@pytest.mark.parametrize("adds_bos", [False, True])
def test_a_text_without_tokens_and_a_limit_without_room_are_refused(adds_bos):
    model = tiny("llama", adds_bos=adds_bos)
    with pytest.raises(EmospaceError, match="text ''"):
        extract(model, ["joy", ""], [1])
    with pytest.raises(EmospaceError, match="first position is never pooled"):
        extract(model, ["joy"], [1], max_tokens=1)


@pytest.mark.parametrize("layers", [[], [-1], [4], [0, 9]])
def test_a_layer_that_is_not_there_is_refused(layers):
    with pytest.raises(EmospaceError, match="layers 0 to 3"):
        extract_words(tiny(), ["joy"], CARRIER, layers)


def test_layers_come_sorted_and_once_and_an_absent_one_is_refused():
    result = extract_words(tiny(), ["joy", "grief"], CARRIER, [3, 0, 3])
    assert result.layers == (0, 3)
    assert result.states.shape == (2, 2, 32)
    assert np.array_equal(result.layer(3), result.states[:, 1])
    with pytest.raises(EmospaceError, match="it was not captured"):
        result.layer(1)
    with pytest.raises(EmospaceError, match="layers 0 to 3"):
        token_states(tiny(), torch.tensor([[1, 5]]), 4)


# --- batches ----------------------------------------------------------------------------------------------


def record_batches(
    monkeypatch, limit: int | None = None, error: Exception | None = None
) -> list[tuple[int, int]]:
    """Record rows and padded width of each batch that ran; raise for more than `limit` rows."""
    ran = []
    inner = capture._run_batch

    def run(*given):
        *_, spans, _layers, _pooling, batch = given
        if limit is not None and len(batch.chosen) > limit:
            raise error
        ran.append(
            (len(batch.chosen), max(len(spans[index].ids) for index in batch.chosen) - batch.head.n_tokens)
        )
        return inner(*given)

    monkeypatch.setattr(capture, "_run_batch", run)
    return ran


def test_batches_keep_to_the_token_budget_and_results_to_the_order(monkeypatch):
    model = tiny()
    reference = single_runs(model, word_spans(model, WORDS, CARRIER), "last")
    inner, tokens = capture.capturing, []

    @contextmanager
    def capturing(*given):
        with inner(*given) as forward:

            def recorded(inputs, keep, cache=None):
                tokens.append(inputs["input_ids"].numel())
                forward(inputs, keep, cache)

            yield recorded

    monkeypatch.setattr(capture, "capturing", capturing)
    ran = record_batches(monkeypatch)
    for most in (0, sys.maxsize):
        monkeypatch.setattr(capture, "_most_packed", lambda _, most=most: most)
        ran.clear(), tokens.clear()
        result = extract_words(model, WORDS, CARRIER, range(4), token_budget=16)
        assert result.texts == WORDS
        assert relative_error(result.states, reference) <= TOLERANCE
        assert len(ran) > 2
        assert all(n <= 16 or rows == 1 for (rows, _), n in zip(ran, tokens[1:], strict=True))
        assert sum(rows for rows, _ in ran) == len(WORDS)


def test_batches_beside_each_other_are_those_run_one_after_another(model, monkeypatch):
    spans = [*word_spans(model, WORDS, CARRIER), *text_spans(model, TEXTS, 60)]
    monkeypatch.setattr(capture, "_ENOUGH_AT_ONCE", 1)
    threads, inner = set(), capture._run_batch
    monkeypatch.setattr(
        capture, "_run_batch", lambda *given: threads.add(threading.get_ident()) or inner(*given)
    )
    before = torch.get_num_threads()
    for pooling in ("last", "mean"):
        for n_threads in (1, 2, 3):
            torch.set_num_threads(n_threads)
            threads.clear()
            try:
                actual = collect(model, spans, pooling, token_budget=48)
                assert torch.get_num_threads() == n_threads
            finally:
                torch.set_num_threads(before)
            assert (threads == {threading.get_ident()}) is (n_threads == 1)
            assert relative_error(actual, single_runs(model, spans, pooling)) <= TOLERANCE


@pytest.mark.parametrize("n_at_once", [1, 2, 5])
def test_batches_beside_each_other_share_the_budget(n_at_once):
    lengths = sorted(np.random.default_rng(0).integers(5, 40, 300).tolist(), reverse=True)
    runs = list(capture._rows(lengths, 1000, n_at_once))
    assert [run.start for run in runs[1:]] == [run.stop for run in runs[:-1]]
    sizes = [lengths[run.start] * (run.stop - run.start) for run in runs]
    assert max(sizes) <= 1000 // n_at_once
    wanted = -(-sum(lengths) * n_at_once // 1000)
    wanted += -wanted % n_at_once
    # Rows do not fill a batch, and the shortest ones end it early.
    assert wanted <= len(sizes) <= wanted + 3
    budget = packing.shared_budget(sum(lengths), 1000, n_at_once)
    assert n_at_once == 1 or sum(lengths) <= wanted * budget <= 1.05 * sum(lengths) + wanted


@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_a_state_that_is_not_finite_stops_and_names_layer_and_word(pooling):
    model = tiny()

    anger = word_spans(model, ["anger"], CARRIER)[0].ids[-1]
    rows = {}

    def remember(_module, args, kwargs):
        rows["ids"] = args[0] if args else kwargs["input_ids"]

    def break_it(_module, _args, output):
        ids = rows["ids"]
        return output.masked_fill((ids == anger)[..., None], torch.inf)

    handles = [
        model.backbone.register_forward_pre_hook(remember, with_kwargs=True),
        model.blocks[1].register_forward_hook(break_it),
    ]
    try:
        with pytest.raises(EmospaceError, match=r"layer 2 of .*the state of 'anger' is not finite"):
            extract_words(model, WORDS, CARRIER, [1, 2, 3], pooling=pooling)
    finally:
        for handle in handles:
            handle.remove()


def test_figures_of_tokens_are_those_of_single_passes_and_run_each_batch_once():
    model, texts = tiny(), [*TEXTS, "joy"]
    rows = [model.tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    passes = []
    handle = model.blocks[0].register_forward_hook(lambda *_: passes.append(1))
    by_layer = token_figures(model, rows, [1, 3], lambda state: state.norm(dim=-1))
    handle.remove()
    assert len(passes) < len(rows)
    for layer, figures in by_layer.items():
        for row, figure in zip(rows, figures, strict=True):
            alone = token_states(model, torch.tensor([row]), layer)[0].norm(dim=-1).numpy()
            np.testing.assert_allclose(figure, alone, rtol=1e-4)


def test_a_shared_beginning_that_is_not_kept_is_an_error(monkeypatch):
    monkeypatch.setattr("emospace.activations.forward.cache_argument", lambda *_: "unheard_of")
    with pytest.raises(EmospaceError, match="its key-value cache holds 0"):
        extract_words(tiny(), WORDS, CARRIER, [2])


def test_somebody_elses_pass_is_not_captured(monkeypatch):
    model = tiny()
    ids = torch.tensor([[1, 40, 41, 42]])
    with capture.capturing(model, [1]) as forward, torch.inference_mode():
        whole = model.model(ids).logits
        kept = []
        forward({"input_ids": ids}, lambda *given: kept.append(given))
        assert torch.equal(model.model(ids).logits, whole)
    assert [layer for layer, _ in kept] == [1]
    assert not capture.is_changed(model, [3])


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("can't allocate memory: 9 bytes"),
    ],
)
def test_a_batch_is_halved_where_memory_runs_out(monkeypatch, caplog, error):
    model = tiny()
    reference = single_runs(model, word_spans(model, WORDS, CARRIER), "last")
    ran = record_batches(monkeypatch, limit=2, error=error)
    with caplog.at_level(logging.WARNING):
        actual = extract_words(model, WORDS, CARRIER, range(4)).states
    assert relative_error(actual, reference) <= TOLERANCE
    assert max(rows for rows, _ in ran) == 2
    assert "halving" in caplog.text


def test_a_text_too_large_for_memory_alone_is_named(monkeypatch):
    record_batches(monkeypatch, limit=0, error=torch.OutOfMemoryError("CUDA out of memory"))
    with pytest.raises(EmospaceError, match=r"a text of \d+ tokens: memory runs out"):
        extract_words(tiny(), WORDS, CARRIER, [1])


def test_an_error_that_is_not_about_memory_is_not_swallowed(monkeypatch):
    ran = record_batches(monkeypatch, limit=0, error=RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        extract_words(tiny(), WORDS, CARRIER, [1])
    assert ran == []


def test_no_words_give_no_states():
    assert extract_words(tiny(), [], CARRIER, [0, 1]).states.shape == (0, 2, 32)


# --- the store --------------------------------------------------------------------------------------------


def shards(store: Path) -> list[Path]:
    return sorted(path for path in store.rglob("*.safetensors") if not path.name.startswith("."))


def test_a_second_run_reads_and_a_changed_request_does_not(monkeypatch, tmp_path):
    monkeypatch.setattr(states, "SHARD_WORDS", 4)
    ran = record_batches(monkeypatch)
    first = extract_words(tiny(), WORDS, CARRIER, [1, 3], store=tmp_path).states
    assert len(shards(tmp_path)) == 3
    n_ran = len(ran)
    again = extract_words(tiny(), WORDS, CARRIER, [3, 1], store=tmp_path).states
    assert np.array_equal(first, again)
    assert len(ran) == n_ran
    for change in (
        {"pooling": "mean"},
        {"layers": [1, 2]},
        {"carrier": "The word is {word}"},
        {"model": tiny("qwen2")},
        {"words": [word.upper() for word in WORDS]},
    ):
        request = {"model": tiny(), "words": WORDS, "carrier": CARRIER, "layers": [1, 3], **change}
        other = extract_words(**request, store=tmp_path).states
        assert len(ran) > n_ran, change
        assert not np.allclose(other, first)
        n_ran = len(ran)
    extract_words(tiny(), WORDS, CARRIER, [1, 3], store=tmp_path)
    assert len(ran) == n_ran


def test_a_stream_gives_every_word_once_and_holds_one_shard(monkeypatch, tmp_path):
    monkeypatch.setattr(states, "SHARD_WORDS", 4)
    whole = extract_words(tiny(), WORDS, CARRIER, [1, 3], store=tmp_path)
    shards(tmp_path)[1].unlink()
    ran = record_batches(monkeypatch)
    parts = list(stream_words(tiny(), WORDS, CARRIER, [1, 3], store=tmp_path))
    assert max(len(part.texts) for part in parts) == 4
    assert sorted(word for part in parts for word in part.texts) == sorted(WORDS)
    for part in parts:
        rows = [whole.texts.index(word) for word in part.texts]
        assert np.allclose(part.states, whole.states[rows], atol=1e-6)
    assert sum(rows for rows, _ in ran) <= 4
    assert len(shards(tmp_path)) == len(parts)


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "text"])
def test_a_damaged_shard_is_computed_again_and_said(monkeypatch, tmp_path, caplog, damage):
    monkeypatch.setattr(states, "SHARD_WORDS", 4)
    first = extract_words(tiny(), WORDS, CARRIER, [1, 3], store=tmp_path).states
    path = shards(tmp_path)[1]
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[-3] ^= 255
    path.write_bytes(
        {"truncated": whole[:-10], "flipped": bytes(flipped), "empty": b"", "text": b"no"}[damage]
    )
    ran = record_batches(monkeypatch)
    with caplog.at_level(logging.WARNING):
        again = extract_words(tiny(), WORDS, CARRIER, [1, 3], store=tmp_path).states
    assert np.allclose(first, again, atol=1e-6)
    assert sum(rows for rows, _ in ran) <= 4
    assert path.name in caplog.text
    assert "computing it again" in caplog.text
    assert path.read_bytes() == whole


def test_an_interrupted_run_keeps_its_finished_shards(monkeypatch, tmp_path):
    monkeypatch.setattr(states, "SHARD_WORDS", 4)
    reference = extract_words(tiny(), WORDS, CARRIER, [1, 3]).states
    inner, calls = capture._run_batch, []

    def interrupt(*args):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return inner(*args)

    with monkeypatch.context() as patch:
        patch.setattr(capture, "_run_batch", interrupt)
        with pytest.raises(KeyboardInterrupt):
            extract_words(tiny(), WORDS, CARRIER, [1, 3], store=tmp_path)
    kept = len(shards(tmp_path))
    assert kept >= 1
    ran = record_batches(monkeypatch)
    actual = extract_words(tiny(), WORDS, CARRIER, [1, 3], store=tmp_path).states
    assert relative_error(actual, reference) <= TOLERANCE
    assert sum(rows for rows, _ in ran) == len(WORDS) - 4 * kept


KILLED = """
import os, signal, sys
from conftest import CARRIER, WORDS, tiny
from emospace.activations import extract_words, states

states.SHARD_WORDS = 4
sync, calls = os.fsync, []

def kill_in_the_third(handle):
    calls.append(handle)
    if len(calls) == 3:
        os.ftruncate(handle, 100)
        os.kill(os.getpid(), signal.SIGKILL)
    sync(handle)

os.fsync = kill_in_the_third
from pathlib import Path
extract_words(tiny(), WORDS, CARRIER, [1, 3], store=Path(sys.argv[1]))
"""


def test_kill_9_leaves_nothing_half_written(monkeypatch, tmp_path):
    tests = Path(__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": str(tests), "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)], env=environment, capture_output=True, check=False
    )
    assert run.returncode == -signal.SIGKILL, run.stderr.decode()[-2000:]
    assert len(shards(tmp_path)) == 2
    assert all(states._read_shard(path) is not None for path in shards(tmp_path))
    monkeypatch.setattr(states, "SHARD_WORDS", 4)
    ran = record_batches(monkeypatch)
    actual = extract_words(tiny(), WORDS, CARRIER, [1, 3], store=tmp_path).states
    assert sum(rows for rows, _ in ran) == len(WORDS) - 8
    assert relative_error(actual, extract_words(tiny(), WORDS, CARRIER, [1, 3]).states) <= TOLERANCE
