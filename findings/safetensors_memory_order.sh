#!/usr/bin/env bash
# safetensors saves what lies in memory, which is not always what the array or tensor says.
#
# Packages: safetensors 0.8.0, numpy 2.4.6, torch 2.13.0.
# Expected: what is loaded equals what was saved, or saving is refused, as safetensors.torch refuses a transposed tensor.
# Seen:     safetensors.numpy (whose docstring asks for contiguous arrays and does not check it) writes images moved from
#           (n, h, w, c) to (n, c, h, w) by transpose, Fortran-ordered and mirrored ones without an error; they are loaded
#           in the right shape with wrong values. Big-endian arrays, which could be mixed up as easily, come back right.
#           safetensors.torch loses the lazy conjugation of w.conj(), which torch calls contiguous (the spectral weights
#           of a Fourier layer, say): the file holds w. After resolve_conj() it is right.
# Exits with 0 while this is so, otherwise with 1.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3.11 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet "safetensors==0.8.0" "torch==2.13.0" "numpy==2.4.6"
cd "$place"
OMP_NUM_THREADS=1 "$place/venv/bin/python" -W ignore - <<'PY'
import sys

import numpy as np
import safetensors
import torch
from safetensors import numpy as for_numpy
from safetensors import torch as for_torch

images = np.random.default_rng(0).random((2, 4, 4, 3), dtype=np.float32)
arrays = {
    "contiguous": images,
    "channels first, by transpose": images.transpose(0, 3, 1, 2),
    "Fortran order": np.asfortranarray(images),
    "mirrored, by [..., ::-1, :]": images[:, :, ::-1],
    "big-endian": images.astype(">f4"),
    "channels first, copied": np.ascontiguousarray(images.transpose(0, 3, 1, 2)),
}
print("safetensors", safetensors.__version__, "numpy", np.__version__, "torch", torch.__version__)
equal = {}
for name, array in arrays.items():
    for_numpy.save_file({"images": array}, "images.safetensors")
    loaded = for_numpy.load_file("images.safetensors")["images"]
    equal[name] = loaded.shape == array.shape and np.array_equal(loaded, array)
    print(f"{name}: {'equal' if equal[name] else 'other values in the right shape'}")

weights = torch.view_as_complex(torch.randn(4, 4, 2, generator=torch.Generator().manual_seed(0)))


def back(tensor):
    for_torch.save_file({"w": tensor}, "weights.safetensors")
    return for_torch.load_file("weights.safetensors")["w"]


conjugate = weights.conj()
lazy, resolved = back(conjugate), back(conjugate.resolve_conj())
print(f"w.conj(): contiguous {conjugate.is_contiguous()}; loaded equal {torch.equal(lazy, conjugate)}, equal to w {torch.equal(lazy, weights)}")
print(f"w.conj().resolve_conj(): loaded equal {torch.equal(resolved, conjugate)}")
as_described = list(equal.values()) == [True, False, False, False, True, True]
as_described &= torch.equal(lazy, weights) and not torch.equal(lazy, conjugate) and torch.equal(resolved, conjugate)
print("as described" if as_described else "not as described")
sys.exit(0 if as_described else 1)
PY
