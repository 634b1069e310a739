"""Many short texts as few rows of tokens: each row a tree, in which a shared beginning stands once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

FEWEST, MOST, TEXTS = 32, 128, 8
"""A row has room for so many of the longest texts, within these tokens: attention grows with the row, what is lost at
its ends shrinks."""

SHORT, SHARE = 16, 1 / 4
"""Texts of few tokens are packed in any case, longer ones where they share so much: attention over a packed row costs
more than over rows of one text."""

Path = tuple[int, ...]


@dataclass(frozen=True)
class PackedRows:
    """Rows of tokens in which each token sees those it follows in its own text, and no others.

    Attributes
    ----------
    ids
        int64 ``[n_rows, width]``, the trees in depth-first order; what is left of a row is filled with zeros.
    depth
        int64 ``[n_rows, width]``: the token's place in its text.
    end
        int64 ``[n_rows, width]``: a token in column `c` is seen from the columns `c` to `end - 1`.
    nodes
        For each text the columns of its tokens, in order; `row` ``[n_texts]`` is the row they lie in.
    n_tokens
        Tokens in all trees.
    """

    ids: np.ndarray
    depth: np.ndarray
    end: np.ndarray
    nodes: tuple[tuple[int, ...], ...]
    row: np.ndarray
    n_tokens: int


def worth_packing(paths: Sequence[Path]) -> list[bool]:
    """Return for texts in sorted order whether each is short, or shares enough with the one before or after it."""
    beside = [_shared(path, other) for path, other in pairwise([(), *paths, ()])]
    return [
        len(path) <= SHORT or max(shared) >= SHARE * len(path)
        for path, shared in zip(paths, pairwise(beside), strict=True)
    ]


def shared_budget(n_tokens: int, token_budget: int, n_at_once: int) -> int:
    """Return the tokens of one of `n_at_once` batches beside each other, so that each of these has as many to run."""
    if n_at_once == 1:
        return token_budget
    n_batches = max(1, -(-n_tokens // (token_budget // n_at_once or 1)))
    n_batches += -n_batches % n_at_once
    # A little more, since no batch is filled to its last token.
    return max(1, min(token_budget // n_at_once, round(1.02 * n_tokens / n_batches) + 1))


def batches(paths: Sequence[Path], token_budget: int, n_at_once: int = 1) -> Iterator[slice]:
    """Cut texts, in sorted order, into runs whose trees have at most their share of `token_budget` tokens."""
    added = _new_tokens(paths)
    budget = shared_budget(sum(added), token_budget, n_at_once)
    low = total = 0
    for index, new in enumerate(added):
        if index > low and total + new > budget:
            yield slice(low, index)
            low, total, new = index, 0, len(paths[index])
        total += new
    if paths:
        yield slice(low, len(paths))


def pack(paths: Sequence[Path], row_tokens: int | None = None) -> PackedRows:
    """Pack texts, in sorted order, into rows of nearly equal length, of about `row_tokens` tokens if given."""
    longest, total = max(map(len, paths)), sum(_new_tokens(paths))
    row_tokens = row_tokens or min(MOST, max(FEWEST, TEXTS * longest))
    n_rows = max(1, round(total / row_tokens))
    width = max(longest, -(-total // n_rows))
    while len(rows := _fill(paths, width)) > n_rows:
        width += max(1, longest // 4)
    width = max(len(row.ids) for row in rows)
    shape = len(rows), width
    ids, depth = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    # A filler sees itself, so that its attention is not over nothing.
    end = np.tile(np.arange(1, width + 1), (len(rows), 1))
    for index, row in enumerate(rows):
        n = len(row.ids)
        ids[index, :n], depth[index, :n], end[index, :n] = row.ids, row.depth, row.end
    return PackedRows(
        ids,
        depth,
        end,
        tuple(nodes for row in rows for nodes in row.nodes),
        np.repeat(np.arange(len(rows)), [len(row.nodes) for row in rows]),
        sum(len(row.ids) for row in rows),
    )


class _Row:
    """A row while it is filled."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.depth: list[int] = []
        self.end: list[int] = []
        self.nodes: list[tuple[int, ...]] = []

    def add(self, path: Path, shared: int) -> None:
        """Add a text that begins with `shared` tokens of the one before it."""
        known = self.nodes[-1][:shared] if self.nodes else ()
        self.close(shared)
        new = range(len(self.ids), len(self.ids) + len(path) - shared)
        self.ids += path[shared:]
        self.depth += range(shared, len(path))
        self.end += [0] * len(new)
        self.nodes.append((*known, *new))

    def close(self, shared: int = 0) -> None:
        """Let no later token see those of the last text but the `shared` first."""
        for node in self.nodes[-1][shared:] if self.nodes else ():
            self.end[node] = len(self.ids)


def _fill(paths: Sequence[Path], width: int) -> list[_Row]:
    rows = [_Row()]
    before: Path = ()
    for path in paths:
        shared = _shared(before, path)
        if len(rows[-1].ids) + len(path) - shared > width:
            rows[-1].close()
            rows.append(_Row())
            shared = 0
        rows[-1].add(path, shared)
        before = path
    rows[-1].close()
    return rows


def _new_tokens(paths: Sequence[Path]) -> list[int]:
    """Return how many tokens each text adds to the one before it."""
    return [len(path) - _shared(before, path) for before, path in zip([(), *paths], paths, strict=False)]


def _shared(path: Path, other: Path) -> int:
    n = 0
    for a, b in zip(path, other, strict=False):
        if a != b:
            break
        n += 1
    return n
