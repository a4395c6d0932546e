#!/usr/bin/env bash
# FAISS's exact index answers a query with another distance when more queries are asked with it.
#
# Package: faiss-cpu 1.15.1 (numpy 2.4.6), IndexFlatL2, documented as exact.
# Expected: the distance of a stored vector to itself is 0 within float32 rounding of the vectors, however many
#           queries are asked together.
# Seen:     one query alone gives 0; the same query among 300 (300 x 784 values) gives a distance of about 0.016 after
#           the square root, because large batches are computed as |q|^2 - 2 q x + |x|^2, whose rest is rounding.
#           With a common offset of 100 on all values most of the nearest neighbours are wrong as well.
# Exits with 0 while this is so, otherwise with 1.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet "faiss-cpu==1.15.1" "numpy==2.4.6"
OMP_NUM_THREADS=1 "$place/venv/bin/python" - <<'PY'
import sys

import faiss
import numpy as np

rows = np.random.default_rng(0).random((5000, 784), dtype=np.float32)


def nearest(stored, asked):
    index = faiss.IndexFlatL2(stored.shape[1])
    index.add(stored)
    squared, ids = index.search(asked, 1)
    return np.sqrt(np.maximum(squared[:, 0], 0)), ids[:, 0]


alone = max(float(nearest(rows, rows[k : k + 1])[0][0]) for k in range(20))
together, ids = nearest(rows, rows[:300])
print("faiss", faiss.__version__, "numpy", np.__version__)
print(f"distance of a stored row to itself, asked alone: largest {alone:.2e}")
print(f"the same among 300 queries: largest {together.max():.2e}")
spread = (rows - 0.5) * 0.1
_, shifted = nearest(spread + 100, (spread + 100)[:300])
right = float((shifted == np.arange(300)).mean())
print(f"with 100 added to all values: {100 * right:.0f} % of 300 rows are found as their own nearest")
as_described = alone < 1e-4 and together.max() > 1e-3 and right < 0.9
print("as described" if as_described else "not as described")
sys.exit(0 if as_described else 1)
PY
