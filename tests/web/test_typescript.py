"""The TypeScript that the pages are written against is the one this API makes; every address is documented."""

from pixelproof.views.commands import CommandAnswer
from pixelproof.web.app import api
from pixelproof.web.library import Library
from pixelproof.web.state import AppState
from pixelproof.web.typescript import TARGET, typescript


def test_typescript_is_in_step_with_the_api():
    assert TARGET.read_text() == typescript(), "run: python -m pixelproof.web.typescript"


# Numbers of lower floors, and FastAPI's own refusal: their documentation strings say what their fields are.
SAID_TOGETHER = {"Estimate", "HTTPValidationError", "Rate", "ValidationError"}
SAID_TOGETHER |= {"Difference", "Effort", "FirstLook", "TunedLayer"}


def test_every_field_of_an_answer_says_what_it_is():
    models = api(AppState(Library([]))).openapi()["components"]["schemas"]
    models |= CommandAnswer.model_json_schema()["$defs"]
    fields = [
        f"{name}.{key}"
        for name, model in models.items()
        for key, field in model["properties"].items()
        if name not in SAID_TOGETHER and "description" not in field and "const" not in field
    ]
    assert fields == []
