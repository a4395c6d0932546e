"""The exact index agrees with the naive loop in every metric; files are whole, and of the right model."""

import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from pixelproof.detect.neighbours import index as index_module
from pixelproof.detect.neighbours.index import ExactIndex, search_together
from pixelproof.detect.neighbours.metrics import join
from pixelproof.detect.neighbours.nearest import recall
from pixelproof.detect.storage import mapped
from pixelproof.errors import BadInput, CorruptFile

METRICS = ("euclidean", "cosine", "manhattan", "chebyshev")


def table(n: int, d: int, seed: int = 0) -> torch.Tensor:
    return torch.randn((n, d), generator=torch.Generator().manual_seed(seed))


def naive(queries: torch.Tensor, rows: torch.Tensor, metric: str) -> torch.Tensor:
    """All distances by definition, in float64, one pair after the other."""
    distances = torch.empty(len(queries), len(rows), dtype=torch.float64)
    for i, q in enumerate(queries.double()):
        for j, x in enumerate(rows.double()):
            if metric == "cosine":
                distances[i, j] = 1 - float(q @ x) / float(q.norm() * x.norm())
            else:
                order = {"euclidean": 2, "manhattan": 1, "chebyshev": float("inf")}[metric]
                distances[i, j] = torch.linalg.vector_norm(q - x, ord=order)
    return distances


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("blocks", [(16_384, 512), (7, 3)], ids=["one block", "many blocks"])
def test_agrees_with_the_naive_loop(metric, blocks, monkeypatch):
    monkeypatch.setattr(index_module, "ROWS", blocks[0])
    monkeypatch.setattr(index_module, "QUERIES", blocks[1])
    rows, queries = table(60, 5), table(11, 5, seed=1)
    index = ExactIndex(5, metric)
    index.add(rows, torch.arange(100, 160))
    found = index.search(queries, 9)
    expected = naive(queries, rows, metric).topk(9, largest=False)
    assert torch.equal(found.ids, expected.indices + 100)
    assert torch.allclose(found.distance.double(), expected.values, atol=1e-5)


@given(st.integers(1, 40), st.integers(1, 6), st.integers(0, 10**6), st.sampled_from(METRICS))
@settings(max_examples=40, deadline=None)
def test_distances_are_the_smallest_there_are_also_with_ties(n, d, seed, metric):
    rows = table(n, d, seed).mul(2).round() + 0.5  # few values, so that distances tie, and no zero rows
    queries = table(3, d, seed + 1).round() + 0.25
    index = ExactIndex(d, metric)
    index.add(rows, torch.arange(n))
    found = index.search(queries, n)
    expected = naive(queries, rows, metric)
    assert torch.allclose(found.distance.double(), expected.sort(1).values, atol=1e-5)
    assert torch.allclose(expected.gather(1, found.ids), expected.sort(1).values, atol=1e-5)


@pytest.mark.parametrize("metric", METRICS)
def test_together_is_the_joined_distance(metric):
    spaces, queries, weights = [table(50, 3), table(50, 8, 1)], [table(6, 3, 2), table(6, 8, 3)], [2.0, 0.3]
    indexes = [ExactIndex(3, metric), ExactIndex(8, metric)]
    for index, rows in zip(indexes, spaces, strict=True):
        index.add(rows, torch.arange(50))
    *alone, together = search_together(indexes, weights, queries, 7)
    each = [naive(q, x, metric) for q, x in zip(queries, spaces, strict=True)]
    expected = join(each, weights, metric).topk(7, largest=False)
    assert torch.equal(together.ids, expected.indices)
    assert torch.allclose(together.distance.double(), expected.values, atol=1e-5)
    for found, distances in zip(alone, each, strict=True):
        assert torch.equal(found.ids, distances.topk(7, largest=False).indices)
    if metric == "euclidean":
        wide, asked = (torch.cat([2.0 * a, 0.3 * b], 1) for a, b in (spaces, queries))
        assert torch.equal(together.ids, naive(asked, wide, metric).topk(7, largest=False).indices)


def test_near_rows_far_from_the_origin_keep_their_order():
    """|q|^2 - 2 q.x + |x|^2 alone has lost these differences in float32."""
    rows = 1000.0 + torch.arange(12.0)[:, None] * torch.full((1, 4), 1e-2)
    index = ExactIndex(4)
    index.add(rows, torch.arange(12))
    assert index.search(rows[:1], 5).ids[0].tolist() == [0, 1, 2, 3, 4]


def test_rows_can_be_added_and_removed_without_a_rebuild():
    rows, queries = table(40, 4), table(5, 4, 1)
    grown, whole = ExactIndex(4), ExactIndex(4)
    grown.add(rows[:25], torch.arange(25))
    grown.add(rows[25:], torch.arange(25, 40))
    grown.remove(torch.tensor([3, 30]))
    kept = torch.tensor([row for row in range(40) if row not in (3, 30)])
    whole.add(rows[kept], kept)
    assert len(grown) == 38
    assert torch.equal(grown.search(queries, 6).ids, whole.search(queries, 6).ids)
    with pytest.raises(BadInput, match=r"\[3\]"):
        grown.remove(torch.tensor([3]))
    with pytest.raises(BadInput, match="new and different"):
        grown.add(rows[:1], torch.tensor([5]))


@pytest.mark.parametrize("k", [0, 11])
def test_a_k_that_is_too_large_is_named(k):
    index = ExactIndex(2)
    index.add(table(10, 2), torch.arange(10))
    with pytest.raises(BadInput, match=rf"1\.\.10, the number of rows; got {k}"):
        index.search(table(1, 2), k)


def test_bad_rows_are_refused():
    index = ExactIndex(2)
    with pytest.raises(BadInput, match="NaN or infinity in 1 of 3"):
        index.add(torch.tensor([[1.0, 2.0], [float("nan"), 0.0], [0.0, 0.0]]), torch.arange(3))
    with pytest.raises(BadInput, match=r"\(n, 2\)"):
        index.add(table(3, 5), torch.arange(3))


@pytest.mark.parametrize("metric", METRICS)
def test_a_saved_index_finds_the_same(tmp_path, metric):
    index = ExactIndex(4, metric)
    index.add(table(30, 4), torch.arange(30))
    index.save(tmp_path / "fc1.safetensors", "0123456789abcdef")
    again = ExactIndex.load(tmp_path / "fc1.safetensors", "0123456789abcdef")
    assert torch.equal(again.search(table(5, 4, 1), 6).ids, index.search(table(5, 4, 1), 6).ids)
    assert [path.name for path in tmp_path.iterdir()] == ["fc1.safetensors"]
    with pytest.raises(BadInput, match="one built for 0123456789abcdef"):
        ExactIndex.load(tmp_path / "fc1.safetensors", "another")


def test_a_half_written_index_is_never_read(tmp_path):
    index = ExactIndex(4)
    index.add(table(30, 4), torch.arange(30))
    path = tmp_path / "fc1.safetensors"
    index.save(path, "digest")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(CorruptFile, match="built again"):
        ExactIndex.load(path, "digest")
    save_file({"rows": table(3, 4)}, path)
    with pytest.raises(CorruptFile, match="expected an index"):
        ExactIndex.load(path, "digest")
    with pytest.raises(CorruptFile, match="no nothing"):
        ExactIndex.load(tmp_path / "nothing.safetensors", "digest")


def test_rows_beyond_memory_come_from_a_file(tmp_path):
    rows = table(90, 6)
    held = mapped(tmp_path / "rows.npy", (rows[start : start + 40] for start in range(0, 90, 40)), 90, 6)
    index = ExactIndex(6)
    index.add(held, torch.arange(90))
    assert index.rows.data_ptr() == held.data_ptr()  # still the file, not a copy
    assert torch.equal(index.search(rows[:5], 1).ids[:, 0], torch.arange(5))
    with pytest.raises(BadInput, match="expected 90 rows; got 40"):
        mapped(tmp_path / "short.npy", iter([rows[:40]]), 90, 6)
    assert [path.name for path in tmp_path.iterdir()] == ["rows.npy"]


def test_recall_counts_shared_neighbours():
    index = ExactIndex(3)
    index.add(table(30, 3), torch.arange(30))
    exact = index.search(table(4, 3, 1), 5)
    assert recall(exact, exact) == 1
    index.remove(exact.ids[:, 0].unique())
    assert recall(index.search(table(4, 3, 1), 5), exact) < 1


def test_engines_agree_with_the_exact_index(tmp_path):
    faiss = pytest.importorskip("faiss", reason="needs the faiss extra")
    assert faiss.get_num_gpus() == 0
    from pixelproof.detect.neighbours.engines import Faiss

    rows, queries = table(600, 8), table(20, 8, 1)
    exact = ExactIndex(8)
    exact.add(rows, torch.arange(600))
    expected = exact.search(queries, 10)
    for kind, least in (("flat", 1.0), ("ivf", 0.9), ("hnsw", 0.9)):
        index = Faiss(8, kind)
        index.add(rows, torch.arange(600))
        found = index.search(queries, 10)
        assert recall(found, expected) >= least
        index.save(tmp_path / f"{kind}.safetensors", "digest")
        again = Faiss.load(tmp_path / f"{kind}.safetensors", "digest").search(queries, 10)
        assert torch.equal(again.ids, found.ids)
    assert torch.allclose(
        Faiss.load(tmp_path / "flat.safetensors", "digest").search(queries, 3).distance,
        expected.distance[:, :3],
        atol=1e-4,
    )
    flat = Faiss(8)
    flat.add(rows, torch.arange(600))
    flat.remove(expected.ids[0, :1])
    assert flat.search(queries[:1], 1).ids[0, 0] == expected.ids[0, 1]
    with pytest.raises(BadInput, match=r"1\.\.599"):
        flat.search(queries, 600)


def test_qdrant_in_its_embedded_mode_agrees():
    pytest.importorskip("qdrant_client", reason="needs the qdrant extra")
    from pixelproof.detect.neighbours.engines import Qdrant

    rows, queries = table(60, 4), table(5, 4, 1)
    exact = ExactIndex(4)
    exact.add(rows, torch.arange(60))
    index = Qdrant(4, "fc1")
    index.add(rows, torch.arange(60))
    assert torch.equal(index.search(queries, 6).ids, exact.search(queries, 6).ids)
    index.remove(exact.search(queries[:1], 1).ids[0])
    assert len(index) == 59


@pytest.mark.parametrize(("module", "kind"), [("faiss", "Faiss"), ("qdrant_client", "Qdrant")])
def test_a_missing_engine_says_how_to_get_it(module, kind, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    from pixelproof.detect.neighbours import engines

    arguments = (4,) if kind == "Faiss" else (4, "fc1")
    with pytest.raises(BadInput, match=r"pip install 'pixelproof\["):
        getattr(engines, kind)(*arguments)
