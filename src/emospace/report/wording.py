"""How numbers and names are written: r without its leading zero, true minus signs, names a reader knows."""

from __future__ import annotations

import math
from collections.abc import Sequence

from emospace.records import PredictionRecord

DASH = "–"

LANGUAGES = {
    "ar": "Arabic",
    "cs": "Czech",
    "da": "Danish",
    "de": "German",
    "en": "English",
    "es": "Spanish",
    "fa": "Persian",
    "fi": "Finnish",
    "fr": "French",
    "he": "Hebrew",
    "hi": "Hindi",
    "hr": "Croatian",
    "id": "Indonesian",
    "it": "Italian",
    "ja": "Japanese",
    "ko": "Korean",
    "nl": "Dutch",
    "pl": "Polish",
    "pt": "Portuguese",
    "ru": "Russian",
    "sv": "Swedish",
    "tr": "Turkish",
    "uk": "Ukrainian",
    "vi": "Vietnamese",
    "zh": "Chinese",
}

# Feature set -> (name, colour group, what it is); the order is that of the bars.
FEATURE_SETS = {
    "space": ("Emotion space", "concepts", "latents chosen with the concept-sets"),
    "shared": ("Shared by languages", "concepts", "the part of the space chosen in every language"),
    "specific": ("Specific to language", "concepts", "the part of the space chosen in this language alone"),
    "outside": (
        "Outside, matched",
        "control",
        "latents not in the space, matched on number, firing rate and activation",
    ),
    "outside_shared": (
        "Outside, as shared",
        "control",
        "matched latents outside the spaces, as many as are shared",
    ),
    "outside_random": ("Outside, random", "control", "as many latents not in the space, drawn at random"),
    "top_firing": (
        "Most active latents",
        "control",
        "as many latents, the most active ones, no concepts used",
    ),
    "shuffled": ("Shuffled concepts", "control", "random word sets through the same selection"),
    "all": ("All latents", "other", "every latent of the SAE"),
    "dense": ("Dense states", "other", "the residual stream itself"),
    "static": ("Static embeddings", "other", "word vectors with no context"),
    "static_concepts": (
        "Concepts in embeddings",
        "other",
        "the same categories' directions, made in the input embeddings",
    ),
    "static_pcs": (
        "Embedding components",
        "control",
        "as many principal components of the input embeddings, no concepts used",
    ),
    "dense_static": ("Dense + embeddings", "other", "dense states and input embeddings together"),
    "space_static": ("Space + embeddings", "other", "the emotion space and input embeddings together"),
    "surface": ("Length, frequency", "other", "word length and frequency alone"),
}

STRUCTURES = {
    "valence_arousal": "valence-arousal distance",
    "goemotions": "GoEmotions co-annotation",
    "kote": "KOTE co-annotation",
    "brighter": "BRIGHTER co-annotation",
    "clics": "colexification",
    "childfer": "rated similarity",
}

STATISTICS = {
    "rsa_spearman": "RSA (Spearman)",
    "rsa_partial": "Partial RSA",
    "pc1_r": "First component, r",
    "best_pc_r": "Best component, r",
    "cebra_r2": "CEBRA decoding, R²",
    "procrustes": "Procrustes fit",
    "rdm_weight": "Weight in the RDM",
}

# Feature set of prediction across languages -> (name, what it is); the order is that of the page.
CROSSED = {
    "space": ("Emotion space", "the features of the training language"),
    "shared": ("Shared", "features of both languages"),
    "specific": ("Specific", "features of the training language and not of the other"),
    "universal": ("Universal", "features of most languages of the study"),
    "dense": ("Dense states", "the residual stream itself"),
    "static": ("Static embeddings", "input embeddings, with no context"),
}
WITHOUT_MEANS = "results.json does not hold them, as an earlier version wrote it; run it again with this one"
MANY = 3
"""From so many languages on, what is shown of each is chosen from a list."""

STATIC_SOURCES = {
    "input embedding": "input",
    "input embeddings": "input",
    "ppmi svd": "PPMI-SVD",
    "PPMI-SVD of the corpora": "PPMI-SVD",
}

SPACES = {
    "sae": "SAE features",
    "dense": "dense directions",
    "static": "static embeddings",
    "sae_static": "SAE features + embeddings",
    "dense_static": "dense directions + embeddings",
}


def language_name(code: str) -> str:
    """Return the English name of a language, or its code when we have none."""
    return LANGUAGES.get(code, code)


def plain_name(name: str) -> str:
    """Return an identifier as words."""
    return name.replace("_", " ")


def structure_name(against: str) -> str:
    """Return the name of a human category structure, with the language or family of its variant."""
    name, _, variant = against.partition("/")
    known_name = STRUCTURES.get(name, plain_name(name))
    if not variant:
        return f"{known_name}, all families" if name == "clics" else known_name
    return f"{known_name}, {family_name(variant) if name == 'clics' else language_name(variant)}"


def family_name(family: str) -> str:
    """Return the name of a language family: ``Indo-European``."""
    return "-".join(upper_first(part) for part in family.split("-"))


def space_name(space: str) -> str:
    """Return what stands for the model: SAE features, dense directions or static embeddings."""
    return SPACES.get(space, plain_name(space))


def set_name(record: PredictionRecord) -> str:
    """Return the name of a record's feature set, with the source of static vectors."""
    name = FEATURE_SETS[record.features][0]
    if not record.static_source:
        return name
    source = plain_name(record.static_source)
    return f"Static, {STATIC_SOURCES.get(source, source)}"


def figure(value: float | None, digits: int = 2) -> str:
    """Write a correlation: ``.78``, ``−.05``, ``1.00``; a dash for null."""
    if value is None or not math.isfinite(value):
        return DASH
    text = f"{abs(value):.{digits}f}"
    text = text[1:] if text.startswith("0.") else text
    return f"−{text}" if value < 0 and float(f"{value:.{digits}f}") != 0 else text


def number(value: float | None, digits: int = 2) -> str:
    """Write a plain number with a true minus sign and thousands separators; a dash for null."""
    if value is None or not math.isfinite(value):
        return DASH
    return f"{value:,.{digits}f}".replace("-", "−")


def count(value: int | None) -> str:
    """Write a count: ``13,915``."""
    return DASH if value is None else f"{value:,}"


def counted(value: int, noun: str) -> str:
    """Write a count with its noun in the right number: ``1 word``, ``13,915 words``, ``26 categories``."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{value:,} {noun if value == 1 else plural}"


def interval(low: float | None, high: float | None) -> str:
    """Write the bounds of an interval: ``.77 to .79``; a dash for null."""
    return DASH if low is None or high is None else f"{figure(low)}\u00a0to\u00a0{figure(high)}"


def p_value(p: float | None) -> str:
    """Write a p value alone: ``< .001``, ``.03``; a dash for null."""
    if p is None:
        return DASH
    return "<\u00a0.001" if p < 0.001 else figure(p, 3 if p < 0.1 else 2)


def p_clause(p: float | None) -> str:
    """Write a p value with its sign: ``p < .001``, ``p = .03``; nothing for null."""
    if p is None:
        return ""
    written = p_value(p)
    return f"p\u00a0{written}" if written.startswith("<") else f"p\u00a0=\u00a0{written}"


def percent(value: float | None) -> str:
    """Write a fraction as a percentage: ``97%``, ``0.2%``, ``99.8%``; a dash for null."""
    if value is None or not math.isfinite(value):
        return DASH
    whole = 0.0995 <= value < 0.985 or value in (0, 1)
    return f"{100 * value:.0f}%" if whole else f"{100 * value:.1f}%"


def listed(parts: Sequence[str], last: str = "and") -> str:
    """Join words as a sentence does: ``a, b and c``."""
    return f" {last} ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts)


def upper_first(text: str) -> str:
    """Return the text with its first letter in upper case."""
    return text[:1].upper() + text[1:]
