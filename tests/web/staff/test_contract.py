"""The staff API keeps its OpenAPI document: whatever is sent, the answer is one that the document describes."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import CHECKS, load_all_checks

from keyhole.web import api
from tests.web.staff.world import World

pytestmark = pytest.mark.slow

world = World()
key = world.key("sharer", "enforcer", "auditor")
schema = schemathesis.openapi.from_asgi(
    "/api/v1/openapi.json", api.staff(world.desk, world.decisions, world, lambda _: None, world.desk.archives[0])
)

load_all_checks()
# A share may be of the right form and still be refused: a study that is not there, an end that has passed.
NOT_PROMISED: Any = [CHECKS.get_one("positive_data_acceptance")]
# Neither is a hundred questions of the greatest length each: the body has a limit of its own.
rejected = schema.config.checks.negative_data_rejection
rejected.expected_statuses = [*rejected.expected_statuses, "413"]


@schema.auth()
class Key:
    def get(self, case: schemathesis.Case[Any], context: schemathesis.AuthContext) -> str:
        return key

    def set(self, case: schemathesis.Case[Any], data: str, context: schemathesis.AuthContext) -> None:
        case.headers["authorization"] = f"Bearer {data}"


@schema.parametrize()
@settings(max_examples=30, suppress_health_check=list(HealthCheck))
def test_every_answer_is_in_the_document(case: schemathesis.Case[Any]) -> None:
    case.call_and_validate(excluded_checks=NOT_PROMISED)
