"""Any text-classification model of `transformers` as judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emospace.artefacts import content_hash, read_object
from emospace.concepts import categories, load_concepts
from emospace.errors import InvalidInput, first_line
from emospace.judges.judgement import BASIC_SEVEN, Judgement, MeasuredJudge
from emospace.models.hub import hub
from emospace.specs import BASIC

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

CARD = "emospace-judge.json"
LONGEST = 512
BATCH = 32

# Labels of published classifiers that are no lemma of a concept-set.
ALIASES: Mapping[str, str] = {
    "happiness": "joy",
    "happy": "joy",
    "sorrow": "sadness",
    "rage": "anger",
    "mad": "anger",
    "scared": "fear",
    "afraid": "fear",
    "others": "neutral",
    "other": "neutral",
    "no emotion": "neutral",
    "none": "neutral",
    "neutral": "neutral",
}


@dataclass(frozen=True, eq=False)
class Classifier(MeasuredJudge):
    """A classifier of texts; its probabilities are taken as they are, not calibrated here.

    Parameters
    ----------
    card
        ``auroc`` and ``recall`` (language -> label -> value) and ``priors`` (label -> share of the training texts),
        each where known.
    outputs
        Output of the model -> category, or None where it is none of ours.
    multi_label
        Whether each label has a sigmoid of its own; else one softmax over all.
    """

    outputs: tuple[str | None, ...]
    multi_label: bool
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of categories, or ``neutral``, in the order of the model's outputs."""
        return tuple(dict.fromkeys(label for label in self.outputs if label is not None))

    @property
    def kind(self) -> str:
        """One line that says what sort of judge it is."""
        how = "a sigmoid for each label" if self.multi_label else "one softmax over the labels"
        left = self.outputs.count(None)
        return (
            f"classifier of {type(self.model).__name__}, {how}, not calibrated here"
            f"{f', {left} of its {len(self.outputs)} outputs are no category of ours' if left else ''}"
        )

    @cached_property
    def content_hash(self) -> str:
        """Sixteen hex digits that change with its weights, labels, mapping, tokenizer and card."""
        weights = [
            value.detach().float().cpu().numpy() for _, value in sorted(self.model.state_dict().items())
        ]
        settings = [list(self.outputs), self.multi_label, dict(self.card), self.tokenizer.get_vocab()]
        return content_hash(settings, *weights)

    def judge(self, texts: Sequence[str], language: str = "en") -> Judgement:
        """Judge the emotion of texts, cut at the model's window or 512 tokens.

        A category with several outputs has their sum under a softmax, the greatest under sigmoids. The choice of
        seven takes the probabilities over their priors, where the card holds a prior for each, else as they are; a
        class the model does not know is never chosen.

        Raises
        ------
        EmospaceError
            If the classifier has a card with held-out scores, and none for the language.
        """
        self.check_language(language)
        shares = self._probabilities(list(texts))
        columns = []
        for label in self.labels:
            outputs = shares[:, [place for place, output in enumerate(self.outputs) if output == label]]
            columns.append(outputs.max(axis=1) if self.multi_label else outputs.sum(axis=1).clip(0, 1))
        probability = np.stack(columns, axis=1)
        return Judgement(self.labels, probability, self._seven(probability))

    def _seven(self, probability: np.ndarray) -> np.ndarray:
        basic = [label for label in BASIC_SEVEN if label in self.labels]
        priors = self.card.get("priors", {})
        has_priors = all(priors.get(label, 0) > 0 for label in basic)
        seven = np.zeros((len(probability), len(BASIC_SEVEN)))
        for label in basic:
            weight = 1 / priors[label] if has_priors else 1.0
            # A floor, so that a text for which every class underflows still has shares.
            column = np.maximum(probability[:, self.labels.index(label)], 1e-12)
            seven[:, BASIC_SEVEN.index(label)] = column * weight
        return np.asarray(seven / seven.sum(axis=1, keepdims=True))

    def _probabilities(self, texts: list[str]) -> np.ndarray:
        import torch

        config = self.model.config
        limits = (
            LONGEST,
            self.tokenizer.model_max_length,
            getattr(config, "max_position_embeddings", LONGEST),
        )
        out = np.zeros((len(texts), len(self.outputs)))
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        for start in range(0, len(order), BATCH):
            places = order[start : start + BATCH]
            batch = self.tokenizer(
                [texts[place] for place in places],
                padding=True,
                truncation=True,
                max_length=min(limits),
                return_tensors="pt",
            )
            with torch.inference_mode():
                logits = self.model(**batch.to(self.model.device)).logits.double()
            shares = logits.sigmoid() if self.multi_label else logits.softmax(dim=-1)
            out[places] = shares.cpu().numpy()
        return out


def load_classifier(name: str, mapping: Mapping[str, str] | None = None) -> Classifier:
    """Return a text-classification model as judge; safetensors only, no code of the model's own is run.

    Parameters
    ----------
    name
        ``hf:NAME`` or ``hf:NAME#FILE.json``: a name on the hub or a folder, and a JSON file with a mapping. A folder may
        hold a card ``emospace-judge.json``, see `Classifier`.
    mapping
        The model's label -> category or ``neutral``; labels that are not in it are no category of ours.

    Raises
    ------
    EmospaceError
        If the model cannot be loaded, is no classifier, or none of the six basic emotions is among its labels.
    """
    source, _, file = name.removeprefix("hf:").partition("#")
    if mapping is None and file:
        mapping = read_object(Path(file), hint='Give JSON like {"glad": "joy"}.')
    model, tokenizer = _load(source)
    given = [str(model.config.id2label[place]) for place in range(model.config.num_labels)]
    outputs = _outputs(name, given, mapping)
    path = Path(source) / CARD
    card = read_object(path) if path.is_file() else {}
    multi_label = model.config.problem_type == "multi_label_classification"
    return Classifier(f"hf:{name.removeprefix('hf:')}", card, outputs, multi_label, model, tokenizer)


def _outputs(name: str, given: Sequence[str], mapping: Mapping[str, str] | None) -> tuple[str | None, ...]:
    targets = {category.name for category in categories()} | {"neutral"}
    hint = (
        f'Give a mapping, load_classifier(name, {{"{given[0]}": "joy", ...}}), or put it into a JSON file and name it '
        f"after a hash: hf:NAME#FILE.json."
    )
    if mapping is not None:
        strange = [label for label in mapping if label not in given]
        wrong = [
            category
            for category in mapping.values()
            if not isinstance(category, str) or category not in targets
        ]
        if strange or wrong:
            why = f"the model has no label '{strange[0]}'" if strange else f"'{wrong[0]}' is no category"
            raise InvalidInput(
                f"mapping for '{name}'",
                why,
                f"The labels are {', '.join(given)}; the categories are emospace's and neutral.",
            )
        outputs = tuple(mapping.get(label) for label in given)
    else:
        names = {
            lemma.casefold(): label
            for label, lemmas in load_concepts(["en"]).labels["en"].items()
            for lemma in lemmas
        }
        names = names | dict(ALIASES) | {category: category for category in targets}
        plain = [label.strip().casefold().replace("_", " ") for label in given]
        outputs = tuple(names.get(label) for label in plain)
    if not set(outputs) & set(BASIC):
        raise InvalidInput(
            f"judge '{name}'", f"none of its labels ({', '.join(given[:8])}) is a basic emotion", hint
        )
    return outputs


def _load(source: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    try:
        with hub(source):
            model, info = AutoModelForSequenceClassification.from_pretrained(
                source, use_safetensors=True, trust_remote_code=False, output_loading_info=True
            )
            tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise InvalidInput(
            f"judge '{source}'",
            f"it cannot be loaded ({first_line(error).rstrip('.')})",
            "Name a text-classification model with safetensors weights, on the hub or in a folder.",
        ) from error
    if info["missing_keys"]:
        raise InvalidInput(
            f"judge '{source}'",
            f"it is no trained classifier: {len(info['missing_keys'])} weights are missing "
            f"({', '.join(sorted(info['missing_keys'])[:3])})",
            "Name a model that was trained for text classification.",
        )
    return model.eval(), tokenizer
