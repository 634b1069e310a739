"""How numbers and names are written: r without its leading zero, true minus signs, names a reader knows."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files

from emospace.records import PredictionRecord, Record

DASH = "–"

_NAMES = tomllib.loads((files("emospace.report") / "names.toml").read_text(encoding="utf-8"))
LANGUAGES: Mapping[str, str] = _NAMES["languages"]
STRUCTURES: Mapping[str, str] = _NAMES["structures"]
STATISTICS: Mapping[str, str] = _NAMES["statistics"]
SPACES: Mapping[str, str] = _NAMES["spaces"]
STATIC_SOURCES: Mapping[str, str] = _NAMES["static_sources"]
VECTORS: Mapping[str, str] = _NAMES["vectors"]
METHODS: Mapping[str, str] = _NAMES["methods"]
SUBSETS: Mapping[str, str] = _NAMES["subsets"]
STEERING_FIGURES: Mapping[str, str] = _NAMES["steering_figures"]
FEATURE_SETS: Mapping[str, tuple[str, str, str]] = _NAMES["feature_sets"]
"""Name, colour group and description of each feature set, in the order of the bars."""
CROSSED: Mapping[str, tuple[str, str]] = _NAMES["crossed"]
"""Name and description of each feature set of prediction across languages, in the order of the page."""


WITHOUT_MEANS = "results.json does not hold them, as an earlier version wrote it; run it again with this one"
MANY = 3
"""From so many languages on, what is shown of each is chosen from a list."""


def way_name(way: str) -> str:
    """Return the name of a way of steering: its kind of vector, then its settings and the mode of its dose as they are."""
    kind = way.split(" ")[0].rstrip(",")
    rest = way[len(kind) :].replace(" guidance=plain", ", no guidance").replace(" guidance=", ", ")
    return upper_first(VECTORS.get(kind, kind)) + rest


def way_order(way: str) -> tuple[int, str]:
    """Return what ways of steering are sorted by: the order of the comparison."""
    kind, kinds = way.split(" ")[0].rstrip(","), list(VECTORS)
    return (kinds.index(kind) if kind in kinds else len(kinds), way)


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


def pair_name(a: str, b: str) -> str:
    """Return the name of a pair of languages."""
    return f"{language_name(a)} – {language_name(b)}"


def span(counts: Iterable[Record | int], noun: str) -> str:
    """Write counts, or the n of records, as one number or as a range: ``41 categories``, ``30 to 41 categories``."""
    sizes = [given if isinstance(given, int) else given.n for given in counts]
    low, high = min(sizes), max(sizes)
    return counted(high, noun) if low == high else f"{low:,} to {counted(high, noun)}"


def resting(records: Sequence[Record], noun: str) -> str:
    """Return what figures rest on: n and seed, permutations where there are."""
    parts = [f"n = {span(records, noun)}"]
    drawn = sorted({n for record in records if (n := getattr(record, "n_permutations", None))})
    parts += [f"{listed([f'{n:,}' for n in drawn])} permutations"] if drawn else []
    parts.append(f"seed {listed([str(seed) for seed in sorted({record.seed for record in records})])}")
    return ", ".join(parts)
