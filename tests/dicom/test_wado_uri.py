"""WADO-URI means a retrieval of WADO-RS or nothing; what is sent is never what was received."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyhole.access.resource import Action
from keyhole.dicom.query import RetrieveQuery
from keyhole.dicom.route import Match, Refusal
from keyhole.dicom.wado_uri import parse_wado_uri
from tests.dicom.vectors import lines

WADO = "requestType=WADO&studyUID=1.2&seriesUID=3.4&objectUID=5.6"
INSTANCE = "/studies/1.2/series/3.4/instances/5.6"


def said(understood: tuple[Match, RetrieveQuery] | Refusal) -> str:
    if isinstance(understood, Refusal):
        return understood.reason
    found, query = understood
    path = found.path().replace(INSTANCE, "I")
    return f"{found.route.action} {path} {query.encode() or 'nothing'} accept: {query.accept}"


@pytest.mark.parametrize(("asked", "meaning"), lines("wado-uri.txt"))
def test_a_query_means_what_its_vector_says(asked: str, meaning: str) -> None:
    parts = [WADO if part == "WADO" else part for part in asked.split("&")]
    assert said(parse_wado_uri("&".join(parts).encode())) == meaning


NAMES = st.sampled_from(
    ["requestType", "studyUID", "seriesUID", "objectUID", "contentType", "frameNumber", "rows", "x", "STUDYUID"]
)
VALUES = st.sampled_from(["WADO", "1.2", "3.4", "9.9", "application/dicom", "image/png", "1", "", "*"])


@given(st.lists(st.tuples(NAMES, VALUES), max_size=8))
def test_what_is_understood_names_one_instance_by_what_was_said_once(pairs: list[tuple[str, str]]) -> None:
    understood = parse_wado_uri("&".join(f"{name}={value}" for name, value in pairs).encode())
    if isinstance(understood, Refusal):
        return
    found, _ = understood
    given_once = dict(pairs)
    named = {"study": "studyUID", "series": "seriesUID", "instance": "objectUID"}
    assert {name: found.ids[name] for name in named} == {name: given_once[ours] for name, ours in named.items()}
    assert all([name for name, _ in pairs].count(ours) == 1 for ours in named.values())
    assert (found.route.action is Action.DOWNLOAD) == (given_once.get("contentType") == "application/dicom")
