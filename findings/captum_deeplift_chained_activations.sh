#!/usr/bin/env bash
# Captum's DeepLift stops adding up where one activation directly follows another.
#
# Packages: captum 0.9.0, torch 2.13.0.
# Expected: DeepLIFT's attributions sum to f(x) - f(baseline) (summation to delta, Shrikumar et al. 2017); all activations
#           used here are in the list that captum's rule supports.
# Seen:     Linear - ReLU - Linear sums within rounding, also with Tanh, Sigmoid, Softplus or LeakyReLU in place of the
#           ReLU. Two of them in a row (ReLU then Tanh, or even ReLU then ReLU, which computes the same function as one
#           ReLU) miss the difference by 8 to 60 %, in float64 as in float32. ELU after ReLU is right.
# Exits with 0 while this is so, otherwise with 1.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3.11 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet "captum==0.9.0" "torch==2.13.0" "numpy==2.4.6"
cd "$place"
OMP_NUM_THREADS=1 "$place/venv/bin/python" -W ignore - <<'PY'
import sys

import captum
import torch
from captum.attr import DeepLift
from torch import nn


def missing(*activations):
    """The largest error of the sum, relative to the largest difference of the outputs."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(20, 30), *(kind() for kind in activations), nn.Linear(30, 3)).double().eval()
    images, baseline = torch.rand(5, 20).double(), torch.zeros(5, 20).double()
    attributed = DeepLift(net).attribute(images, baseline, target=0).sum(1)
    wanted = (net(images) - net(baseline))[:, 0]
    return float((attributed - wanted).abs().max() / wanted.abs().max())


print("captum", captum.__version__, "torch", torch.__version__)
alone, chained = {}, {}
for kind in (nn.ReLU, nn.LeakyReLU, nn.Tanh, nn.Sigmoid, nn.Softplus, nn.ELU):
    alone[kind], chained[kind] = missing(kind), missing(nn.ReLU, kind)
    print(f"{kind.__name__:10} alone: {alone[kind]:.1e} missing; behind a ReLU: {chained[kind]:.1e} missing")
wrong = {kind for kind, error in chained.items() if error > 0.05}
as_described = max(alone.values()) < 1e-9 and wrong == set(chained) - {nn.ELU} and chained[nn.ELU] < 1e-9
print("as described" if as_described else "not as described")
sys.exit(0 if as_described else 1)
PY
