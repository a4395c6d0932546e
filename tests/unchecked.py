"""Studies conducted in a process of their own, without the type check that tests put on every call."""

import json
import subprocess
import sys
from pathlib import Path

from pixelproof.run import Run

CONDUCT = """import json, sys
from pixelproof import study
study.conduct(study.parse(json.loads(sys.argv[1])), sys.argv[2], device="cpu")"""


def conduct(content: dict, folder: Path) -> Run:
    """The finished run of a study; with a type check on every call an ensemble takes ten times as long."""
    subprocess.run([sys.executable, "-c", CONDUCT, json.dumps(content), str(folder)], check=True, timeout=500)
    return Run.open(folder)
