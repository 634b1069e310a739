"""The report of a study in several languages, from records and tables as the study makes them."""

from __future__ import annotations

import re
from itertools import combinations, permutations
from pathlib import Path
from shutil import copy

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from test_report import NORMS, PEOPLE, Outline, _common, charts_of, write_run

from emospace.cli.tables import show_results
from emospace.languages import language_tree
from emospace.records import (
    AlignmentRecord,
    CategoryShiftRecord,
    CrossLanguageRecord,
    FamilyRecord,
    LanguageRSARecord,
    NotComputed,
    Results,
    UniversalRecord,
)
from emospace.report import figures, write_report
from emospace.report.languages_charts import dendrogram_of
from emospace.report.manifest import missing_table
from emospace.report.run import load_run
from emospace.report.transfer import verdict
from emospace.report.wording import DASH, structure_name
from emospace.study.depth import depth_table
from emospace.study.summary import COMMON, summarise, transfers_of

THREE = ("en", "zh", "pl")
THIRTEEN = ("en", "zh", "es", "de", "fr", "it", "pt", "nl", "pl", "fi", "id", "ko", "ja")
FAMILY = {"zh": "sino-tibetan", "fi": "uralic", "id": "austronesian", "ko": "koreanic", "ja": "japonic"}
RATED = ("en", "zh", "it", "pl", "fi", "id", "ko")
SETS = ("space", "shared", "specific", "universal", "dense", "static")
N_BLOCKS = 30
NAMES = tuple(PEOPLE)


def places(languages: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Return where each language has the categories: languages of one family near one another."""
    rng = np.random.default_rng(3)
    people = np.array(list(PEOPLE.values()))
    by_family: dict[str, np.ndarray] = {}
    points = {}
    for language in languages:
        family = FAMILY.get(language, "indo-european")
        centre = by_family.setdefault(family, people + rng.normal(0, 0.25, people.shape))
        points[language] = centre + rng.normal(0, 0.16, people.shape)
    return points


def distances(points: np.ndarray) -> np.ndarray:
    return np.linalg.norm(points[:, None] - points[None], axis=2)


def write_languages(folder: Path, languages: tuple[str, ...], **change) -> Path:
    """Write a run in several languages: norms for some, one language without any feature."""
    for language in languages:
        NORMS.setdefault(language, (f"{language}_norms_2024", 1100))
    rated = tuple(language for language in languages if language in RATED)
    write_run(folder, languages)
    results = Results.load(folder / "results.json")
    unrated = set(languages) - set(rated)
    points = places(languages)
    tree = (
        language_tree({name: distances(at) for name, at in points.items()}, seed=0, n_bootstrap=40)
        if len(languages) > 2
        else None
    )
    similarity = tree.similarity if tree else np.full((2, 2), 0.4)
    _language_tables(folder / "tables", languages, rated, points, tree)
    parts = {
        "prediction": tuple(r for r in results.prediction if r.language in rated),
        "comparison": tuple(r for r in results.comparison if r.language in rated),
        "alignment": (
            *(a for a in results.alignment if a.language in rated),
            *_weights(languages),
            *_structures(languages),
        ),
        "language_rsa": _pairs(languages, similarity),
        "category_shift": _shifts(languages, points),
        "universal": tuple(
            UniversalRecord(
                **_common(len(languages)) | {"n": len(languages)}, k=k, n_latents=int(900 / k**1.6), expected=900 / k**3.2,
                expected_low=800 / k**3.4, expected_high=1000 / k**3, p=0.001,
            )
            for k in range(1, len(languages) + 1)
        ),
        "cross_language": _crossing(rated),
        "families": (
            FamilyRecord(
                **_common(len(languages)), value=0.11, within=0.52, between=0.41, p=0.03, n_within=21, n_families=6,
                n_permutations=9999, cophenetic=0.86,
            ),
        ) if len(languages) > 2 else (),
        "not_computed": (
            *results.not_computed,
            *(
                NotComputed(what="prediction of ratings, within and across languages", language=name, why="no norms of this language are bundled")
                for name in sorted(unrated)
            ),
            NotComputed(what="every figure", language="sv", why="no latent responds to its concepts"),
        ),
    }  # fmt: skip
    whole = results.model_copy(update=parts | change)
    summed = summarise({name: getattr(whole, name) for name in Results.model_fields})
    whole.model_copy(update={"summary": summed}).save(folder / "results.json")
    return folder


def _pairs(languages, similarity) -> tuple[LanguageRSARecord, ...]:
    made = []
    for i, j in combinations(range(len(languages)), 2):
        common = _common(41) | {"a": languages[i], "b": languages[j], "n_permutations": 9999}
        r = float(similarity[i, j])
        made += [
            LanguageRSARecord(**common, value=r, ci_low=r - 0.12, ci_high=r + 0.1, p=1e-4 if r > 0.2 else 0.2,
                              n_shared=88, baseline=r - 0.15, baseline_name="static input embeddings"),
            LanguageRSARecord(**common, statistic="procrustes", value=0.4 + 0.5 * r, ci_low=0.3, ci_high=0.8, p=1e-3),
        ]  # fmt: skip
    return tuple(made)


def _shifts(languages, points) -> tuple[CategoryShiftRecord, ...]:
    made = []
    for a, b in combinations(languages, 2):
        apart = np.linalg.norm(points[a] - points[b], axis=1)
        for name, gap in zip(NAMES, apart, strict=True):
            excess = float(gap - 0.3)
            low = excess - 0.25
            given = {
                "value": gap + 0.1,
                "noise": 0.4,
                "excess": excess,
                "ci_low": low,
                "ci_high": excess + 0.3,
                "shifted": low > 0,
            }
            if name == "awe":
                given = dict.fromkeys(given) | {"reason": "its concept words are too few"}
            made.append(CategoryShiftRecord(**_common(40), a=a, b=b, category=name, **given))
    return tuple(made)  # fmt: skip


def _weights(languages) -> list[AlignmentRecord]:
    return [
        AlignmentRecord(**_common(41), language=language, against="valence_arousal", statistic="rdm_weight", target=target,
                        value=value - 0.02 * at, ci_low=value - 0.02 * at - 0.1, ci_high=value - 0.02 * at + 0.1, p=0.001, norms="en_glasgow_2019", n_permutations=9999)
        for at, language in enumerate(languages)
        for target, value in (("valence", 0.48), ("arousal", 0.19))
    ]  # fmt: skip


def _structures(languages) -> list[AlignmentRecord]:
    made = []
    for at, language in enumerate(languages):
        family = FAMILY.get(language, "indo-european")
        against = [
            ("clics", 24),
            *([(f"clics/{family}", 17)] if family.endswith(("european", "tibetan", "uralic")) else []),
        ]
        against += [("kote", 33)] if language == "ko" else []
        against += [(f"brighter/{language}", 6)] if language in ("de", "es", "zh", "en") else []
        for name, n in against:
            common = {"language": language, "against": name, "target": None, "n_permutations": 9999}
            made += [
                AlignmentRecord(**_common(n), **common, statistic="rsa_spearman", value=0.3 - 0.01 * at, ci_low=0.1,
                                ci_high=0.45, p=0.004, baseline=0.21, baseline_name="static input embeddings", ceiling=0.8),
                AlignmentRecord(**_common(n), **common, statistic="rsa_partial", value=0.2, ci_low=0.0, ci_high=0.3, p=0.04,
                                controls="set overlap and static embeddings"),
            ]  # fmt: skip
    return made


def _crossing(rated, scale: float = 1.0) -> tuple[CrossLanguageRecord, ...]:
    made = []
    for at, (train, test) in enumerate(permutations(rated, 2)):
        for target, people, top in (("valence", 0.82, 0.52), ("arousal", 0.61, 0.33)):
            for place, features in enumerate(SETS):
                r = scale * (top - 0.006 * at + (0, 0.01, -0.2, 0.0, 0.15, -0.12)[place])
                empty = features == "universal" and at == 0
                made.append(
                    CrossLanguageRecord(
                        **_common(900 + 10 * at), train=train, test=test, features=features, target=target,
                        norms_train=NORMS[train][0], norms_test=NORMS[test][0], n_features=0 if empty else 210,
                        r=None if empty else r, ci_low=None if empty else r - 0.05, ci_high=None if empty else r + 0.05,
                        p=None if empty else 0.005, p_fdr=None if empty else (0.006 if r > 0.1 else 0.4), permuted_low=-0.09, permuted_high=0.09,
                        same_language=0.61, reference=people, reference_name="people's ratings of 930 concepts in English and Chinese",
                        reason="there are no universal features" if empty else None,
                    )
                )  # fmt: skip
    return tuple(made)


def _language_tables(folder: Path, languages, rated, points, tree) -> None:
    for name in ("circumplex", "layer_curve", "predictions", "draws"):
        table = pd.read_parquet(folder / f"{name}.parquet")
        kept = table[table["language"].isin(rated)]
        if name == "predictions":
            kept = kept.groupby(["language", "target"]).head(30)
        kept.to_parquet(folder / f"{name}.parquet", index=False)
    features = pd.read_parquet(folder / "features.parquet")
    few = features.groupby(["language", "category"]).head(1)
    few.to_parquet(folder / "features.parquet", index=False)
    for language in set(languages) - set(rated):
        (folder / f"rdm_human_{language}_valence_arousal.parquet").unlink()
    if tree is not None:
        rows = [
            {"members": ",".join(m.members), "height": m.height, "support": m.support} for m in tree.merges()
        ]
        pd.DataFrame(rows).to_parquet(folder / "language_tree.parquet", index=False)
    planes = [
        {
            "a": a,
            "b": b,
            "category": name,
            "a_x": points[a][at, 0],
            "a_y": points[a][at, 1],
            "b_x": points[b][at, 0],
            "b_y": points[b][at, 1],
        }
        for a, b in combinations(languages, 2)
        for at, name in enumerate(NAMES)
    ]
    pd.DataFrame(planes).to_parquet(folder / "language_planes.parquet", index=False)
    people = distances(np.array(list(PEOPLE.values())))
    i, j = np.triu_indices(len(NAMES), 1)
    rng = np.random.default_rng(1)
    layers = [
        pd.DataFrame({
            "language": language, "layer": layer, "a": np.array(NAMES)[i], "b": np.array(NAMES)[j],
            "dissimilarity": people[i, j] * layer / N_BLOCKS + (1 - layer / N_BLOCKS) * rng.random(len(i)) * (1 + 0.1 * at),
        })
        for at, language in enumerate(languages)
        for layer in range(0, N_BLOCKS + 1, 5)
    ]  # fmt: skip
    pd.concat(layers).to_parquet(folder / "rdm_layers.parquet", index=False)
    by_language = dict(iter(pd.concat(layers).groupby("language", sort=False)))
    human = {
        language: pd.read_parquet(path)
        for language in languages
        if (path := folder / f"rdm_human_{language}_valence_arousal.parquet").exists()
    }
    depth_table(by_language, human, N_BLOCKS).to_parquet(folder / "rdm_depth.parquet", index=False)


@pytest.fixture(scope="module")
def many(tmp_path_factory) -> Path:
    folder = write_languages(tmp_path_factory.mktemp("languages") / "many", THIRTEEN)
    write_report(folder)
    return folder


@pytest.fixture(scope="module")
def page(many) -> str:
    return (many / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def three(tmp_path_factory) -> Path:
    return write_languages(tmp_path_factory.mktemp("languages") / "three", THREE)


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> str:
    folder = write_languages(tmp_path_factory.mktemp("languages") / "pair", ("en", "zh"))
    return write_report(folder).read_text(encoding="utf-8")


def section(html: str, key: str) -> str:
    return html.split(f'<section id="{key}"')[1].split("</section>")[0]


def said(html: str) -> str:
    return Outline(html).words


def test_of_many_languages_one_is_shown_at_a_time(page):
    for key in ("answer", "circumplex", "rdms", "layers", "prediction", "words", "dictionary"):
        part = section(page, key)
        assert part.count('class="choice"') == 1, key
        options = re.findall(r'<div class="option" data-key="(\w+)"( hidden)?>', part)
        assert [name for name, hidden in options if not hidden] == ["en"], key
        assert len(options) in (len(RATED), len(THIRTEEN)), key
    assert "JAPANESE" not in said(section(page, "prediction")).upper()


def test_the_page_stays_well_formed_and_every_figure_has_words(page):
    outline = Outline(page)
    plots = [attrs for attrs in outline.all("div") if "plot" in attrs.get("class", "").split()]
    assert {plot["id"] for plot in plots} == charts_of(page).keys()
    assert all(len(plot["aria-label"]) > 30 for plot in plots)
    assert len(outline.all("caption")) == len(outline.all("table"))
    names = [attrs["id"] for _, attrs in outline.tags if "id" in attrs]
    assert len(names) == len(set(names))
    closed = page.split("<script")[0]
    assert closed.count("<div") == closed.count("</div>")
    assert closed.count("<details") == closed.count("</details>")
    assert closed.count("<details>") == 4  # three parts, and the terms


def test_a_language_left_out_or_unrated_is_said_in_the_answer(page):
    words = said(section(page, "answer"))
    assert "Swedish is left out: no latent responds to its concepts." in words
    assert (
        "prediction and valence are not given for Spanish, German, French, Portuguese, Dutch and Japanese"
        in words
    )


def test_many_languages_are_counted_in_the_answer_and_listed_below(many, page):
    answer = section(page, "answer")
    lead = re.search(r'<div class="answers">(.*?)</div>', answer, re.S)[1]
    assert "Yes in 7 of 13 languages, not computed in 6." in lead
    assert "Partly in 1 of 13 languages, not shown in 6, not computed in 6." in lead
    table = answer.split('id="table-answers-all"')[1].split("</table>")[0]
    rows = [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.S) for row in table.split("<tr")[2:]]
    said_in_full = [re.sub(r"<[^>]+>", "", cell).strip() for cell in rows[0]]
    assert (len(rows), said_in_full) == (13, ["English", "Yes", "Partly", "Partly"])
    whole = [v.answer for v in load_run(many).results.verdicts if v.about is None and v.language == "en"]
    assert whole == ["yes", "partly", "partly"]
    assert 'id="table-answers-en"' in answer and 'id="table-answers-ja"' not in answer


def test_compact_cards_keep_interval_and_baselines_for_hovering(page):
    meters = re.findall(r'<div class="meter" title="([^"]+)"', section(page, "answer"))
    assert len(meters) > 20
    assert any(
        "4,042 words, concept words out" in title and "matched outside .48" in title for title in meters
    )


def test_matrices_stand_in_the_order_of_the_tree(many, page):
    order = dendrogram_of(pd.read_parquet(many / "tables" / "language_tree.parquet"), THIRTEEN).order
    charts = charts_of(page)
    assert sorted(order) == sorted(THIRTEEN)
    rows = charts["languages-rsa"]["options"]["rows"]
    assert (
        rows
        == charts["languages-static"]["options"]["rows"]
        == charts["languages-procrustes"]["options"]["rows"]
    )
    assert len(rows) == 13
    z = np.array(charts["languages-rsa"]["variants"][""]["data"][0]["z"], dtype=float)
    assert np.array_equal(z, z.T, equal_nan=True)
    assert np.isnan(np.diag(z)).all()
    results = Results.load(many / "results.json")
    i, j = order.index("en"), order.index("zh")
    record = next(r for r in results.language_rsa if (r.a, r.b, r.statistic) == ("en", "zh", "rsa_spearman"))
    assert z[i, j] == pytest.approx(record.value, abs=1e-4)
    assert charts["languages-tree"]["variants"][""]["layout"]["yaxis"]["ticktext"] == rows


def test_a_planted_tree_is_drawn_as_it_was_made():
    table = pd.DataFrame(
        [("zh,ja", 0.2, 0.9), ("en,de", 0.3, 0.8), ("en,de,fr", 0.4, 0.7), ("en,de,fr,zh,ja", 0.6, 1.0)],
        columns=["members", "height", "support"],
    )
    tree = dendrogram_of(table, ("en", "zh", "de", "fr", "ja"))
    assert tree.order == ("en", "de", "fr", "zh", "ja")
    assert [branch.place for branch in tree.branches] == [3.5, 0.5, 1.25, 2.375]
    assert tree.branches[2].children == ((0.5, 0.3), (2.0, 0.0))
    assert dendrogram_of(table.iloc[:3], ("en",)) is None


def test_likeness_is_said_with_its_range_baseline_and_families(many, page):
    values = [
        r.value for r in Results.load(many / "results.json").language_rsa if r.statistic == "rsa_spearman"
    ]
    words = said(section(page, "languages"))
    assert f"Over 78 pairs of languages the RSA is {np.mean(values):.2f}".replace("0.", ".") in words
    assert "uncorrected" in words
    assert "the emotion space is above them in 78 of 78 pairs" in words
    assert "a difference of .11 (p = .030" in words.replace("\u00a0", " ")
    assert "cophenetic r of .86" in words


def test_shifts_and_planes_follow_one_choice_of_pair(page):
    part = section(page, "languages")
    charts = charts_of(page)
    assert (
        charts["languages-shifts"]["variants"].keys()
        == charts["languages-planes"]["variants"].keys()
        == {f"{a} {b}" for a, b in combinations(THIRTEEN, 2)}
    )
    select = part.split('data-group="pair"')[1].split("</select>")[0]
    assert select.count("<option") == 78
    drawn = charts["languages-shifts"]["variants"]["en zh"]
    filled = drawn["data"][0]
    assert filled["name"] == "interval above zero"
    assert all(x - low > 0 for x, low in zip(filled["x"], filled["error_x"]["arrayminus"], strict=True))
    assert "awe" not in drawn["layout"]["yaxis"]["ticktext"]
    assert "its concept words are too few" in said(section(page, "missing"))


def test_ranking_is_the_mean_excess_over_pairs(many, page):
    excess: dict[str, list[float]] = {}
    for record in Results.load(many / "results.json").category_shift:
        if record.excess is not None:
            excess.setdefault(record.category, []).append(record.excess)
    best = max(excess, key=lambda name: np.mean(excess[name]))
    table = page.split('id="table-shift-ranking"')[1].split("</table>")[0]
    first = re.findall(r"<td[^>]*>([^<]*)</td>", table)[:2]
    assert first == [best.replace("_", " "), f"{np.mean(excess[best]):.2f}".replace("0.", ".")]


def test_depth_is_the_spearman_of_each_layer_and_says_whose_ratings(many, page):
    chart = charts_of(page)["languages-depth"]["variants"][""]["data"]
    lines = {trace["name"]: trace for trace in chart}
    assert len(lines) == 13
    assert lines["English"]["y"][-1] > 0.9 > 0.3 > lines["English"]["y"][0]
    assert lines["English"]["x"] == pytest.approx([layer / N_BLOCKS for layer in range(0, 31, 5)], abs=1e-4)
    assert (lines["English"]["line"]["dash"], lines["Spanish"]["line"]["dash"]) == ("solid", "dot")
    words = said(section(page, "languages"))
    assert "no interval or p" in words
    pairs = pd.read_parquet(many / "tables" / "rdm_layers.parquet").query("language == 'es' and layer == 20")
    people = pd.read_parquet(many / "tables" / "rdm_human_en_valence_arousal.parquet").set_index("category")
    human = [people.loc[row.a, row.b] for row in pairs.itertuples()]
    rho = scipy.stats.spearmanr(pairs.dissimilarity, human).statistic
    assert lines["Spanish"]["y"][4] == pytest.approx(rho, abs=1e-4)
    assert "Dotted: languages without ratings of their own, against those of English" in words


def test_structures_have_names_and_stand_in_one_table(page):
    table = said(page.split('id="table-structures"')[1].split("</table>")[0])
    for name in (
        "Colexification, Indo-European", "Colexification, all families", "BRIGHTER co-annotation, German",
        "KOTE co-annotation", "GoEmotions co-annotation",
    ):  # fmt: skip
        assert name in table
    assert "olexification, Indo-European" not in page.split('id="table-alignment"')[1].split("</table>")[0]
    assert structure_name("clics/sino-tibetan") == "colexification, Sino-Tibetan"


def test_transfer_matrix_has_its_references_below(page):
    chart = charts_of(page)["transfer-matrix-valence"]
    assert list(chart["variants"]) == list(SETS)
    heat = chart["variants"]["space"]["data"][0]
    assert heat["y"][-2:] == ["Same language", "Permuted, 97.5%"]
    z = np.array(heat["z"], dtype=float)
    assert z.shape == (9, 7)
    assert np.isnan(z[np.arange(7), np.arange(7)]).all()
    assert (z[-2], z[-1]) == (pytest.approx(0.61), pytest.approx(0.09))
    assert "People: .82, people's ratings of 930 concepts" in said(section(page, "transfer"))


def test_transfer_is_counted_over_directions(three):
    run = load_run(three)
    transfers = transfers_of(run.results)
    space = transfers["valence", "space"]
    assert (space.n, space.beyond, space.tested, space.below, space.compared) == (6, 6, 6, 6, 6)
    assert space.high == pytest.approx(0.52)
    assert transfers["valence", "universal"].n == 5
    words = " ".join(verdict(run))
    assert "in all 12 cases, and less well read than within the language in all 12" in words
    assert "over the 5 directions that all feature sets have: dense states" in words
    assert "not tested against one another" in words


def test_feature_sets_are_compared_by_the_means_of_the_records(three, tmp_path):
    results = Results.load(three / "results.json")
    by = {}
    for r in results.cross_language:
        if r.target == "valence" and r.r is not None:
            by.setdefault(r.features, {})[r.train, r.test] = r.r
    common = set.intersection(*map(set, by.values()))
    for features, values in by.items():
        mean = results.mean("cross_language", "r", target="valence", features=features, directions=COMMON)
        assert mean == pytest.approx(np.mean([values[pair] for pair in common]))
    results.model_copy(update={"summary": ()}).save(tmp_path / "results.json")
    run = load_run(tmp_path)
    assert f"dense states {DASH}" in " ".join(verdict(run))
    assert "means over directions of transfer" in [row[0].text for row in missing_table(run).rows]


def test_ratings_that_do_not_cross_are_said_not_to(three, tmp_path):
    weak = Results.load(three / "results.json").model_copy(
        update={"cross_language": _crossing(("en", "zh"), 0.1)}
    )
    weak.save(tmp_path / "results.json")
    assert "ratings do not cross languages" in verdict(load_run(tmp_path))[0]


def test_three_languages_give_a_tree_and_a_transfer_section(three):
    html = write_report(three).read_text(encoding="utf-8")
    charts = charts_of(html)
    assert {"languages-rsa", "languages-tree", "transfer-matrix-arousal", "languages-depth"} <= charts.keys()
    assert "Read from" in section(html, "transfer")


def test_two_languages_keep_the_short_page(pair):
    part = section(pair, "languages")
    open_part = part.split("<details>")[0]
    assert open_part.count('class="plot') == 1
    assert 'class="choice"' not in pair
    assert "languages-shifts" in part.split("<details>")[1]
    assert charts_of(pair)["languages-sae"]["variants"][""]["data"][0]["y"] == ["English – Chinese"]
    transfer = section(pair, "transfer")
    assert 'class="plot' not in transfer.split("<details>")[0]
    assert "r" in transfer


def test_without_tables_the_figures_of_languages_stand_with_reasons(three, tmp_path):
    Results.load(three / "results.json").save(tmp_path / "results.json")
    html = write_report(tmp_path).read_text(encoding="utf-8")
    words = said(section(html, "languages"))
    assert "the run folder has no tables/language_planes.parquet" in words
    assert "the run folder has no tables/rdm_depth.parquet" in words
    assert "languages-rsa" in charts_of(html)
    assert "languages-tree" not in charts_of(html)


def test_no_norms_at_all_leaves_a_page_of_languages(three, tmp_path):
    results = Results.load(three / "results.json")
    bare = results.model_copy(
        update={
            "prediction": (), "comparison": (), "cross_language": (), "category_shift": (), "universal": (),
            "alignment": tuple(a for a in results.alignment if a.against.startswith("clics")),
        }
    )  # fmt: skip
    bare.save(tmp_path / "results.json")
    html = write_report(tmp_path).read_text(encoding="utf-8")
    assert "cannot be said" in said(section(html, "answer"))
    assert "languages-rsa" in charts_of(html)
    assert 'id="transfer"' not in html


def test_paper_figures_of_languages_are_written(three, tmp_path):
    bare = {"prediction": (), "alignment": (), "features": ()}
    Results.load(three / "results.json").model_copy(update=bare).save(tmp_path / "results.json")
    (tmp_path / "tables").mkdir()
    copy(three / "tables" / "language_tree.parquet", tmp_path / "tables")
    names = {path.name for path in figures(tmp_path)}
    assert names == {"languages.pdf", "languages.png", "transfer.pdf", "transfer.png"}


def test_tables_give_each_of_many_languages_one_line(many, capsys):
    show_results(Results.load(many / "results.json"))
    done = capsys.readouterr()
    lines = done.out.splitlines()
    start = lines.index("# Categories in the model and in people")
    rows = [line.split("\t") for line in lines[start + 2 : start + 15]]
    assert [row[0] for row in rows] == list(THIRTEEN)
    assert rows[0][1:5] == ["41", "0.832", "0.471", "0.562"]
    assert rows[2][2:7] == ["-"] * 5
    assert any(line.startswith("RSA, sae\t78\t") for line in lines)
    assert any(line.startswith("valence\tspace\t42\t") for line in lines)
    assert "Not computed (de, es, fr, ja, nl, pt): prediction of ratings" in done.err
