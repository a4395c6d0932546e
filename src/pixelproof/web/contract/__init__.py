"""The contract: the models of every answer and question of the API. OpenAPI is made from these."""

from pixelproof.web.contract.common import Answer, Atlas, Estimate, Missing, Numbers, Rate, Refusal
from pixelproof.web.contract.examples import (
    ExamplePage,
    Graph,
    Neighbourhood,
)
from pixelproof.web.contract.gallery import DetectorColumn, ExampleSet, Gallery, GalleryDetector
from pixelproof.web.contract.live import Ask, Job, Judged, LivePage, Mount, Step, Uploaded

__all__ = [
    "Answer",
    "Ask",
    "Atlas",
    "DetectorColumn",
    "Estimate",
    "ExamplePage",
    "ExampleSet",
    "Gallery",
    "GalleryDetector",
    "Graph",
    "Job",
    "Judged",
    "LivePage",
    "Missing",
    "Mount",
    "Neighbourhood",
    "Numbers",
    "Rate",
    "Refusal",
    "Step",
    "Uploaded",
]
