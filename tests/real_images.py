"""Where the real data sets are."""

import os
from pathlib import Path

import pytest

REAL = Path(os.environ.get("PIXELPROOF_DATA", "/nonexistent"))


def real_data(name: str) -> Path:
    """The folder with the real data sets, or a skip with its reason; in CI a missing set is a failure."""
    if not (REAL / name).is_dir():
        if os.environ.get("PIXELPROOF_REQUIRE_DATA"):
            pytest.fail(f"PIXELPROOF_REQUIRE_DATA is set, but {name} is not under PIXELPROOF_DATA={REAL}")
        pytest.skip(f"needs the real {name} files: set PIXELPROOF_DATA to the folder that holds {name}/")
    return REAL
