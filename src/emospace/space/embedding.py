"""CEBRA (Schneider, Lee & Mathis, 2023): a low-dimensional embedding of concept words, tested out of category."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emospace.display import progress
from emospace.engines import in_processes, single_threaded
from emospace.errors import InvalidInput

Floats = NDArray[np.float64]

_MANY_STEPS = 2000
"""From so many steps of training on, starting processes costs less than a second core saves."""


@dataclass(frozen=True)
class CebraDecoding:
    """How well ratings of unseen categories are decoded from the embedding, beside its two controls.

    R2 is 1 - SSE/SST over categories, each predicted by a fold that held none of its words; it can be negative.

    Parameters
    ----------
    targets
        Names of the ratings decoded.
    r2
        [n_targets] mean over seeds.
    ci_low, ci_high
        [n_targets] 95% bootstrap over categories, seeds averaged.
    p
        [n_targets] one-sided, truth relabelled among categories (predictions averaged over seeds).
    pca_r2
        [n_targets] the same decoder on as many principal components of the same training words.
    shuffled_r2
        [n_targets] mean over seeds, CEBRA fitted on shuffled ratings.
    predicted
        [n_categories, n_targets] mean over seeds.
    dimension
        Dimensions of the embedding, and of the principal components.
    """

    targets: tuple[str, ...]
    r2: Floats
    ci_low: Floats
    ci_high: Floats
    p: Floats
    pca_r2: Floats
    shuffled_r2: Floats
    predicted: Floats
    dimension: int
    n_permutations: int


def cebra_embedding(
    features: ArrayLike,
    ratings: ArrayLike,
    *,
    seed: int,
    transform: ArrayLike | None = None,
    dimension: int = 3,
    n_iterations: int = 100,
    batch_size: int = 256,
    learning_rate: float = 3e-3,
    temperature: float = 0.3,
    delta: float = 0.6,
) -> Floats:
    """Fit CEBRA on words and return their embedding, or that of other words.

    The network is cebra's `offset1-model` (32 hidden units, output on the unit sphere). Rows are words, not
    moments, so positive pairs have ratings within a normal step of `delta`; cebra's default of neighbouring rows would
    mean nothing here.

    Parameters
    ----------
    features
        [n_words, n_features] standardised codes.
    ratings
        [n_words, k] brought to unit variance here.
    transform
        [n_others, n_features] words to embed instead of the fitted ones.
    delta
        Standard deviation of the step between the ratings of a positive pair, in those of the ratings.

    Returns
    -------
    [n_words or n_others, dimension] float64. The same seed gives the same embedding; the global random
    states of torch and numpy are left as they were.
    """
    import cebra
    import torch

    inputs = torch.as_tensor(np.asarray(features, dtype=np.float32))
    values = np.asarray(ratings)
    values = (values - values.mean(axis=0)) / np.maximum(values.std(axis=0), 1e-9)
    # Its steps are so small that threads wait for one another longer than they work.
    with _seeded(seed), single_threaded():
        model = cebra.models.init("offset1-model", inputs.shape[1], 32, dimension)
        continuous = torch.as_tensor(values.astype(np.float32))
        dataset = cebra.data.TensorDataset(inputs, continuous=continuous)
        loader = cebra.data.ContinuousDataLoader(
            dataset=dataset,
            conditional="delta_normal",
            delta=delta,
            num_steps=n_iterations,
            batch_size=batch_size,
        )
        # cebra draws references from a generator of its own that takes its seed from the system.
        loader.distribution.prior.generator.manual_seed(seed)
        dataset.configure_for(model)
        criterion = cebra.models.FixedCosineInfoNCE(temperature=temperature)
        optimiser = torch.optim.Adam(model.parameters(), lr=learning_rate)
        solver = cebra.solver.init(
            "single-session", model=model, criterion=criterion, optimizer=optimiser, tqdm_on=False
        )
        model.train()
        for batch in loader:
            solver.step(batch)
    model.eval()
    others = inputs if transform is None else torch.as_tensor(np.asarray(transform, dtype=np.float32))
    with torch.no_grad():
        embedded = model(others.unsqueeze(-1))
    return np.asarray(embedded.reshape(len(others), dimension).numpy(), dtype=np.float64)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed the global generators that cebra draws from, and put them back."""
    import torch

    numpy_state = np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        try:
            yield
        finally:
            np.random.set_state(numpy_state)  # noqa: NPY002


def cebra_decoding(
    features: ArrayLike,
    categories: ArrayLike,
    ratings: ArrayLike,
    *,
    seed: int,
    words: Sequence[str] | None = None,
    targets: Sequence[str] = ("valence", "arousal"),
    n_seeds: int = 5,
    folds: int = 5,
    dimension: int = 3,
    n_iterations: int = 100,
    n_permutations: int = 9999,
    penalty: float = 1e-3,
) -> CebraDecoding:
    """Decode human ratings of whole unseen categories from CEBRA, PCA and a label-shuffled CEBRA.

    Each fold leaves whole categories, and every word of theirs wherever else it stands, out of both fits: the
    embedding and the ridge decoder on it. A category's prediction is the mean over its words. The shuffled
    CEBRA permutes the ratings among the training rows.

    Parameters
    ----------
    features
        [n_words, n_features] standardised codes, one row per (category, word).
    categories
        [n_words] index of each row's category in `ratings`.
    ratings
        [n_categories, n_targets] human ratings.
    words
        [n_words] the words, so that one in two sets is never on both sides of a fold; None: all distinct.

    Raises
    ------
    EmospaceError
        If there are fewer categories than twice the folds, a category has no word, or a rating is missing.
    """
    inputs, labels = np.asarray(features, dtype=np.float64), np.asarray(categories, dtype=np.intp)
    truth = np.asarray(ratings, dtype=np.float64)
    _check(labels, truth, folds)
    names = np.asarray(words if words is not None else np.arange(len(labels)))
    rng = np.random.default_rng(seed)
    fold_of = rng.permutation(np.arange(len(truth)) % folds)
    seeds = [int(drawn) for drawn in rng.integers(0, 2**31 - 1, n_seeds)]

    shape = (n_seeds, *truth.shape)
    predicted, shuffled, components = np.zeros(shape), np.zeros(shape), np.zeros(truth.shape)
    splits = []
    for fold in range(folds):
        held = np.isin(labels, np.flatnonzero(fold_of == fold))
        splits.append((held, ~held & ~np.isin(names, names[held])))

    def decode(points: Floats, fold: int) -> Floats:
        held, train = splits[fold]
        guess = _ridge(points[train], truth[labels[train]], points[held], penalty)
        rows = labels[held]
        return np.stack(
            [guess[rows == category].mean(axis=0) for category in np.flatnonzero(fold_of == fold)]
        )

    fits = [
        (fold, index, mixed) for fold in range(folds) for index in range(n_seeds) for mixed in (False, True)
    ]

    def fit(which: tuple[int, int, bool]) -> Floats:
        fold, index, mixed = which
        train = splits[fold][1]
        rated = truth[labels[train]]
        if mixed:
            rated = np.random.default_rng(seeds[index]).permutation(rated)
        return cebra_embedding(
            inputs[train],
            rated,
            seed=seeds[index],
            transform=inputs,
            dimension=dimension,
            n_iterations=n_iterations,
        )

    for fold in range(folds):
        components[fold_of == fold] = decode(_pca(inputs[splits[fold][1]], inputs, dimension), fold)
    # cebra draws from generators of the whole process, so threads would disturb one another.
    embedded = in_processes(fit, fits) if len(fits) * n_iterations >= _MANY_STEPS else map(fit, fits)
    with progress("CEBRA, unseen categories", len(fits), "fits") as advance:
        for (fold, index, mixed), points in zip(fits, embedded, strict=True):
            (shuffled if mixed else predicted)[index, fold_of == fold] = decode(points, fold)
            advance()
    low, high = _interval(predicted, truth, rng)
    mean = predicted.mean(axis=0)
    return CebraDecoding(
        tuple(targets),
        np.stack([_r2(run, truth) for run in predicted]).mean(axis=0),
        low,
        high,
        _relabelling_p(mean, truth, n_permutations, rng),
        _r2(components, truth),
        np.stack([_r2(run, truth) for run in shuffled]).mean(axis=0),
        mean,
        dimension,
        n_permutations,
    )


def _check(labels: NDArray[np.intp], truth: Floats, folds: int) -> None:
    if len(truth) < 2 * folds:
        raise InvalidInput(
            f"{len(truth)} rated categories",
            f"{folds} folds of whole categories need at least {2 * folds}",
            "Rate more categories, or take fewer folds.",
        )
    empty = np.setdiff1d(np.arange(len(truth)), labels)
    if len(empty):
        raise InvalidInput(
            f"categories {empty.tolist()}", "they have ratings and no words", "Leave them out of the ratings."
        )
    if not np.isfinite(truth).all():
        raise InvalidInput("the category ratings", "some are missing", "Leave the unrated categories out.")


def _ridge(x: Floats, y: Floats, new: Floats, penalty: float) -> Floats:
    """Return the predictions for `new`; the penalty is in units of the mean feature variance."""
    mean, centre = x.mean(axis=0), y.mean(axis=0)
    gram = (x - mean).T @ (x - mean)
    gram[np.diag_indices_from(gram)] += penalty * np.trace(gram) / len(gram) + 1e-12
    weights = np.linalg.solve(gram, (x - mean).T @ (y - centre))
    return np.asarray((new - mean) @ weights + centre)


def _pca(train: Floats, rows: Floats, dimension: int) -> Floats:
    mean = train.mean(axis=0)
    right = np.linalg.svd(train - mean, full_matrices=False)[2]
    return np.asarray((rows - mean) @ right[:dimension].T)


def _r2(predicted: Floats, truth: Floats) -> Floats:
    """Return [..., n_targets] from [..., n_categories, n_targets]."""
    spread = ((truth - truth.mean(axis=-2, keepdims=True)) ** 2).sum(axis=-2)
    error = ((truth - predicted) ** 2).sum(axis=-2)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(spread > 0, 1 - error / spread, np.nan))


def _interval(predicted: Floats, truth: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    rows = rng.integers(0, len(truth), (2000, len(truth)))
    draws = np.mean([_r2(run[rows], truth[rows]) for run in predicted], axis=0)
    low, high = np.nanquantile(draws, [0.025, 0.975], axis=0)
    return low, high


def _relabelling_p(predicted: Floats, truth: Floats, n_permutations: int, rng: np.random.Generator) -> Floats:
    """R2 rises with sum(predicted * truth) alone when the truth is relabelled, so that is what is compared."""
    centred = predicted - predicted.mean(axis=0)
    observed = (centred * truth).sum(axis=0)
    order = rng.permuted(np.tile(np.arange(len(truth)), (n_permutations, 1)), axis=1)
    drawn = np.einsum("pct,ct->pt", truth[order], centred)
    return np.asarray((1 + (drawn >= observed - 1e-12).sum(axis=0)) / (1 + n_permutations))
