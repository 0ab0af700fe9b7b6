"""What holds for every test: which sockets it may open, and how hard hypothesis looks."""

from __future__ import annotations

import os

import numpy as np  # noqa: F401 - before keyhole, which imports pydicom without it otherwise
import pytest
from hypothesis import HealthCheck, Phase, settings

LOOPBACK = ["127.0.0.0/8", "::1", "localhost"]

# A busy machine is no error: time limits and complaints about slowness are off. `make check` looks briefly.
settings.register_profile("quick", deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("whole", deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])
# `make mutants`: the same examples each time, so that a verdict is no luck, and none made smaller: failing is enough.
settings.register_profile(
    "mutants",
    deadline=None,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.differing_executors],  # one process runs them twice
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "whole"))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what lies in tests/e2e as such, and open the loopback to what may use it."""
    for item in items:
        if "e2e" in item.path.parts:
            item.add_marker(pytest.mark.e2e)
        if item.get_closest_marker("e2e") or item.get_closest_marker("loopback"):
            item.add_marker(pytest.mark.allow_hosts(LOOPBACK))
