"""Counted work, never seconds: what runs through blocks, what is copied, what is held at a time."""

from __future__ import annotations

import tracemalloc
import weakref
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from scipy.sparse import issparse
from torch.utils._python_dispatch import TorchDispatchMode

from conftest import CARRIER, D_MODEL, N_BLOCKS, TEXTS, WORDS, tiny
from emospace.activations import (
    capture,
    extract_words,
    pooled_states,
    shards,
    spans,
    states,
    stream_words,
    text_spans,
    word_spans,
)
from emospace.lexicon import pool_words
from emospace.models import LanguageModel
from emospace.prediction import predict_ratings, ratings
from emospace.sae import SparseAutoencoder
from emospace.study import encoding
from emospace.study.encoding import Encoded, Encoder

K, N_LATENTS, LAYER = 6, 64, 2


@dataclass
class Work:
    """Tokens through each block (padding included), texts asked for, calls of the head, copies and waits."""

    tokens: Counter[int] = field(default_factory=Counter)
    n_forward: int = 0
    n_head: int = 0
    copies: list[int] = field(default_factory=list)
    waits: int = 0


@contextmanager
def counted(model: LanguageModel) -> Iterator[Work]:
    """Count what a model does within; on the host too, a copy is asked for where a device would copy."""
    work = Work()
    inner = torch.Tensor.cpu

    def cpu(tensor, *options):
        work.copies.append(tensor.nbytes)
        return inner(tensor, *options)

    class Waits(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            # Reading one number waits for everything a device was given.
            work.waits += function is torch.ops.aten._local_scalar_dense.default
            return function(*args, **(kwargs or {}))

    def through(index):
        def hook(_module, args, kwargs):
            hidden = args[0] if args else kwargs["hidden_states"]
            work.tokens[index] += hidden.shape[0] * hidden.shape[1]
            work.n_forward += index == 0

        return hook

    def head(*_):
        work.n_head += 1

    handles = [model.model.get_output_embeddings().register_forward_hook(head)]
    handles += [
        block.register_forward_pre_hook(through(index), with_kwargs=True)
        for index, block in enumerate(model.blocks)
    ]
    torch.Tensor.cpu = cpu
    try:
        with Waits():
            yield work
    finally:
        torch.Tensor.cpu = inner
        for handle in handles:
            handle.remove()


def words_of(n: int) -> list[str]:
    return pool_words("en", ["joy"])[:n]


def needed(model: LanguageModel, words: Iterable[str], carrier: str) -> tuple[int, int, int]:
    """Return how many heads words share, the tokens of these, and in how many ways words go on from them."""
    ids = word_spans(model, list(words), carrier)
    counts = Counter(span.ids[: span.start] for span in ids)
    shared = {head for head, n in counts.items() if n >= 4}
    heads = [span.ids[: span.start] if span.ids[: span.start] in shared else () for span in ids]
    ways = {
        (head, span.ids[:end])
        for head, span in zip(heads, ids, strict=True)
        for end in range(len(head) + 1, len(span.ids) + 1)
    }
    return len(shared), sum(map(len, shared)), len(ways)


@pytest.mark.parametrize("token_budget", [64, 4096])
def test_words_run_what_they_begin_with_once_and_nothing_else(token_budget):
    model, words = tiny(), words_of(400)
    n_heads, n_shared, n_ways = needed(model, words, CARRIER)
    spans = word_spans(model, words, CARRIER)
    n_tail = sum(len(span.ids) - span.start for span in spans)
    with counted(model) as work:
        batches = [
            values.shape for _, values in pooled_states(model, spans, [0, LAYER], token_budget=token_budget)
        ]
    ran = work.tokens[0] - n_shared
    assert work.n_forward == n_heads + len(batches), "a shared head is run once"
    assert n_ways <= ran
    if token_budget == 4096:
        assert ran <= 1.12 * n_ways, "rows are filled up, or words do not share what they begin with"
        assert ran < 0.9 * n_tail
    assert work.tokens[LAYER - 1] == work.tokens[0]
    assert all(work.tokens[block] == 0 for block in range(LAYER, N_BLOCKS)), (
        "blocks ran after the last wanted"
    )
    assert work.n_head == 0
    assert work.copies == [4 * n * 2 * D_MODEL for n, _, _ in batches], (
        "one copy a batch, of pooled states alone"
    )
    assert work.waits == 0


def test_a_carrier_is_run_once_however_many_shards(monkeypatch):
    model, words = tiny(), words_of(60)
    whole = extract_words(model, words, CARRIER, [LAYER]).states
    heads, inner = [], capture.run_head

    def run_head(model, forward, ids):
        heads.append(ids)
        return inner(model, forward, ids)

    monkeypatch.setattr(capture, "run_head", run_head)
    monkeypatch.setattr(states, "SHARD_WORDS", 20)
    parts = extract_words(model, words, CARRIER, [LAYER]).states
    assert len(heads) == len(set(heads)) == needed(model, words, CARRIER)[0] > 0
    np.testing.assert_allclose(parts, whole, atol=1e-5)


def test_texts_are_hardly_filled_up():
    model = tiny()
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(words_of(50), rng.integers(20, 60))) for _ in range(60)]
    spans = text_spans(model, [*texts, *TEXTS], 200)
    n_head = 1
    n_tail = sum(len(span.ids) - n_head for span in spans)
    with counted(model) as work:
        batches = [
            values.shape for _, values in pooled_states(model, spans, [LAYER], "mean", token_budget=1024)
        ]
    assert work.tokens[0] - n_head <= 1.1 * n_tail
    assert work.n_head == 0
    assert work.copies == [4 * n * D_MODEL for n, _, _ in batches]
    assert work.waits == 0


def test_rows_that_cannot_be_packed_are_sorted_by_length():
    model = tiny("falcon")
    spans = word_spans(model, words_of(300), CARRIER)
    _, n_shared, _ = needed(model, words_of(300), CARRIER)
    n_tail = sum(len(span.ids) - span.start for span in spans)
    with counted(model) as work:
        for _ in pooled_states(model, spans, [LAYER]):
            pass
    assert work.tokens[0] - n_shared <= 1.4 * n_tail


def test_what_is_in_the_store_is_not_run(tmp_path, monkeypatch):
    ran, inner = [], capture._run_batch

    def run(*given):
        ran.append(given)
        return inner(*given)

    # Hooks would have the store left aside.
    monkeypatch.setattr(capture, "_run_batch", run)
    for expected in (True, False):
        ran.clear()
        extract_words(tiny(), WORDS, CARRIER, [LAYER], store=tmp_path)
        assert bool(ran) is expected


def test_a_stream_lets_go_of_a_shard_before_the_next_is_made(monkeypatch, tmp_path):
    monkeypatch.setattr(states, "SHARD_WORDS", 4)
    made: list[weakref.ref[np.ndarray]] = []
    held: list[int] = []

    def shard_states(*given, **shared):
        held.append(sum(reference() is not None for reference in made))
        return shards.shard_states(*given, **shared)

    def write_tensors(_path, tensors, _metadata):
        made.append(weakref.ref(tensors["states"]))

    monkeypatch.setattr(states, "shard_states", shard_states)
    monkeypatch.setattr(states, "write_tensors", write_tensors)
    consumed = deque(stream_words(tiny(), WORDS, CARRIER, [LAYER], store=tmp_path), maxlen=0)
    assert not consumed
    assert len(held) == len(made) == -(-len(WORDS) // 4)
    assert not any(held)


def test_words_are_tokenised_in_pieces(monkeypatch):
    model, words = tiny(), words_of(50)
    whole = word_spans(model, words, CARRIER)
    sizes: list[int] = []
    tokenise = type(model.tokenizer).__call__

    def recorded(self, texts, **options):
        if isinstance(texts, list):
            sizes.append(len(texts))
        return tokenise(self, texts, **options)

    monkeypatch.setattr(type(model.tokenizer), "__call__", recorded)
    monkeypatch.setattr(spans, "_CHUNK", 16)
    assert word_spans(model, words, CARRIER) == whole
    assert sizes == [16, 16, 16, 2]


# --- the study's encoding ---------------------------------------------------------------------------------

CARRIERS = ("The word is {word}", CARRIER)
NORMED = ("joy", "grief", "anger", "angers", "angered", "rain", "sad", "sadly")
CONCEPTS = ("sadness", "joy", "sadder", "joyful", "joyless", "grief", "grieving")
POOL = ("rainy", "rained", "raining", "table", "tables")


@pytest.fixture(scope="module")
def sae() -> SparseAutoencoder:
    weights = torch.randn(N_LATENTS, D_MODEL, generator=torch.Generator().manual_seed(3))
    return SparseAutoencoder(
        weights.T.contiguous(),
        torch.zeros(N_LATENTS),
        weights,
        torch.zeros(D_MODEL),
        "topk",
        LAYER,
        k=K,
    )


def encode(sae: SparseAutoencoder | None, store) -> Encoded:
    words = (tuple(part) for part in (NORMED, CONCEPTS, POOL, CARRIERS))
    return Encoder(tiny(), sae, None, "en", *words, LAYER, "last", store).encoded


def test_a_study_runs_each_word_once_in_each_carrier(sae, tmp_path, monkeypatch):
    model, ran = tiny(), []

    def streaming(_model, words, carrier, layers, **options):
        ran.append((carrier, tuple(layers), tuple(words)))
        return stream_words(_model, words, carrier, layers, **options)

    monkeypatch.setattr(encoding, "stream_words", streaming)
    with counted(model) as work:
        encode(sae, tmp_path)
    every = {*NORMED, *CONCEPTS, *POOL}
    deep = [{*NORMED, *CONCEPTS}, {*NORMED}]
    for carrier, below in zip(CARRIERS, deep, strict=True):
        parts = [(layers, words) for key, layers, words in ran if key == carrier]
        assert Counter(word for _, words in parts for word in words) == dict.fromkeys(every, 1)
        assert {layers: set(words) for layers, words in parts} == {
            tuple(range(N_BLOCKS + 1)): below,
            (LAYER,): every - below,
        }
    expected: Counter[int] = Counter()
    for carrier, below in zip(CARRIERS, deep, strict=True):
        for words, depth in ((below, N_BLOCKS), (every - below, LAYER)):
            _, n_shared, n_ways = needed(model, words, carrier)
            tokens = n_shared + n_ways
            expected.update(dict.fromkeys(range(depth), tokens))
    assert work.tokens == expected
    assert work.n_head == 0


def test_a_study_averages_what_each_carrier_gives(sae, tmp_path):
    result = encode(sae, tmp_path)
    words = tuple(dict.fromkeys((*NORMED, *CONCEPTS, *POOL)))
    assert result.words == words
    runs = [extract_words(tiny(), words, carrier, range(N_BLOCKS + 1)).states for carrier in CARRIERS]
    mean = np.mean(runs, axis=0)
    close = {"rtol": 1e-4, "atol": 1e-4}
    np.testing.assert_allclose(result.states, mean[:, LAYER], **close)
    np.testing.assert_allclose(result.normed_states, mean[: len(NORMED)], **close)
    np.testing.assert_allclose(result.concept_states, runs[0][result.rows(CONCEPTS)], **close)
    codes = np.mean([sae.encode(run[:, LAYER]).toarray() for run in runs], axis=0)
    np.testing.assert_allclose(result.codes.toarray(), codes, **close)
    assert encode(None, tmp_path).codes is None


def test_codes_are_sparse_and_states_are_kept_once(sae, tmp_path):
    result = encode(sae, tmp_path)
    assert issparse(result.codes)
    assert result.codes.nnz <= K * len(CARRIERS) * len(result.words)
    rows = result.rows(NORMED[2:6])
    assert np.shares_memory(result.all_layers(rows), result.normed_states)
    np.testing.assert_array_equal(result.all_layers(rows[::-1]), result.normed_states[rows[::-1]])


# --- prediction -------------------------------------------------------------------------------------------


def test_prediction_holds_one_layer_beyond_its_input(monkeypatch):
    n_words, n_layers, width = 1200, 24, 40
    rng = np.random.default_rng(0)
    states = rng.normal(size=(n_words, n_layers, width)).astype(np.float32)
    rated = states[:, 5] @ rng.normal(size=(width, 2)) + rng.normal(size=(n_words, 2))
    alive, most = weakref.WeakSet(), 0

    class Problem(ratings.Problem):
        def __init__(self, *given):
            nonlocal most
            super().__init__(*given)
            alive.add(self)
            most = max(most, len(alive))

    monkeypatch.setattr(ratings, "Problem", Problem)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    # What imports allocate is not prediction's.
    predict_ratings(states[:, :1], rated, np.arange(n_words), n_bootstrap=10)
    tracemalloc.start()
    try:
        predict_ratings(states, rated, np.arange(n_words), n_bootstrap=10)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most == 1
    assert peak < states.nbytes / 2, "whole copies of the layers were made"
