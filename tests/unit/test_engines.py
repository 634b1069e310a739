"""Engines without a cluster: what the local one does, how one is chosen, and what is told where it cannot be."""

from __future__ import annotations

import pickle
import sys
import threading
import warnings
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
import torch

from emospace.engines import LOCAL, Held, current, running_on
from emospace.engines.local import in_parallel, in_processes, limited_threads
from emospace.engines.ray import Ray
from emospace.errors import DiskError, EmospaceError
from emospace.study import StudySpec, run_study
from emospace.study.inputs import open_model


def test_work_stays_in_this_session_unless_said():
    assert current() is LOCAL
    with running_on("local") as engine:
        assert current() is engine is LOCAL
    assert LOCAL.device is None


def test_the_local_engine_works_lazily_and_in_order():
    asked = []

    def items():
        for item in range(3):
            asked.append(item)
            yield item

    held = Held(10, "ten", lambda _device: pytest.fail("it is here already"))
    spread = LOCAL.spread(lambda ten, item: (ten * item + part for part in (0, 1)), items(), held)
    item, pieces = next(spread)
    assert (item, list(pieces), asked) == (0, [0, 1], [0])
    assert [(item, list(pieces)) for item, pieces in spread] == [(1, [10, 11]), (2, [20, 21])]


def test_a_local_map_keeps_order_and_puts_the_threads_back():
    before = torch.get_num_threads()
    results = list(LOCAL.map(lambda item: (item, torch.get_num_threads()), range(20)))
    assert results == [(item, 1) for item in range(20)]
    assert torch.get_num_threads() == before


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def blas_threads() -> set[int]:
    from threadpoolctl import threadpool_info

    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


@pytest.mark.usefixtures("two_threads")
def test_limits_that_end_in_another_order_give_all_threads_back():
    free = blas_threads()
    first, second = limited_threads(1), limited_threads(1)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert torch.get_num_threads() == 1
    assert blas_threads() == {1}
    second.__exit__(None, None, None)
    assert torch.get_num_threads() == 2
    assert blas_threads() == free


@pytest.mark.usefixtures("two_threads")
def test_generators_read_in_turn_give_all_threads_back():
    free = blas_threads()
    maps = [in_parallel(lambda item: item, range(6)) for _ in range(2)]
    assert [next(maps[0]), next(maps[1]), *maps[0], *maps[1]] == [0, 0, *range(1, 6), *range(1, 6)]
    abandoned = in_parallel(lambda item: item, range(6))
    next(abandoned)
    del abandoned
    assert torch.get_num_threads() == 2
    assert blas_threads() == free


@pytest.mark.usefixtures("two_threads")
def test_a_thread_that_is_done_first_has_its_own_number_again():
    free, counts = blas_threads(), []
    inside, leave = threading.Event(), threading.Event()

    def other():
        torch.set_num_threads(2)
        with limited_threads(1):
            inside.set()
            assert leave.wait(30)
        counts.append(torch.get_num_threads())

    thread = threading.Thread(target=other)
    with limited_threads(1):
        thread.start()
        assert inside.wait(30)
    assert torch.get_num_threads() == 2
    assert blas_threads() == {1}  # the other still stands
    leave.set()
    thread.join(30)
    assert counts == [2]
    assert blas_threads() == free


@pytest.mark.usefixtures("two_threads")
def test_a_generator_closed_elsewhere_does_not_hold_its_thread_for_good():
    waiting = in_parallel(lambda item: item, range(6))
    next(waiting)
    closing = threading.Thread(target=waiting.close)
    closing.start()
    closing.join(30)
    with limited_threads(1):
        pass
    assert torch.get_num_threads() == 2


def test_libraries_are_looked_for_once_for_many_maps(monkeypatch):
    import threadpoolctl

    assert list(in_parallel(abs, [-1, 2])) == [1, 2]
    monkeypatch.setattr(threadpoolctl, "ThreadpoolController", Mock(side_effect=AssertionError("a look")))
    for _ in range(5):
        assert list(in_parallel(abs, [-1, 2])) == [1, 2]


def test_an_unknown_engine_is_named():
    with (
        pytest.raises(EmospaceError, match=r"engine 'rya': there is no such engine\. Did you mean ray"),
        running_on("rya"),
    ):
        pass
    assert current() is LOCAL


def test_without_ray_the_line_that_installs_it_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(EmospaceError, match=r"Run: pip install 'emospace\[ray\]'"), running_on("ray"):
        pass
    with pytest.raises(EmospaceError, match="0 workers"), running_on("ray", workers=0):
        pass


class FakeRay(SimpleNamespace):
    """Stands for the module: machines with CPUs and GPUs, which nothing runs on; `asked` are the options of its workers."""

    def __init__(self, *machines: tuple[int, int]) -> None:
        resources = [{"CPU": cpus, "GPU": gpus} if gpus else {"CPU": cpus} for cpus, gpus in machines]
        self.asked: list[dict[str, Any]] = []
        super().__init__(
            is_initialized=lambda: True,
            nodes=lambda: (
                [
                    {"NodeID": str(place), "Alive": True, "Resources": each}
                    for place, each in enumerate(resources)
                ]
                + [{"NodeID": "gone", "Alive": False, "Resources": {"CPU": 64, "GPU": 8}}]
            ),
            remote=lambda _worker: SimpleNamespace(options=self._options),
            kill=lambda _worker: None,
            util=SimpleNamespace(
                scheduling_strategies=SimpleNamespace(
                    NodeAffinitySchedulingStrategy=lambda node, soft: (node, soft)
                )
            ),
        )

    def _options(self, **options):
        self.asked.append(options)
        return SimpleNamespace(remote=lambda: None)


@pytest.mark.parametrize(
    ("machines", "workers", "device", "expected"),
    [
        ([(8, 0), (7, 0)], None, "auto", (3, 0, "cpu")),
        ([(1, 0)], None, "auto", (1, 0, "cpu")),
        ([(8, 0)], 5, "cpu", (5, 0, "cpu")),
        ([(8, 0)], 1, "map", (1, 0, "map")),
        ([(0, 0), (64, 8), (64, 4)], None, "auto", (12, 1, "cuda")),
        ([(64, 8)], 3, "cuda:1", (3, 1, "cuda")),
        ([(64, 8)], 20, "cuda", (8, 1, "cuda")),
        ([(64, 8)], 3, "cpu", (3, 0, "cpu")),
        ([(64, 8), (64, 8)], None, "map", (2, 8, "map")),
        ([(64, 8), (64, 8)], 8, "map", (8, 2, "map")),
        ([(64, 8), (64, 8)], 5, "map", (5, 2, "map")),
        ([(64, 8), (64, 8)], 40, "map", (16, 1, "map")),
    ],
)
def test_workers_are_as_many_as_have_a_device(monkeypatch, machines, workers, device, expected):
    monkeypatch.setitem(sys.modules, "ray", FakeRay(*machines))
    monkeypatch.setattr("emospace.engines.ray._threads", lambda: 4)
    with running_on("ray", workers=workers, device=device) as engine:
        assert current() is engine
        assert isinstance(engine, Ray)
        assert (engine.workers, engine._gpus, engine._place) == expected
        assert engine.device == ("cuda" if expected[1] else "cpu")
    assert current() is LOCAL


def test_workers_on_cpus_are_spread_by_the_cpus_of_machines(monkeypatch):
    cluster = FakeRay((0, 0), (1, 0), (3, 0))
    monkeypatch.setitem(sys.modules, "ray", cluster)
    with running_on("ray", workers=4) as engine:
        hands = [engine._hired() for _ in range(4)]
        assert sorted(asked["scheduling_strategy"] for asked in cluster.asked) == [
            ("1", True),
            *[("2", True)] * 3,
        ]
        lost = [hand for hand in hands if hand.node == "1"]
        engine._dismiss(lost)
        assert engine._hired().node == "1"


def test_workers_on_gpus_keep_them(monkeypatch):
    cluster = FakeRay((8, 2), (8, 2))
    monkeypatch.setitem(sys.modules, "ray", cluster)
    with running_on("ray", device="map") as engine:
        engine._hired()
    assert cluster.asked == [
        {"max_restarts": 0, "num_gpus": 2, "num_cpus": 0, "scheduling_strategy": "SPREAD"}
    ]


def test_gpus_that_are_not_there_are_missed(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", FakeRay((4, 0)))
    with (
        pytest.raises(EmospaceError, match="device 'cuda': no machine of this machine's cluster has a GPU"),
        running_on("ray", device="cuda"),
    ):
        pass


def test_a_cluster_that_cannot_be_reached_is_told_by_its_address(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(is_initialized=lambda: False))
    spec = StudySpec(engine="ray://127.0.0.1:1", languages=("en",))
    with pytest.raises(
        EmospaceError, match=r"engine 'ray://127.0.0.1:1': the cluster cannot be reached \(.*refused"
    ):
        run_study(spec, tmp_path)
    assert current() is LOCAL


def test_an_error_survives_the_way_from_a_worker():
    error = pickle.loads(pickle.dumps(DiskError("a", "b", "c")))
    assert isinstance(error, DiskError)
    assert (error.what, error.why, error.hint) == ("a", "b", "c")


def test_a_study_leaves_the_devices_to_its_workers(monkeypatch):
    asked = []
    monkeypatch.setattr(
        "emospace.models.load_model", lambda _name, **options: asked.append(options["device"])
    )
    monkeypatch.setitem(sys.modules, "ray", FakeRay((4, 2)))
    spec = StudySpec(device="cuda")
    with running_on("ray", device=spec.device):
        open_model(spec)
    open_model(spec)
    assert asked == ["cpu", "cuda"]


def warning(n: int) -> int:
    warnings.warn(f"old way {n}", FutureWarning, stacklevel=1)
    return n


def test_warnings_of_processes_go_where_those_of_this_one_go(capfd):
    with pytest.warns(FutureWarning, match="old way") as issued:
        assert list(in_processes(warning, range(3))) == [0, 1, 2]
    assert {str(each.message) for each in issued} == {"old way 0", "old way 1", "old way 2"}
    assert "old way" not in capfd.readouterr().err
