#!/usr/bin/env bash
# torchattacks' Carlini-Wagner attack finds another image for the same input when other images are attacked with it.
#
# Packages: torchattacks 3.5.1, torch 2.13.0.
# Expected: the attack is deterministic and works on each image by itself (Carlini & Wagner 2017), so attacking a batch
#           or its images one by one gives the same adversarial images within rounding.
# Seen:     after each tenth of its steps the attack stops for the whole batch if the *summed* cost rose, so an image that
#           would have been stopped alone goes on in a batch, or the other way round: 8 of 12 distances change, one by a
#           third. An l2 distance reported per image depends on the batch size.
# Exits with 0 while this is so, otherwise with 1.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3.11 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet "torchattacks==3.5.1" "torch==2.13.0" "torchvision==0.28.0" "numpy==2.4.6" "scikit-learn==1.9.1"
cd "$place"
OMP_NUM_THREADS=1 "$place/venv/bin/python" -W ignore - <<'PY'
import sys

import torch
from sklearn.datasets import load_digits
from torch import nn

# torchvision's compiled operators are not part of a CPU wheel pair like this one; declared, its import succeeds.
operators = torch.library.Library("torchvision", "DEF")
for name in ("nms", "qnms"):
    operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
import torchattacks

digits = load_digits()
images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16
labels = torch.tensor(digits.target)
torch.manual_seed(0)
net = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
optimiser = torch.optim.Adam(net.parameters(), 1e-2)
for _ in range(200):
    optimiser.zero_grad()
    nn.functional.cross_entropy(net(images), labels).backward()
    optimiser.step()
net.eval()
right = (net(images).argmax(1) == labels).nonzero()[:, 0][:12]
clean, own = images[right], labels[right]


def distances(batch):
    """The l2 distance of each adversarial image, attacked `batch` at a time."""
    attack = torchattacks.CW(net, c=1, kappa=0, steps=100, lr=0.1)
    found = torch.cat([attack(x, y) for x, y in zip(clean.split(batch), own.split(batch))])
    return (found - clean).flatten(1).norm(dim=1)


print("torchattacks", torchattacks.__version__, "torch", torch.__version__)
alone, again, together = distances(1), distances(1), distances(12)
print(f"alone, repeated: largest difference {float((alone - again).abs().max()):.1e}")
changed = (alone - together).abs() / together.clamp_min(1e-6)
print(f"alone or among 12: {int((changed > 0.01).sum())} of 12 distances differ by more than 1 %, the largest by {100 * float(changed.max()):.0f} %")
as_described = torch.equal(alone, again) and int((changed > 0.01).sum()) >= 2
print("as described" if as_described else "not as described")
sys.exit(0 if as_described else 1)
PY
