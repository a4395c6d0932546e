#!/usr/bin/env bash
# torchattacks' Square attack sets the seeds of the whole process.
#
# Packages: torchattacks 3.5.1, torch 2.13.0.
# Expected: an attack's own seed decides the attack's own draws.
# Seen:     Square(seed=0), the default, calls the global seeding of torch: after it, torch.rand gives the same numbers
#           whatever the program had been seeded with. Repeats with different seeds that mount this attack in between
#           (initial weights, batches, dropout, noise) are then no longer different.
# Exits with 0 while this is so, otherwise with 1.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3.11 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet "torchattacks==3.5.1" "torch==2.13.0" "torchvision==0.28.0" "numpy==2.4.6"
cd "$place"
OMP_NUM_THREADS=1 "$place/venv/bin/python" -W ignore - <<'PY'
import sys

import torch
from torch import nn

# torchvision's compiled operators are not part of a CPU wheel pair like this one; declared, its import succeeds.
operators = torch.library.Library("torchvision", "DEF")
for name in ("nms", "qnms"):
    operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
import torchattacks

torch.manual_seed(0)
net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).eval()
images = torch.rand(4, 1, 8, 8)
labels = net(images).argmax(1)


def after(seed, attack=None):
    torch.manual_seed(seed)
    if attack is not None:
        attack(images, labels)
    return float(torch.rand(()))


print("torchattacks", torchattacks.__version__, "torch", torch.__version__)
square = torchattacks.Square(net, eps=0.05, n_queries=5)
pgd = torchattacks.PGD(net, eps=0.05, steps=2)
found = {name: [after(seed, attack) for seed in (1, 2, 3)] for name, attack in (("none", None), ("PGD", pgd), ("Square", square))}
for name, numbers in found.items():
    print(f"next random number after seeds 1, 2, 3 and {name}: {', '.join(f'{number:.4f}' for number in numbers)}")
as_described = len(set(found["Square"])) == 1 and len(set(found["PGD"])) == 3 == len(set(found["none"]))
print("as described" if as_described else "not as described")
sys.exit(0 if as_described else 1)
PY
