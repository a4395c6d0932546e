"""Shapes and types are checked on every call during tests; two threads at most; no test touches the user's cache."""

import os
from pathlib import Path

from jaxtyping import install_import_hook

install_import_hook("pixelproof", "beartype.beartype")

import pytest  # noqa: E402
import torch  # noqa: E402
from hypothesis import settings  # noqa: E402

torch.set_num_threads(1)
settings.register_profile("untimed", deadline=None, max_examples=50)  # shared machines stall; time is no property
settings.load_profile("untimed")

REAL = Path(os.environ.get("PIXELPROOF_DATA", "/nonexistent"))


@pytest.fixture(autouse=True)
def private_cache(tmp_path_factory, monkeypatch):
    """Trained weights and downloads go to a folder of the session, never to the user's cache."""
    root = tmp_path_factory.getbasetemp().parent / "pixelproof-cache"
    monkeypatch.setenv("PIXELPROOF_CACHE", str(root))


def real_data(name: str) -> Path:
    """The folder with the real data sets, or a skip with its reason; in CI a missing set is a failure."""
    if not (REAL / name).is_dir():
        if os.environ.get("PIXELPROOF_REQUIRE_DATA"):
            pytest.fail(f"PIXELPROOF_REQUIRE_DATA is set, but {name} is not under PIXELPROOF_DATA={REAL}")
        pytest.skip(f"needs the real {name} files: set PIXELPROOF_DATA to the folder that holds {name}/")
    return REAL
