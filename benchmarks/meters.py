"""What the benchmarks measure with: CPU seconds, peak memory, and peers that may be missing."""

from __future__ import annotations

import ctypes
import gc
import importlib
import platform
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType


def optional(name: str) -> ModuleType | None:
    """A peer library, None when it is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except ImportError:
        return None


def cpu(work: Callable[[], object]) -> float:
    """CPU seconds of this process that `work` takes."""
    started = time.process_time()
    work()
    return time.process_time() - started


def peak_extra(work: Callable[[], object]) -> float:
    """Megabytes of resident memory that `work` adds at its peak, sampled every 2 ms."""
    read = lambda: int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6  # noqa: E731
    gc.collect()
    if platform.system() == "Linux":
        ctypes.CDLL(None).malloc_trim(0)
    before, peak, done = read(), 0.0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.002):
            peak = max(peak, read())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        work()
    finally:
        done.set()
        watcher.join()
    return max(0.0, peak - before)
