"""A cluster of two workers gives the bytes that this session would, also where a worker is killed in mid-run."""

from __future__ import annotations

import logging
import os
import pickle
import shutil
import signal
from contextlib import closing, contextmanager
from pathlib import Path
from time import monotonic

import numpy as np
import pytest

from conftest import CARRIER, WORDS, make_hf_model, make_tokenizer, tiny
from emospace.activations import capture, extract, extract_words, states
from emospace.activations.shards import as_held
from emospace.engines import Held, _in_use, ray as engine_ray, running_on
from emospace.errors import EmospaceError
from emospace.models import load_model
from emospace.prediction import fit_ratings, predict_ratings

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'emospace[ray]'")

# Every worker is a process that imports torch and transformers.
pytestmark = pytest.mark.slow

LAYERS = (0, 1, 3)
MANY = [f"{word} {other}" for word in WORDS for other in WORDS]
N_SHARDS = 7


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("ray")
    make_hf_model("llama").save_pretrained(home / "model")
    make_tokenizer().save_pretrained(home / "model")
    return home / "model"


@pytest.fixture(scope="module")
def model(folder):
    return load_model(str(folder), device="cpu")


@pytest.fixture(scope="module", autouse=True)
def cluster(tmp_path_factory):
    """Start a cluster of two CPUs once, or enter that of ``RAY_ADDRESS``; the engine takes it as it is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMOSPACE_CACHE", str(tmp_path_factory.mktemp("workers")))
        quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
        if "RAY_ADDRESS" in os.environ:
            ray.init(**quiet)
        else:
            ray.init("local", num_cpus=2, include_dashboard=False, object_store_memory=100_000_000, **quiet)
        yield
        ray.shutdown()


@pytest.fixture(scope="module")
def cluster_engine(cluster):
    """Keep the two workers from test to test, but make no test run on them that does not ask for `engine`."""
    with closing(engine_ray.Ray("ray", workers=2, device="cpu")) as engine:
        yield engine


@pytest.fixture
def engine(cluster_engine):
    with _in_use(cluster_engine):
        yield cluster_engine


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch):
    monkeypatch.setattr(states, "SHARD_WORDS", -(-len(MANY) // N_SHARDS))


@pytest.fixture
def local(model) -> np.ndarray:
    """Return the states this session computes."""
    with running_on("local"):
        return extract_words(model, MANY, CARRIER, LAYERS).states


def files(store: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in store.rglob("*.safetensors")}


def record_work(monkeypatch, seen: Path, deadly=None) -> None:
    """Let each worker leave a note of every shard it begins, and kill itself where `deadly` says so."""
    work = states.shard_states
    seen.mkdir(exist_ok=True)

    def noted(model, shard, heads):
        name = f"{shard.low}-"
        before = sum(path.name.startswith(name) for path in seen.iterdir())
        (seen / f"{name}{before}-{os.getpid()}").touch()
        if deadly is not None and deadly(shard.low, before):
            yield next(iter(work(model, shard, heads)))
            os.kill(os.getpid(), signal.SIGKILL)
        yield from work(model, shard, heads)

    monkeypatch.setattr(states, "shard_states", noted)


def begun(seen: Path) -> list[int]:
    return sorted(int(path.name.split("-")[0]) for path in seen.iterdir())


def test_a_worker_goes_on_while_what_it_made_is_on_its_way(engine, tmp_path, monkeypatch):
    def work(held, item):
        (tmp_path / str(item)).touch()
        yield held + item

    fetch, went_on = engine._result, []

    def slow(ref):
        result = fetch(ref)
        if isinstance(result, list):
            end = monotonic() + 60
            while not (tmp_path / "2").exists() and monotonic() < end:
                pass
            went_on.append((tmp_path / "2").exists())
        return result

    ten = Held(10, "ten", lambda _device: 10)
    while len(engine._idle) < 2:
        list(engine.spread(lambda held, item: [held], range(4), ten))
    monkeypatch.setattr(engine, "_result", slow)
    assert dict(engine.spread(work, range(3), ten)) == {item: [10 + item] for item in range(3)}
    assert went_on == [True] * 3


def processes(seen: Path) -> set[str]:
    """Return the workers that began a shard; a small cluster's first may be done before the second is ready."""
    return {path.name.split("-")[2] for path in seen.iterdir()}


# --- extraction -------------------------------------------------------------------------------------------


def test_states_and_store_are_the_bytes_of_the_local_engine(model, engine, local, tmp_path, monkeypatch):
    with running_on("local"):
        extract_words(model, MANY, CARRIER, LAYERS, store=tmp_path / "here")
        texts = extract(model, MANY, [2], token_budget=64).states
    record_work(monkeypatch, tmp_path / "seen")
    assert engine.device == "cpu"
    there = extract_words(model, MANY, CARRIER, LAYERS, store=tmp_path / "there").states
    assert there.tobytes() == local.tobytes()
    assert len(files(tmp_path / "there")) == N_SHARDS
    assert files(tmp_path / "there") == files(tmp_path / "here")
    assert extract(model, MANY, [2], token_budget=64).states.tobytes() == texts.tobytes()
    assert len(begun(tmp_path / "seen")) == 2 * N_SHARDS
    assert str(os.getpid()) not in processes(tmp_path / "seen")
    assert len(processes(tmp_path / "seen")) <= 2, "the workers of the second call are those of the first"


def test_shards_in_the_store_are_not_sent(model, engine, local, tmp_path, monkeypatch):
    store = tmp_path / "store"
    extract_words(model, MANY, CARRIER, LAYERS, store=store)
    kept = files(store)
    lost = sorted(store.rglob("*.safetensors"))[:2]
    for path in lost:
        path.unlink()
    record_work(monkeypatch, tmp_path / "seen")
    assert extract_words(model, MANY, CARRIER, LAYERS, store=store).states.tobytes() == local.tobytes()
    assert len(begun(tmp_path / "seen")) == 2
    assert files(store) == kept
    extract_words(model, MANY, CARRIER, LAYERS, store=store)
    assert len(begun(tmp_path / "seen")) == 2


def test_a_worker_killed_in_mid_run_costs_one_shard(model, engine, local, tmp_path, monkeypatch):
    size, steps = states.SHARD_WORDS, []

    @contextmanager
    def counted(_title, total, _unit):
        yield lambda n=1: steps.append((n, total))

    monkeypatch.setattr(states, "progress", counted)
    deadly = {0, (N_SHARDS - 1) * size}
    record_work(monkeypatch, tmp_path / "seen", lambda low, before: low in deadly and before == 0)
    actual = extract_words(model, MANY, CARRIER, LAYERS, store=tmp_path / "store").states
    assert actual.tobytes() == local.tobytes()
    assert begun(tmp_path / "seen") == sorted([*range(0, len(MANY), size), *deadly])
    assert sum(n for n, _ in steps) == len(MANY) == steps[0][1]
    assert len(deadly) + 1 <= len(processes(tmp_path / "seen")) <= 2 + len(deadly)
    with running_on("local"):
        extract_words(model, MANY, CARRIER, LAYERS, store=tmp_path / "here")
    assert files(tmp_path / "store") == files(tmp_path / "here")


def test_another_model_takes_the_place_of_the_first(model, engine, local, tmp_path):
    make_hf_model("llama", seed=3).save_pretrained(tmp_path / "other")
    make_tokenizer().save_pretrained(tmp_path / "other")
    other = load_model(str(tmp_path / "other"), device="cpu")
    with running_on("local"):
        expected = extract_words(other, MANY, CARRIER, LAYERS).states
    extract_words(model, MANY, CARRIER, LAYERS)
    assert extract_words(other, MANY, CARRIER, LAYERS).states.tobytes() == expected.tobytes()
    assert extract_words(model, MANY, CARRIER, LAYERS).states.tobytes() == local.tobytes()


def test_a_model_with_hooks_is_run_where_they_are(model, engine, local, monkeypatch, caplog):
    handle = model.blocks[0].register_forward_hook(lambda _module, _args, output: output + 1)
    ran = []
    inner = capture._run_batch
    monkeypatch.setattr(capture, "_run_batch", lambda *args: ran.append(args) or inner(*args))
    try:
        actual = extract_words(model, MANY, CARRIER, LAYERS).states
    finally:
        handle.remove()
    assert ran
    assert "it is run here" in caplog.text
    assert np.allclose(actual[:, 1], local[:, 1] + 1, atol=1e-5)


# --- layers -----------------------------------------------------------------------------------------------


def planted(n=150, n_layers=5, d=24, seed=0):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, n_layers, d)).astype(np.float32)
    ratings = features[:, 2, :2] + rng.normal(size=(n, 2))
    return features, ratings, np.arange(n) // 2


@pytest.mark.parametrize("d", [24, 300], ids=["primal", "dual"])
def test_fits_of_layers_are_the_bytes_of_the_local_engine(engine, d):
    features, ratings, groups = planted(d=d)
    with running_on("local"):
        here = predict_ratings(features, ratings, groups, n_bootstrap=10)
        fitted_here = fit_ratings(features, ratings, groups)
    there = predict_ratings(features, ratings, groups, n_bootstrap=10)
    for ours, theirs in zip(here, there, strict=True):
        assert ours.out_of_fold.tobytes() == theirs.out_of_fold.tobytes()
        assert (ours.layer, ours.penalty, ours.all_words) == (theirs.layer, theirs.penalty, theirs.all_words)
        assert ours.layer_r.tobytes() == theirs.layer_r.tobytes()
    for ours, theirs in zip(fitted_here, fit_ratings(features, ratings, groups), strict=True):
        assert (ours.layer, ours.penalty) == (theirs.layer, theirs.penalty)


def test_layers_go_to_the_workers_and_come_back_in_order_though_one_is_killed(engine, tmp_path):
    def fit(layer: int) -> tuple[int, int]:
        marker = tmp_path / str(layer)
        if layer == 3 and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return layer, os.getpid()

    pairs = list(engine.map(fit, range(8)))
    assert [layer for layer, _ in pairs] == list(range(8))
    assert os.getpid() not in {process for _, process in pairs}

    def refuse(_):
        raise EmospaceError("features", "some are not finite", "Extract them again.")

    with pytest.raises(EmospaceError, match="some are not finite"):
        list(engine.map(refuse, range(3)))


# --- what cannot be done ----------------------------------------------------------------------------------


def test_only_the_same_model_is_held(folder, tmp_path):
    """What a worker does to hold a model, done here."""
    moved = tmp_path / "moved"
    shutil.copytree(folder, moved)
    held = as_held(load_model(str(moved), device="cpu"))
    make = pickle.loads(ray.cloudpickle.dumps(held.make))
    assert make("cpu").content_hash == held.key
    (moved / "config.json").write_text((moved / "config.json").read_text() + " ")
    with pytest.raises(EmospaceError, match="its files differ from those of the session that asks"):
        make("cpu")
    with pytest.raises(EmospaceError, match="made in memory"):
        as_held(tiny()).make("cpu")


def test_a_path_is_found_from_another_folder(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder.parent)
    held = as_held(load_model("model", device="cpu"))
    monkeypatch.chdir(tmp_path)
    assert held.make("cpu").content_hash == held.key


def test_a_shard_that_kills_every_worker_ends_the_run_and_keeps_the_others(
    model, engine, tmp_path, monkeypatch
):
    monkeypatch.setattr(engine_ray, "PATIENCE", 2)
    last = (N_SHARDS - 1) * states.SHARD_WORDS
    record_work(monkeypatch, tmp_path / "seen", lambda low, before: low == last)
    with pytest.raises(EmospaceError, match="2 workers were lost at the same shard"):
        extract_words(model, MANY, CARRIER, LAYERS, store=tmp_path / "store")
    assert begun(tmp_path / "seen").count(last) == 2
    assert len(files(tmp_path / "store")) >= N_SHARDS - 2


def test_an_error_of_a_worker_is_told_as_its_own(folder, engine, tmp_path):
    shutil.copytree(folder, tmp_path / "gone")
    model = load_model(str(tmp_path / "gone"), device="cpu")
    shutil.rmtree(tmp_path / "gone")
    with pytest.raises(
        EmospaceError, match=r"gone', on the worker at [\d.]+: there is no such folder"
    ) as error:
        extract_words(model, MANY, CARRIER, LAYERS)
    assert error.value.hint.startswith("Check the path")
