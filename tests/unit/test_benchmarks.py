"""The benchmark suite without its peers: inputs, rounds, rows, the worker's protocol, the published page."""

from __future__ import annotations

import ast
import os
import re
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from emospace.artefacts import read_json, write_json
from emospace.specs import Guidance

ROOT = Path(__file__).parents[2]
SUITE = ROOT / "benchmarks"


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    """Import the suite as it runs, and forget its modules afterwards: their names are ordinary words."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(SUITE)
    monkeypatch.syspath_prepend(ROOT / "recipes")
    yield
    stems = {path.stem for path in SUITE.glob("*.py")} | {"tools"}
    for name in set(sys.modules) - before:
        if name.split(".")[0] in stems:
            del sys.modules[name]


@pytest.mark.parametrize("environment", ["repeng", "current", "legacy", "llama"])
def test_every_environment_is_locked_from_the_public_index_alone(environment):
    folder = SUITE / "environments" / environment
    lock = (folder / "uv.lock").read_text(encoding="utf-8")
    hosts = set(re.findall(r"https?://([^/\"]+)", lock))
    assert hosts == {"pypi.org", "files.pythonhosted.org"}
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    locked = {package["name"]: package["version"] for package in tomllib.loads(lock)["package"]}
    pinned = dict(item.split("==") for item in project["project"]["dependencies"] if "==" in item)
    assert pinned
    assert all(locked[name] == number for name, number in pinned.items())


def test_every_tool_has_an_adapter_with_the_functions_of_the_others():
    from bench import MODEL_TOOLS
    from processes import ENVIRONMENTS

    for tool in ENVIRONMENTS:
        tree = ast.parse((SUITE / "tools" / f"{tool}.py").read_text(encoding="utf-8"))
        functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assigned = {
            target.id
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        assert "load" in functions
        assert "PACKAGES" in assigned
        if tool in MODEL_TOOLS:
            assert functions >= {"words_last", "texts_last", "vector", "unsteered", "steered", "module"}
            assert "BATCHES" in assigned


def test_inputs_are_the_same_each_time_and_of_the_size_asked_for(tmp_path):
    from inputs import QUICK, START, many_words, write_inputs

    files = write_inputs(tmp_path / "a", QUICK)
    again = write_inputs(tmp_path / "b", QUICK)
    assert files.keys() == again.keys()
    for name, path in files.items():
        if path.suffix == ".json":
            assert path.read_bytes() == again[name].read_bytes()
    given = read_json(files["words"])
    assert len(set(given["words"])) == QUICK.words
    assert given["carrier"].count("{word}") == 1
    texts = read_json(files["stories"])["texts"]
    assert len(texts) == QUICK.stories
    assert all(text.startswith(START) for text in texts)
    assert len({len(text) for text in texts}) > QUICK.stories / 2
    many = many_words(60_000)
    assert len(set(many)) == 60_000
    assert many[:100] == many_words(100)


def test_features_of_the_regression_have_variance_one_in_every_fold():
    from inputs import regression

    x = regression(50, 6)["x"]
    for fold in np.array_split(np.arange(50), 5):
        np.testing.assert_allclose(x[fold].mean(0), 0, atol=1e-12)
        np.testing.assert_allclose(x[fold].std(0), 1, atol=1e-12)


def test_ridge_of_the_same_grid_gives_the_predictions_of_scikit_learn():
    from inputs import regression
    from tools import emospace, scikit_learn

    data = regression(150, 12)
    ours, theirs = emospace.ridge_same_grid(None, **data), scikit_learn.ridge_cv5(None, **data)
    assert ours["alpha"] == theirs["alpha"]
    np.testing.assert_allclose(ours["predicted"], theirs["predicted"], atol=1e-9)
    walked = emospace.ridge_walked(None, **data)
    assert np.corrcoef(walked["predicted"][:, 0], theirs["predicted"][:, 0])[0, 1] > 0.99


@pytest.mark.parametrize("statistic", ["pearson", "spearman"])
def test_point_estimates_and_ceilings_are_those_of_rsatoolbox(statistic):
    from inputs import matrices
    from tools import emospace, rsatoolbox

    data = matrices(9, n_humans=4)
    ours = emospace.rsa_bootstrap(None, **data, n=16, statistic=statistic)
    theirs = rsatoolbox.rsa_bootstrap(None, **data, n=3, statistic=statistic)
    for key in {"value", "lower", "upper"} & theirs.keys():
        assert ours[key] == pytest.approx(theirs[key], abs=1e-12)
    assert ("lower" in ours) == (statistic == "pearson")


def test_rounds_take_turns_and_a_tool_that_cannot_is_left_behind():
    from processes import ToolError
    from rounds import interleave

    order: list[str] = []

    def turn(name):
        def take():
            order.append(name)
            if name == "broken":
                raise ToolError("no such function")
            return {"seconds": 1.0}

        return take

    results = interleave({name: turn(name) for name in ("a", "b", "broken")}, 4, minutes=60)
    assert results["broken"] == "no such function"
    assert [len(results[name]) for name in ("a", "b")] == [4, 4]
    assert order[:3] == ["a", "b", "broken"]
    assert order[3:5] == ["b", "a"]
    assert order.count("broken") == 1
    few = interleave({"a": turn("a")}, 9, minutes=0, least=3)
    assert len(few["a"]) == 3


def test_the_batch_is_the_best_of_those_tried():
    from rounds import tune

    tried = []

    def rate(batch):
        tried.append(batch)
        return {8: 1.0, 16: 3.0, 32: 2.0, 64: 2.5, 128: 9.0}[batch]

    assert tune(rate, (8, 16, 32, 64, 128)) == 16
    assert tried == [8, 16, 32, 64]


def test_ratios_are_taken_within_rounds_for_equal_amounts():
    from rounds import compared, rate_row

    rounds = {
        "emospace": [{"seconds": 1.0}, {"seconds": 4.0}, {"seconds": 2.0}],
        "peer": [{"seconds": 3.0}, {"seconds": 12.0}, {"seconds": 8.0}],
    }
    amounts = {"emospace": 100, "peer": 50}
    rows = [{"name": name, "amount": amounts, **rate_row(rounds[name], amounts[name])} for name in rounds]
    compared(rows, rounds, "emospace")
    assert "emospace_times" not in rows[0]
    assert rows[1]["emospace_times"] == pytest.approx(6.0)
    assert rows[1]["emospace_times_high"] == pytest.approx(8.0)
    assert rows[0]["rate"] == pytest.approx(50.0)


def test_agreement_tells_the_last_block_apart():
    from rounds import cosines, state_agreement

    expected = np.random.default_rng(0).normal(size=(5, 3, 4))
    states = expected.copy()
    states[:, -1] *= 2
    agreement = state_agreement(states, expected)
    assert agreement["max_abs"] == 0
    assert agreement["last_block_max_rel"] == pytest.approx(1.0)
    assert cosines(-expected[0], expected[0])["least_cosine"] == pytest.approx(-1)


def test_the_worker_answers_calls_saves_arrays_and_reports_what_a_tool_raises(tmp_path):
    from inputs import matrices
    from processes import Process, Setting, ToolError

    np.savez(tmp_path / "in.npz", **matrices(6, n_humans=3))
    process = Process("emospace", Setting(1), tmp_path / "logs" / "worker.log")
    try:
        answer = process.ask(
            "call",
            name="rsa_bootstrap",
            inputs=str(tmp_path / "in.npz"),
            n=8,
            statistic="pearson",
            save=str(tmp_path / "out.npz"),
        )
        assert answer["seconds"] > 0
        assert answer["peak_rss_mib"] > 10
        assert 0 < np.load(tmp_path / "out.npz")["value"] < 1
        with pytest.raises(ToolError, match="AttributeError"):
            process.ask("call", name="no_such_function")
        assert process.ask("versions")["versions"]["numpy"]
    finally:
        process.close()
    missing = Process("dialz", Setting(1, pythons={"legacy": str(tmp_path / "none")}), tmp_path / "log")
    with pytest.raises(ToolError, match="make bench-environments"):
        missing.ask("versions")


def test_a_run_keeps_what_is_finished_and_goes_on_from_there(tmp_path):
    import run

    options = ["--quick", "--threads", "1", "--rounds", "1", "--tools", "emospace,scikit_learn"]
    options += ["--workloads", "ridge", "--out", str(tmp_path)]
    run.main(options)
    kept = tmp_path / "rows" / "ridge.json"
    rows = {row["name"]: row for row in read_json(kept)["rows"]}
    assert rows["RidgeCV(cv=5)"]["agreement"]["predicted_max_abs"] < 1e-9
    assert rows["RidgeCV(cv=5)"]["emospace_times"] > 0
    assert not [row["error"] for row in rows.values() if "error" in row]
    marked = read_json(kept)
    marked["rows"][0]["name"] = "as it was"
    write_json(kept, marked)
    run.main(options)
    results = read_json(tmp_path / "results.json")
    assert results["rows"][0]["name"] == "as it was"
    assert results["versions"]["scikit_learn"]["versions"]["scikit-learn"]
    with pytest.raises(SystemExit, match="unknown: rigde"):
        run.main(["--workloads", "rigde", "--out", str(tmp_path)])


def test_the_parts_of_a_study_are_timed_by_when_they_were_finished(tmp_path):
    from workloads import _stages

    ends = {"activations/ab/c.safetensors": 13.0, "stages/features-en-0123/records.json": 15.0}
    ends |= {"stages/features-en-0123/table.parquet": 14.5, "results.json": 21.0}
    for name, end in ends.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, (end, end))
    assert _stages(tmp_path, 10.0) == [
        {"stage": "activations", "seconds": 3.0},
        {"stage": "features-en", "seconds": 2.0},
        {"stage": "results.json", "seconds": 6.0},
    ]


def test_steering_is_held_against_the_unsteered_answers_around_it():
    from rounds import beside_neighbours
    from workloads import _generation_rows

    drifting = beside_neighbours([1.0, 2.0, 3.0, 4.0], [3.0, 5.0, 7.0])
    assert drifting["ratios"] == [0.5, 0.5, 0.5]
    assert drifting["control"] == [1.0, 1.0]
    assert drifting["seconds"] == pytest.approx(7.5)

    def taken(plain, steered, tokens):
        return {**beside_neighbours([plain] * 3, [steered] * 2), "tokens": tokens, "plain_tokens": [9, 9]}

    results = {
        "emospace": [taken(1.0, 1.0, [1, 2]), taken(2.0, 2.5, [1, 2]), taken(3.0, 4.0, [1, 2])],
        "peer": [taken(1.0, 2.0, [1, 3])],
        "broken": "shape is invalid",
    }
    rows = {row["tool"]: row for row in _generation_rows(results, {"model": "tiny"}, 20)}
    assert rows["emospace"]["steered_over_unsteered"] == pytest.approx(0.8)
    assert rows["emospace"]["agreement"] == {"changed_by_steering": True}
    assert rows["peer"]["agreement"]["same_tokens"] == 0.5
    assert rows["emospace"]["unsteered_over_unsteered"] == 1.0
    assert rows["peer"]["rate"] == pytest.approx(5.0)
    assert rows["broken"]["error"] == "shape is invalid"


def result(**more):
    row = {
        "name": "emospace",
        "tool": "emospace",
        "model": "tiny",
        "workload": "words",
        "n": 10,
        "unit": "words",
    }
    rate = {"rate": 20.0, "rate_low": 10.0, "rate_high": 30.0, "rounds": 3, "seconds": 0.5}
    return {**row, **rate, **more}


def test_the_published_page_holds_every_row_and_no_path(tmp_path):
    import publish_benchmarks

    peer = {"name": "saklas", "tool": "saklas", "emospace_times": 3.0}
    peer |= {"emospace_times_low": 2.5, "emospace_times_high": 3.25, "agreement": {"max_rel": 1e-6}}
    rows = [
        result(
            products={
                "flop_per_s": 1e11,
                "allowed_rate": 25.0,
                "share": 0.8,
                "share_low": 0.7,
                "share_high": 0.9,
            }
        ),
        result(**peer, note="private functions"),
        {**result(name="dialz"), "error": "its process ended; see /home/someone/logs/dialz.log"},
        result(workload="demo", stages=[{"stage": "alignment-en", "seconds": 2.0}]),
        *(
            result(workload="linear", n=n, seconds=n / 100, peak_rss_mib=700.0, stored_mib=1.0)
            for n in (10, 100)
        ),
    ]
    run = {
        "date": "2026-01-02",
        "machine": {"cpu": "a processor", "cores": 2, "memory_gib": 8.0},
        "threads": 2,
        "device": "cpu",
        "quick": False,
        "versions": {"emospace": {"versions": {"torch": "2.15.0"}}, "dialz": {"error": "not installed"}},
        "rows": rows,
    }
    write_json(tmp_path / "run" / "results.json", run)
    docs = tmp_path / "docs" / "results"
    docs.mkdir(parents=True)
    publish_benchmarks.main([str(tmp_path / "run"), "--command", "make bench", "--docs", str(docs)])
    page = (docs / "benchmarks.md").read_text(encoding="utf-8")
    for said in (
        "3.00 (2.50 to 3.25)",
        "80% of it is reached",
        "private functions",
        "alignment-en",
        "torch 2.15.0",
        "dialz, tiny: not measured",
        "a processor",
    ):
        assert said in page
    assert "/home/" not in page
    assert "/home/" not in (docs / "benchmarks.json").read_text(encoding="utf-8")
    assert (docs.parent / "images" / "benchmarks-linear.png").stat().st_size > 1000


def test_a_server_is_asked_for_the_addition_alone_whatever_the_vectors_were_calibrated_with(monkeypatch):
    import serving

    asked = []
    monkeypatch.setattr(
        serving, "last_event", lambda *call: asked.append(call[-1]) or {"usage": {"completion_tokens": 1}}
    )
    serving.own_answer("Hi", 4, steered=True)(None)
    calibrated = Guidance(certainty=0.25, sharpen=1.5, candidates=4, block=10)
    assert Guidance(**asked[0]["guidance"]).over(calibrated).is_plain
