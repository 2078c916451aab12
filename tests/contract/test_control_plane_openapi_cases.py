"""The API keeps to its schema whatever it is asked; `benchmarks.openapi` asks far more."""

import os

from benchmarks.openapi import ask, serving
from tests.support.redis_server import RedisServer

CASES = int(os.environ.get("UNISONO_OPENAPI_CASES", "160"))


def test_no_5xx_and_only_answers_that_the_schema_names(redis_server: RedisServer) -> None:
    redis_server.flush()
    with serving(redis_server.url) as url:
        report = ask(url, CASES, seed_of_all=1)
    assert not list(report.findings.values())
    assert report.cases > CASES / 2
    assert {200, 201, 401, 403, 404, 422} <= set(report.statuses)
