"""A device is one that pixelproof runs on, or a sentence."""

import pytest
import torch

from pixelproof.errors import BadInput
from pixelproof.models import pick_device


@pytest.mark.parametrize("device", ["mps", "meta", "xla", "gpu0", "", "cuda:999", "cpu:x", "cuda:-2"])
def test_other_devices_are_refused(device):
    with pytest.raises(BadInput, match="device"):
        pick_device(device)


def test_the_processor_is_always_there():
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto").type in ("cpu", "cuda")
