from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from emospace import baselines
from emospace.baselines import (
    DATA,
    PpmiSettings,
    cooccurrences,
    input_embeddings,
    ppmi,
    ppmi_vectors,
    principal_components,
    surface_features,
    train_ppmi_svd,
    vector_languages,
    write_vectors,
)
from emospace.errors import EmospaceError
from emospace.models.words import word_tokens


class Tokenizer:
    """Two letters a token; a space before a word is marked as in byte-level BPE, or always with `prefix`."""

    def __init__(self, prefix: bool = False) -> None:
        self.prefix = prefix
        self.vocabulary: dict[str, int] = {}

    def _ids(self, text: str) -> list[int]:
        marked = ("▁" + text if self.prefix else text).replace(" ", "Ġ")
        pieces = [marked[i : i + 2] for i in range(0, len(marked), 2)]
        return [self.vocabulary.setdefault(piece, len(self.vocabulary)) for piece in pieces]

    def __call__(self, text, add_special_tokens=True):
        assert not add_special_tokens
        return {"input_ids": self._ids(text) if isinstance(text, str) else [self._ids(item) for item in text]}

    def convert_ids_to_tokens(self, ids):
        names = {number: piece for piece, number in self.vocabulary.items()}
        return [names[number] for number in ids]


def pieces(tokenizer: Tokenizer, word: str) -> list[str]:
    return tokenizer.convert_ids_to_tokens(word_tokens(tokenizer, [word])[0])


def test_word_starts_are_marked_once_and_not_in_unspaced_scripts():
    assert pieces(Tokenizer(), "joy") == ["Ġj", "oy"]
    assert pieces(Tokenizer(prefix=True), "joy") == ["▁j", "oy"]
    assert pieces(Tokenizer(), "快乐") == ["快乐"]
    assert word_tokens(Tokenizer(), []) == []


def test_input_embeddings_are_means_over_sub_tokens():
    import torch

    tokenizer = Tokenizer()
    ids = word_tokens(tokenizer, ["joy", "fearful"])
    embedding = torch.nn.Embedding(50, 4)
    model = SimpleNamespace(
        model=SimpleNamespace(get_input_embeddings=lambda: embedding), tokenizer=tokenizer
    )
    rows = embedding.weight.detach().numpy()
    embeddings = input_embeddings(model, ["joy", "fearful", "joy"])
    assert embeddings.dtype == np.float32
    assert embeddings[0] == pytest.approx(rows[ids[0]].mean(axis=0), abs=1e-6)
    assert embeddings[1] == pytest.approx(rows[ids[1]].mean(axis=0), abs=1e-6)
    assert (embeddings[0] == embeddings[2]).all()
    assert input_embeddings(model, []).shape == (0, 4)


def test_a_word_without_tokens_is_named():
    tokenizer = Tokenizer()
    tokenizer._ids = lambda text: [] if "x" in text else [0]
    tokenizer.vocabulary = {"a": 0}
    model = SimpleNamespace(model=None, tokenizer=tokenizer)
    with pytest.raises(EmospaceError, match="xx"):
        input_embeddings(model, ["joy", "xx"])


def test_cooccurrences_respect_window_gaps_and_contexts():
    tokens = np.array([0, 1, 2, -1, -1, 0, 2])
    counts = cooccurrences(tokens, 3, 3, window=2).toarray()
    assert counts.tolist() == [[0, 1, 2], [1, 0, 1], [2, 1, 0]]
    assert cooccurrences(tokens, 3, 1, window=2).toarray().tolist() == [[0], [1], [2]]


def test_ppmi_matches_its_definition():
    counts = np.array([[8.0, 1.0], [1.0, 2.0]])
    contexts = counts.sum(axis=0) ** 0.75
    expected = np.log(counts / counts.sum(axis=1, keepdims=True) / (contexts / contexts.sum()))
    assert ppmi(csr_matrix(counts), 0.75).toarray() == pytest.approx(np.maximum(expected, 0), abs=1e-6)


def test_trained_vectors_put_words_of_like_company_together():
    rng = np.random.default_rng(0)
    topics = [np.arange(0, 10), np.arange(10, 20)]
    texts = [np.concatenate([rng.choice(topics[i % 2], 12), [-1] * 5]) for i in range(400)]
    vectors = train_ppmi_svd(np.concatenate(texts), 20, PpmiSettings(dims=4))
    similarity = vectors @ vectors.T
    assert np.allclose(np.diag(similarity), 1, atol=1e-5)
    within = (similarity[:10, :10].sum() - 10) / 90
    assert within > similarity[:10, 10:].mean() + 0.5
    again = train_ppmi_svd(np.concatenate(texts), 20, PpmiSettings(dims=4))
    assert np.array_equal(vectors, again)


def test_written_vectors_come_back_within_quantisation(tmp_path, monkeypatch):
    vectors = np.random.default_rng(1).normal(size=(3, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[2] = 0
    write_vectors(
        tmp_path / "xy.safetensors", ["joy", "快乐", "none"], vectors, PpmiSettings(), {"corpus": "c"}
    )
    monkeypatch.setattr(baselines, "DATA", tmp_path)
    result = ppmi_vectors("xy-Latn", ["快乐", "Joy", "absent", "none"])
    assert result.covered.tolist() == [True, True, False, True]
    assert result.vectors[:2] == pytest.approx(vectors[[1, 0]], abs=float(np.abs(vectors).max()) / 127)
    assert not result.vectors[2:].any()
    baselines._bundled.cache_clear()


def test_bundled_vectors_are_small_and_know_neighbours():
    assert {"en", "zh"} <= set(vector_languages())
    assert sum(path.stat().st_size for path in DATA.iterdir()) < 6_000_000
    vectors, covered = ppmi_vectors("en", ["sad", "Sorrow", "kitchen", "zzyzx"])
    assert covered.tolist() == [True, True, True, False]
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]
    chinese, covered = ppmi_vectors("zh", ["悲伤", "哀痛", "城墙"])
    assert covered.all()
    assert chinese[0] @ chinese[1] > chinese[0] @ chinese[2]


def test_a_language_without_vectors_is_named():
    with pytest.raises(EmospaceError, match="'xx'"):
        ppmi_vectors("xx", ["joy"])


def test_surface_features_name_their_columns():
    full = surface_features(["joy", "快乐"], "en", Tokenizer())
    assert list(full.columns) == ["length", "zipf", "n_tokens"]
    assert full["length"].tolist() == [3, 2]
    assert full["n_tokens"].tolist() == [2, 1]
    assert np.isfinite(full.to_numpy()).all()
    assert list(surface_features(["ilo"], "xx").columns) == ["length"]


def test_principal_components_are_those_of_a_singular_value_decomposition():
    rng = np.random.default_rng(0)
    vectors = (rng.standard_normal((60, 8)) @ rng.standard_normal((8, 8)) + 5).astype(np.float32)
    centred = vectors - vectors.mean(0)
    left, size, _ = np.linalg.svd(centred.astype(np.float64), full_matrices=False)
    components = principal_components(vectors, 3)
    assert np.allclose(np.abs(components), np.abs(left[:, :3] * size[:3]), atol=1e-4)
    assert np.allclose(components.mean(0), 0, atol=1e-9)


@pytest.mark.parametrize(("n", "shape", "k"), [(20, (60, 8), 8), (20, (10, 16), 9), (5, (10, 16), 5)])
def test_there_are_no_more_components_than_dimensions_or_words_allow(n, shape, k):
    components = principal_components(np.random.default_rng(0).standard_normal(shape), n)
    assert components.shape == (shape[0], k)
    assert np.linalg.matrix_rank(components) == k
