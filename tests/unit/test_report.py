from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from shutil import copytree

import numpy as np
import pandas as pd
import pytest

from emospace.errors import EmospaceError
from emospace.records import (
    AlignmentRecord,
    ComparisonRecord,
    FeatureRecord,
    LanguageRSARecord,
    Manifest,
    ModelRecord,
    NotComputed,
    PredictionRecord,
    Results,
    SaeRecord,
    Source,
)
from emospace.report import figures, write_report
from emospace.report.charts import percentiles
from emospace.report.page import script_json
from emospace.report.paper import place_labels
from emospace.report.run import load_run
from emospace.report.sections import category_order
from emospace.report.wording import count, counted, figure, p_clause, percent

# name: valence, arousal
PEOPLE = {
    "admiration": (0.62, 0.15), "amusement": (0.70, 0.30), "anger": (-0.62, 0.52), "annoyance": (-0.48, 0.25),
    "approval": (0.55, -0.02), "caring": (0.66, -0.10), "confusion": (-0.28, 0.12), "curiosity": (0.35, 0.28),
    "desire": (0.52, 0.42), "disappointment": (-0.58, -0.12), "disapproval": (-0.46, 0.04), "disgust": (-0.64, 0.22),
    "embarrassment": (-0.45, 0.20), "excitement": (0.72, 0.66), "fear": (-0.60, 0.56), "gratitude": (0.74, -0.02),
    "grief": (-0.74, 0.05), "joy": (0.84, 0.38), "love": (0.86, 0.30), "nervousness": (-0.40, 0.44),
    "optimism": (0.62, 0.10), "pride": (0.58, 0.20), "relief": (0.60, -0.28), "remorse": (-0.50, -0.05),
    "sadness": (-0.70, -0.22), "surprise": (0.34, 0.55), "adoration": (0.72, 0.22),
    "aesthetic_appreciation": (0.60, -0.15), "anxiety": (-0.52, 0.50), "awe": (0.48, 0.36),
    "awkwardness": (-0.36, 0.08), "boredom": (-0.42, -0.50), "calmness": (0.50, -0.62),
    "empathic_pain": (-0.54, 0.00), "entrancement": (0.38, 0.06), "horror": (-0.68, 0.48), "interest": (0.46, 0.18),
    "nostalgia": (0.24, -0.20), "romance": (0.76, 0.28), "satisfaction": (0.68, -0.12), "sexual_desire": (0.56, 0.58),
}  # fmt: skip
BASIC = ("anger", "disgust", "fear", "joy", "sadness", "surprise")
GOEMOTIONS = tuple(PEOPLE)[:26]
NORMS = {"en": ("en_glasgow_2019", 4682), "zh": ("zh_liu_2021", 1893)}
# feature set: r valence, r arousal
R = {
    "space": (0.752, 0.561), "shared": (0.702, 0.502), "specific": (0.694, 0.488), "outside": (0.502, 0.431),
    "outside_random": (0.331, 0.262), "top_firing": (0.771, 0.612), "shuffled": (0.274, 0.203),
    "all": (0.822, 0.684), "dense": (0.851, 0.726), "surface": (0.108, 0.164),
    "static_concepts": (0.652, 0.521), "static_pcs": (0.612, 0.583),
    "dense_static": (0.868, 0.744), "space_static": (0.801, 0.642),
}  # fmt: skip
STATIC = {"input_embedding": (0.728, 0.634), "ppmi_svd": (0.613, 0.482)}
HELD = (
    ("space", "static_concepts"),
    ("space", "static_pcs"),
    ("dense_static", "static"),
    ("space_static", "static"),
)
DRAWN = {"outside": 0.035, "outside_random": 0.05, "shuffled": 0.06}


def write_run(folder: Path, languages: tuple[str, ...] = ("en", "zh"), full: bool = True) -> Path:
    """Write a run folder as a study would, with figures of the size that are expected of one."""
    rng = np.random.default_rng(7)
    (folder / "tables").mkdir(parents=True)
    results = Results(
        prediction=_prediction(languages),
        comparison=_comparison(languages),
        alignment=_alignment(languages),
        language_rsa=_language_rsa(languages),
        features=tuple(
            FeatureRecord(
                **_common(1200), language=language, category=name, n_concepts=25 + len(name), n_features=4 + len(name),
                basic=name in BASIC, n_shared=3, provenance="curated",
            )
            for language in languages
            for name in PEOPLE
        ),
        not_computed=(NotComputed(what="dominance", language="zh", why="the norms do not rate it"),),
        model=ModelRecord(
            **_common(9321), source="gguf", file_hash="8f" * 32, quantisation="Q4_1", architecture="LlamaForCausalLM",
            n_blocks=30, d_model=576, n_parameters=134515008, dtype="float32", device="cpu", licence="Apache-2.0",
        ),
        sae=SaeRecord(
            **_common(2_400_000), source="shipped", architecture="topk", n_latents=4608, l0=48.0,
            explained_variance=0.831, loss_recovered=0.932, dead_latents=0.041, n_heldout=204_800,
            corpus="Gutenberg fiction, Tatoeba", command="emospace sae train --model smollm2 --layer 18 --seed 0",
            file_hash="c1" * 32, licence="Apache-2.0",
        ),
        manifest=_manifest(languages),
    )  # fmt: skip
    results.save(folder / "results.json")
    if full:
        _tables(folder / "tables", languages, rng)
    return folder


def _common(n: int) -> dict:
    return {"model": "SmolLM2-135M-Instruct", "layer": 18, "n": n, "seed": 20240}


def _prediction(languages) -> tuple[PredictionRecord, ...]:
    records = []
    for language in languages:
        norms, n = NORMS[language]
        scale = 1.0 if language == "en" else 0.55
        for place, target in enumerate(("valence", "arousal")):
            ceiling = (0.974, 0.917)[place]
            for excluded in (False, True):
                sets = [(name, None, r[place]) for name, r in R.items()]
                sets += [("static", source, r[place]) for source, r in STATIC.items()]
                for name, source, r in sets:
                    r = scale * (r - 0.02 * excluded)
                    spread = DRAWN.get(name)
                    records.append(
                        PredictionRecord(
                            **_common(n - 640 * excluded), language=language, norms=norms, target=target, features=name,
                            static_source=source, excluded_concepts=excluded,
                            n_features={"all": 4608, "dense": 576, "static": 576, "surface": 2, "static_concepts": 41}.get(name, 312),
                            r=r, ci_low=r - 0.014, ci_high=r + 0.013, p=1e-4, p_fdr=2e-4, r2=r * r - 0.01,
                            n_draws=1000 if spread else None, draws_low=r - 2 * spread if spread else None,
                            draws_high=r + 2 * spread if spread else None,
                            draws_beaten=0.998 if name == "space" else None, ceiling=ceiling,
                            reliability=ceiling**2, disattenuated_r=r / ceiling, layers_chosen="18,18,18,17,18",
                        )
                    )  # fmt: skip
    return tuple(records)


def _comparison(languages) -> tuple[ComparisonRecord, ...]:
    fixed = [("valence", "outside", 0.25), ("valence", "top_firing", -0.017), ("valence", "shared", 0.05)]
    return tuple(
        ComparisonRecord(
            **_common(4042), language=language, norms=NORMS[language][0], target=target, features=features,
            against=against, excluded_concepts=True, difference=d, ci_low=d - 0.015, ci_high=d + 0.015,
            static_source="input embeddings" if against == "static" else None,
            equivalence_low=d - 0.012, equivalence_high=d + 0.012, margin=0.03, equivalent=abs(d) < 0.018,
            p=0.001 if abs(d) > 0.015 else 0.4,
        )
        for language in languages
        for target, features, against, d in (
            *((target, "space", against, d) for target, against, d in fixed),
            *((target, *pair, gap(language, target, *pair)) for target in ("valence", "arousal") for pair in HELD),
        )
    )  # fmt: skip


def gap(language: str, target: str, features: str, against: str) -> float:
    """Return the difference in r of two feature sets; the second of several static sources is not meant."""
    place = ("valence", "arousal").index(target)
    other = STATIC["input_embedding"] if against == "static" else R[against]
    return (1.0 if language == "en" else 0.02) * (R[features][place] - other[place])


def _alignment(languages) -> tuple[AlignmentRecord, ...]:
    records = []
    for language in languages:
        low = language != "en"
        base = {"language": language, "n_features": 312, "provenance": "curated", "norms": NORMS[language][0]}
        rated = {"n_label": 12 if low else 34, "n_derived": 0 if low else 7}
        va = {"against": "valence_arousal", "n_permutations": 9999} | base | rated
        records += [
            AlignmentRecord(**_common(41), **va, statistic="rsa_spearman", target=None, value=0.562 - 0.3 * low,
                            ci_low=0.41 - 0.3 * low, ci_high=0.68 - 0.3 * low, p=1e-4, ceiling=0.93,
                            ceiling_kind="simulated from rater SD", difference=0.231 - 0.3 * low,
                            difference_low=0.09 - 0.3 * low, difference_high=0.35 - 0.3 * low,
                            difference_p=0.4 if low else 0.001),
            AlignmentRecord(**_common(41), **va, statistic="rsa_spearman", target=None, value=0.331, ci_low=0.2,
                            ci_high=0.45, p=0.002, space="static"),
            AlignmentRecord(**_common(41), **va, statistic="rsa_spearman", target=None, value=0.571 - 0.25 * low,
                            ci_low=0.42 - 0.25 * low, ci_high=0.7 - 0.25 * low, p=1e-4, space="sae_static", baseline=0.331,
                            baseline_name="static embeddings", difference=0.24 - 0.25 * low,
                            difference_low=0.1 - 0.25 * low, difference_high=0.36 - 0.25 * low,
                            difference_p=0.7 if low else 0.002),
            AlignmentRecord(**_common(41), **va, statistic="rsa_partial", target=None, value=0.402, ci_low=0.26,
                            ci_high=0.53, p=1e-4, controls="set_overlap and static RDM"),
            AlignmentRecord(**_common(41), **va, statistic="procrustes", target=None, value=0.61, ci_low=None,
                            ci_high=None, p=2e-4),
        ]  # fmt: skip
        for target, value in (("valence", 0.832), ("arousal", 0.471)):
            given = (
                {"value": None, "reason": "12 of the 15 rated categories that are needed"}
                if low
                else {"value": value}
            )
            records.append(
                AlignmentRecord(**_common(12 if low else 41), **va, statistic="best_pc_r", target=target,
                                ci_low=None if low else value - 0.12, ci_high=None if low else value + 0.08,
                                p=None if low else 1e-4, component=None if low else 1,
                                baseline=None if low else 0.62, baseline_name="static embeddings", **given)
            )  # fmt: skip
        if language == "en":
            go = {"against": "goemotions", "n_permutations": 9999} | base
            records.append(
                AlignmentRecord(**_common(26), **go, statistic="rsa_spearman", target=None, value=0.374, ci_low=0.22,
                                ci_high=0.52, p=3e-4, ceiling=0.88, ceiling_kind="split-half over texts",
                                baseline=0.301, baseline_name="static embeddings")
            )  # fmt: skip
    return tuple(records)


def _language_rsa(languages) -> tuple[LanguageRSARecord, ...]:
    pairs = [(a, b) for i, a in enumerate(languages) for b in languages[i + 1 :]]
    return tuple(
        LanguageRSARecord(
            **_common(41), a=a, b=b, value=0.412, ci_low=0.28, ci_high=0.53, p=1e-4, ceiling=0.9,
            n_shared=88, n_permutations=9999, baseline=0.21, baseline_name="static embeddings",
        )
        for a, b in pairs
    )  # fmt: skip


def _manifest(languages) -> Manifest:
    norms = tuple(
        Source(kind="norms", name=NORMS[code][0], language=code, n=NORMS[code][1], n_rejected=3, scale="1 to 9",
               licence="CC BY 4.0", citation="Scott et al. (2019). The Glasgow Norms. Behav Res Methods 51, 1258–1270.",
               content_hash="0123456789abcdef")
        for code in languages
    )  # fmt: skip
    concepts = tuple(
        Source(kind="concepts", name=f"bundled, {code}", language=code, provenance="curated", n=1312,
               licence="Apache-2.0", content_hash="fedcba9876543210")
        for code in languages
    )  # fmt: skip
    return Manifest(
        **_common(9321),
        command="emospace study --model smollm2 --languages en,zh --norms en_glasgow_2019,zh_liu_2021 --out runs/demo",
        languages=languages,
        categories="all",
        category_names=tuple(PEOPLE),
        carriers={"en": ("The word is {word}", "I feel {word}"), "zh": ("这个词是{word}",)},
        sources=norms + concepts,
        files={"SmolLM2-135M-Instruct.Q4_1.gguf": "8f" * 32, "sae/weights.safetensors": "c1" * 32},
        versions={"emospace": "0.1.0", "torch": "2.6.0", "transformers": "5.0.0"},
    )


def _tables(folder: Path, languages, rng) -> None:
    names = list(PEOPLE)
    people = np.array(list(PEOPLE.values()))
    circumplex, curve, features, words, draws = [], [], [], [], []
    for language in languages:
        human = people + rng.normal(0, 0.04, people.shape)
        model = 0.8 * human * [1, 0.7] + rng.normal(0, 0.17, people.shape)
        circumplex.append(
            pd.DataFrame(
                {
                    "language": language, "category": names, "basic": [name in BASIC for name in names],
                    "human_valence": human[:, 0], "human_arousal": human[:, 1],
                    "human_source": ["derived" if i % 6 == 5 else "label" for i in range(len(names))],
                    "model_x": model[:, 0], "model_y": model[:, 1],
                }
            )
        )  # fmt: skip
        _square(folder / f"rdm_{language}.parquet", names, model, rng)
        _square(folder / f"rdm_human_{language}_valence_arousal.parquet", names, human, None)
        if language == "en":
            _square(folder / "rdm_human_en_goemotions.parquet", GOEMOTIONS, human[: len(GOEMOTIONS)], rng)
        norms, n = NORMS[language]
        for place, target in enumerate(("valence", "arousal")):
            peak = (0.85, 0.73)[place] * (1 if language == "en" else 0.55)
            layers = np.arange(31)
            r = peak - 0.2 * np.exp(-layers / 4) - 0.0004 * (layers - 19) ** 2
            curve.append(
                pd.DataFrame(
                    {"language": language, "norms": norms, "target": target, "layer": layers, "r": r}
                )
            )
            observed = np.clip(rng.normal(5, 1.4, n), 1, 9)
            predicted = 5 + 0.57 * (observed - 5) + rng.normal(0, 0.7, n)
            stem = "word" if language == "en" else "词"
            words.append(
                pd.DataFrame(
                    {
                        "language": language, "norms": norms, "word": [f"{stem}{i}" for i in range(n)], "target": target,
                        "observed": observed, "predicted": predicted, "predicted_dense": predicted + rng.normal(0, 0.3, n),
                    }
                )
            )  # fmt: skip
            for kind, spread in DRAWN.items():
                centre = R[kind][place] * (1 if language == "en" else 0.55)
                for excluded in (False, True):
                    drawn = {
                        "language": language,
                        "norms": norms,
                        "target": target,
                        "excluded_concepts": excluded,
                    }
                    draws.append(pd.DataFrame(drawn | {"kind": kind, "r": rng.normal(centre, spread, 300)}))
        top = "happy, glad, <b>cheer</b>, delighted" if language == "en" else "高兴, 快乐, 喜悦, 欢喜"
        for name in names:
            k = 4 + len(name)
            features.append(
                pd.DataFrame(
                    {
                        "language": language, "category": name, "latent": rng.integers(0, 4608, k),
                        "weight": rng.random(k), "effect": rng.gamma(2, 0.6, k), "rate_in": rng.random(k),
                        "rate_pool": rng.random(k) * 0.2, "q": rng.random(k) * 0.05, "top_words": top,
                    }
                )
            )  # fmt: skip
    tables = {
        "circumplex": circumplex,
        "layer_curve": curve,
        "features": features,
        "predictions": words,
        "draws": draws,
    }
    for name, parts in tables.items():
        pd.concat(parts).to_parquet(folder / f"{name}.parquet", index=False)


def _square(path: Path, names, points: np.ndarray, rng) -> None:
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)
    if rng is not None:
        noise = rng.random(distance.shape) * 0.4
        distance = distance + noise + noise.T
        np.fill_diagonal(distance, 0)
    frame = pd.DataFrame(distance, columns=list(names))
    frame.insert(0, "category", list(names))
    frame.to_parquet(path, index=False)


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory) -> Path:
    folder = write_run(tmp_path_factory.mktemp("run") / "full")
    write_report(folder)
    return folder


@pytest.fixture(scope="module")
def page(run_dir) -> str:
    return (run_dir / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def bare(tmp_path_factory) -> str:
    folder = write_run(tmp_path_factory.mktemp("run") / "bare", full=False)
    return write_report(folder).read_text(encoding="utf-8")


class Outline(HTMLParser):
    """Collects what the structure tests ask of a page, scripts left out."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.text: list[str] = []
        self.inside = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.inside = tag

    def handle_endtag(self, tag):
        self.inside = ""

    def handle_data(self, data):
        if self.inside not in ("script", "style"):
            self.text.append(data)

    def all(self, tag: str) -> list[dict]:
        return [attrs for name, attrs in self.tags if name == tag]

    @property
    def words(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.text))


def charts_of(html: str) -> dict:
    return json.loads(re.search(r'id="charts">(.*?)</script>', html, re.S)[1])


def changed(folder: Path, source: Path, **parts) -> Path:
    """Write the results of one run, with some parts changed, into another folder."""
    folder.mkdir(exist_ok=True)
    Results.load(source / "results.json").model_copy(update=parts).save(folder / "results.json")
    return folder


def test_page_is_one_small_file_that_asks_nothing_of_the_network(run_dir, page):
    assert (run_dir / "report.html").stat().st_size < 10e6
    outline = Outline(page)
    assert not [attrs for attrs in outline.all("script") if "src" in attrs]
    assert [attrs["href"] for attrs in outline.all("link")] == ["data:,"]
    assert all(attrs["href"].startswith("#") for attrs in outline.all("a"))
    assert "@import" not in page.split("</style>")[0]


def test_the_first_screen_says_by_which_list_the_categories_were_chosen(run_dir, page, tmp_path):
    said = re.search(r'<p class="sub">(.*?)</p>', page)[1]
    assert said.endswith(f"4,608 latents; {len(PEOPLE)} categories (all), curated concept-sets.")
    manifest = Results.load(run_dir / "results.json").manifest
    assert f"{len(PEOPLE)} categories (all): {', '.join(PEOPLE)}" in Outline(page).words
    unsaid = manifest.model_copy(update={"categories": None, "category_names": ()})
    without = write_report(changed(tmp_path / "unsaid", run_dir, manifest=unsaid)).read_text(encoding="utf-8")
    assert "4,608 latents; curated concept-sets." in without


def test_the_same_run_gives_the_same_bytes(run_dir, page):
    assert write_report(run_dir).read_text(encoding="utf-8") == page


def test_sections_come_in_order_and_the_navigation_leads_to_each(page):
    outline = Outline(page)
    sections = [attrs["id"] for attrs in outline.all("section")]
    assert sections == [
        "answer", "circumplex", "rdms", "layers", "prediction", "words", "dictionary", "languages", "missing", "manifest",
    ]  # fmt: skip
    assert [attrs["href"] for attrs in outline.all("a")[1:]] == [f"#{name}" for name in sections]


def test_every_figure_has_words_and_every_table_a_caption(page):
    outline = Outline(page)
    plots = [attrs for attrs in outline.all("div") if "plot" in attrs.get("class", "").split()]
    assert {plot["id"] for plot in plots} == charts_of(page).keys()
    assert all(len(plot["aria-label"]) > 30 for plot in plots)
    assert len(outline.all("caption")) == len(outline.all("table")) > 5
    assert len(outline.all("h1")) == 1
    levels = [int(tag[1]) for tag, _ in outline.tags if re.fullmatch(r"h[1-6]", tag)]
    assert all(after - before <= 1 for before, after in pairwise(levels))
    names = [attrs["id"] for _, attrs in outline.tags if "id" in attrs]
    assert len(names) == len(set(names))


def test_the_answer_gives_each_figure_with_n_interval_and_baselines(page):
    words = Outline(page).words
    assert "312 features chosen with curated concept-sets predict the valence of 4,042 words" in words
    assert (
        "r = .73 (95% CI .72 to .74; matched features outside the space .48; static embeddings .71; people's ceiling .97)"
        in words
    )
    assert "most active latents, chosen without any concept, reach as much or more: valence .75" in words


def verdict_of(html: str) -> str:
    answers = re.search(r'<div class="answers">(.*?)</div>', html, re.S)[1]
    return " ".join(re.findall(r"<p>(.*?)</p>", answers, re.S)).replace("&#39;", "'")


def test_three_questions_are_answered_first_for_each_language(page):
    assert verdict_of(page) == (
        "Is people's emotion in SmolLM2-135M-Instruct? English: yes; Chinese: yes. "
        "Is it in its concept features, more than in as many dimensions of the input embeddings? "
        "English: partly; Chinese: not shown. Does depth add to the embeddings? English: partly; Chinese: not shown."
    )


def test_terms_of_the_key_figures_are_explained_beside_them(page):
    answer = Outline(page.split('id="answer"')[1].split('id="circumplex"')[0]).words
    explained = answer.split("Terms", 1)[1]
    for term in ("Latents are", "Concept words out:", "Matched draws are", "Derived:"):
        assert term in explained
    assert "Equal numbers of features are a limit" in Outline(page).words


def test_each_answer_stands_with_its_figures_and_what_they_are_held_against(page):
    words = Outline(page.split('id="table-answers"')[1].split("</table>")[0]).words.replace("\u00a0", " ")
    assert (
        "Yes. .73, beyond chance (p < .001), matched features outside (.48) and shuffled concept-sets (.25)"
        in words
    )
    assert (
        ".54, more than the same directions in the embeddings (.50; difference .04, .03 to .06); "
        "not more than as many components of the embeddings (.56; difference −.02, −.04 to −.01)"
    ) in words
    assert "More with dense states (.85 against .71 alone, difference .14, .12 to .16)" in words
    assert ".56, more than the embeddings (.33; difference .23, .09 to .35)" in words
    assert "Not shown is not no" in words


def test_without_an_advantage_nothing_is_shown_and_no_is_not_said(run_dir, tmp_path):
    results = Results.load(run_dir / "results.json")
    folder = changed(
        tmp_path, run_dir,
        prediction=tuple(r.model_copy(update={"p_fdr": 0.4}) for r in results.prediction),
        comparison=tuple(c.model_copy(update={"p": 0.4}) for c in results.comparison),
        alignment=tuple(
            a.model_copy(update={"p": 0.4} | ({} if a.difference_p is None else {"difference_p": 0.4}))
            for a in results.alignment
        ),
    )  # fmt: skip
    verdict = verdict_of(write_report(folder).read_text())
    assert verdict.count("English: not shown; Chinese: not shown") == 3
    assert not {"yes", "no", "partly"} & set(re.findall(r"\w+", verdict))


def test_a_run_of_an_earlier_version_shows_dashes_with_the_reason(run_dir, tmp_path):
    results = Results.load(run_dir / "results.json")
    new = {"static_concepts", "static_pcs", "dense_static", "space_static"}
    lost = {f"difference{end}": None for end in ("", "_low", "_high", "_p")}
    folder = changed(
        tmp_path, run_dir,
        prediction=tuple(r for r in results.prediction if r.features not in new),
        comparison=tuple(c for c in results.comparison if not {c.features, c.against} & new),
        alignment=tuple(a.model_copy(update=lost) for a in results.alignment if a.space != "sae_static"),
    )  # fmt: skip
    html = write_report(folder).read_text()
    why = "an earlier version wrote results.json without it; run it again with this one"
    assert verdict_of(html).count(f"English: – ({why}); Chinese: – ({why})") == 2
    assert "English: yes; Chinese: yes" in verdict_of(html)
    table = html.split('id="table-answers"')[1].split("</table>")[0]
    assert f"–: {why}." in table


def test_without_controls_nothing_is_claimed(run_dir, tmp_path):
    folder = changed(
        tmp_path, run_dir, prediction=(), comparison=(), alignment=(), features=(), language_rsa=()
    )
    words = Outline(write_report(folder).read_text()).words
    assert "cannot be said" in words
    assert "Prediction of ratings: not shown." in words


def test_a_study_without_an_sae_reads_its_dense_space(run_dir, tmp_path):
    results = Results.load(run_dir / "results.json")
    dense = [a.model_copy(update={"space": "dense"}) for a in results.alignment if a.space == "sae"]
    folder = changed(tmp_path, run_dir, sae=None, alignment=tuple(dense))
    words = Outline(write_report(folder).read_text()).words
    assert "no sparse autoencoder" in words
    assert "correlates with people's valence-arousal distance at .56" in words


def test_a_table_is_read_once_for_all_languages(run_dir, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    copytree(run_dir, folder)
    read, files = pd.read_parquet, []
    monkeypatch.setattr(pd, "read_parquet", lambda path: files.append(path) or read(path))
    write_report(folder)
    assert folder / "tables" / "predictions.parquet" in files
    assert len(files) == len(set(files))


def test_absent_tables_leave_their_reason(bare):
    words = Outline(bare).words
    for name in ("circumplex", "rdm_en", "layer_curve", "draws", "predictions", "features"):
        assert f"the run folder has no tables/{name}.parquet" in words
    assert charts_of(bare).keys() >= {"bars-en-en_glasgow_2019-valence", "languages-sae"}


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (lambda path: path.write_bytes(b"no parquet"), "tables/layer_curve.parquet cannot be read"),
        (
            lambda path: pd.DataFrame({"language": ["en"]}).to_parquet(path),
            "lacks the column norms, target, layer, r",
        ),
        (
            lambda path: pd.DataFrame(columns=["language", "norms", "target", "layer", "r"]).to_parquet(path),
            "has no rows",
        ),
    ],
)
def test_a_table_that_cannot_be_used_leaves_its_reason(run_dir, tmp_path, write, reason):
    folder = changed(tmp_path, run_dir)
    (folder / "tables").mkdir()
    write(folder / "tables" / "layer_curve.parquet")
    assert reason in Outline(write_report(folder).read_text()).words


def test_a_human_matrix_that_cannot_be_read_leaves_its_reason(run_dir, tmp_path):
    folder = changed(tmp_path, run_dir)
    copytree(run_dir / "tables", folder / "tables")
    pd.DataFrame({"category": ["joy"]}).to_parquet(folder / "tables" / "rdm_human_en_goemotions.parquet")
    words = Outline(write_report(folder).read_text()).words
    assert "rdm_human_en_goemotions.parquet does not hold the same categories" in words


def test_no_results_is_one_error_that_says_what_to_do(tmp_path):
    with pytest.raises(EmospaceError, match="no such file") as caught:
        write_report(tmp_path)
    assert "emospace study" in caught.value.hint


def test_null_figures_are_listed_with_their_reason(page):
    missing = page.split('id="missing"')[1].split('id="manifest"')[0]
    assert "12 of the 15 rated categories that are needed" in missing
    assert "the norms do not rate it" in missing


def test_curated_is_said_wherever_concept_sets_are_shown(page):
    for section in re.split(r"<section ", page)[1:]:
        if re.match(r'id="(answer|circumplex|rdms|dictionary|missing|manifest)"', section):
            assert "curated" in section.split("</section>")[0]


def test_bars_hold_both_scorings_with_ceiling_and_matched_band(page):
    chart = charts_of(page)["bars-en-en_glasgow_2019-valence"]
    assert set(chart["variants"]) == {"out", "in"}
    out = chart["variants"]["out"]
    bars = dict(zip(out["data"][0]["y"], out["data"][0]["x"], strict=True))
    assert bars["Emotion space"] == pytest.approx(0.732)
    assert {"Static, input", "Static, PPMI-SVD", "Most active latents"} <= bars.keys()
    band, ceiling = out["layout"]["shapes"]
    assert (band["x0"], band["x1"]) == pytest.approx((0.482 - 0.07, 0.482 + 0.07))
    assert ceiling["x0"] == pytest.approx(0.974)


def test_rdms_share_one_order_and_leave_unknown_categories_blank(page):
    charts = charts_of(page)
    rows = [
        charts[f"rdm-en-{name}"]["options"]["rows"] for name in ("model", "valence_arousal", "goemotions")
    ]
    assert rows[0] == rows[1] == rows[2]
    trace = charts["rdm-en-goemotions"]["variants"][""]["data"][0]
    z = np.array(trace["z"], dtype=float)
    known = [name.replace(" ", "_") in GOEMOTIONS for name in trace["y"]]
    assert np.isfinite(z[np.ix_(known, known)]).all()
    assert np.isnan(z[~np.array(known)]).all()


def test_order_puts_two_planted_clusters_side_by_side():
    names = [f"c{i}" for i in range(8)]
    points = np.array([0, 9, 0.5, 9.5, 0.2, 9.2, 0.7, 9.9])[:, None]
    square = pd.DataFrame(np.abs(points - points.T), index=names, columns=names)
    order = category_order(square, {"valence_arousal": square})
    assert {frozenset(order[:4]), frozenset(order[4:])} == {frozenset(names[::2]), frozenset(names[1::2])}


def test_scatter_is_sampled_and_has_the_r_of_the_records(run_dir, page):
    chart = charts_of(page)["words-en-en_glasgow_2019-valence"]
    assert len(chart["variants"]["space"]["data"][0]["x"]) == 1200
    records = load_run(run_dir).panel("en", "en_glasgow_2019", "valence", excluded=False)
    r = {record.features: figure(record.r) for record in records}
    assert f"Emotion space r = {r['space']}, dense states r = {r['dense']}, n = 4,682 words" in page


def test_a_run_is_read_by_its_folder(run_dir, tmp_path):
    copytree(run_dir, tmp_path / "run")
    table = pd.DataFrame({"language": ["en", "zh", "zh"], "category": "joy", "latent": [3, 9, 4]})
    table.to_parquet(tmp_path / "run" / "tables" / "features.parquet")
    run = load_run(tmp_path / "run")
    assert run.results == Results.load(run_dir / "results.json")
    pd.testing.assert_frame_equal(run.frame("alignment"), run.results.frame("alignment"))
    assert {"word", "language"} <= set(run.predictions.columns)
    assert run.features("zh").latents.tolist() == [4, 9]
    with pytest.raises(EmospaceError, match="language of the run 'xx'"):
        run.features("xx")
    with pytest.raises(LookupError, match="no tables/nothing"):
        run.table("nothing")
    with pytest.raises(OSError, match="there is no such file"):
        load_run(tmp_path / "nothing")


def test_words_cannot_break_out_of_the_page(page):
    assert "<b>cheer" not in page
    assert "&lt;b&gt;cheer&lt;/b&gt;" in page
    hostile = {"word": "</script><script>alert(1)</script>\u2028&"}
    assert "<" not in script_json(hostile)
    assert json.loads(script_json(hostile)) == hostile


def test_basic_categories_are_known_without_their_column(run_dir, tmp_path):
    folder = changed(tmp_path, run_dir)
    (folder / "tables").mkdir()
    table = pd.read_parquet(run_dir / "tables" / "circumplex.parquet").drop(columns="basic")
    table.to_parquet(folder / "tables" / "circumplex.parquet")
    labels = charts_of(write_report(folder).read_text())["circumplex-en-people"]["options"]["labels"]
    assert {label["text"] for label in labels if label["bold"]} == set(BASIC)


def test_percentiles_are_ranks_off_the_diagonal():
    square = np.array([[0, 1, 9], [1, 0, 5], [9, 5, 0.0]])
    assert np.array_equal(percentiles(square), [[0, 0, 1], [0, 0, 0.5], [1, 0.5, 0]])


def test_paper_figures_are_written_and_absent_ones_said(run_dir, tmp_path, capsys):
    source = write_run(tmp_path / "one", languages=("en",))
    (source / "tables" / "rdm_en.parquet").unlink()
    written = figures(source)
    assert sorted(path.name for path in written) == [
        "circumplex_en.pdf", "circumplex_en.png", "prediction_en_en_glasgow_2019.pdf", "prediction_en_en_glasgow_2019.png",
    ]  # fmt: skip
    assert all(path.stat().st_size > 5000 for path in written)
    assert "rdms_en is left out: the run folder has no tables/rdm_en.parquet" in capsys.readouterr().err


def test_placed_labels_do_not_overlap_and_stay_inside():
    rng = np.random.default_rng(0)
    points = rng.uniform(-0.6, 0.6, (30, 2))
    names = [f"category {i}" for i in range(30)]
    spots = place_labels(points, names, np.arange(30) < 6, 1.0)
    unit = 2 / (2.8 * 72)
    half = np.array([[0.5 * 5.6 * 0.6 * len(name) + 1, 0.5 * 5.6 * 1.15] for name in names]) * unit
    placed = [i for i, spot in enumerate(spots) if spot is not None]
    assert len(placed) == 30
    for i in placed:
        assert (np.abs(spots[i]) + half[i] <= 1.0001).all()
        for j in placed[: placed.index(i)]:
            assert (np.abs(spots[i] - spots[j]) >= half[i] + half[j] - 1e-9).any()


def test_model_paths_are_titled_by_their_name(run_dir, tmp_path):
    model = Results.load(run_dir / "results.json").model.model_copy(
        update={"model": "/models/own/Small.Q4_1.gguf"}
    )
    assert load_run(changed(tmp_path, run_dir, model=model)).title == "Small.Q4_1"


def test_numbers_are_written_as_papers_write_them():
    assert [figure(x) for x in (0.784, -0.05, 1.0, -0.001, None)] == [".78", "−.05", "1.00", ".00", "–"]
    assert [p_clause(p) for p in (1e-5, 0.0312, 0.4)] == [
        "p\u00a0<\u00a0.001",
        "p\u00a0=\u00a0.031",
        "p\u00a0=\u00a0.40",
    ]
    assert [percent(x) for x in (0.998, 1.0, 0.5, 0.002)] == ["99.8%", "100%", "50%", "0.2%"]
    assert (count(13915), counted(1, "word"), counted(26, "category")) == (
        "13,915",
        "1 word",
        "26 categories",
    )
