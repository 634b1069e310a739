"""How published norms files are laid out: one declaration each, recognised from the columns."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from emospace.norms.word_norms import TARGETS

Patterns = str | tuple[str, ...]
HEADER_SEARCH = 5

LANGUAGES = {
    "arabic": "ar", "chinese": "zh", "croatian": "hr", "dutch": "nl", "english": "en", "finnish": "fi",
    "french": "fr", "german": "de", "greek": "el", "hindi": "hi", "indonesian": "id", "italian": "it",
    "japanese": "ja", "korean": "ko", "persian": "fa", "polish": "pl", "portuguese": "pt", "russian": "ru",
    "spanish": "es", "swedish": "sv", "turkish": "tr",
}  # fmt: skip
LANGUAGE = f"(?P<language>{'|'.join(LANGUAGES)})"


@dataclass(frozen=True)
class Layout:
    """One published layout; to add one, append an entry to `LAYOUTS`.

    Parameters
    ----------
    name
        Name the norms get; empty to name them after their file.
    columns
        ``word``, targets, ``<target>_sd`` and ``<target>_n`` -> regular expression for the whole header in
        `plain` form, or several in order of preference. ``word`` and ``valence`` or ``arousal`` must be found.
        The word pattern may name a group ``language``; ``<language>`` in other patterns stands for what it matched.
    scale
        (lowest, highest) answer, for all targets or by target; None where the layout does not fix it.
    header
        The exact header line as published, for layouts whose column names are shared by others.
    requires
        Headers in `plain` form that must be there too.
    header_rows
        Two where an upper row names blocks: the header is then ``upper:lower``, the upper name carried right.
    on_scale
        Whether the ratings must also lie on `scale`, for headers that do not tell one set from another.
    """

    name: str
    columns: Mapping[str, Patterns]
    scale: tuple[float, float] | Mapping[str, tuple[float, float]] | None = None
    language: str = ""
    citation: str = ""
    licence: str = ""
    note: str = ""
    script: str = ""
    header: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    header_rows: int = 1
    on_scale: bool = False


@dataclass(frozen=True)
class Recognised:
    """A layout found in a grid of cells: which column is what, and the row its data start at (from 0)."""

    layout: Layout
    columns: Mapping[str, int]
    first_row: int
    language: str = ""
    headers: tuple[str, ...] = field(default=())


def _blocks(mean: str, sd: str, n: str = "", names: str = "V A D") -> dict[str, Patterns]:
    """Return the column patterns of a file that names each statistic of each target the same way."""
    columns: dict[str, Patterns] = {}
    for target, short in zip(TARGETS, names.split(), strict=False):
        for suffix, pattern in {"": mean, "_sd": sd, "_n": n}.items():
            if pattern:
                columns[target + suffix] = pattern.replace("@", short)
    return columns


def _tidy(target: str, names: str) -> dict[str, Patterns]:
    """Return the patterns under which tidy files name a target, its SD and its rater count."""
    whole = "(_(all|sum|total))?"
    return {
        target: (names, f"({names})_(mean|m|avg|rating){whole}|(mean|m|avg)_({names}){whole}"),
        f"{target}_sd": f"({names})_(sd|std|stdev){whole}|(sd|std|stdev)_({names}){whole}",
        f"{target}_n": (f"({names})_n{whole}|n_({names}){whole}", "n|n_raters|raters"),
    }


_VAD_TIDY: dict[str, Patterns] = {
    **_tidy("valence", "valence|val|pleasantness|pleasure"),
    **_tidy("arousal", "arousal|aro|activation"),
    **_tidy("dominance", "dominance|dom|control"),
}

LAYOUTS: list[Layout] = [
    Layout(
        name="en_warriner_2013",
        columns={"word": "word", **_blocks("@_mean_sum", "@_sd_sum", "@_rat_sum", "v a d")},
        scale=(1, 9),
        language="en",
        citation="Warriner, Kuperman & Brysbaert (2013) Behav Res Methods 45:1191-1207",
        licence="CC BY-NC-ND 3.0",
    ),
    Layout(
        name="en_nrc_vad_v1",
        columns={"word": "word", "valence": "valence", "arousal": "arousal", "dominance": "dominance"},
        header=("Word", "Valence", "Arousal", "Dominance"),
        scale=(0, 1),
        on_scale=True,
        language="en",
        citation="Mohammad (2018) Obtaining reliable human ratings of valence, arousal, and dominance. ACL",
        licence="research use; redistribution not allowed",
        note="best-worst scaling scores, not mean ratings",
    ),
    Layout(
        name="en_nrc_vad_v2",
        columns={"word": "term", "valence": "valence", "arousal": "arousal", "dominance": "dominance"},
        header=("term", "valence", "arousal", "dominance"),
        scale=(-1, 1),
        on_scale=True,
        language="en",
        citation="Mohammad (2025) NRC VAD Lexicon v2. arXiv 2503.23547",
        licence="research use; redistribution not allowed",
        note="holds terms of several words",
    ),
    Layout(
        name="en_glasgow_2019",
        columns={"word": "words?", **_blocks("@:m", "@:sd", "@:n", "val arou dom")},
        header_rows=2,
        scale=(1, 9),
        language="en",
        citation="Scott, Keitel, Becirspahic, Yao & Sereno (2019) The Glasgow Norms. Behav Res Methods 51:1258-1270",
        licence="CC BY 4.0",
    ),
    Layout(
        name="en_glasgow_2019",
        columns={"word": "word_english", **_blocks("@_mean", "@_sd", "@_n", "valence arousal dominance")},
        requires=("gender_mean", "size_mean", "aoa_mean", "familiar_mean"),
        scale=(1, 9),
        language="en",
        citation="Scott, Keitel, Becirspahic, Yao & Sereno (2019) The Glasgow Norms. Behav Res Methods 51:1258-1270",
        licence="CC BY 4.0",
    ),
    Layout(
        name="nl_moors_2013",
        columns={"word": "words?", **_blocks("all:m_@", "all:sd_@", "all:n_@", "v a p")},
        header_rows=2,
        scale=(1, 7),
        language="nl",
        citation="Moors et al. (2013) Norms of valence, arousal, dominance, and age of acquisition for 4,300 Dutch "
        "words. Behav Res Methods 45:169-177",
        note="P (power) is dominance",
    ),
    Layout(
        name="de_bawl_r_2009",
        columns={"word": "wordstem", "valence": "valence", "arousal": "arousal"},
        requires=("wordclass",),
        scale={"valence": (-3, 3), "arousal": (1, 5)},
        language="de",
        citation="Vo et al. (2009) The Berlin Affective Word List Reloaded (BAWL-R). Behav Res Methods 41:534-538",
    ),
    Layout(
        name="zh_cvaw",
        columns={"word": "word", **_blocks("@_mean", "@_sd", names="valence arousal")},
        header=("No.", "Word", "Valence_Mean", "Arousal_Mean", "Valence_SD", "Arousal_SD"),
        scale=(1, 9),
        on_scale=True,
        language="zh",
        script="Hant",
        citation="Yu et al. (2016) Building Chinese affective resources in valence-arousal dimensions. NAACL",
        note="traditional script",
    ),
    Layout(
        name="it_montefinese_2014",
        columns={
            "word": "word_italian",
            **_blocks("@_mean(_all)?", "@_sd(_all)?", names="valence arousal dominance"),
            **{f"{target}_n": "n_valence_arousal_dominance" for target in TARGETS},
        },
        requires=("anew_id",),
        scale=(1, 9),
        language="it",
        citation="Montefinese, Ambrosini, Fairfield & Mammarella (2014) The adaptation of ANEW for Italian. "
        "Behav Res Methods 46:887-903",
    ),
    Layout(
        name="es_redondo_2007",
        columns={"word": "s_word", **_blocks("@_mn_all", "@_sd_all", names="val aro dom")},
        scale=(1, 9),
        language="es",
        citation="Redondo, Fraga, Padron & Comesana (2007) The Spanish adaptation of ANEW. "
        "Behav Res Methods 39:600-605",
    ),
    Layout(
        name="",
        columns={
            "word": LANGUAGE,
            **_blocks("<language>_@_mean", "<language>_@_sd", names="valence arousal dominance"),
        },
        requires=("concepticon_id",),
        citation="NoRaRe: Tjuka, Forkel & List (2022) Behav Res Methods 54:864-884, and the set it was taken from",
    ),
    Layout(
        name="",
        columns={"word": ("word", f"word_{LANGUAGE}(_gsd)?", "words|term|terms|lemma|item"), **_VAD_TIDY},
    ),
]


def plain(header: str) -> str:
    """Return a header in lower case with every run of spaces, dots, hyphens and underscores as one underscore."""
    return re.sub(r"[\s._\-]+", "_", unicodedata.normalize("NFKC", header).strip().casefold()).strip("_")


def recognise(rows: Sequence[Sequence[str]]) -> Recognised | None:
    """Return the first layout of `LAYOUTS` that the first rows of a grid of cells fit, or None."""
    for start in range(min(HEADER_SEARCH, len(rows))):
        for layout in LAYOUTS:
            found = _fit(layout, rows, start)
            if found:
                return found
    return None


def _fit(layout: Layout, rows: Sequence[Sequence[str]], start: int) -> Recognised | None:
    if layout.header and tuple(cell.strip() for cell in rows[start]) != layout.header:
        return None
    headers = _headers(rows[start : start + layout.header_rows])
    if not set(layout.requires) <= set(headers):
        return None
    for word, language in _word_columns(layout.columns["word"], headers):
        columns = {"word": word}
        for key, patterns in layout.columns.items():
            if key != "word":
                at = _find(patterns, headers, language)
                if at is not None and at != word:
                    columns[key] = at
        if not {"valence", "arousal"} & set(columns):
            continue
        found = Recognised(
            layout,
            {key: at for key, at in columns.items() if key.partition("_")[0] in columns},
            start + layout.header_rows,
            layout.language or LANGUAGES.get(language, ""),
            tuple(headers),
        )
        if not layout.on_scale or _lies_on(layout, found, rows):
            return found
    return None


def _headers(rows: Sequence[Sequence[str]]) -> list[str]:
    if len(rows) == 1:
        return [plain(cell) for cell in rows[0]]
    upper, lower = rows
    headers, block = [], ""
    for i in range(max(len(upper), len(lower))):
        above = plain(upper[i]) if i < len(upper) else ""
        below = plain(lower[i]) if i < len(lower) else ""
        block = above or block
        headers.append(f"{block}:{below}" if block and below else block if above else below)
    return headers


def _word_columns(patterns: Patterns, headers: list[str]) -> list[tuple[int, str]]:
    found = []
    for pattern in (patterns,) if isinstance(patterns, str) else patterns:
        for i, header in enumerate(headers):
            match = re.fullmatch(pattern, header)
            if match:
                found.append((i, match.groupdict().get("language") or ""))
    return found


def _find(patterns: Patterns, headers: list[str], language: str) -> int | None:
    for pattern in (patterns,) if isinstance(patterns, str) else patterns:
        if "<language>" in pattern and not language:
            continue
        for i, header in enumerate(headers):
            if re.fullmatch(pattern.replace("<language>", re.escape(language)), header):
                return i
    return None


def _lies_on(layout: Layout, found: Recognised, rows: Sequence[Sequence[str]]) -> bool:
    """Return whether 95% of the ratings that are numbers lie on the declared scale."""
    inside = total = 0
    for target in TARGETS:
        if target not in found.columns or layout.scale is None:
            continue
        low, high = layout.scale[target] if isinstance(layout.scale, Mapping) else layout.scale
        for row in rows[found.first_row :]:
            try:
                value = float(row[found.columns[target]].replace(",", "."))
            except (ValueError, IndexError):
                continue
            total += 1
            inside += low <= value <= high
    return total > 0 and inside >= 0.95 * total
