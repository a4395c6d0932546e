"""The exact index gives what a loop over all rows gives: with a common offset, on ties, and however many are asked."""

import pytest
import torch

from pixelproof.detect.neighbours.index import ExactIndex, search_together
from pixelproof.detect.neighbours.metrics import join

METRICS = ("euclidean", "cosine", "manhattan", "chebyshev")


def table(n: int, d: int, seed: int = 0) -> torch.Tensor:
    return torch.randn((n, d), generator=torch.Generator().manual_seed(seed))


def loop(queries: torch.Tensor, rows: torch.Tensor, metric: str) -> torch.Tensor:
    """All distances by definition, in float64, one query after the other."""
    q, x = queries.double(), rows.double()
    if metric == "cosine":
        sizes = torch.linalg.vector_norm(q, dim=1)[:, None] * torch.linalg.vector_norm(x, dim=1)
        return 1 - (q @ x.T) / sizes.clamp_min(1e-300)
    order = {"euclidean": 2, "manhattan": 1, "chebyshev": float("inf")}[metric]
    return torch.stack([torch.linalg.vector_norm(x - one, ord=order, dim=1) for one in q])


def indexed(rows: torch.Tensor, metric: str = "euclidean") -> ExactIndex:
    index = ExactIndex(rows.shape[1], metric)
    index.add(rows, torch.arange(len(rows)))
    return index


@pytest.mark.parametrize("ratio", [0, 1, 100, 200, 500, 1000])
@pytest.mark.parametrize("d", [84, 512])
def test_a_common_offset_costs_no_neighbour(d, ratio):
    """The mean of a layer may be a thousand times what its rows differ by, as behind a large bias."""
    rows, queries = ratio + table(1500, d), ratio + table(24, d, 1)
    expected = loop(queries, rows, "euclidean").topk(5, largest=False)
    found = indexed(rows).search(queries, 5)
    assert torch.equal(found.ids, expected.indices)
    assert torch.allclose(found.distance.double(), expected.values, rtol=1e-4)


@pytest.mark.parametrize("metric", METRICS)
def test_ties_go_to_the_lowest_id(metric):
    """Sixty rows that are the same three: the k nearest are the first of their kind, beyond all spare candidates."""
    kinds = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.3, 0.3, 0.9]])
    rows = kinds.repeat(20, 1)
    found = indexed(rows, metric).search(kinds, 18)
    for row in range(3):
        assert found.ids[row].tolist() == [row + 3 * turn for turn in range(18)]
        assert torch.allclose(found.distance[row], torch.zeros(18), atol=1e-6)


@pytest.mark.parametrize("metric", METRICS)
def test_rows_that_are_all_alike_are_found_in_the_order_of_their_ids(metric):
    """A dead layer: every distance ties."""
    index = indexed(torch.full((40, 6), 0.7), metric)
    assert index.search(torch.rand(4, 6), 9).ids.tolist() == 4 * [list(range(9))]


def test_ties_go_to_the_lowest_id_after_rows_came_and_went():
    index = ExactIndex(2)
    index.add(torch.zeros(20, 2), torch.arange(20, 40))
    index.add(torch.zeros(20, 2), torch.arange(20))
    index.remove(torch.tensor([0, 3]))
    assert index.search(torch.zeros(1, 2), 5).ids[0].tolist() == [1, 2, 4, 5, 6]


def test_grey_levels_tie_and_are_still_those_of_the_loop():
    """Pixels have 256 levels, so in few dimensions many distances are equal."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randint(4, (400, 3), generator=generator) / 255
    queries = torch.randint(4, (30, 3), generator=generator) / 255
    for metric in ("euclidean", "manhattan", "chebyshev"):
        index = indexed(rows, metric)
        exact = index.between(queries, torch.arange(400).expand(30, -1))
        expected = exact.sort(dim=1, stable=True)
        found = index.search(queries, 12)
        assert torch.equal(found.ids, expected.indices[:, :12])
        assert torch.equal(found.distance, expected.values[:, :12])


@pytest.mark.parametrize("metric", METRICS)
def test_an_answer_does_not_depend_on_what_is_asked_with_it(metric):
    rows, queries = (table(700, 33) + 3).round(decimals=1), (table(300, 33, 1) + 3).round(decimals=1)
    index = indexed(rows, metric)
    whole = index.search(queries, 6)
    for row in (0, 7, 299):
        alone = index.search(queries[row : row + 1], 6)
        assert torch.equal(alone.ids[0], whole.ids[row])
        assert torch.equal(alone.distance[0], whole.distance[row])


@pytest.mark.parametrize("metric", METRICS)
def test_together_offsets_and_ties_cost_nothing_either(metric):
    weights = [2.0, 0.3]
    kinds = [300 + table(5, 40, 2), table(5, 8, 3)]
    spaces = [one.repeat(12, 1) for one in kinds]
    indexes = [indexed(rows, metric) for rows in spaces]
    *_, joined = search_together(indexes, weights, kinds, 20)
    exact = join([loop(q, x, metric) for q, x in zip(kinds, spaces, strict=True)], weights, metric).round(decimals=6)
    assert torch.equal(joined.ids, exact.sort(dim=1, stable=True).indices[:, :20])


def test_a_row_of_zeros_has_cosine_distance_one():
    index = indexed(torch.tensor([[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0]]), "cosine")
    assert index.search(torch.tensor([[2.0, 0.0], [0.0, 0.0]]), 3).distance.tolist() == [[0.0, 1.0, 2.0], [1.0] * 3]


@pytest.fixture
def engine():
    """FAISS's flat index over the rows, which promises to be exact, too."""
    pytest.importorskip("faiss", reason="needs the faiss extra")
    from pixelproof.detect.neighbours.engines import Faiss

    def made(rows: torch.Tensor, kind: str = "flat") -> Faiss:
        index = Faiss(rows.shape[1], kind)
        index.add(rows, torch.arange(len(rows)))
        return index

    return made


def test_faiss_keeps_its_digits_however_many_are_asked(engine, tmp_path):
    """Beyond 128,000 values of queries it computes distances by a formula that loses them: 0.0156 where 0 is right."""
    rows = torch.rand((1000, 784), generator=torch.Generator().manual_seed(0))
    index = engine(rows)
    whole, alone = index.search(rows[:300], 4), index.search(rows[299:300], 4)
    assert whole.ids[:, 0].tolist() == list(range(300))
    assert whole.distance[:, 0].abs().max() < 1e-5
    assert torch.equal(whole.distance[299], alone.distance[0])
    assert torch.equal(whole.ids[299], alone.ids[0])
    index.save(tmp_path / "rows.safetensors", "digest")
    again = type(index).load(tmp_path / "rows.safetensors", "digest").search(rows[:300], 4)
    assert torch.equal(again.ids, whole.ids)
    assert torch.equal(again.distance, whole.distance)


@pytest.mark.parametrize("kind", ["flat", "ivf", "hnsw"])
def test_faiss_has_the_order_of_the_exact_index(engine, kind):
    """With an offset of a thousand spreads and with ties; ivf and hnsw where they look at every row."""
    rows = 100 + 0.1 * table(300, 40).round(decimals=1)
    rows[100:200] = rows[:100]
    expected = indexed(rows).search(rows[:60], 3)
    index = engine(rows, kind)
    if kind == "ivf":
        index._inner.nprobe = 256
    found = index.search(rows[:60], 3)
    assert torch.equal(found.ids, expected.ids)
    assert torch.allclose(found.distance, expected.distance, atol=1e-4)


def test_ties_beyond_faiss_spare_candidates_go_to_the_lowest_id(engine):
    index = engine(torch.zeros(60, 3))
    assert index.search(torch.zeros(2, 3), 18).ids.tolist() == 2 * [list(range(18))]


def test_qdrant_puts_near_ties_in_order():
    pytest.importorskip("qdrant_client", reason="needs the qdrant extra")
    from pixelproof.detect.neighbours.engines import Qdrant

    index = Qdrant(2, "ties")
    index.add(torch.tensor([[1.0, 0.0]] * 6), torch.tensor([5, 3, 4, 0, 2, 1]))
    assert index.search(torch.zeros(1, 2), 4).ids[0].tolist() == [0, 1, 2, 3]
