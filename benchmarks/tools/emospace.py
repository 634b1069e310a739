"""emospace itself."""

from __future__ import annotations

import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tools.folder import greedy, plain

PACKAGES = ("emospace", "transformers", "torch", "numpy", "scikit-learn")
BATCHES = (512, 1024, 2048, 4096, 8192)


def load(folder: str, dtype: str, device: str) -> Any:
    """Load by the public function."""
    from emospace.models import load_model

    return load_model(folder, dtype=dtype, device=device)


def words_last(state: Any, words: Sequence[str], carrier: str, batch: int) -> np.ndarray:
    """`extract_words` with all layers above the embeddings."""
    from emospace.activations import extract_words

    return extract_words(state, words, carrier, _layers(state), token_budget=batch).states


def texts_last(state: Any, texts: Sequence[str], batch: int) -> np.ndarray:
    """`extract` at the last token."""
    from emospace.activations import extract

    return extract(state, texts, _layers(state), pooling="last", token_budget=batch).states


def texts_mean(state: Any, texts: Sequence[str], batch: int) -> np.ndarray:
    """`extract` over all tokens but the first."""
    from emospace.activations import extract

    return extract(state, texts, _layers(state), token_budget=batch).states


def vector(state: Any, positive: Sequence[str], negative: Sequence[str], batch: int) -> np.ndarray:
    """Mean difference of the states at the last tokens."""
    states = texts_last(state, [*positive, *negative], batch)
    return states[: len(positive)].mean(0) - states[len(positive) :].mean(0)


def unsteered(state: Any) -> AbstractContextManager[Callable[..., Any]]:
    """The model as it is."""
    return plain(state.model, state.tokenizer)


@contextmanager
def steered(state: Any, vectors: np.ndarray) -> Iterator[Callable[..., Any]]:
    """`steer` with a constant addition, first position included as the peers do it."""
    from emospace.steering import SteeringVector, steer

    layers = _layers(state)
    made = SteeringVector(
        name="benchmark",
        kind="random",
        directions=dict(zip(layers, vectors, strict=True)),
        medians={layer: float(np.linalg.norm(row)) for layer, row in zip(layers, vectors, strict=True)},
        shares=dict.fromkeys(layers, 1.0),
        model=state.name,
        model_hash="",
    )
    with steer(state, made, 1.0, mode="constant", first_position=True):
        yield greedy(state.model, state.tokenizer)


def module(state: Any) -> Any:
    """The causal language model."""
    return state.model


def median_norms(state: Any, texts: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the median norm of the residual stream after each block, which sizes the steering vectors."""
    from emospace.steering.vectors import median_norms as measure

    layers = _layers(state)
    norms = measure(state, texts, layers)
    return {"norms": np.array([norms[layer] for layer in layers]), "d_model": np.array(state.d_model)}


def products(state: Any, words: Sequence[str], carrier: str, tokens: int, seconds: float) -> dict[str, float]:
    """Time the matrix products of the blocks alone, and count those that the words cannot do without.

    Of torch's own products and those of `fused` the faster ones count.

    Parameters
    ----------
    tokens
        Rows of each product, as many as one batch of the extraction has tokens.
    seconds
        How long to measure, about.

    Returns
    -------
    ``flop_per_s`` of one block's products in turn, ``flop_per_token`` of all blocks, ``tokens_per_word`` that differ
    from word to word.
    """
    import torch

    from emospace.activations.spans import word_spans
    from emospace.models.onednn import has_onednn, product

    spans = word_spans(state, words, carrier)
    shapes = [part.weight for part in state.blocks[0].modules() if isinstance(part, torch.nn.Linear)]
    ways = [torch.nn.functional.linear]
    if state.device.type == "cpu" and has_onednn():
        ways.append(product)
    with torch.inference_mode():
        rows = [
            torch.randn(tokens, weight.shape[1], dtype=weight.dtype, device=weight.device)
            for weight in shapes
        ]

        def once(way: Callable[..., Any]) -> float:
            begin = time.perf_counter()
            for row, weight in zip(rows, shapes, strict=True):
                way(row, weight)
            if weight.device.type == "cuda":
                torch.cuda.synchronize()
            return time.perf_counter() - begin

        taken: list[list[float]] = [[] for _ in ways]
        for way in ways:
            once(way)
        while not all(taken) or sum(map(sum, taken)) < seconds:
            for way, times in zip(ways, taken, strict=True):
                times.append(once(way))
    flop = 2 * sum(weight.numel() for weight in shapes)
    return {
        "flop_per_s": tokens * flop / min(float(np.median(times)) for times in taken),
        "flop_per_token": float(flop * state.n_blocks),
        "tokens_per_word": float(np.mean([len(span.ids) - span.start for span in spans])),
    }


def words_stored(state: Any, words: Sequence[str], carrier: str, batch: int, folder: str) -> dict[str, float]:
    """Stream words of any number into a store, and remove it again."""
    from emospace.activations import stream_words

    store = Path(folder)
    # A loop's variable would hold one shard while the next is made.
    deque(stream_words(state, words, carrier, _layers(state), store=store, token_budget=batch), maxlen=0)
    size = sum(path.stat().st_size for path in store.rglob("*") if path.is_file())
    shutil.rmtree(store)
    return {"stored_mib": size / 2**20}


def rsa_permutations(_: Any, model: np.ndarray, humans: np.ndarray, n: int) -> dict[str, float]:
    """Permutation test of one pair of matrices."""
    from emospace.stats import mantel

    test = mantel(model, humans[0], seed=0, n_permutations=n)
    return {"value": test.value, "p": test.p}


def rsa_bootstrap(_: Any, model: np.ndarray, humans: np.ndarray, n: int, statistic: str) -> dict[str, Any]:
    """Point estimates, and `n` resamples of categories with the noise ceiling in each.

    With Pearson's r both bounds of the ceiling follow from the correlations of the matrices with one another: the
    pooled matrix is the sum of standardised ones.
    """
    from emospace.stats import bootstrap_rdm_correlations, rdm_correlations

    rows = [model, *humans]
    whole = rdm_correlations(rows, statistic=statistic)[None]
    drawn = bootstrap_rdm_correlations(rows, seed=0, n=n, statistic=statistic)
    figures: dict[str, Any] = {"value": whole[0, 0, 1:].mean()}
    values = {"drawn": drawn[:, 0, 1:].mean(1)}
    if statistic == "pearson":
        figures["lower"], figures["upper"] = (float(bound[0]) for bound in _ceiling(whole[:, 1:, 1:]))
        values["lower"], values["upper"] = _ceiling(drawn[:, 1:, 1:])
    return figures | {f"sd_{name}": float(np.nanstd(each)) for name, each in values.items()}


def _ceiling(r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return lower (leave one out) and upper bounds ``[n]`` from correlations ``[n, raters, raters]``."""
    with_all, total = r.sum(2), r.sum((1, 2))
    others = with_all - 1
    rest = total[:, None] - 2 * with_all + 1
    return (others / np.sqrt(rest)).mean(1), (with_all / np.sqrt(total)[:, None]).mean(1)


def ridge_same_grid(
    _: Any, x: np.ndarray, y: np.ndarray, test: np.ndarray, alphas: np.ndarray
) -> dict[str, np.ndarray]:
    """Do what `RidgeCV(cv=5)` does: all penalties on five contiguous folds, one choice for all targets, one last fit."""
    import torch

    from emospace.prediction.ridge import fit_at

    sums, fits, held_out = _folds(x, y)
    scale = float(sums.n.sum() - sums.n[0])
    grid = torch.as_tensor(alphas / scale)[None]
    errors = sum(
        fit.squared_error(fit.coefficients(grid), fold)[0].sum(1) / held_out[fold]
        for fold, fit in enumerate(fits)
    )
    chosen = int(errors.argmin())
    penalty = torch.full((1, y.shape[1]), float(alphas[chosen]) / float(sums.n.sum()), dtype=torch.float64)
    weights, intercept = fit_at(sums.without(()), penalty)
    return {"alpha": alphas[chosen], "predicted": (torch.from_numpy(test) @ weights[0] + intercept).numpy()}


def ridge_walked(
    _: Any, x: np.ndarray, y: np.ndarray, test: np.ndarray, alphas: np.ndarray
) -> dict[str, np.ndarray]:
    """The same choice for each target on its own, the grid walked from its middle, as emospace does it."""
    import torch

    from emospace.prediction.ridge import crossed_ridge, fit_at

    sums, fits, _ = _folds(x, y)
    scale = float(sums.n.sum() - sums.n[0])
    _, chosen = crossed_ridge(fits, torch.as_tensor(alphas / scale))
    penalty = torch.as_tensor(alphas)[chosen] / float(sums.n.sum())
    weights, intercept = fit_at(sums.without(()), penalty)
    return {"predicted": (torch.from_numpy(test) @ weights[0] + intercept).numpy()}


def ridge_nested(
    _: Any, x: np.ndarray, y: np.ndarray, test: np.ndarray, alphas: np.ndarray
) -> dict[str, np.ndarray]:
    """Nested cross-validation of the same grid, as a study runs it: five choices, none of which saw its test fold."""
    from emospace.prediction.ratings import nested_predictions

    del test
    prediction = nested_predictions(x, y, np.arange(len(x)), penalties=tuple(alphas / (0.6 * len(x))))
    return {"out_of_fold": prediction.predicted}


def _folds(x: np.ndarray, y: np.ndarray) -> tuple[Any, list[Any], list[int]]:
    import torch

    from emospace.prediction.ridge import FoldSums

    rows = [torch.from_numpy(part) for part in np.array_split(np.arange(len(x)), 5)]
    sums = FoldSums.over([torch.from_numpy(x)], (1, x.shape[1]), torch.from_numpy(y), rows)
    return sums, [sums.without((fold,)) for fold in range(5)], [len(part) for part in rows]


def _layers(state: Any) -> range:
    return range(1, state.n_blocks + 1)
