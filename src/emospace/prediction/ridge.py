"""Ridge by fold sums: nested cross-validation from one Gram block per fold.

With the sums of each fold at hand (``X'X``, ``X'y`` and the totals), the training sums of any set of folds are
a difference of blocks, and so are its means, variances and standardised Gram matrix. Nested cross-validation
over F folds then takes F + F(F-1)/2 training matrices: the fit that leaves out folds {i, j} validates the
penalty of outer fold i on fold j, and that of outer fold j on fold i. Everything is batched over ``b`` feature
sets of equal size (layers, draws of latents).

A penalty is relative to the mean diagonal of the standardised Gram matrix, which is the number of training
words: ``alpha = penalty * n_train`` in scikit-learn's terms, on features standardised on the training words.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from emospace.errors import InvalidInput

if TYPE_CHECKING:
    from torch import Tensor

PENALTIES: tuple[float, ...] = tuple(float(p) for p in np.geomspace(1e-3, 100, 11))
"""Relative penalties, two to a decade."""

_BLOCK = 2**24
"""Numbers of sparse features made dense at a time."""


def assign_folds(groups: np.ndarray, folds: int = 5, seed: int = 0) -> np.ndarray:
    """Return the fold of each word, `[n_words]` in 0..folds-1: whole groups, folds of nearly equal size.

    Depends on `groups` and `seed` alone, so that every feature set is tested on the same folds.

    Raises
    ------
    EmospaceError
        If there are fewer than three folds, or too few groups to fill them.
    """
    _, index, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if folds < 3:
        raise InvalidInput(f"{folds} folds", "nested cross-validation needs at least three", "Use 5.")
    if len(sizes) < 2 * folds:
        raise InvalidInput(
            f"{len(index)} rated words",
            f"they form {len(sizes)} word groups, too few for {folds} folds",
            f"Give norms with at least {2 * folds} different words.",
        )
    order = np.random.default_rng(seed).permutation(len(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    filled = np.zeros(folds, dtype=np.int64)
    fold = np.empty(len(sizes), dtype=np.int64)
    for group in order:
        fold[group] = filled.argmin()
        filled[fold[group]] += sizes[group]
    return np.asarray(fold[index])


class Fit(Protocol):
    """Ridge on the words of some folds, for any penalties.

    Weights `[b, m, n_targets, k]` are in the features' own units: a row for each of `m` penalties and each target.
    """

    size: int  # b, the number of feature sets

    def coefficients(self, penalties: Tensor) -> Tensor:
        """Return weights `[b, m, n_targets, k]` for penalties `[b, m]`; NaN where one is too small for the precision."""

    def intercept(self, weights: Tensor) -> Tensor:
        """Return intercepts `[b, m, n_targets]`."""

    def squared_error(self, weights: Tensor, fold: int) -> Tensor:
        """Return the summed squared error on a fold, `[b, m, n_targets]`."""


@dataclass(frozen=True)
class FoldSums:
    """Sums over the training words of each fold, for `b` feature sets of `k` features.

    `gram` `[folds, b, k, k]`, `total` `[folds, b, k]`, `cross` `[folds, b, k, n_targets]`, `n` `[folds]`,
    `y_total` and `y_square` `[folds, n_targets]`. Features should be near mean 0 and variance 1 over all words:
    that changes no result, and keeps the differences of sums exact.
    """

    gram: Tensor
    total: Tensor
    cross: Tensor
    n: Tensor
    y_total: Tensor
    y_square: Tensor

    @classmethod
    def over(
        cls,
        sets: Iterable[Tensor],
        shape: tuple[int, ...],
        ratings: Tensor,
        fold_rows: Sequence[Tensor | slice],
    ) -> FoldSums:
        """Sum feature sets, `b` of `[n_words, k]` in turn (`shape` is b, k), over the rows of each fold."""
        import torch

        y = [ratings[rows] for rows in fold_rows]
        (b, k), folds = shape, len(y)
        gram = ratings.new_empty(folds, b, k, k)
        total, cross = ratings.new_empty(folds, b, k), ratings.new_empty(folds, b, k, ratings.shape[1])
        for at, features in enumerate(sets):
            for fold, rows in enumerate(fold_rows):
                x = features[rows]
                # NumPy sees that the factors are one matrix, and computes half.
                np.matmul(x.numpy().T, x.numpy(), out=gram[fold, at].numpy())
                total[fold, at], cross[fold, at] = x.sum(0), x.T @ y[fold]
        return cls(
            gram=gram,
            total=total,
            cross=cross,
            n=torch.tensor([len(part) for part in y], dtype=ratings.dtype),
            y_total=torch.stack([part.sum(0) for part in y]),
            y_square=torch.stack([(part * part).sum(0) for part in y]),
        )

    def without(self, held_out: Sequence[int]) -> GramFit:
        """Return ridge on the words of all folds but `held_out`."""
        return GramFit(self, held_out)


class GramFit:
    """Ridge in primal form, from `FoldSums`."""

    def __init__(self, sums: FoldSums, held_out: Sequence[int]) -> None:
        kept = [fold for fold in range(len(sums.n)) if fold not in held_out]
        self.sums, self.size = sums, sums.gram.shape[1]
        self.n = sums.n[kept].sum()
        self.mean = sums.total[kept].sum(0) / self.n
        self.y_mean = sums.y_total[kept].sum(0) / self.n
        gram = sums.gram[kept[0]].clone()
        for fold in kept[1:]:
            gram += sums.gram[fold]
        gram.baddbmm_(self.mean[:, :, None], self.mean[:, None, :], alpha=-float(self.n))
        self.scale = inverse_sd(gram.diagonal(dim1=1, dim2=2) / self.n)
        self.gram = gram.mul_(self.scale[:, :, None]).mul_(self.scale[:, None, :])
        cross = sums.cross[kept].sum(0) - self.n * self.mean[:, :, None] * self.y_mean
        self.right = (cross * self.scale[:, :, None]).mT

    def coefficients(self, penalties: Tensor) -> Tensor:
        """Return weights `[b, m, n_targets, k]`."""
        import torch

        (b, m), (n_targets, k) = penalties.shape, self.right.shape[1:]
        weights = self.right.new_empty(b, m, n_targets, k)
        weights.copy_(self.right[:, None])
        # One matrix for all: fresh memory costs more than the copy into it.
        matrix = torch.empty_like(self.gram[0])
        alphas = (penalties * self.n).tolist()
        for gram, rows, row_alphas in zip(self.gram, weights.numpy(), alphas, strict=True):
            for row, alpha in zip(rows, row_alphas, strict=True):
                matrix.copy_(gram).diagonal().add_(alpha)
                solve_positive(matrix.numpy(), row)
        return weights.mul_(self.scale[:, None, None, :])

    def intercept(self, weights: Tensor) -> Tensor:
        """Return intercepts `[b, m, n_targets]`."""
        return self.y_mean - (weights * self.mean[:, None, None, :]).sum(-1)

    def squared_error(self, weights: Tensor, fold: int) -> Tensor:
        """Return the summed squared error on a fold, `[b, m, n_targets]`, from its sums alone."""
        sums, a = self.sums, self.intercept(weights)
        linear = (weights * sums.total[fold][:, None, None, :]).sum(-1)
        # From the left, row by row of the symmetric matrix: twice as fast as from the right.
        turned = weights.flatten(1, 2) @ sums.gram[fold]
        quadratic = (turned.view_as(weights) * weights).sum(-1)
        crossed = (weights * sums.cross[fold].mT[:, None]).sum(-1)
        residual = sums.y_square[fold] - 2 * (a * sums.y_total[fold] + crossed)
        return residual + sums.n[fold] * a * a + 2 * a * linear + quadratic


class KernelFit:
    """Ridge in dual form, for more features than training words; `b` is 1.

    Products are taken in the precision of the features, the solve in double. Features may be sparse and stay so:
    they are made dense a block of columns at a time.

    Parameters
    ----------
    features
        `[n_words, d]`, an array or scipy csr; a sparse one need not be centred.
    """

    size = 1

    def __init__(
        self, features: Any, ratings: Tensor, fold_rows: Sequence[Tensor], held_out: Sequence[int]
    ) -> None:
        import torch
        from scipy.linalg.blas import dsyrk, ssyrk

        self.features, self.ratings, self.fold_rows = features, ratings, fold_rows
        self.rows = torch.cat([rows for fold, rows in enumerate(fold_rows) if fold not in held_out])
        x, y = features[self.rows.numpy()], ratings[self.rows]
        x = x.tocsc() if hasattr(x, "tocsc") else x
        self.n, self.y_mean = len(y), y.mean(0)
        mean, spread = moments(x)
        self.mean = torch.from_numpy(mean.astype(features.dtype))
        self.scale = inverse_sd(torch.from_numpy(spread**2)).to(self.mean)
        product = ssyrk if features.dtype == np.float32 else dsyrk
        kernel = np.zeros((self.n, self.n), dtype=features.dtype, order="F")
        width = max(1, _BLOCK // self.n)
        for start in range(0, features.shape[1], width):
            block = slice(start, start + width)
            dense = x[:, block].toarray(order="C") if hasattr(x, "toarray") else x[:, block].copy()
            dense -= self.mean[block].numpy()
            dense *= self.scale[block].numpy()
            kernel = product(1.0, dense.T, beta=1.0, c=kernel, trans=1, lower=1, overwrite_c=1)
        self.kernel = torch.from_numpy(kernel)
        self.right = (y - self.y_mean).double()

    def coefficients(self, penalties: Tensor) -> Tensor:
        """Return weights `[1, m, n_targets, d]`."""
        import torch

        n_targets = self.right.shape[1]
        rows = self.right.mT.repeat(len(penalties[0]), 1, 1)
        for row, alpha in zip(rows.numpy(), (penalties[0] * self.n).tolist(), strict=True):
            matrix = self.kernel.to(torch.float64, copy=True)
            matrix.diagonal().add_(alpha)
            solve_positive(matrix.numpy(), row)
        dual = np.zeros((len(self.ratings), len(rows) * n_targets), dtype=self.features.dtype)
        dual[self.rows.numpy()] = rows.flatten(0, 1).mT.numpy()
        weights = torch.from_numpy(np.ascontiguousarray((self.features.T @ dual).T))
        weights -= torch.from_numpy(dual.sum(0))[:, None] * self.mean
        return (weights * (self.scale * self.scale)).view(1, len(rows), n_targets, -1)

    def intercept(self, weights: Tensor) -> Tensor:
        """Return intercepts `[1, m, n_targets]`."""
        return self.y_mean - (weights * self.mean).sum(-1)

    def squared_error(self, weights: Tensor, fold: int) -> Tensor:
        """Return the summed squared error on a fold, `[1, m, n_targets]`."""
        import torch

        rows = self.fold_rows[fold]
        products = self.features[rows.numpy()] @ weights.flatten(0, 2).mT.numpy()
        predicted = (
            torch.from_numpy(products.T).view(*weights.shape[:3], -1) + self.intercept(weights)[..., None]
        )
        return ((self.ratings[rows].mT - predicted) ** 2).sum(-1)


def solve_positive(matrix: np.ndarray, rows: np.ndarray) -> None:
    """Put x of ``matrix x = row`` in the place of each row, by a Cholesky factor; NaN where there is none.

    Parameters
    ----------
    matrix
        float32 or float64 ``[k, k]``, contiguous; overwritten. Symmetric, or in Fortran order its lower triangle alone.
    rows
        ``[n, k]``, contiguous, of the same type.
    """
    columns, size, failed = (ctypes.c_int(value) for value in (*rows.shape, 0))
    k, n, info = (ctypes.byref(value) for value in (size, columns, failed))
    # Fortran's lower triangle is the upper one of C, which a symmetric matrix has as well; its columns are our rows.
    _posv(matrix.dtype.char)(b"L", k, n, matrix.ctypes.data, k, rows.ctypes.data, k, info)
    if failed.value:
        rows.fill(np.nan)


@cache
def _posv(kind: str) -> Any:
    """Return LAPACK's `posv` in single (``f``) or double (``d``) precision.

    SciPy's own functions hold Python's lock, and torch's factor spends as long on setting its other triangle to zero.
    A pointer from SciPy's interface for compiled code has neither.
    """
    from scipy.linalg import cython_lapack

    capsule = cython_lapack.__pyx_capi__[{"f": "sposv", "d": "dposv"}[kind]]
    name = ctypes.pythonapi.PyCapsule_GetName
    name.argtypes, name.restype = [ctypes.py_object], ctypes.c_char_p
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.argtypes, pointer.restype = [ctypes.py_object, ctypes.c_char_p], ctypes.c_void_p
    return ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 8)(pointer(capsule, name(capsule)))


def moments(features: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and SD `[d]` of features `[n_words, d]`, an array or scipy sparse, in double precision."""
    if not hasattr(features, "tocsc"):
        return features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
    n, columns = features.shape[0], features.tocsc()
    column = np.repeat(np.arange(columns.shape[1]), np.diff(columns.indptr))
    values = columns.data.astype(np.float64)
    mean = np.bincount(column, values, columns.shape[1]) / n
    # About the mean, zeros as well: a difference of squares would lose what hardly varies.
    beside = np.bincount(column, (values - mean[column]) ** 2, columns.shape[1])
    silent = n - np.diff(columns.indptr)
    return mean, np.sqrt((beside + silent * mean**2) / n)


def inverse_sd(variance: Tensor) -> Tensor:
    """Return 1/SD on training words, and 0 for a feature that hardly varies there.

    Variances are in units of that over all words. Below 1e-5 a latent is all but silent in training and strong on
    a held-out word, which standardisation would place hundreds of SD away; single precision ends there too.
    """
    import torch

    varies = variance > 1e-5
    return torch.where(varies, variance, 1).rsqrt() * varies


class Nested(NamedTuple):
    """Nested cross-validation of `b` feature sets.

    `weights` `[folds, b, k, n_targets]` and `intercepts` `[folds, b, n_targets]` of the fit that leaves out each
    outer fold, at the chosen penalty; `chosen` `[folds, b, n_targets]`, its index; `errors`, the inner summed
    squared error that chose it.
    """

    weights: Tensor
    intercepts: Tensor
    chosen: Tensor
    errors: Tensor


def nested_ridge(without: Callable[[tuple[int, ...]], Fit], n_folds: int, penalties: Tensor) -> Nested:
    """Choose each outer fold's penalty on the other folds alone, and fit at it.

    The penalty is the least of the inner squared error summed over the inner folds.
    """
    import torch

    pairs = {(i, j): without((i, j)) for i in range(n_folds) for j in range(i)}
    first = pairs[1, 0]
    pilot = _walk(lambda p: first.squared_error(first.coefficients(p), 0), penalties, first.size)[1]

    def inner_error(penalty: Tensor) -> Tensor:
        total: list[Any] = [0.0] * n_folds
        for (i, j), fit in pairs.items():
            weights = fit.coefficients(penalty)
            total[i] = total[i] + fit.squared_error(weights, j)
            total[j] = total[j] + fit.squared_error(weights, i)
        return torch.stack(total)

    errors, chosen = _walk(inner_error, penalties, first.size, start=int(pilot.median()))
    pairs.clear()
    fitted = [fit_at(without((fold,)), penalties[chosen[fold]]) for fold in range(n_folds)]
    weights, intercepts = zip(*fitted, strict=True)
    return Nested(torch.stack(weights), torch.stack(intercepts), chosen, errors)


def crossed_ridge(fits: Sequence[Fit], penalties: Tensor) -> tuple[Tensor, Tensor]:
    """Return the least summed squared error and its penalty's index, `[b, n_targets]`; `fits[i]` leaves out fold i."""

    def error(penalty: Tensor) -> Tensor:
        return sum(fit.squared_error(fit.coefficients(penalty), fold) for fold, fit in enumerate(fits))

    return _walk(error, penalties, fits[0].size)


def fit_at(fit: Fit, penalties: Tensor) -> tuple[Tensor, Tensor]:
    """Return weights `[b, k, n_targets]` and intercepts `[b, n_targets]` at penalties `[b, n_targets]`."""
    import torch

    values, place = penalties.unique(return_inverse=True)
    if len(values) < penalties.shape[1]:
        # Targets that chose the same penalty share its factor.
        every = fit.coefficients(values.expand(fit.size, -1))
    else:
        every = fit.coefficients(penalties)
        place = torch.arange(penalties.shape[1]).expand_as(penalties)
    index = place[:, None, :, None].expand(-1, 1, -1, every.shape[3])
    weights = every.gather(1, index)
    return weights[:, 0].mT, fit.intercept(weights)[:, 0]


def _walk(
    error: Callable[[Tensor], Tensor], penalties: Tensor, size: int, start: int | None = None
) -> tuple[Tensor, Tensor]:
    """Return the least error over the penalties and its index, both of the shape `error` gives without that axis.

    `error` takes penalties `[size, 1]`, one for each feature set, and its last axis but one is theirs. The grid is walked outwards from `start` (its
    middle) for as long as any of the errors falls: validation error has one valley in the penalty, or so nearly
    that the rest of the grid is not worth its price.
    """
    import torch

    def at(index: int) -> Tensor:
        return error(penalties[index].expand(size, 1)).squeeze(-2).nan_to_num(nan=float("inf"))

    low = high = len(penalties) // 2 if start is None else start
    visited = [at(low)]
    while True:
        least, best = torch.stack(visited).min(0)
        if low > 0 and bool((best == 0).any()):
            low -= 1
            visited.insert(0, at(low))
        elif high < len(penalties) - 1 and bool((best == high - low).any()):
            high += 1
            visited.append(at(high))
        else:
            return least, best + low
