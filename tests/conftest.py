"""Shapes and types are checked on every call during tests; one thread each; no test touches the user's cache.

`UNCHECKED=1` (as `make fast` sets it) leaves the checks out, which take half of the time.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy and torch, and for the processes that tests start

import checked

if not os.environ.get("UNCHECKED"):
    checked.install()

import jaxtyping
import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)
settings.register_profile("untimed", deadline=None, max_examples=50)  # shared machines stall; time is no property
settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def private_cache(tmp_path_factory, monkeypatch):
    """Trained weights and downloads go to a folder of the session, never to the user's cache."""
    root = tmp_path_factory.getbasetemp().parent / "pixelproof-cache"
    monkeypatch.setenv("PIXELPROOF_CACHE", str(root))


@pytest.fixture
def unchecked():
    """Calls as they are outside the tests, without the check of every argument's type."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
