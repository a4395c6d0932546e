#!/usr/bin/env bash
# torch's TorchScript-based ONNX exporter drops the threshold of Softplus.
#
# Packages: torch 2.13.0, onnx, onnxruntime.
# Expected: Softplus(beta, threshold) is the identity where beta * x > threshold; an export gives the same values, as
#           torch.onnx.export(..., dynamo=True) does, or says that it cannot.
# Seen:     with dynamo=False the file holds a plain Softplus: with beta 2 and threshold 0.5 values differ by up to 0.22,
#           without a warning that names it. An exported network is then another network.
# Exits with 0 while this is so, otherwise with 1.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3.11 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet "torch==2.13.0" "onnx==1.23.2" "onnxscript==0.7.2" "onnxruntime==1.32.0" "numpy==2.4.6"
cd "$place"
OMP_NUM_THREADS=1 "$place/venv/bin/python" -W ignore - <<'PY'
import contextlib
import io
import sys

import onnxruntime
import torch
from torch import nn

values = torch.linspace(-3, 3, 61)[None]


def error(beta, threshold, dynamo):
    """The largest difference between the module and its exported file."""
    module = nn.Softplus(beta, threshold).eval()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        torch.onnx.export(module, (values,), "softplus.onnx", dynamo=dynamo)
    session = onnxruntime.InferenceSession("softplus.onnx")
    got = session.run(None, {session.get_inputs()[0].name: values.numpy()})[0]
    return float((torch.from_numpy(got) - module(values)).abs().max())


print("torch", torch.__version__, "onnxruntime", onnxruntime.__version__)
found = {}
for dynamo in (False, True):
    for beta, threshold in ((1, 20), (2, 0.5)):
        found[dynamo, threshold] = error(beta, threshold, dynamo)
        print(f"dynamo={dynamo}, beta {beta}, threshold {threshold}: largest difference {found[dynamo, threshold]:.2g}")
as_described = found[False, 0.5] > 0.2 and max(found[False, 20], found[True, 20], found[True, 0.5]) < 1e-5
print("as described" if as_described else "not as described")
sys.exit(0 if as_described else 1)
PY
