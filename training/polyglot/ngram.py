"""What counting alone reaches on the same tokens: interpolated Kneser-Ney (Chen & Goodman 1999), the card's baseline."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ORDER = 4


@dataclass(frozen=True)
class Order:
    """The n-grams of one length, by rising key.

    Attributes
    ----------
    keys
        ``[n_grams]``: the place of the first `n - 1` tokens in the order below, times the vocabulary, plus the last
        token.
    discounted
        ``[n_grams]``: what remains of each n-gram's count, as a share of its context's.
    left
        ``[n_contexts]``: the share of each context that goes to the order below; 1 where it was not seen.
    """

    keys: np.ndarray
    discounted: np.ndarray
    left: np.ndarray


@dataclass(frozen=True)
class NGrams:
    """An interpolated Kneser-Ney model of tokens."""

    orders: tuple[Order, ...]
    n_vocab: int

    def probabilities(self, tokens: np.ndarray) -> np.ndarray:
        """Return the probability of every token given those before it, ``[n_tokens]``."""
        tokens = np.asarray(tokens, np.int64)
        found = np.full(len(tokens), 1 / self.n_vocab)
        # Place of the context that ends before each token, in the order below; -1 where it was never seen.
        context = np.zeros(len(tokens), np.int64)
        for order in self.orders:
            place, seen = find(order.keys, context * self.n_vocab + tokens)
            seen &= context >= 0
            own = np.where(seen, order.discounted[place], 0.0)
            left = np.where(context >= 0, order.left[np.maximum(context, 0)], 1.0)
            found = own + left * found
            context = np.concatenate([[-1], np.where(seen, place, -1)[:-1]])
        return found

    def bits_per_token(self, tokens: np.ndarray) -> float:
        """Return the mean surprise of tokens, in bits."""
        return float(-np.log2(self.probabilities(tokens)).mean())


def count_ngrams(tokens: np.ndarray, n_vocab: int, order: int = ORDER) -> NGrams:
    """Return the model of up to `order` tokens that ``tokens [n_tokens]`` give."""
    tokens = np.asarray(tokens, np.int64)
    places = np.zeros(len(tokens) + 1, np.int64)
    keys: list[np.ndarray] = []
    raw: list[np.ndarray] = []
    first: list[np.ndarray] = []
    for_position: list[np.ndarray] = []
    for length in range(1, order + 1):
        rest = len(tokens) - length + 1
        found, index, places, counts = np.unique(
            places[:rest] * n_vocab + tokens[length - 1 :],
            return_index=True,
            return_inverse=True,
            return_counts=True,
        )
        keys.append(found)
        raw.append(counts)
        first.append(index)
        for_position.append(places)
    orders = []
    n_contexts = 1
    for length, own in enumerate(keys):
        if length + 1 < order:
            # Below the longest, an n-gram counts by how many tokens it was seen after.
            after = for_position[length][first[length + 1] + 1]
            counts = np.bincount(after, minlength=len(own))
        else:
            counts = raw[length]
        orders.append(_discount(own, counts.astype(float), own // n_vocab, n_contexts))
        n_contexts = len(own)
    return NGrams(tuple(orders), n_vocab)


def _discount(keys: np.ndarray, counts: np.ndarray, context: np.ndarray, n_contexts: int) -> Order:
    once, twice = (counts == 1).sum(), (counts == 2).sum()
    discount = once / (once + 2 * twice) if once and twice else 0.5
    total = np.bincount(context, counts, n_contexts)
    kept = np.maximum(counts - discount, 0)
    share = kept / np.maximum(total[context], 1e-9)
    left = np.where(total > 0, 1 - np.bincount(context, kept, n_contexts) / np.maximum(total, 1e-9), 1.0)
    return Order(keys, share, left)


def find(keys: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where each wanted key stands among rising `keys`, and whether it is there."""
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return place, keys[place] == wanted
