"""Logistic regression over hashed n-grams: how a linear block is trained on few texts, and where a neural one begins.

Gradient training of the shared loss needs thousands of texts a language. With about 1,300, a ridge penalty over
n-grams weighted by their rarity ranks unseen texts better.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from emospace.judges.tokens import features, tokenise
from judge_training.corpus import Corpus
from judge_training.training import Fit, class_weights, join, words_of_rows

if TYPE_CHECKING:
    import scipy.sparse
    import torch

FEWEST_TEXTS = 2
"""Texts in which a feature must occur to have a weight."""


def solve(corpus: Corpus, fit: Fit, penalty: float) -> dict[str, torch.Tensor]:
    """Return the parameters of a linear block of the heads ``basic`` and ``seven``.

    Parameters
    ----------
    penalty
        Inverse strength of the ridge penalty (C of scikit-learn).

    Notes
    -----
    ``basic`` is fitted on the texts alone, ``seven`` on them and on joined ones, at equal class weights. The inverse
    document frequency of a feature is folded into its weights, so that `ngram.logits` reads the block.
    """
    import scipy.sparse
    import torch
    from sklearn.linear_model import LogisticRegression

    tokens = tokenise(list(corpus.texts))

    def counted(rows: np.ndarray) -> scipy.sparse.csr_matrix:
        hashed, counts = features(tokens, *words_of_rows(tokens, rows), fit.n_rows)
        starts = np.concatenate([[0], np.cumsum(counts)])
        values = np.repeat(1 / np.sqrt(counts), counts)
        return scipy.sparse.csr_matrix((values, hashed, starts), shape=(len(rows), fit.n_rows))

    alone = counted(np.arange(len(corpus))[:, None])
    n_texts = np.asarray((alone > 0).sum(axis=0)).ravel()
    rarity = np.log((1 + len(corpus)) / (1 + n_texts)) + 1
    rarity[n_texts < FEWEST_TEXTS] = 0
    alone = alone @ scipy.sparse.diags(rarity)
    scale = np.sqrt(alone.multiply(alone).sum() / len(corpus))
    alone, rarity = alone / scale, rarity / scale
    models = []
    for marks in corpus.basic.T:
        marked = ~np.isnan(marks)
        model = LogisticRegression(C=penalty, solver="liblinear", random_state=fit.seed)
        models.append(model.fit(alone[marked], marks[marked]))
    single = corpus.where(corpus.seven >= 0)
    rows = join(corpus, np.random.default_rng(fit.seed), 1.0).rows[corpus.seven >= 0]
    joined = counted(rows) @ scipy.sparse.diags(rarity)
    choice = LogisticRegression(C=penalty, max_iter=300).fit(
        scipy.sparse.vstack([alone[corpus.seven >= 0], joined]),
        np.tile(single.seven, 2),
        np.tile(class_weights(single), 2),
    )
    weights = np.concatenate([model.coef_ for model in (*models, choice)])
    bias = np.concatenate([model.intercept_ for model in (*models, choice)])
    return {
        "table": torch.from_numpy((weights * rarity).T.astype(np.float32)),
        "bias": torch.from_numpy(bias.astype(np.float32)),
    }
