"""Trees of tokens: everything a text begins with is seen, nothing else is, and what is shared stands once."""

from __future__ import annotations

import numpy as np
import pytest

from emospace.activations.packing import SHORT, batches, pack, worth_packing


def random_paths(seed: int = 0, n: int = 300) -> list[tuple[int, ...]]:
    rng = np.random.default_rng(seed)
    return sorted(tuple(rng.integers(1, 5, rng.integers(1, 9)).tolist()) for _ in range(n))


@pytest.mark.parametrize("row_tokens", [1, 5, 32, 128, 10_000])
def test_each_text_sees_itself_alone(row_tokens):
    paths = random_paths()
    rows = pack(paths, row_tokens)
    assert len(rows.nodes) == len(rows.row) == len(paths)
    width = rows.ids.shape[1]
    for path, nodes, row in zip(paths, rows.nodes, rows.row, strict=True):
        assert tuple(rows.ids[row, list(nodes)]) == path
        assert rows.depth[row, list(nodes)].tolist() == list(range(len(path)))
        for depth, node in enumerate(nodes):
            seen = [at for at in range(width) if at <= node < rows.end[row, at]]
            assert tuple(seen) == nodes[: depth + 1]


@pytest.mark.parametrize("row_tokens", [8, 32, 128])
def test_rows_are_full_and_beginnings_stand_once_in_them(row_tokens):
    paths = random_paths(1)
    rows = pack(paths, row_tokens)
    distinct = {path[:end] for path in paths for end in range(1, len(path) + 1)}
    longest = max(map(len, paths))
    # A row begins with a whole text, whatever the row before it ended with.
    assert len(distinct) <= rows.n_tokens <= len(distinct) + longest * (len(rows.ids) - 1)
    assert rows.ids.size - rows.n_tokens <= longest * len(rows.ids)
    for row in range(len(rows.ids)):
        used = {
            nodes[: depth + 1]
            for nodes in np.array(rows.nodes, dtype=object)[rows.row == row]
            for depth in range(len(nodes))
        }
        assert len(used) == len({path[-1] for path in used})


def test_the_same_text_twice_has_one_place():
    rows = pack([(1, 2), (1, 2), (1, 2, 3)])
    assert rows.ids.tolist() == [[1, 2, 3]]
    assert rows.nodes == ((0, 1), (0, 1), (0, 1, 2))


def test_a_text_longer_than_a_row_has_one_of_its_length():
    rows = pack([(1,) * 40, (2,)], 8)
    assert rows.ids.shape[1] >= 40


@pytest.mark.parametrize("budget", [1, 10, 64, 10_000])
def test_batches_are_whole_and_keep_to_the_budget(budget):
    paths = random_paths(2)
    cut = [paths[run] for run in batches(paths, budget)]
    assert [path for run in cut for path in run] == paths
    for run in cut:
        assert pack(run, 10_000).n_tokens <= budget or len(run) == 1
    assert list(batches([], budget)) == []


def test_long_texts_are_packed_where_they_share_much():
    long = 4 * SHORT
    alike = [(1, *range(long - 1), last) for last in (7, 8)]
    alone = (2, *range(long))
    hardly = [(3, *range(SHORT - 3), last, *range(long)) for last in (7, 8)]
    paths = [*alike, alone, *hardly, (4,) * SHORT, (5,) * (SHORT + 1)]
    assert worth_packing(paths) == [True, True, False, False, False, True, False]
    assert worth_packing([]) == []
    assert worth_packing([alone]) == [False]
