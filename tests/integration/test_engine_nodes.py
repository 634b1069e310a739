"""A cluster of two machines, each a raylet with an object store of its own: one is slow, or is lost in mid-run."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from emospace.activations import states
from emospace.engines import Held, ray as engine_ray
from emospace.study import StudySpec, run_study
from small_study import N_NORMED, make_study_files

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'emospace[ray]'")

# A machine is three processes, and a worker another one that imports torch.
pytestmark = pytest.mark.slow

N_ITEMS = 5
TEN = Held(10, "ten", lambda _device: 10)
RESULTS = {item: [10 * item] for item in range(N_ITEMS)}
STORE = 100_000_000
PATIENCE = 240
"""Seconds after which a worker that waits for the other machine fails, so that the test does not hang."""


def started(start: Callable):
    """Return what is started, at the third try at the latest: on a busy machine a raylet outlasts Ray's 30 seconds."""
    for _ in range(2):
        try:
            return start()
        except Exception as error:
            logging.getLogger(__name__).warning("not started: %s", error)
    return start()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Start a head that does no work, which the machines of a test join; no result is sent beside the object stores."""
    from ray.cluster_utils import Cluster

    head = {
        "num_cpus": 0,
        "include_dashboard": False,
        "object_store_memory": STORE,
        "_system_config": {"max_direct_call_object_size": 0, "worker_niceness": 0},
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMOSPACE_CACHE", str(tmp_path_factory.mktemp("workers")))
        patch.delenv("RAY_ADDRESS", raising=False)
        cluster = started(lambda: Cluster(initialize_head=True, head_node_args=head))
        ray.init(cluster.address, log_to_driver=False, logging_level=logging.ERROR)
        yield cluster
        ray.shutdown()
        cluster.shutdown()


@pytest.fixture
def nodes(cluster) -> list:
    """Return two machines of one CPU each, a new one in place of one that an earlier test lost."""
    while len(cluster.worker_nodes) < 2:
        started(lambda: cluster.add_node(num_cpus=1, object_store_memory=STORE))
    return sorted(cluster.worker_nodes, key=lambda node: node.node_id)


@pytest.fixture(scope="module")
def engine(cluster):
    """Give an engine whose workers stay from test to test."""
    with closing(engine_ray.Ray("ray", workers=2, device="cpu")) as engine:
        yield engine


def noting(folder: Path, held) -> Callable[[int], None]:
    """Return what a worker calls as it begins an item: a note of item and machine is left in a folder.

    Each machine waits in its first item until the other is there too, and `held` then waits for `let_go`. To open a pipe
    waits for its other end.
    """
    folder.mkdir(exist_ok=True)
    both, go, held_id = folder / "both", folder / "go", held.node_id
    os.mkfifo(both)
    os.mkfifo(go)

    def give_up(*_signal: object) -> None:
        raise TimeoutError("the other machine has begun nothing")

    def begin(item: int) -> None:
        signal.signal(signal.SIGALRM, give_up)
        signal.alarm(PATIENCE)
        node = ray.get_runtime_context().get_node_id()
        is_first = not list(folder.glob(f"{node} *"))
        (folder / f"{node} {item} {os.urandom(4).hex()}").touch()
        if is_first and node == held_id:
            both.open("w").close()
            go.open("r").close()
        elif is_first:
            both.open("r").close()
        signal.alarm(0)

    return begin


def let_go(folder: Path) -> None:
    (folder / "go").open("w").close()


def begun(folder: Path, node) -> list[int]:
    """Return the items that a machine began."""
    return sorted(int(path.name.split(" ")[1]) for path in folder.glob(f"{node.node_id} *"))


def times_ten(begin: Callable[[int], None]) -> Callable:
    def work(ten, item):
        begin(item)
        yield ten * item

    return work


def test_a_slow_machine_costs_its_share_and_no_more(nodes, engine, tmp_path):
    fast, slow = nodes
    results = {}
    for item, pieces in engine.spread(times_ten(noting(tmp_path, slow)), range(N_ITEMS), TEN):
        results[item] = list(pieces)
        if len(results) == N_ITEMS - 1:
            let_go(tmp_path)
    assert results == RESULTS
    assert len(begun(tmp_path, slow)) == 1
    assert sorted(begun(tmp_path, fast) + begun(tmp_path, slow)) == list(RESULTS)


def test_an_item_lost_with_the_store_its_result_lay_in_is_done_again(
    cluster, nodes, engine, tmp_path, monkeypatch
):
    other, lost = nodes
    wait = ray.wait

    def lose(refs, **options):
        """Lose the machine when its result is there and not here yet."""
        if lost in cluster.worker_nodes:
            done, _ = wait(refs, **{**options, "fetch_local": False})
            (place,) = ray.experimental.get_object_locations(done).values()
            if place["node_ids"] == [lost.node_id] and begun(tmp_path, lost):
                cluster.remove_node(lost, allow_graceful=False)
                let_go(tmp_path)
        return wait(refs, **options)

    monkeypatch.setattr(ray, "wait", lose)
    spread = engine.spread(times_ten(noting(tmp_path, other)), range(N_ITEMS), TEN)
    assert {item: list(pieces) for item, pieces in spread} == RESULTS
    assert lost not in cluster.worker_nodes
    assert len(begun(tmp_path, lost)) == 1
    assert begun(tmp_path, other) == list(RESULTS)


def outputs(spec: StudySpec, out: Path) -> dict[str, bytes]:
    """Run a study and return the bytes of its results and tables."""
    run_study(spec, out)
    return {path.name: path.read_bytes() for path in (out / "results.json", *(out / "tables").iterdir())}


def test_a_study_that_loses_a_machine_in_mid_shard_writes_the_same_bytes(
    cluster, nodes, tmp_path, monkeypatch
):
    other, lost = nodes
    files, notes = make_study_files(tmp_path), tmp_path / "notes"
    spec = {"n_draws": 0, "n_shuffled": 0, "n_carriers": 1, "steering": False}
    monkeypatch.setattr(states, "SHARD_WORDS", -(-N_NORMED // N_ITEMS))
    undisturbed = outputs(files.spec(**spec), tmp_path / "undisturbed")
    begin = noting(notes, lost)
    work, spread = states.shard_states, engine_ray.Ray.spread
    n_workers = []

    def noted(model, shard, heads):
        begin(shard.low)
        yield from work(model, shard, heads)

    def losing(engine, *args):
        for number, done in enumerate(spread(engine, *args), 1):
            if lost in cluster.worker_nodes and number == N_ITEMS - 1:
                cluster.remove_node(lost, allow_graceful=False)
            yield done
        n_workers.append(len(engine._hands))

    monkeypatch.setattr(states, "shard_states", noted)
    monkeypatch.setattr(engine_ray.Ray, "spread", losing)
    assert outputs(files.spec(engine="ray", workers=2, **spec), tmp_path / "disturbed") == undisturbed
    (low,) = begun(notes, lost)
    assert low in begun(notes, other)
    assert n_workers[0] == 1, (
        "the idle worker does the shard, and nobody waits for another one to load the model"
    )
