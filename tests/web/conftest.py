"""One application over a finished run with every section, and one over a run with attacks only."""

import numpy as np
import pytest
from fastapi.testclient import TestClient

from explorer_run import explored
from pixelproof.web.app import create
from pixelproof.web.library import Library
from tiny_runs import real

HOSTS = ("testserver",)


@pytest.fixture(scope="session")
def client():
    """Answers about the run "explored"."""
    return TestClient(create(Library([explored().folder]), hosts=HOSTS))


@pytest.fixture(scope="session")
def bare():
    """Answers about a run without guards, signatures and pixels; its folder is called "run"."""
    return TestClient(create(Library([real().folder]), hosts=HOSTS))


@pytest.fixture(scope="session")
def ask(client):
    """JSON of an answer that must be there."""

    def get(address):
        answer = client.get(f"/api/runs/explored{address}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    return get


@pytest.fixture(scope="session")
def numbers(client):
    """An array as its shape and values say."""

    def get(address):
        answer = client.get(f"/api/{address}")
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-dtype"] == "<f4"
        shape = [int(size) for size in answer.headers["x-shape"].split(",")]
        return np.frombuffer(answer.content, dtype="<f4").reshape(shape)

    return get
