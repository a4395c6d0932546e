#!/usr/bin/env bash
# onnx2torch runs a cumulative sum backwards where the ONNX file leaves its direction at the default.
#
# Packages: onnx2torch 1.5.15, onnx, onnxruntime, torch 2.13.0.
# Expected: ONNX defines the attribute `reverse` of CumSum with the default 0: sums run forwards. A file without the
#           attribute, as onnx.helper and torch's TorchScript exporter write it, gives torch.cumsum.
# Seen:     onnxruntime gives the forward sums; onnx2torch gives the sums from the end, without a word. With reverse=0
#           written out it is right.
# Exits with 0 while this is so, otherwise with 1.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3.11 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet "onnx2torch==1.5.15" "onnx==1.23.2" "onnxruntime==1.32.0" "torch==2.13.0" "torchvision==0.28.0" "numpy==2.4.6"
cd "$place"
OMP_NUM_THREADS=1 "$place/venv/bin/python" -W ignore - <<'PY'
import sys

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper

# torchvision's compiled operators are not part of a CPU wheel pair like this one; declared, its import succeeds.
operators = torch.library.Library("torchvision", "DEF")
for name in ("nms", "qnms"):
    operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
from onnx2torch import convert

values = np.array([[1, 2, 3, 4]], dtype=np.float32)


def file(**attributes):
    node = helper.make_node("CumSum", ["x", "axis"], ["y"], **attributes)
    axis = numpy_helper.from_array(np.array(1, dtype=np.int64), "axis")
    ends = [helper.make_tensor_value_info(end, TensorProto.FLOAT, [1, 4]) for end in "xy"]
    graph = helper.make_graph([node], "sums", ends[:1], ends[1:], [axis])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(made)
    return made


def answers(made):
    session = onnxruntime.InferenceSession(made.SerializeToString())
    theirs = session.run(None, {"x": values})[0]
    with torch.no_grad():
        converted = convert(made)(torch.from_numpy(values.copy())).numpy()
    return theirs[0].tolist(), converted[0].tolist()


print("onnx", onnx.__version__, "onnxruntime", onnxruntime.__version__, "torch", torch.__version__)
unsaid, said = answers(file()), answers(file(reverse=0))
for what, found in (("reverse left out", unsaid), ("reverse=0", said)):
    print(f"{what}: onnxruntime {found[0]}, onnx2torch {found[1]}")
forward, backward = [1, 3, 6, 10], [10, 9, 7, 4]
as_described = unsaid == (forward, backward) and said == (forward, forward)
print("as described" if as_described else "not as described")
sys.exit(0 if as_described else 1)
PY
