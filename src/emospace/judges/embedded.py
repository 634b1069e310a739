"""The two judges that ship with the package: loading, judging, and the held-out scores of their cards.

Each has three blocks of weights, one for English, one for Chinese and one for every other language, and judges a text
with the block of its language.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Any

import numpy as np

from emospace.artefacts import content_hash, read_json
from emospace.errors import EmospaceError
from emospace.judges.judgement import BASIC_SEVEN, Judgement
from emospace.judges.tokens import gather, tokenise

if TYPE_CHECKING:
    import torch

    Parameters = dict[str, torch.Tensor]

SHIPPED = files("emospace") / "data" / "judges"


@dataclass(frozen=True, eq=False)
class EmbeddedJudge:
    """A shipped judge.

    Parameters
    ----------
    blocks
        ``en``, ``zh`` and ``other`` -> parameters.
    score
        Parameters and texts -> scores ``[n_texts, n_outputs]``.
    card
        Outputs, calibration and held-out scores of each block and language; see ``card.json``.
    """

    name: str
    kind: str
    card: Mapping[str, Any]
    blocks: Mapping[str, Parameters]
    score: Callable[[Parameters, list[str]], np.ndarray]

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of categories and ``neutral``; beyond English the six basic emotions alone."""
        return tuple(self.card["blocks"]["en"]["labels"])

    @property
    def languages(self) -> tuple[str, ...]:
        """Languages with a held-out score."""
        return tuple(self.card["auroc"])

    def auroc(self, language: str, label: str) -> float | None:
        """Return the held-out area under the ROC curve of a label, None where it was not measured.

        On human annotations where there are any; else on XED's projected ones (``card["projected"]``).
        """
        value = self.card["auroc"].get(language, {}).get(label)
        return None if value is None else float(value)

    def recall(self, language: str, label: str) -> float | None:
        """Return the held-out recall of one of the seven classes, None below 30 texts of it."""
        value = self.card["recall"].get(language, {}).get(label)
        return None if value is None else float(value)

    @property
    def content_hash(self) -> str:
        """Sixteen hex digits that change with its weights, calibration and held-out scores."""
        return content_hash(dict(self.card))

    def check_language(self, language: str) -> None:
        """Raise `EmospaceError` where the judge has no held-out score for a language."""
        if language not in self.languages:
            raise EmospaceError(
                f"language '{language}'",
                f"the judge '{self.name}' has no held-out score for it",
                f"It judges {', '.join(sorted(self.languages))}; for others give a classifier of your own "
                "(hf:NAME) or a language model (llm:MODEL@URL).",
            )

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
def load_ngram(name: str = "ngram") -> EmbeddedJudge:
    """Return the judge of hashed n-grams, which calibrates."""
    return _load(name, SHIPPED)


@cache
def load_subword(name: str = "subword") -> EmbeddedJudge:
    """Return the neural judge of hashed subwords, which reports."""
    return _load(name, SHIPPED)


def _load(name: str, folder: Any) -> EmbeddedJudge:
    from importlib import import_module

    from safetensors.numpy import load_file

    with as_file(folder / name) as place:
        card = read_json(place / "card.json")
        stored = load_file(str(place / "model.safetensors"))
    module = import_module(f"emospace.judges.{name}")
    blocks = {block: unpack(stored, block) for block in card["blocks"]}
    return EmbeddedJudge(
        name, module.KIND, card, blocks, lambda parameters, texts: scores_of(module.logits, parameters, texts)
    )


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


def pack(blocks: Mapping[str, Parameters]) -> dict[str, np.ndarray]:
    """Return the tensors to store: tables as int8 with a float16 scale a row, everything else float16."""
    stored = {}
    for block, parameters in blocks.items():
        for name, tensor in parameters.items():
            value = tensor.numpy()
            if name == "table":
                scale = (np.abs(value).max(axis=1, keepdims=True) / 127).astype(np.float16).clip(1e-7)
                stored[f"{block}.scale"] = scale
                value = np.rint(value / scale.astype(np.float32)).clip(-127, 127).astype(np.int8)
            else:
                value = value.astype(np.float16)
            stored[f"{block}.{name}"] = value
    return stored


def unpack(stored: Mapping[str, np.ndarray], block: str) -> Parameters:
    """Return the float32 parameters of one block."""
    import torch

    own = {name.partition(".")[2]: value for name, value in stored.items() if name.startswith(f"{block}.")}
    scale = own.pop("scale").astype(np.float32)
    parameters = {name: value.astype(np.float32) for name, value in own.items()}
    parameters["table"] *= scale
    return {name: torch.from_numpy(value) for name, value in parameters.items()}
