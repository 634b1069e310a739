"""Runs side by side, on run folders whose likeness is planted."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from emospace import stats
from emospace.artefacts import read_json
from emospace.cli.compare import compare as compare_command, figure_rows
from emospace.comparison import Comparison, compare_runs, write_page
from emospace.comparison.depth import equal_depth, onset_medians
from emospace.comparison.findings import answer
from emospace.errors import EmospaceError
from emospace.records import Results
from planted_runs import CATEGORIES, N_WORDS, TARGETS, distances, square, write_run

QUICK = {"n_permutations": 199, "seed": 0}


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> tuple[Path, Path]:
    """Return a small run in English and Chinese and a large one in English and German, alike in English."""
    folder = tmp_path_factory.mktemp("pair")
    small = write_run(folder / "small", "hub/small", languages=("en", "zh"), skill=0.4)
    large = write_run(
        folder / "large", "hub/large", languages=("en", "de"), skill=0.7, seed=2, n_blocks=14, onset=0.8,
        categories=tuple(CATEGORIES[2:]), sae=False,
    )  # fmt: skip
    return small, large


@pytest.fixture(scope="module")
def compared(pair):
    return compare_runs(pair, **QUICK)


# --- what is found ----------------------------------------------------------------------------------------


def test_runs_of_any_depth_and_categories_are_compared_where_they_meet(compared):
    comparison = compared.comparison
    assert comparison.languages == ("en",)
    assert [run.name for run in comparison.runs] == ["small", "large"]
    assert [run.space for run in comparison.runs] == ["sae", "dense"]
    (rsa,) = comparison.rsa
    assert (rsa.a, rsa.b, rsa.n, rsa.n_permutations) == ("small", "large", len(CATEGORIES) - 2, 199)
    assert rsa.ci_low < rsa.value < rsa.ci_high
    assert rsa.p == rsa.p_fdr == 1 / 200
    assert rsa.baseline < rsa.value and rsa.baseline_name


def test_rsa_is_that_of_the_rdms_on_common_categories_whatever_their_order(pair, tmp_path, compared):
    small, large = pair
    squares = [pd.read_parquet(run / "tables" / "rdm_en.parquet").set_index("category") for run in pair]
    names = CATEGORIES[2:]
    expected = stats.rdm_correlation(*(frame.loc[names, names].to_numpy() for frame in squares))
    assert compared.comparison.rsa[0].value == pytest.approx(expected)
    shutil.copytree(large, tmp_path / "turned")
    turned = squares[1].iloc[::-1, ::-1].reset_index()
    turned.to_parquet(tmp_path / "turned" / "tables" / "rdm_en.parquet")
    again = compare_runs([small, tmp_path / "turned"], **QUICK).comparison.rsa[0]
    assert again.value == pytest.approx(expected)


def test_unlike_runs_are_not_found_alike(tmp_path):
    runs = [write_run(tmp_path / f"r{seed}", f"m{seed}", like=0.0, seed=seed) for seed in (4, 5)]
    comparison = compare_runs(runs, **QUICK).comparison
    assert comparison.rsa[0].p > 0.05
    assert "do not arrange emotion categories alike beyond chance" in answer(comparison)[0]


def test_what_two_runs_share_before_the_first_block_is_held_constant(tmp_path):
    """Two runs whose RDMs are those of their common words alone agree wholly, and not at all given the words."""
    for seed in (1, 2):
        write_run(tmp_path / f"r{seed}", f"m{seed}", seed=seed)
    words = distances(np.random.default_rng(9).normal(size=(len(CATEGORIES), 4)))
    a, b = np.triu_indices(len(CATEGORIES), 1)
    for seed in (1, 2):
        tables = tmp_path / f"r{seed}" / "tables"
        noise = np.random.default_rng(seed).normal(0, 0.3, words.shape)
        square(words + noise + noise.T, CATEGORIES).to_parquet(tables / "rdm_en.parquet")
        layers = pd.read_parquet(tables / "rdm_layers.parquet")
        layers.loc[layers.layer == 0, "dissimilarity"] = words[a, b]
        layers.to_parquet(tables / "rdm_layers.parquet")
    (rsa,) = compare_runs([tmp_path / "r1", tmp_path / "r2"], **QUICK).comparison.rsa
    assert rsa.baseline == pytest.approx(1)
    assert rsa.value > 0.5 and rsa.p < 0.05
    assert abs(rsa.partial) < 0.25 and rsa.partial_p > 0.05


def test_the_three_answers_of_each_run_are_those_of_its_report(pair, compared, tmp_path):
    for folder, run in zip(pair, compared.comparison.runs, strict=True):
        expected = [
            verdict.record()
            for verdict in Results.load(folder / "results.json").verdicts
            if verdict.language == "en"
        ]
        given = [record for record in compared.comparison.answers if record.run == run.name]
        assert [record.model_dump(exclude={"run"}) for record in given] == [
            record.model_dump() for record in expected
        ]
    assert {record.language for record in compared.comparison.answers} == {"en"}
    compared.save(tmp_path)
    assert Comparison.load(tmp_path / "comparison.json").answers == compared.comparison.answers
    page = write_page(compared, tmp_path).read_text(encoding="utf-8")
    table = re.sub(r"<[^>]+>", " ", page.split('id="table-answers"')[1].split("</table>")[0])
    assert "Is it in the concept features?" in table
    assert re.search(r"small\s+English\s+Partly\s+–\s+–\s+large\s+English\s+Partly\s+–\s+–", table)
    assert "run it again with this one" in table


def test_a_later_onset_is_found(compared):
    small, large = compared.comparison.onset
    assert (small.run, large.run) == ("small", "large")
    assert small.n == large.n == len(CATEGORIES) - 2
    assert small.onset_depth < large.onset_depth
    assert small.onset_low <= small.onset_depth <= small.onset_high
    assert small.value > small.before
    assert small.p == 1 / 200
    curve = compared.tables["people"].query("run == 'large'")
    assert curve.rsa.max() == pytest.approx(large.value)
    first = curve[curve.rsa >= 0.9 * curve.rsa.max()].iloc[0]
    assert (first.layer, first.depth) == (large.onset_layer, pytest.approx(large.onset_depth))


def test_onsets_are_summarised_where_two_runs_are_beyond_chance(compared):
    small, large = compared.comparison.onset
    others = [
        (small, "de", 0.2, 0.01),
        (large, "de", 0.6, 0.01),
        (small, "fr", 0.9, 0.01),
        (large, "fr", 0.9, 0.5),
        (small, "ja", 0.4, 0.01),
        (large, "ja", 0.8, 0.01),
    ]
    records = [
        record.model_copy(update={"language": language, "onset_depth": depth, "p": p})
        for record, language, depth, p in others
    ]
    medians = {s.among["run"]: (s.statistic, s.value, s.n) for s in onset_medians(records)}
    assert medians == {
        "small": ("median", pytest.approx(0.3), 2),
        "large": ("median", pytest.approx(0.7), 2),
    }


def test_the_answer_reads_the_medians_of_many_languages_from_the_records(compared):
    onsets = [
        record.model_copy(update={"language": language, "p": 0.01})
        for record in compared.comparison.onset
        for language in ("de", "fr", "ja", "es")
    ]
    planted = [
        s.model_copy(update={"value": value})
        for s, value in zip(onset_medians(onsets), (0.11, 0.22), strict=True)
    ]
    given = {"onset": tuple(onsets), "summary": tuple(planted)}
    said = " ".join(answer(compared.comparison.model_copy(update=given)))
    assert "(median of 4 languages) .11 for small and .22 for large" in said
    without = " ".join(answer(compared.comparison.model_copy(update=given | {"summary": ()})))
    assert "not summarised: an earlier version" in without


def test_layers_of_different_depths_are_matched(compared):
    (record,) = compared.comparison.depth
    depth = compared.tables["depth"]
    assert (record.n_layers_a, record.n_layers_b) == (9, 15)
    assert len(depth) == 9 * 15
    assert record.best == pytest.approx(depth.rsa.max())
    assert record.value == pytest.approx((depth.rsa * depth.equal_depth).sum() / depth.equal_depth.sum())
    assert record.ci_low <= record.value <= record.ci_high
    match = compared.tables["depth_match"].query("run == 'small'")
    assert len(match) == 9
    assert record.shift == pytest.approx((match.best_depth - match.depth).mean())
    assert len(compared.tables["depth_match"]) == 9 + 15
    curve = compared.tables["depth_equal"]
    matrix = compared.tables["depth"].query("equal_depth > 0")
    for depth, rsa in zip(curve["depth"], curve["rsa"], strict=True):
        part = matrix[matrix["depth_a"] == depth]
        assert rsa == pytest.approx(np.average(part["rsa"], weights=part["equal_depth"]))
    assert curve["depth"].tolist() == sorted(matrix["depth_a"].unique())


def test_a_model_is_most_like_itself_at_equal_depth(tmp_path):
    first = write_run(tmp_path / "one", "m")
    second = shutil.copytree(first, tmp_path / "two")
    comparison = compare_runs([first, second], **QUICK).comparison
    assert [run.name for run in comparison.runs] == ["m (one)", "m (two)"]
    (depth,) = comparison.depth
    assert depth.value == pytest.approx(1) and depth.shift == 0 and depth.any_depth < 1
    assert all(r.difference == 0 and r.p == 1 for r in comparison.differences)
    assert all(r.difference == 0 for r in comparison.figures if r.run == "m (two)")


@pytest.mark.parametrize(("n_a", "n_b"), [(3, 3), (3, 7), (7, 3), (1, 4)])
def test_weights_of_equal_depth_interpolate(n_a, n_b):
    a, b = np.linspace(0, 1, n_a), np.linspace(0, 1, n_b)
    weights = equal_depth(a, b)
    assert weights.shape == (n_a, n_b)
    few = weights if n_a <= n_b else weights.T
    np.testing.assert_allclose(few.sum(axis=1), 1)
    depths = (a, b) if n_a <= n_b else (b, a)
    np.testing.assert_allclose(few @ depths[1], depths[0])


def test_a_run_that_predicts_better_is_found_better_on_the_same_words(compared):
    by = {(r.target, r.features): r for r in compared.comparison.differences}
    assert set(by) == {(target, name) for target in TARGETS for name in ("space", "dense")}
    for target in TARGETS:
        better = by[target, "space"]
        assert (better.run, better.against) == ("large", "small")
        assert better.difference == pytest.approx(better.r - better.r_against)
        assert better.ci_low > 0 and better.p_fdr < 0.05
        assert better.n == N_WORDS * 7 // 8
        # Dense states predict equally well in both.
        assert abs(by[target, "dense"].difference) < 0.05 < better.ci_low


def test_r_on_the_same_words_is_the_published_one(compared):
    published = {
        (r.run, r.target, r.of): r.value for r in compared.comparison.figures if r.kind == "prediction"
    }
    for r in compared.comparison.differences:
        assert r.r == pytest.approx(published["large", r.target, r.features])
        assert r.r_against == pytest.approx(published["small", r.target, r.features])


def test_words_one_run_lacks_are_left_out(tmp_path):
    runs = [
        write_run(tmp_path / "whole", "whole"),
        write_run(tmp_path / "part", "part", seed=2, n_words=100),
    ]
    for r in compare_runs(runs, **QUICK).comparison.differences:
        assert r.n == 100 - 13
        assert r.difference is not None


def test_figures_stand_side_by_side_with_differences_from_the_first(compared):
    figures = compared.comparison.figures
    assert {r.kind for r in figures} == {"prediction", "rsa", "best_pc_r", "steering"}
    assert all(r.difference is None for r in figures if r.run == "small")
    shape = {r.run: r for r in figures if (r.kind, r.of, r.against) == ("rsa", "space", "valence_arousal")}
    assert shape["large"].difference == pytest.approx(shape["large"].value - shape["small"].value)
    assert {r.of for r in figures if r.kind == "rsa" and r.run == "large"} == {"space", "dense", "static"}
    rows = list(figure_rows(compared.comparison))
    assert all(len(row) == 5 for row in rows)
    assert ("en", "rsa valence_arousal", "dense") in [row[:3] for row in rows]


# --- what runs are called, and which is held against -------------------------------------------------------


def test_the_baseline_comes_first_by_folder_or_name(pair):
    for given in (str(pair[1]), "large"):
        comparison = compare_runs(pair, baseline=given, **QUICK).comparison
        assert comparison.baseline == "large" and comparison.others == ("small",)
        assert {r.against for r in comparison.differences} == {"large"}


def test_runs_of_one_model_go_by_as_much_of_their_folders_as_it_takes(tmp_path):
    runs = [tmp_path / "x" / "run", tmp_path / "y" / "run", tmp_path / "z"]
    for seed, run in enumerate(runs):
        write_run(run, "m", seed=seed)
    names = [run.name for run in compare_runs(runs, **QUICK).comparison.runs]
    assert names == ["m (x/run)", "m (y/run)", "m (z)"]


# --- what is written ---------------------------------------------------------------------------------------


def test_a_comparison_is_saved_whole_and_the_same_each_time(pair, compared, tmp_path):
    written = {}
    for name in ("once", "again"):
        result = compare_runs(pair, **QUICK)
        write_page(result, result.save(tmp_path / name))
        files = [path for path in (tmp_path / name).rglob("*") if path.is_file()]
        written[name] = {str(path.relative_to(tmp_path / name)): path.read_bytes() for path in files}
    assert written["once"] == written["again"]
    assert set(written["once"]) == {
        "comparison.json", "comparison.html",
        *(f"tables/{name}.parquet" for name in ("depth", "depth_match", "depth_equal", "people", "rsa", "figures", "differences")),
    }  # fmt: skip
    assert Comparison.load(tmp_path / "once" / "comparison.json") == compared.comparison
    with pytest.raises(EmospaceError, match="no such file"):
        Comparison.load(tmp_path / "nothing.json")


def page_of(compared, folder: Path) -> str:
    return write_page(compared, folder).read_text(encoding="utf-8")


def charts_of(page: str) -> dict:
    return json.loads(re.search(r'id="charts">(.*?)</script>', page, re.DOTALL)[1])


def test_the_page_of_two_runs_has_every_section_and_asks_for_nothing(compared, tmp_path):
    page = page_of(compared, tmp_path)
    for key in ("answer", "runs", "arrangement", "depth", "figures", "missing", "manifest"):
        assert f'<section id="{key}"' in page
    assert "large beside small" in page
    markup = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', markup)
    assert "small and large arrange emotion categories alike beyond chance" in page
    assert set(charts_of(page)) == {
        "arrangement-points", "depth-equal", "depth-people", "depth-matrix-2", "difference-",
        "beside-prediction", "beside-rsa", "beside-best_pc_r", "beside-steering",
    }  # fmt: skip


@pytest.fixture(scope="module")
def five(tmp_path_factory):
    folder = tmp_path_factory.mktemp("five")
    runs = [
        write_run(
            folder / f"run{place}", f"model-<{place}>", seed=place, like=0.2 + 0.1 * place, skill=0.3 + 0.05 * place,
            n_blocks=3 + place, languages=("en", "zh") if place != 2 else ("en",), layers=place != 3,
        )
        for place in range(5)
    ]  # fmt: skip
    return compare_runs(runs, n_permutations=99, languages=("en", "zh"))


def test_five_runs_are_compared_pair_by_pair_and_all_with_the_first(five, tmp_path):
    comparison = five.comparison
    assert {language: sum(r.language == language for r in comparison.rsa) for language in ("en", "zh")} == {
        "en": 10,
        "zh": 6,
    }
    assert len([r for r in comparison.depth if r.language == "en"]) == 6
    assert len(comparison.differences) == (4 + 3) * 4
    (missing,) = {m.what: m for m in comparison.not_computed if m.what.startswith("layers")}.values()
    assert "model-<3>" in missing.what and "rdm_layers" in missing.why
    assert all(r.baseline is None for r in comparison.rsa if "model-<3>" in (r.a, r.b))
    page = page_of(five, tmp_path)
    assert "model-&lt;4&gt;" in page and "model-<4>" not in page
    charts = charts_of(page)
    assert set(charts["arrangement-matrix"]["variants"]) == {"en", "zh"}
    assert len([key for key in charts if key.startswith("depth-matrix")]) == 3
    assert "of 16 pairs of runs (RSA" in page
    assert set(charts["difference-valence"]["variants"]) == {"en-en_norms", "zh-en_norms"}
    # A run without the language stands as such, not as the drawing of another language.
    assert charts["depth-matrix-3"]["variants"]["zh"]["data"] == []


# --- what is refused, and what is said ---------------------------------------------------------------------


def test_a_run_without_layers_leaves_the_rest(pair, tmp_path):
    old = write_run(tmp_path / "old", "old", layers=False)
    result = compare_runs([pair[0], old], **QUICK)
    assert result.comparison.rsa[0].value is not None and result.comparison.rsa[0].baseline is None
    assert not result.comparison.depth
    assert [m.what for m in result.comparison.not_computed] == ["layers of old"]
    assert "Layers of two runs: not shown" in page_of(result, tmp_path)


def test_norms_of_one_name_with_other_ratings_are_not_paired(pair, tmp_path):
    other = write_run(tmp_path / "other", "other", scale=2.0)
    for r in compare_runs([pair[0], other], **QUICK).comparison.differences:
        assert r.difference is None and "different ratings" in r.reason


def test_folds_are_those_of_the_run_and_a_run_without_them_must_be_made_again(pair, tmp_path):
    other = write_run(tmp_path / "other", "other")
    compared = compare_runs([pair[0], other], **QUICK).comparison.differences
    (other / "spec.json").write_text('{"folds": 7}', encoding="utf-8")
    assert compare_runs([pair[0], other], **QUICK).comparison.differences == compared
    table = other / "tables" / "predictions.parquet"
    pd.read_parquet(table).drop(columns=["fold", "group"]).to_parquet(table)
    for r in compare_runs([pair[0], other], **QUICK).comparison.differences:
        assert r.difference is None and "other was made by an earlier version" in r.reason


def test_other_norms_are_said(pair, tmp_path):
    other = write_run(tmp_path / "other", "other", norms="en_others")
    comparison = compare_runs([pair[0], other], **QUICK).comparison
    assert not comparison.differences
    assert "no norms of the same name" in " ".join(m.why for m in comparison.not_computed)


def test_a_language_the_baseline_lacks_is_compared_among_the_others(pair, tmp_path):
    third = write_run(tmp_path / "third", "third", seed=5, languages=("de",))
    comparison = compare_runs([*pair, third], **QUICK).comparison
    assert comparison.languages == ("en", "de")
    assert [(r.a, r.b) for r in comparison.rsa if r.language == "de"] == [("large", "third")]
    said = {(m.what, m.language): m.why for m in comparison.not_computed}
    assert said["difference in r between third and small", "de"] == "small does not have it"
    assert "no run shares this language with the first" in page_of(
        compare_runs([*pair, third], **QUICK), tmp_path
    )


def test_one_run_is_refused(pair):
    with pytest.raises(EmospaceError, match="at least two runs"):
        compare_runs(pair[:1])


def test_one_folder_twice_is_refused_under_any_name(pair, tmp_path):
    (tmp_path / "link").symlink_to(pair[0])
    for again in (pair[0], pair[0] / "tables" / "..", tmp_path / "link"):
        with pytest.raises(EmospaceError, match="given twice"):
            compare_runs([pair[0], again])


def test_what_is_no_finished_study_is_refused(pair, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("", encoding="utf-8")
    steered = write_run(tmp_path / "steered", "m")
    results = Results.load(steered / "results.json")
    results.model_copy(update={"features": (), "alignment": (), "prediction": ()}).save(
        steered / "results.json"
    )
    said = {"empty": "no such file", "file": "is a file", "nowhere": "no such folder", "steered": "no study"}
    for name, why in said.items():
        with pytest.raises(EmospaceError, match=rf"{name}.*{why}"):
            compare_runs([pair[0], tmp_path / name])


def test_runs_must_share_a_language_and_categories(pair, tmp_path):
    german = write_run(tmp_path / "german", "german", languages=("de",))
    with pytest.raises(
        EmospaceError, match=r"no language is in two of the runs \(small: en, zh; german: de\)"
    ):
        compare_runs([pair[0], german])
    with pytest.raises(EmospaceError, match="--languages zh: 1 of the runs has it"):
        compare_runs(pair, languages=("zh",))
    few = write_run(tmp_path / "few", "few", categories=tuple(CATEGORIES[:4]))
    with pytest.raises(EmospaceError, match=r"no two of them share 5 categories .*at most 4"):
        compare_runs([pair[0], few])
    third = compare_runs([*pair, few], **QUICK).comparison
    assert [r.reason is None for r in third.rsa] == [True, False, False]
    assert "share 4 categories" in third.rsa[1].reason


def test_an_unknown_baseline_is_refused(pair):
    with pytest.raises(EmospaceError, match="run for --baseline 'middle'"):
        compare_runs(pair, baseline="middle")


# --- the command -------------------------------------------------------------------------------------------


def test_the_command_writes_everything_and_tells_how_to_do_it_again(pair, tmp_path):
    app = typer.Typer()
    app.command()(compare_command)
    out = tmp_path / "out"
    given = [
        str(pair[0]),
        str(pair[1]),
        "--out",
        str(out),
        "--permutations",
        "99",
        "--baseline",
        str(pair[1]),
    ]
    result = CliRunner().invoke(app, given)
    assert result.exit_code == 0, result.output
    assert "Main figures side by side" in result.output
    assert "en\tlarge\tsmall\t16" in result.output
    comparison = Comparison.load(out / "comparison.json")
    assert comparison.baseline == "large"
    assert comparison.command.split()[:2] == ["emospace", "compare"]
    assert CliRunner().invoke(app, comparison.command.split()[2:]).exit_code == 0
    assert Comparison.load(out / "comparison.json") == comparison


def test_a_comparison_is_published_with_machine_and_command_and_no_paths(compared, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "recipes")
    import publish_comparison

    compared.save(tmp_path / "run")
    command = "make results WARRINER=/home/someone/W.csv"
    arguments = [str(tmp_path / "run"), "--name", "compare", "--command", command, "--docs", str(tmp_path)]
    publish_comparison.main(arguments)
    card = read_json(tmp_path / "compare.json")
    assert card["command"] == "make results WARRINER=W.csv"
    assert card["machine"]["cores"] >= 1
    assert len(card["comparison"]["rsa"]) == len(compared.comparison.rsa)
    assert str(tmp_path) not in (tmp_path / "compare.json").read_text(encoding="utf-8")
    page = (tmp_path / "compare.md").read_text(encoding="utf-8")
    first = compared.comparison.rsa[0]
    assert f"| {first.language} | {first.a} | {first.b} | {first.n} | {first.value:.3f} |" in page
