"""Published ratings files: what their columns do not tell, one declaration each."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emospace.norms.headers import folded, language_names, plain

Patterns = str | tuple[str, ...]
LANGUAGE = f"(?P<language>{'|'.join(language_names())})"
BOTH = ("valence", "arousal")
BRM = "Behav Res Methods"


@dataclass(frozen=True)
class Layout:
    """One published layout; to add one, append an entry to `LAYOUTS`.

    Parameters
    ----------
    name
        Name the norms get; empty to name them after their file.
    columns
        ``word``, targets, ``<target>_sd`` and ``<target>_n`` -> regular expression for the whole header in
        `plain` form, or several in order of preference: only those `choose_columns` would not find. The word pattern
        may name a group ``language``; ``<language>`` in other patterns stands for what it matched.
    scale
        (lowest, highest) answer, for all targets or by target; None where the layout does not fix it.
    header
        The exact header line as published, for layouts whose column names are shared by others.
    requires
        Headers in `plain` form that must be there: by them the file is known.
    header_rows
        Two where an upper row names blocks: the header is then ``upper:lower``, the upper name carried right.
    headless
        Columns in order of a file published without a header row, a word and numbers.
    holds
        Words of the set, for headers that do not tell one set from another: all must be there.
    on_scale
        Whether the ratings must also lie on `scale`, for headers that do not tell one set from another.
    reversed
        Targets whose published scale runs from high to low.
    verified
        Whether the published file, or its header, was seen; others are as the literature and its readers say.
    suggested_by
        Headers in `plain` form that together suggest a layout known by its name alone.
    by_name
        Whether nothing in the columns tells the set, so that only its name (``layout`` in a card) chooses it.
    """

    name: str
    columns: Mapping[str, Patterns] = field(default_factory=dict)
    scale: tuple[float, float] | Mapping[str, tuple[float, float]] | None = None
    language: str = ""
    citation: str = ""
    licence: str = ""
    note: str = ""
    script: str = ""
    header: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    header_rows: int = 1
    headless: tuple[str, ...] = ()
    holds: tuple[str, ...] = ()
    on_scale: bool = False
    reversed: tuple[str, ...] = ()
    verified: bool = False
    suggested_by: tuple[str, ...] = ()
    by_name: bool = False


def _blocks(mean: str, sd: str, names: str) -> dict[str, Patterns]:
    """Return the patterns of a file that names each statistic of valence, arousal and dominance the same way."""
    columns: dict[str, Patterns] = {}
    for target, short in zip(("valence", "arousal", "dominance"), names.split(), strict=False):
        columns |= {target: mean.replace("@", short), f"{target}_sd": sd.replace("@", short)}
    return columns


_GLASGOW: dict[str, Any] = {
    "scale": (1, 9),
    "language": "en",
    "citation": f"Scott, Keitel, Becirspahic, Yao & Sereno (2019) The Glasgow Norms. {BRM} 51:1258-1270",
    "licence": "CC BY 4.0",
    "verified": True,
}
_BAWL: dict[str, Any] = {
    "scale": {"valence": (-3, 3), "arousal": (1, 5)},
    "language": "de",
    "citation": f"Vo et al. (2009) The Berlin Affective Word List Reloaded (BAWL-R). {BRM} 41:534-538",
}
_MONTEFINESE: dict[str, Any] = {
    "scale": (1, 9),
    "language": "it",
    "citation": f"Montefinese, Ambrosini, Fairfield & Mammarella (2014) The adaptation of ANEW for Italian. {BRM} "
    "46:887-903",
}
_STADTHAGEN = (
    f"Stadthagen-Gonzalez, Imbault, Perez Sanchez & Brysbaert (2017) Norms of valence and arousal for 14,031 Spanish "
    f"words. {BRM} 49:111-123"
)
_NRC_VAD_1: dict[str, Any] = {
    "scale": (0, 1),
    "on_scale": True,
    "language": "en",
    "citation": "Mohammad (2018) Obtaining reliable human ratings of valence, arousal, and dominance. ACL",
    "licence": "research use; redistribution not allowed",
    "note": "best-worst scaling scores, not mean ratings",
    "verified": True,
}
_CVAW: dict[str, Any] = {
    "scale": (1, 9),
    "on_scale": True,
    "language": "zh",
    "script": "Hant",
    "citation": "Yu et al. (2016) Building Chinese affective resources in valence-arousal dimensions. NAACL",
    "note": "traditional script",
}

LAYOUTS: list[Layout] = [
    Layout(
        "en_warriner_2013",
        requires=("word", "v_mean_sum", "a_mean_sum", "d_mean_sum"),
        scale=(1, 9),
        language="en",
        citation=f"Warriner, Kuperman & Brysbaert (2013) {BRM} 45:1191-1207",
        licence="CC BY-NC-ND 3.0",
        verified=True,
    ),
    Layout(
        "en_nrc_vad_v1",
        header=("Word", "Valence", "Arousal", "Dominance"),
        **_NRC_VAD_1,
    ),
    Layout(
        "en_nrc_vad_v1",
        headless=("word", "valence", "arousal", "dominance"),
        holds=("aaaaaaah", "aardvark"),
        **_NRC_VAD_1,
    ),
    Layout(
        "en_nrc_vad_v2",
        header=("term", "valence", "arousal", "dominance"),
        scale=(-1, 1),
        on_scale=True,
        language="en",
        citation="Mohammad (2025) NRC VAD Lexicon v2. arXiv 2503.23547",
        licence="research use; redistribution not allowed",
        note="holds terms of several words",
        verified=True,
    ),
    Layout(
        "en_anew",
        requires=("wdnum", "valmn", "aromn"),
        scale=(1, 9),
        language="en",
        citation="Bradley & Lang (1999, 2010) Affective norms for English words (ANEW). University of Florida",
    ),
    Layout(
        "en_anew",
        requires=("description", "word_no"),
        scale=(1, 9),
        language="en",
        citation="Bradley & Lang (1999) Affective norms for English words (ANEW). University of Florida",
    ),
    Layout("en_glasgow_2019", requires=("arou:m", "val:m", "dom:m"), header_rows=2, **_GLASGOW),
    Layout(
        "en_glasgow_2019",
        requires=("word_english", "gender_mean", "size_mean", "aoa_mean", "familiar_mean"),
        **_GLASGOW,
    ),
    Layout(
        "nl_moors_2013",
        requires=("all:m_v", "all:m_a", "all:m_p"),
        header_rows=2,
        scale=(1, 7),
        language="nl",
        citation="Moors et al. (2013) Norms of valence, arousal, dominance, and age of acquisition for 4,300 Dutch "
        f"words. {BRM} 45:169-177",
        note="P (power) is dominance",
        verified=True,
    ),
    Layout("de_bawl_r_2009", requires=("wordstem", "wordclass", "valence"), verified=True, **_BAWL),
    Layout(
        "de_bawl_r_2009",
        columns={"word": ("word_lower", "word"), "valence": "emo_mean", "valence_sd": "emo_(std|sd)"},
        requires=("emo_mean", "arousal_mean", "word_class"),
        **_BAWL,
    ),
    Layout(
        "de_angst_2014",
        columns={
            "word": "g_word",
            "arousal": r"aro_mean_\(anew\)",
            "arousal_sd": r"aro_(sd|std)_\(anew\)",
            "dominance": "dom_mean",
        },
        requires=("g_word", "val_mean", "aro_mean_(anew)"),
        scale={"valence": (-3, 3), "arousal": (1, 9), "dominance": (1, 9)},
        language="de",
        citation=f"Schmidtke, Schroder, Jacobs & Conrad (2014) ANGST: Affective norms for German sentiment terms. {BRM} "
        "46:1108-1118",
        note="arousal is that of the ANEW instruction; the file has one of BAWL too",
    ),
    Layout(
        "de_lang_2010",
        scale=(1, 9),
        language="de",
        citation=f"Kanske & Kotz (2010) Leipzig Affective Norms for German (LANG). {BRM} 42:987-991",
        by_name=True,
    ),
    Layout(
        "zh_cvaw",
        header=("No.", "Word", "Valence_Mean", "Arousal_Mean", "Valence_SD", "Arousal_SD"),
        verified=True,
        **_CVAW,
    ),
    Layout(
        "zh_cvaw",
        header=("No.", "Word", "Valence_Mean", "Valence_SD", "Arousal_Mean", "Arousal_SD", "Frequency"),
        **_CVAW,
    ),
    Layout(
        "zh_chan_tse_2024",
        requires=("word_chinese_gsd", "word_chinese_gsds", "valence_mean", "arousal_mean"),
        language="zh",
        citation=f"Chan & Tse (2024) {BRM}",
        note="traditional and simplified columns; words that differ in traditional script alone are one in simplified",
        verified=True,
    ),
    Layout(
        "zh_yao_2017",
        scale=(1, 9),
        language="zh",
        script="Hans",
        citation="Yao, Wu, Zhang & Wang (2017) Norms of valence, arousal, concreteness, familiarity, imageability, and "
        f"context availability for 1,100 Chinese words. {BRM} 49:1374-1385",
        note="published as PDF: headers are whatever the conversion gave",
        by_name=True,
    ),
    Layout(
        "zh_xu_2022",
        scale={"valence": (-3, 3), "arousal": (0, 4)},
        language="zh",
        script="Hans",
        citation="Xu, Li & Chen (2022) Valence and arousal ratings for 11,310 simplified Chinese words. "
        f"{BRM} 54:26-41",
        by_name=True,
    ),
    Layout(
        "it_montefinese_2014",
        requires=("anew_id", "word_italian"),
        columns={"word": "word_italian"},
        verified=True,
        **_MONTEFINESE,
    ),
    Layout(
        "it_montefinese_2014",
        requires=("ita_word", "m_val", "m_aro"),
        columns={"word": "ita_word"},
        **_MONTEFINESE,
    ),
    Layout(
        "it_borsa_2025",
        requires=("word_italian", "italian_code", "valence_mean", "sem_div_mean"),
        scale=(1, 9),
        language="it",
        citation="Borsa et al. (2025) Brain Sciences (Italian multidimensional norms)",
        licence="CC BY 4.0",
        note="published from positive and aroused to negative and calm",
        reversed=BOTH,
        verified=True,
    ),
    Layout(
        "es_redondo_2007",
        columns={"word": "s_word"},
        requires=("s_word", "val_mn_all", "aro_mn_all"),
        scale=(1, 9),
        language="es",
        citation=f"Redondo, Fraga, Padron & Comesana (2007) The Spanish adaptation of ANEW. {BRM} 39:600-605",
        verified=True,
    ),
    Layout(
        "es_stadthagen_2017",
        requires=("word", "valencemean", "arousalmean"),
        holds=("abandono", "abuela", "alegría", "amistad"),
        scale=(1, 9),
        language="es",
        citation=_STADTHAGEN,
        note="a word few raters knew ends in an asterisk",
    ),
    Layout(
        "es_stadthagen_2018",
        scale=(1, 9),
        language="es",
        citation=f"Stadthagen-Gonzalez, Ferre, Perez-Sanchez, Imbault & Hinojosa (2018) Norms for 10,491 Spanish words "
        f"for five discrete emotions. {BRM} 50:1943-1952",
        by_name=True,
    ),
    Layout(
        "es_guasch_2016",
        scale=(1, 9),
        language="es",
        citation=f"Guasch, Ferre & Fraga (2016) Spanish norms for affective and lexico-semantic variables. {BRM} "
        "48:1358-1369",
        by_name=True,
    ),
    Layout(
        "es_hinojosa_2016",
        columns={"arousal": "ar_mn", "arousal_sd": "ar_sd"},
        requires=("word", "val_mn", "ar_mn", "hap_mn"),
        scale=(1, 9),
        language="es",
        citation=f"Hinojosa et al. (2016) Affective norms of 875 Spanish words. {BRM} 48:272-284",
    ),
    Layout(
        "pl_imbir_2016",
        requires=("polish_word", "valence_m", "arousal_m", "dominance_m"),
        scale=(1, 9),
        language="pl",
        citation="Imbir (2016) Affective Norms for 4900 Polish Words Reload (ANPW_R). Front Psychol 7:1081",
        licence="CC BY 4.0",
    ),
    Layout(
        "pl_imbir_2015",
        scale=(1, 9),
        language="pl",
        citation=f"Imbir (2015) Affective norms for 1,586 Polish words (ANPW). {BRM} 47:860-870",
        by_name=True,
    ),
    Layout(
        "pl_nawl_2015",
        columns={"word": "nawl_word"},
        requires=("nawl_word", "val_m_all", "aro_m_all"),
        scale={"valence": (-3, 3), "arousal": (1, 5)},
        language="pl",
        citation=f"Riegel et al. (2015) Nencki Affective Word List (NAWL). {BRM} 47:1222-1236",
        licence="non-commercial use",
    ),
    Layout(
        "pt_soares_2012",
        columns={"word": "ep_word"},
        requires=("ep_word", "val_m", "arou_m"),
        scale=(1, 9),
        language="pt",
        citation="Soares, Comesana, Pinheiro, Simoes & Frade (2012) The adaptation of ANEW for European Portuguese. "
        f"{BRM} 44:256-269",
    ),
    Layout(
        "fr_fan_2014",
        columns={"valence": "valence_fan", "arousal": "arousal_fan"},
        suggested_by=("valence_fan",),
        scale=(1, 9),
        language="fr",
        citation=f"Monnier & Syssau (2014) Affective norms for French words (FAN). {BRM} 46:1128-1137",
        by_name=True,
    ),
    Layout(
        "fr_bonin_2003",
        scale=(1, 5),
        language="fr",
        citation="Bonin et al. (2003) Normes de concretude, de valeur d'imagerie, de frequence subjective et de valence "
        "emotionnelle pour 866 mots. L'Annee psychologique 103:655-694",
        by_name=True,
    ),
    Layout(
        "fr_bonin_2018",
        suggested_by=("items", "mean_context_availability", "mean_valence"),
        scale=(1, 5),
        language="fr",
        citation="Bonin, Meot & Bugaiska (2018) Concreteness norms for 1,659 French words: relationships with other "
        f"psycholinguistic variables and word recognition times. {BRM} 50:2366-2387",
        by_name=True,
    ),
    Layout(
        "hr_coso_2019",
        language="hr",
        citation="Coso, Guasch, Ferre & Hinojosa (2019) Affective and concreteness norms for 3,022 Croatian words. "
        "Q J Exp Psychol 72:2302-2312",
        by_name=True,
    ),
    Layout(
        "el_palogiannidi_2016",
        columns={"word": "greek_word"},
        requires=("greek_word", "valence", "arousal", "dominance"),
        scale=(-1, 1),
        language="el",
        citation="Palogiannidi, Koutsakis, Iosif & Potamianos (2016) Affective lexicon creation for the Greek language. "
        "LREC",
    ),
    Layout(
        "sv_davidson_2014",
        requires=("ord", "valens", "arousal"),
        language="sv",
        citation="Davidson & Innes-Ker (2014) Valence and arousal norms for Swedish affective words. Lund Psychological "
        "Reports 14(2)",
    ),
    Layout(
        "tr_kapucu_2018",
        requires=("valencem", "arousalm", "happym", "disgustm"),
        scale=(1, 9),
        language="tr",
        citation="Kapucu, Kilic, Ozkilic & Saribaz (2018) Turkish emotional word norms. Psychol Rep 124:189-209",
    ),
    Layout(
        "id_sianipar_2016",
        requires=("words_(indonesian)", "all_valence_mean", "all_arousal_mean"),
        scale=(1, 9),
        language="id",
        citation="Sianipar, van Groenestijn & Dijkstra (2016) Affective meaning, concreteness, and subjective frequency "
        "norms for Indonesian words. Front Psychol 7:1907",
        licence="CC BY 4.0",
    ),
    Layout(
        "fi_soderholm_2013",
        scale=(1, 7),
        language="fi",
        citation="Soderholm, Hayry, Laine & Karrasch (2013) Valence and arousal ratings for 420 Finnish nouns by age and "
        "gender. PLoS ONE 8(8):e72859",
        licence="CC BY 4.0",
        by_name=True,
    ),
    Layout(
        "",
        columns={
            "word": LANGUAGE,
            **_blocks("<language>_@_mean", "<language>_@_sd", "valence arousal dominance"),
        },
        requires=("concepticon_id",),
        citation="NoRaRe: Tjuka, Forkel & List (2022) Behav Res Methods 54:864-884, and the set it was taken from",
        verified=True,
    ),
]


def suggested(headers: Sequence[str], path: str) -> tuple[str, ...]:
    """Return the layouts known by name alone that the headers, or the author in the file's name, suggest."""
    names = {plain(header) for header in headers}
    words = set(re.split(r"[\W_\d]+", folded(Path(path).stem)))
    found = [
        layout.name
        for layout in LAYOUTS
        if layout.by_name
        and (
            (layout.suggested_by and set(layout.suggested_by) <= names)
            or words & {part for part in layout.name.split("_")[1:] if len(part) > 2 and part.isalpha()}
        )
    ]
    return tuple(dict.fromkeys(found))
