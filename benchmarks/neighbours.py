"""Exact neighbour search beside the bare matrix product, scikit-learn, FAISS, HNSW and Qdrant, measured in turns.

Every engine answers the same queries in every round, one after the other in one process and one thread; a ratio is the
median over the rounds of ratios to the matrix product of the same round, in CPU seconds. The verdict row compares a
guard's whole answer with the plain forward pass and with that pass plus the matrix products it cannot avoid.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import platform
import statistics
import time
from collections.abc import Callable

import torch

from pixelproof import models
from pixelproof.detect import Calibration, ExactIndex, NearestRows, NeighbourGuard, Store, recall
from pixelproof.detect.detectors.deep_neighbours import Scoring
from pixelproof.detect.guards.guard import SameModel
from pixelproof.detect.neighbours.engines import Faiss, Qdrant
from pixelproof.detect.neighbours.rules import learn

K = 23
QUERIES = 500
SOME = 20
FLOOR = "matrix product"
FEW = 10_000  # rows up to which Qdrant's embedded mode, which is for tests, takes part
LARGEST = 50_000 * 512  # numbers up to which an HNSW graph is built within minutes


def rows_like(n: int, d: int, seed: int) -> torch.Tensor:
    """Rows as a ReLU layer has them."""
    return torch.randn((n, d), generator=torch.Generator().manual_seed(seed)).relu_()


def rounds(work: dict[str, Callable[[], object]], times: int) -> dict[str, list[float]]:
    """CPU seconds of everything in `work`, in turns, after a warm-up."""
    spent: dict[str, list[float]] = {name: [] for name in work}
    for run in work.values():
        run()
    for _ in range(times):
        for name, run in work.items():
            started = time.process_time()
            run()
            spent[name].append(time.process_time() - started)
    return spent


def ratios(spent: dict[str, list[float]], floor: str) -> dict[str, dict[str, float]]:
    """Median milliseconds and median ratio to the floor of the same round."""
    return {
        name: {
            "cpu_ms": round(1000 * statistics.median(row), 3),
            "ratio": round(statistics.median(a / b for a, b in zip(row, spent[floor], strict=True)), 3),
        }
        for name, row in spent.items()
    }


def engines(n: int, d: int, times: int) -> dict[str, object]:
    """Batch and single-query search of every engine that is installed, with its recall."""
    rows, queries, ids = rows_like(n, d, 0), rows_like(QUERIES, d, 1), torch.arange(n)
    exact = ExactIndex(d)
    exact.add(rows, ids)
    truth = exact.search(queries, K)
    found = {"pixelproof": truth}
    batch: dict[str, Callable[[], object]] = {
        FLOOR: lambda: torch.mm(queries, rows.T),
        "pixelproof": lambda: exact.search(queries, K),
    }
    single: dict[str, Callable[[], object]] = {
        FLOOR: lambda: torch.mv(rows, queries[0]),
        "pixelproof": lambda: exact.search(queries[:1], K),
    }
    brute = _scikit(rows)
    batch["scikit-learn brute"] = lambda: brute.kneighbors(queries.numpy(), K)
    single["scikit-learn brute"] = lambda: brute.kneighbors(queries[:1].numpy(), K)
    if importlib.util.find_spec("faiss"):
        import faiss

        faiss.omp_set_num_threads(torch.get_num_threads())
        for kind in ("flat", "ivf", "hnsw") if n * d <= LARGEST else ("flat", "ivf"):
            index = Faiss(d, kind)
            index.add(rows, ids)
            batch[f"faiss {kind}"] = lambda index=index: index.search(queries, K)
            single[f"faiss {kind}"] = lambda index=index: index.search(queries[:1], K)
            found[f"faiss {kind}"] = index.search(queries, K)
    if importlib.util.find_spec("qdrant_client") and n <= FEW:
        remote = Qdrant(d, "rows")
        remote.add(rows, ids)
        single["qdrant, embedded"] = lambda: remote.search(queries[:1], K)
        found["qdrant, embedded"] = remote.search(queries[:SOME], K)  # one by one in Python: a batch gains nothing
    return {
        "rows": n,
        "d": d,
        "batch of 500": ratios(rounds(batch, times), FLOOR),
        "one query": ratios(rounds(single, 3 * times), FLOOR),
        "recall": {name: round(recall(one, _first(truth, len(one.ids))), 4) for name, one in found.items()},
    }


def _first(found: NearestRows, n: int) -> NearestRows:
    return NearestRows(found.ids[:n], found.distance[:n])


def _scikit(rows: torch.Tensor):
    from sklearn.neighbors import NearestNeighbors

    return NearestNeighbors(algorithm="brute").fit(rows.numpy())


def verdict(n: int, times: int) -> dict[str, object]:
    """A guard's verdict on 256 CIFAR-sized images from three layers and the composed one, over n indexed rows.

    Network and rows are random: time does not depend on their values.
    """
    seed = torch.Generator().manual_seed(0)
    model = models.wrap(models.NETS["cifar-cnn"]((3, 32, 32), 10), classes=10, input_shape=(3, 32, 32)).eval()
    layers, k = ("flatten", "fc1", "fc2"), (13, 23, 12, 12)
    indexes = []
    for number, d in enumerate((2304, 512, 10)):
        indexes.append(ExactIndex(d))
        indexes[-1].add(rows_like(n, d, number), torch.arange(n))
    labels = torch.randint(10, (n,), generator=seed)
    store = Store(layers, tuple(indexes), (1.0, 1.0, 1.0), torch.arange(n), labels, model.digest())
    some = torch.rand((100, 4), generator=seed)
    scoring = Scoring(k, 10, 3, learn("composed", some, None, None, k), some[:, 0].sort().values)
    quiet = Calibration(some[:, 0], 0.05)
    guard = NeighbourGuard(store, scoring, (quiet,) * 4, quiet, SameModel(model))
    images = torch.rand((256, 3, 32, 32), generator=seed)
    tables = [index.rows for index in guard.store.indexes]
    asked = [torch.rand((256, table.shape[1]), generator=seed) for table in tables]

    def forward(count: int) -> None:
        with torch.no_grad():
            model(images[:count])

    def floor(count: int) -> None:
        forward(count)
        for table, rows in zip(tables, asked, strict=True):
            torch.mm(rows[:count], table.T)

    out: dict[str, object] = {"indexed": len(guard.store), "layers": guard.store.spaces}
    for count in (256, 1):
        work = {
            "forward": lambda count=count: forward(count),
            "forward + products": lambda count=count: floor(count),
            "verdict": lambda count=count: guard(model, images[:count]),
        }
        spent = rounds(work, times)
        plain, least, whole = (statistics.median(spent[name]) for name in work)
        out[f"{count} images"] = {
            **ratios(spent, "forward + products"),
            "share of the budget 2 x forward + products": round(whole / (2 * plain + (least - plain)), 3),
        }
    return out


def growth(n: int) -> dict[str, object]:
    """CPU milliseconds of one query at d = 128 over n rows, exact, and by an inverted file where FAISS is installed."""
    rows, queries = rows_like(n, 128, 0), rows_like(50, 128, 1)
    exact = ExactIndex(128)
    exact.add(rows, torch.arange(n))
    truth = exact.search(queries, K)
    out: dict[str, object] = {"rows": n, "d": 128}
    work: dict[str, Callable[[], object]] = {
        FLOOR: lambda: torch.mv(rows, queries[0]),
        "pixelproof": lambda: exact.search(queries[:1], K),
    }
    if importlib.util.find_spec("faiss"):
        index = Faiss(128, "ivf", effort=16)
        index.add(rows, torch.arange(n))
        work["faiss ivf 16"] = lambda: index.search(queries[:1], K)
        out["recall, ivf 16"] = round(recall(index.search(queries, K), truth), 4)
    return {**out, "one query": ratios(rounds(work, 7), FLOOR)}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="50,000 rows and more rounds: minutes instead of seconds")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    n, times = (50_000, 7) if options.full else (5_000, 3)
    for rows in (n, FEW) if options.full else (n,):
        for d in (512, 2304):
            print(json.dumps(engines(rows, d, times), indent=1), flush=True)
    print(json.dumps(verdict(n, times), indent=1), flush=True)
    if options.full:
        for size in (10_000, 100_000, 1_000_000):
            print(json.dumps(growth(size), indent=1), flush=True)
    print(json.dumps({"machine": platform.processor() or platform.machine(), "torch": torch.__version__, "threads": 1}))


if __name__ == "__main__":
    main()
