"""The two judges that ship with the package: loading, judging, and the held-out scores of their cards.

Each has three blocks of weights, one for English, one for Chinese and one for every other language, and judges a text
with the block of its language.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib.resources import as_file, files
from typing import TYPE_CHECKING

import numpy as np

from emospace.artefacts import content_hash, read_object
from emospace.judges.judgement import BASIC_SEVEN, Judgement, MeasuredJudge
from emospace.judges.tokens import Tokens, features, gather, pair_hashes, tokenise

if TYPE_CHECKING:
    import torch

    Parameters = dict[str, torch.Tensor]

SHIPPED = files("emospace") / "data" / "judges"


@dataclass(frozen=True, eq=False)
class EmbeddedJudge(MeasuredJudge):
    """A shipped judge. Its held-out scores are of human annotations where there are any, else of XED's projected ones.

    Parameters
    ----------
    card
        Outputs, calibration and held-out scores of each block and language; see ``card.json``.
    blocks
        ``en``, ``zh`` and ``other`` -> parameters.
    score
        Parameters and texts -> scores ``[n_texts, n_outputs]``.
    """

    kind: str
    blocks: Mapping[str, Parameters]
    score: Callable[[Parameters, list[str]], np.ndarray]

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of categories and ``neutral``; beyond English the six basic emotions alone."""
        return tuple(self.card["blocks"]["en"]["labels"])

    @property
    def content_hash(self) -> str:
        """Sixteen hex digits that change with its weights, calibration and held-out scores."""
        return content_hash(dict(self.card))

    def judge(self, texts: Sequence[str], language: str = "en") -> Judgement:
        """Judge the emotion of texts.

        Raises
        ------
        EmospaceError
            If the judge has no held-out score for the language.
        """
        self.check_language(language)
        block = language if language in self.card["blocks"] else "other"
        facts = self.card["blocks"][block]
        scores = self.score(self.blocks[block], list(texts)).astype(float)
        labels, outputs = tuple(facts["labels"]), facts["outputs"]
        slopes, shifts = np.array([facts["platt"][label][language] for label in labels]).T
        marks = scores[:, [outputs.index(label) for label in labels]]
        slope, *seven_shifts = facts["balance"]
        moved = slope * scores[:, -len(BASIC_SEVEN) :] + np.array(seven_shifts)
        raised = np.exp(moved - moved.max(axis=1, keepdims=True))
        return Judgement(
            labels,
            1 / (1 + np.exp(-np.clip(slopes * marks + shifts, -30, 30))),
            raised / raised.sum(axis=1, keepdims=True),
        )


@cache
def load_embedded(name: str) -> EmbeddedJudge:
    """Return a shipped judge: ``ngram`` of hashed n-grams, which calibrates, or the neural ``subword``, which reports."""
    from safetensors.numpy import load_file

    with as_file(SHIPPED / name) as folder:
        card = read_object(folder / "card.json")
        stored = load_file(str(folder / "model.safetensors"))
    kind, logits = SCORERS[name]
    blocks = {block: unpack(stored, block) for block in card["blocks"]}
    return EmbeddedJudge(name, card, kind, blocks, partial(scores_of, logits))


def scores_of(
    logits: Callable[..., torch.Tensor], parameters: Parameters, texts: list[str], batch: int = 256
) -> np.ndarray:
    """Return the scores ``[n_texts, n_outputs]`` of texts, judged in batches of like length."""
    import torch

    tokens = tokenise(texts)
    order = np.argsort(np.diff(tokens.starts), kind="stable")
    out = np.zeros((len(texts), len(parameters["bias"])), np.float32)
    with torch.inference_mode():
        for start in range(0, len(order), batch):
            items = order[start : start + batch]
            out[items] = logits(parameters, tokens, *gather(tokens.words, tokens.starts, items)).numpy()
    return out


def unpack(stored: Mapping[str, np.ndarray], block: str) -> Parameters:
    """Return the float32 parameters of one block."""
    import torch

    tensors = {
        name.removeprefix(f"{block}."): value.astype(np.float32)
        for name, value in stored.items()
        if name.startswith(f"{block}.")
    }
    tensors["table"] *= tensors.pop("scale")
    return {name: torch.from_numpy(value) for name, value in tensors.items()}


def ngram_logits(
    parameters: Mapping[str, torch.Tensor],
    tokens: Tokens,
    words: np.ndarray,
    lengths: np.ndarray,
    drop: float = 0.0,
) -> torch.Tensor:
    """Return the scores ``[n_texts, n_outputs]`` of texts given as word numbers, text after text.

    The sum of the weights of a text's features over the square root of their number; in training a share `drop` of
    the features is left out.
    """
    import torch
    from torch.nn.functional import embedding_bag

    hashed, counts = features(tokens, words, lengths, len(parameters["table"]))
    weights = torch.from_numpy(np.repeat(1 / np.sqrt(counts), counts).astype(np.float32))
    if drop:
        weights = torch.nn.functional.dropout(weights, drop)
    offsets = torch.from_numpy(np.concatenate([[0], np.cumsum(counts)[:-1]]))
    bags = embedding_bag(
        torch.from_numpy(hashed), parameters["table"], offsets, mode="sum", per_sample_weights=weights
    )
    return bags + parameters["bias"]


def subword_logits(
    parameters: Mapping[str, torch.Tensor],
    tokens: Tokens,
    words: np.ndarray,
    lengths: np.ndarray,
    drop: float = 0.0,
) -> torch.Tensor:
    """Return the scores ``[n_texts, n_outputs]`` of texts given as word numbers, text after text.

    A word's vector is that of its own hash plus the mean over its pieces, and with ``pairs`` that of its pair with the
    next word (where words are single characters, most meaning lies in pairs); a convolution over three words follows,
    and for each output a softmax attention over the text (label-wise attention: Mullenbach et al. 2018) beside the
    plain mean. In training a share `drop` of the words and channels is left out.
    """
    import torch
    from torch.nn.functional import conv1d, dropout, embedding, embedding_bag, gelu

    table = parameters["table"]
    distinct, place = np.unique(words, return_inverse=True)
    pieces, counts = gather(tokens.pieces, tokens.piece_starts, distinct)
    whole = torch.from_numpy(tokens.pieces[tokens.piece_starts[distinct]] % len(table))
    offsets = torch.from_numpy(np.concatenate([[0], np.cumsum(counts)[:-1]]))
    vectors = embedding(whole, table) + embedding_bag(
        torch.from_numpy(pieces % len(table)), table, offsets, mode="mean"
    )
    n_texts, longest = len(lengths), int(lengths.max())
    row = np.repeat(np.arange(n_texts), lengths)
    column = np.arange(len(words)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    cell = torch.from_numpy(row * longest + column)
    chosen = vectors.index_select(0, torch.from_numpy(place))
    if "pairs" in parameters:
        hashes = pair_hashes(tokens.pieces[tokens.piece_starts[words]]) % len(table)
        inside = torch.from_numpy(row[1:] == row[:-1])[:, None]
        of_pairs = embedding(torch.from_numpy(hashes), table) * inside * parameters["pairs"]
        chosen = torch.cat([chosen[:-1] + of_pairs, chosen[-1:]])
    if drop:
        kept = (torch.rand(len(words), 1) >= drop / 3).float()
        chosen = dropout(chosen * kept, drop / 2)
    padded = torch.zeros(n_texts * longest, table.shape[1]).index_copy(0, cell, chosen)
    states = conv1d(
        padded.view(n_texts, longest, -1).transpose(1, 2),
        parameters["convolution"],
        parameters["convolution_bias"],
        padding=1,
    )
    states = gelu(states).transpose(1, 2)
    if drop:
        states = dropout(states, drop)
    real = torch.zeros(n_texts * longest).index_fill(0, cell, 1.0).view(n_texts, longest, 1)
    attention = (states @ parameters["query"]).masked_fill(real == 0, -1e9).softmax(dim=1)
    pooled = attention.transpose(1, 2) @ states
    mean = (states * real).sum(1) / real.sum(1)
    return (pooled * parameters["out"]).sum(-1) + mean @ parameters["mean"].T + parameters["bias"]


SCORERS: dict[str, tuple[str, Callable[..., torch.Tensor]]] = {
    "ngram": ("linear model over hashed words, word pairs and character n-grams", ngram_logits),
    "subword": (
        "neural: learned embeddings of hashed subwords, convolution, attention per label",
        subword_logits,
    ),
}
"""Name of a shipped judge -> its kind, and its scores of texts from its parameters."""
