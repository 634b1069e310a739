"""Count words and train static vectors: makes ``data/lexicon`` and ``data/baselines``.

    python recipes/build_lexicon.py --data DIR [--languages en,zh] [--only counts|vectors]

`DIR` holds ``corpora/*.txt.xz`` (one paragraph a line), ``corpora/tatoeba_en_zh.tsv``, ``texts/``,
``structure/goemotions/`` and ``structure/kote_ko/``. Only figures leave it: strings with counts, and vectors.
No label and no rating is read; of the norms only the word column, so that rated words are covered.

A language without a long corpus is counted from short texts alone, and its pool takes in words seen once or
twice: of most concept words there is no more, and only rare words can match them.
"""

from __future__ import annotations

import argparse
import lzma
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emospace.artefacts import write_json, write_parquet
from emospace.baselines import DATA as BASELINES, PpmiSettings, train_ppmi_svd, write_vectors
from emospace.concepts import load_concepts
from emospace.display import say
from emospace.errors import EmospaceError
from emospace.lexicon import DATA as LEXICON, base_language, citation_counts, spelling, word_groups

COMMAND = "python recipes/build_lexicon.py --data DIR"
LETTERS = r"[^\W\d_]+"
ENGLISH = r"(?<![^\W\d_]')[^\W\d_]+(?:'(?:t|ll|re|ve|d|m)\b)?"
HAN = r"[\u3400-\u4dbf\u4e00-\u9fff々〇]+"
HANGUL = r"[가-힣]+"
KANA_HAN = r"[\u3041-\u309f\u30a1-\u30fa\u30fc\u3400-\u4dbf\u4e00-\u9fff々〇]+"

MIN_COUNT = 3
POOL_COUNT, POOL_SIZE, FUNCTION_RANK = 5, 15_000, 100
STRING = {"count": 10, "pmi": 1.5, "entropy": 1.2}
PAIR = {"count": 5, "pmi": 2.0, "entropy": 1.0}
LONGER = {"count": 10, "pmi": 4.0, "entropy": 1.5}
EDGE_CHARACTERS = 100
LENGTHS = {2: "two letters", 3: "three letters"}


@dataclass(frozen=True)
class Language:
    """What is counted for a language, and how; `run` matches a word, or unbroken characters where none are spaced.

    With `citation`, the inflected forms that `ENDINGS` and `SUFFIXES` tell count as the form a dictionary has, and
    the pool is of such forms; with `rated_in_pool`, words of norms may be in the pool, seen or not. Words seen less
    than `least` times count as seen so often.
    """

    corpus: str | None
    run: str = LETTERS
    spaced: bool = True
    names_are_capitalised: bool = True
    citation: bool = False
    shortest: int = 3
    min_count: int = MIN_COUNT
    pool_count: int = POOL_COUNT
    least: int = 0
    rated_in_pool: bool = False
    max_words: int = 60_000
    n_vectors: int = 5_800


SHORT_ONLY = Language(None, min_count=1, pool_count=1, least=1, n_vectors=0)


LANGUAGES = {
    "en": Language("en_fiction", run=ENGLISH, n_vectors=28_000),
    "zh": Language("zh_prose", run=HAN, spaced=False, n_vectors=8_000),
    "de": Language("de_fiction", names_are_capitalised=False, least=POOL_COUNT),
    "es": Language("es_fiction"),
    "fr": Language("fr_fiction"),
    "ja": Language("ja_fiction", run=KANA_HAN, spaced=False, max_words=40_000, n_vectors=0),
    "fi": SHORT_ONLY,
    "id": replace(SHORT_ONLY, rated_in_pool=True),
    "it": SHORT_ONLY,
    "ko": Language(
        None,
        run=HANGUL,
        names_are_capitalised=False,
        citation=True,
        shortest=2,
        min_count=2,
        pool_count=2,
        least=2,
        n_vectors=0,
    ),
    "nl": SHORT_ONLY,
    "pl": SHORT_ONLY,
    "pt": replace(SHORT_ONLY, pool_count=2, least=2),
}
SOURCES = {
    "en_fiction": "public-domain English fiction",
    "zh_prose": "Chinese prose (figures only)",
    "de_fiction": "public-domain German fiction",
    "es_fiction": "public-domain Spanish fiction",
    "fr_fiction": "public-domain French fiction",
    "ja_fiction": "public-domain Japanese fiction",
    "tatoeba": "Tatoeba sentences (CC BY 2.0 FR)",
    "goemotions": "GoEmotions texts (Apache-2.0; Demszky et al. 2020)",
    "emobank": "EmoBank texts (CC BY-SA 4.0; Buechel & Hahn 2017)",
    "xed": "XED subtitle lines (CC BY 4.0; Ohman et al. 2020)",
    "brighter": "BRIGHTER texts (CC BY 4.0; Muhammad et al. 2025)",
    "kote": "KOTE comments (MIT; Jeon et al. 2022)",
}
SHORT_TEXTS = {
    "goemotions": ("structure/goemotions/goemotions.parquet", "en"),
    "emobank": ("texts/emobank/emobank.parquet", "en"),
    "xed": ("texts/xed/xed.parquet", None),
    "brighter": ("texts/brighter_semeval2025/brighter_semeval2025.parquet", None),
    "kote": ("structure/kote_ko/kote_ko.parquet", "ko"),
}
"""File of each source and its language; None where a column says it."""


def read_texts(data: Path, language: str) -> dict[str, list[str]]:
    """Return the texts of a language by source, the long corpus first: NFC, straight apostrophes."""
    texts: dict[str, list[str]] = {}
    corpus = LANGUAGES[language].corpus
    if corpus:
        with lzma.open(data / "corpora" / f"{corpus}.txt.xz", "rt", encoding="utf-8") as file:
            texts[corpus] = list(file)
    if language in ("en", "zh"):
        pairs = (data / "corpora" / "tatoeba_en_zh.tsv").read_text(encoding="utf-8").splitlines()
        column = ("en", "zh").index(language)
        texts["tatoeba"] = list(dict.fromkeys(pair.split("\t")[column] for pair in pairs if "\t" in pair))
    for source, (path, only) in SHORT_TEXTS.items():
        if only not in (None, language):
            continue
        table = pd.read_parquet(data / path)
        spoken = pd.Series(only, index=table.index) if only else table["language"]
        lines = table.loc[spoken == language, "text"].dropna().drop_duplicates()
        if len(lines):
            texts[source] = [re.sub(r"\[[A-Z]+\]", " ", line) for line in lines]
    return {
        source: [unicodedata.normalize("NFC", line).replace("’", "'") for line in lines]
        for source, lines in texts.items()
    }


def wanted_words(data: Path, language: str) -> set[str]:
    """Return the concept words and the words of the redistributable norms of a language, as they are counted."""
    words = rated_words(data, language)
    try:
        words.update(map(spelling, load_concepts([language]).words(language)))
    except EmospaceError:
        say(f"{language}: no concept-sets")
    return words


def rated_words(data: Path, language: str) -> set[str]:
    """Return the words of the redistributable norms of a language, as they are counted."""
    words: set[str] = set()
    for path in sorted((data / "norms").glob("*/*.parquet")):
        table = pd.read_parquet(path, columns=["word", "language"])
        words.update(table.loc[table["language"].map(base_language) == language, "word"])
    return {spelling(word) for word in words}


def count_words(
    lines: Iterable[str], spec: Language, language: str = "", rated: Collection[str] = ()
) -> tuple[pd.DataFrame, int]:
    """Return the words of spaced text (word, count, pool), most frequent first, and the number of tokens.

    Where nouns are capitalised, `form` holds each word as it is usually written within a sentence. `rated` words may be in the pool whatever their count.
    """
    token, inside = re.compile(spec.run), re.compile(rf"(?<=[^\W\d_] ){LETTERS}|(?<=[,;] ){LETTERS}")
    counts: Counter[str] = Counter()
    within: Counter[str] = Counter()
    for line in lines:
        counts.update(token.findall(line.lower()))
        within.update(inside.findall(line))
    n_tokens = counts.total()
    cited: set[str] | None = None
    if spec.citation:
        counts, cited = citation_counts(counts, language)
    for word in rated:
        counts[word] += 0
    capital: Counter[str] = Counter()
    lower: Counter[str] = Counter()
    for form, n in within.items():
        (capital if form[0].isupper() else lower)[form.lower()] += n

    def ordinary(rank: int, word: str, n: int) -> bool:
        if rank < FUNCTION_RANK or len(word) < spec.shortest or not word.isalpha():
            return False
        if cited is not None and word not in cited:
            return False
        # A word seen less than five times may have stood at the head of a sentence only.
        shown = lower[word] > capital[word] if n < POOL_COUNT else lower[word] >= capital[word]
        return word in rated or (n >= spec.pool_count and (shown or not spec.names_are_capitalised))

    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    rows = [
        (word, n, ordinary(rank, word, n))
        for rank, (word, n) in enumerate(ranked)
        if n >= spec.min_count or word in rated
    ]
    table = pd.DataFrame(rows[: spec.max_words], columns=["word", "count", "pool"])
    if not spec.names_are_capitalised:
        # Concepts are written as usual; a pool without capitals would make every noun's capital a feature.
        table["form"] = [word.capitalize() if capital[word] > lower[word] else word for word in table["word"]]
    return table, n_tokens


def count_strings(runs: list[str]) -> tuple[pd.DataFrame, int]:
    """Return the strings of 1 to 4 characters with count, cohesion and freedom, and the number of characters.

    Cohesion (``pmi``) is the least pointwise mutual information over the ways of cutting the string in two,
    freedom (``entropy``) the lesser of its left and right branching entropies in nats, a text boundary being a
    neighbour of its own kind each time. Both are given for strings seen `MIN_COUNT` times and are infinite for
    single characters.
    """
    codes = np.frombuffer(("\n" + "\n".join(runs) + "\n").encode("utf-32-le"), dtype=np.uint32)
    alphabet, ids = np.unique(codes, return_inverse=True)
    ids = ids.astype(np.int64)
    bits, n_characters = int(len(alphabet) - 1).bit_length(), int((ids > 0).sum())
    seen: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    frames = []
    for length in range(1, 5):
        places = len(ids) - length + 1
        keys, whole = np.zeros(places, dtype=np.int64), np.ones(places, dtype=bool)
        for offset in range(length):
            keys = (keys << bits) | ids[offset : offset + places]
            whole &= ids[offset : offset + places] > 0
        starts = np.flatnonzero(whole)
        strings, which, counts = np.unique(keys[starts], return_inverse=True, return_counts=True)
        seen[length] = strings, counts
        kept = counts >= MIN_COUNT
        entropy = np.full(len(strings), np.inf)
        if length > 1:
            for neighbours in (ids[starts - 1], ids[starts + length]):
                entropy = np.minimum(entropy, branching_entropy(which, neighbours, counts, len(alphabet)))
        pmi = np.full(int(kept.sum()), np.inf)
        for head in range(1, length):
            tail = length - head
            before = _lookup(seen[head], strings[kept] >> (bits * tail))
            after = _lookup(seen[tail], strings[kept] & ((1 << (bits * tail)) - 1))
            pmi = np.minimum(pmi, np.log(counts[kept] * n_characters / (before * after)))
        letters = [
            (strings[kept] >> (bits * (length - 1 - offset))) & ((1 << bits) - 1) for offset in range(length)
        ]
        words = alphabet[np.stack(letters, axis=1)].astype("<u4")
        frames.append(
            pd.DataFrame(
                {
                    "word": [row.tobytes().decode("utf-32-le") for row in words],
                    "count": counts[kept],
                    "pmi": pmi,
                    "entropy": entropy[kept],
                }
            )
        )
    return pd.concat(frames, ignore_index=True), n_characters


def branching_entropy(
    which: np.ndarray, neighbours: np.ndarray, counts: np.ndarray, n_alphabet: int
) -> np.ndarray:
    """Return the entropy (nats) of the neighbours of each string, ``[n_strings]``; neighbour 0 is a boundary."""
    inner = neighbours > 0
    pairs, n = np.unique(which[inner] * n_alphabet + neighbours[inner], return_counts=True)
    repeated = np.bincount(pairs // n_alphabet, weights=n * np.log(n), minlength=len(counts))
    entropy: np.ndarray = np.log(counts) - repeated / counts
    return entropy


def _lookup(seen: tuple[np.ndarray, np.ndarray], keys: np.ndarray) -> np.ndarray:
    strings, counts = seen
    return counts[np.searchsorted(strings, keys)].astype(float)


def discovered(strings: pd.DataFrame) -> pd.Series:
    """Return which strings pass for words: frequent, cohesive, free; a long one has no particle at its edges."""
    length = strings["word"].str.len()
    singles = strings[length == 1].nlargest(EDGE_CHARACTERS, "count")["word"]
    edged = strings["word"].str[0].isin(singles) | strings["word"].str[-1].isin(singles)
    return (_at_least(strings, PAIR) & (length == 2)) | (_at_least(strings, LONGER) & (length > 2) & ~edged)


def _at_least(strings: pd.DataFrame, limits: dict[str, float]) -> pd.Series:
    return (strings[list(limits)] >= pd.Series(limits)).all(axis=1)


def string_table(texts: dict[str, list[str]], spec: Language, wanted: set[str]) -> tuple[pd.DataFrame, int]:
    """Return the strings of unspaced text (word, count, pool), most frequent first, and the number of characters.

    The pool holds discovered words that both the long corpus and the short texts (sentences, comments,
    subtitles) use, which leaves out the names and titles of the one and the other script of the others;
    without short texts all discovered words.
    """
    run = re.compile(spec.run)
    runs = {
        source: [piece for line in lines for piece in run.findall(line)] for source, lines in texts.items()
    }
    strings, n_characters = count_strings([piece for part in runs.values() for piece in part])
    strings["pool"] = discovered(strings)
    short = [piece for source, part in runs.items() if source != spec.corpus for piece in part]
    if sum(map(len, short)) > 100_000:
        parts = Counter(
            piece[i : i + n] for piece in short for n in (2, 3, 4) for i in range(len(piece) - n + 1)
        )
        in_short = strings["word"].map(parts).fillna(0)
        strings["pool"] &= (in_short > 0) & (in_short < strings["count"])
    firm = _at_least(strings, STRING)
    kept = strings["pool"] | strings["word"].isin(wanted)
    known = strings[firm | kept].sort_values(["count", "word"], ascending=[False, True])
    known = known[(np.arange(len(known)) < spec.max_words) | kept.loc[known.index]]
    missing = sorted(wanted - set(known["word"]))
    text = "\n".join(piece for part in runs.values() for piece in part)
    tail = pd.DataFrame({"word": missing, "count": [text.count(word) for word in missing], "pool": False})
    table = pd.concat([known[["word", "count", "pool"]], tail[tail["count"] > 0]], ignore_index=True)
    return table.sort_values(["count", "word"], ascending=[False, True], ignore_index=True), n_characters


def segmenter(counts: dict[str, int]) -> Callable[[str], list[str]]:
    """Return a function that cuts a run of characters into its most probable words (unigram model, Viterbi)."""
    total = math.log(sum(counts.values()))
    cost = {word: total - math.log(n) for word, n in counts.items()}
    longest = max(map(len, cost))

    def cut(run: str) -> list[str]:
        best, back = [0.0], [0]
        for end in range(1, len(run) + 1):
            least, start = best[end - 1] + cost.get(run[end - 1], total), end - 1
            for begin in range(max(0, end - longest), end - 1):
                price = cost.get(run[begin:end])
                if price is not None and best[begin] + price < least:
                    least, start = best[begin] + price, begin
            best.append(least)
            back.append(start)
        words, end = [], len(run)
        while end:
            words.append(run[back[end] : end])
            end = back[end]
        return words[::-1]

    return cut


def tokenised(lines: Iterable[str], spec: Language, words: dict[str, int]) -> Iterator[list[str]]:
    """Yield the running words of each text; unspaced text is cut with the words given."""
    run = re.compile(spec.run)
    if spec.spaced:
        for line in lines:
            yield run.findall(line.lower())
        return
    cut = segmenter(words)
    for line in lines:
        yield [word for part in run.findall(line) for word in cut(part)]


def build_counts(
    language: str, texts: dict[str, list[str]], wanted: set[str], rated: set[str], note: dict[str, Any]
) -> None:
    """Write the frequency table of a language and its card."""
    spec = LANGUAGES[language]
    if spec.spaced:
        single = {word for word in rated if word.isalpha()} if spec.rated_in_pool else set()
        lines = (line for lines in texts.values() for line in lines)
        table, n_tokens = count_words(lines, spec, language, single)
    else:
        table, n_tokens = string_table(texts, spec, wanted)
    members = table.loc[table["pool"], "word"]
    families = word_groups(tuple(members), language)
    firsts = members[~pd.Series(families, index=members.index).duplicated()]
    table["pool"] = table["word"].isin(firsts[:POOL_SIZE])
    table = table[(table["count"] > 0) | table["pool"]]
    write_parquet(LEXICON / f"{language}.parquet", table.astype({"count": "int32"}))
    card = {
        **note,
        "n_tokens": n_tokens,
        "unit": "words" if spec.spaced else "characters",
        "n_words": len(table),
        "n_pool": int(table["pool"].sum()),
        **({"least": spec.least} if spec.least else {}),
        "kept": f"count >= {spec.min_count}" + (", rated words" if spec.rated_in_pool else "")
        if spec.spaced
        else f"{STRING}, pool, concept and rated words",
        "pool": (
            f"count >= {spec.pool_count}, the most frequent form of its family, {LENGTHS[spec.shortest]} or more, "
            f"not among the {FUNCTION_RANK} most frequent"
            + (", not mostly capitalised inside sentences" if spec.names_are_capitalised else "")
            + (
                f", seen in lower case there if count < {POOL_COUNT}"
                if spec.pool_count < POOL_COUNT and spec.names_are_capitalised
                else ""
            )
            + (
                ", nouns seen with a particle and dictionary forms of verbs seen with two endings"
                if spec.citation
                else ""
            )
            + (
                "; besides these, the words of the language's redistributable norms whatever their count (the texts are few; "
                "only the word column was read)"
                if spec.rated_in_pool
                else ""
            )
            if spec.spaced
            else f"pairs of characters {PAIR}; three or four {LONGER} without one of the {EDGE_CHARACTERS} most "
            "frequent characters at an edge; least PMI over cuts, branching entropy in nats; where there are "
            "short texts, seen in them and in the long corpus"
        ),
        "command": f"{COMMAND} --languages {language} --only counts",
    }
    write_json(LEXICON / f"{language}.json", card)
    say(f"{language}: {len(table):,} words of {n_tokens:,} tokens, pool {card['n_pool']:,}")


def build_vectors(language: str, texts: dict[str, list[str]], wanted: set[str], note: dict[str, Any]) -> None:
    """Write the PPMI-SVD vectors of a language and their card; the frequency table must be there."""
    spec = LANGUAGES[language]
    table = pd.read_parquet(LEXICON / f"{language}.parquet")
    whole = table["pool"] | table["word"].isin(wanted) | (table["word"].str.len() <= 2)
    words = dict(zip(table.loc[whole, "word"], table.loc[whole, "count"].tolist(), strict=True))
    settings = PpmiSettings()
    lines = (line for lines in texts.values() for line in lines)
    running = list(tokenised(lines, spec, words))
    counts = Counter(word for text in running for word in text)
    vocabulary = [word for word, n in sorted(counts.items(), key=lambda item: (-item[1], item[0])) if n >= 5]
    vocabulary += sorted(word for word in wanted if 0 < counts[word] < 5)
    number = {word: row for row, word in enumerate(vocabulary)}
    gap = [-1] * settings.window
    tokens = np.array(
        [n for text in running for n in (*(number.get(w, -1) for w in text), *gap)], dtype=np.int64
    )
    say(f"{language}: {counts.total():,} running words, vocabulary {len(vocabulary):,}")
    vectors = train_ppmi_svd(tokens, len(vocabulary), settings)
    first = [word for word in vocabulary if word in wanted]
    shown = (first + [word for word in vocabulary if word not in wanted and len(word) > 1])[: spec.n_vectors]
    rows = sorted(number[word] for word in shown)
    card = {
        **note,
        "method": "PPMI, truncated SVD, rows of unit length, 8 bits (Levy & Goldberg 2014; Levy et al. 2015)",
        "n_tokens": counts.total(),
        "n_vocabulary": len(vocabulary),
        "unit": "words"
        if spec.spaced
        else "words cut by a unigram model over the table's pool, rated and concept words, pairs and single characters",
        "command": f"{COMMAND} --languages {language} --only vectors",
    }
    path = BASELINES / f"{language}.safetensors"
    write_vectors(path, [vocabulary[row] for row in rows], vectors[rows], settings, card)
    say(f"{language}: {len(rows):,} vectors, {len(first):,} of {len(wanted):,} rated and concept words")


def main() -> None:
    """Read the arguments and build."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--languages", default=",".join(LANGUAGES))
    parser.add_argument("--only", choices=("counts", "vectors"))
    arguments = parser.parse_args()
    for language in arguments.languages.split(","):
        texts, wanted = read_texts(arguments.data, language), wanted_words(arguments.data, language)
        rated = rated_words(arguments.data, language)
        listed = "; in the pool also the words of norms" if LANGUAGES[language].rated_in_pool else ""
        note = {
            "language": language,
            "corpus": "; ".join(SOURCES[source] for source in texts) + listed,
            "licence": "figures: Apache-2.0, as the package; the texts keep their own licences and are not included",
            "date": date.today().isoformat(),
        }
        if arguments.only != "vectors":
            build_counts(language, texts, wanted, rated, note)
        if arguments.only != "counts" and LANGUAGES[language].n_vectors:
            build_vectors(language, texts, wanted, note)


if __name__ == "__main__":
    main()
