"""The addresses of the explorer's answers, relative to the API's root, each once; `at` fills their places in braces."""

from __future__ import annotations

RUN = "runs/{run}"
GALLERY = RUN + "/gallery"
COLUMN = GALLERY + "/{detector}"
ATLAS = RUN + "/atlas/{page}.png"
TRAINING = RUN + "/training/{index}.png"
UNIT = RUN + "/units/{layer}/{unit}"

ROBUSTNESS = RUN + "/robustness"
DEFENCES = RUN + "/defences"
DETECTORS = RUN + "/detectors"
THRESHOLDS = RUN + "/thresholds"
SCORES = THRESHOLDS + "/{attack}/scores.f32"
MAPS = RUN + "/maps"
MAP = MAPS + "/{map}"
POINTS = MAP + "/points.f32"
COMMAND = "commands/{command}.html"
AGAINST = RUN + "/against/{other}"
LIVE = RUN + "/live"
JUDGE = LIVE + "/judge"
JOBS = LIVE + "/attacks"
UPLOAD = LIVE + "/upload"
JOB = "live/{job}"
EVENTS = JOB + "/events"

EXAMPLE = RUN + "/examples/{example}"
CLEAN = EXAMPLE + "/clean.png"
ADVERSARIAL = EXAMPLE + "/adversarial.png"
PIXELS = EXAMPLE + "/pixels.f32"
FACES = EXAMPLE + "/neighbours/{layer}/{metric}.png"
NEIGHBOURS = EXAMPLE + "/neighbours/{layer}/{metric}"
GRAPH = EXAMPLE + "/graph/{layer}/{metric}/{side}"
DIFFERENCE = EXAMPLE + "/difference/{layer}/{metric}/{a}/{b}"
VECTORS = EXAMPLE + "/vectors/{layer}/{a}/{b}.f32"
ATTRIBUTIONS = EXAMPLE + "/attributions"
ATTRIBUTION_VALUES = EXAMPLE + "/attributions.f32"
ATTACKABILITY = EXAMPLE + "/attackability"


def at(path: str, **places: object) -> str:
    """An address with its places filled; those not given stay in braces, for the reader to fill."""
    for name, value in places.items():
        path = path.replace(f"{{{name}}}", str(value))
    return path
