from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyhole.errors import ArchiveFailed
from keyhole.gateway.rewrite import Links, text

ROOT = "http://orthanc:8042/dicom-web"
PUBLIC = "https://keyhole.example/v/aaaabbbbccccdddd/dicom-web"
STUDY = "1.2.3"
PATH = f"/studies/{STUDY}/metadata"
BULK = f"/studies/{STUDY}/series/1.2.4/instances/1.2.5/bulk/00420011"


def links(path: str = PATH) -> Links:
    return Links(ROOT, PUBLIC, path)


@pytest.mark.parametrize(
    ("uri", "public"),
    [
        pytest.param(ROOT + BULK, PUBLIC + BULK, id="the archive's own"),
        pytest.param("/dicom-web" + BULK, PUBLIC + BULK, id="from the host's root"),
        pytest.param("series/1.2.4/instances/1.2.5/bulk/00420011", PUBLIC + BULK, id="from the request"),
        pytest.param(f"../{STUDY}/series/1.2.4/instances/1.2.5/bulk/00420011", PUBLIC + BULK, id="with dots"),
        pytest.param("//orthanc:8042/dicom-web" + BULK, PUBLIC + BULK, id="without scheme"),
        pytest.param(f"{ROOT}/studies/{STUDY}", f"{PUBLIC}/studies/{STUDY}", id="the study"),
        pytest.param("http://evil.example/dicom-web" + BULK, None, id="another host"),
        pytest.param("https://orthanc:8042/dicom-web" + BULK, None, id="another scheme"),
        pytest.param("http://orthanc:8042.evil.example/dicom-web" + BULK, None, id="a host that begins alike"),
        pytest.param("http://orthanc:8042/dicom-web-2" + BULK, None, id="a root that begins alike"),
        pytest.param("http://orthanc:8042/dicom-web/../system", None, id="beside the root"),
        pytest.param("http://orthanc:8042/system", None, id="the server's own API"),
        pytest.param(ROOT + BULK.replace(STUDY, "1.2.9"), None, id="another study"),
        pytest.param(ROOT + BULK.replace(STUDY, "1.2.3/../1.2.9"), None, id="another study by dots"),
        pytest.param(ROOT + BULK + "?x=1", None, id="with a query"),
        pytest.param(ROOT + BULK + "#x", None, id="with a fragment"),
        pytest.param(ROOT + BULK.replace("/bulk", "/%62ulk"), None, id="encoded"),
        pytest.param(ROOT + BULK + "é", None, id="outside ASCII"),
        pytest.param(ROOT, None, id="the root"),
        pytest.param(ROOT + "/", None, id="the root with a slash"),
        pytest.param("", None, id="empty: the request itself, which is no bulk data of the study's"),
        pytest.param("javascript:alert(1)", None, id="a script"),
        pytest.param("http://[", None, id="no URL"),
        pytest.param(7, None, id="no text"),
        pytest.param(None, None, id="nothing"),
    ],
)
def test_a_link_leads_through_keyhole_or_nowhere(uri: object, public: str | None) -> None:
    found = links("/studies" if not uri else PATH)
    base = found.public(uri, STUDY)
    assert base == public
    assert found.dropped == (public is None)


def test_links_are_rewritten_at_every_depth() -> None:
    item = {
        "00081190": {"vr": "UR", "Value": [f"{ROOT}/studies/{STUDY}", "http://elsewhere/"]},
        "00420011": {"vr": "OB", "BulkDataURI": ROOT + BULK},
        "00080018": {"vr": "UI", "Value": ["1.2.5"]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "A^B"}]},
        "00400100": {
            "vr": "SQ",
            "Value": [{"00400200": {"vr": "SQ", "Value": [{"00420011": {"vr": "OB", "BulkDataURI": ROOT + BULK}}]}}],
        },
    }
    found = links()
    assert found.rewrite(copy.deepcopy(item), STUDY) == {
        "00081190": {"vr": "UR", "Value": [f"{PUBLIC}/studies/{STUDY}"]},
        "00420011": {"vr": "OB", "BulkDataURI": PUBLIC + BULK},
        "00080018": {"vr": "UI", "Value": ["1.2.5"]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "A^B"}]},
        "00400100": {
            "vr": "SQ",
            "Value": [{"00400200": {"vr": "SQ", "Value": [{"00420011": {"vr": "OB", "BulkDataURI": PUBLIC + BULK}}]}}],
        },
    }
    assert found.dropped == 1


@pytest.mark.parametrize(
    "element",
    [
        pytest.param({"vr": "OB", "BulkDataURI": "http://elsewhere/1"}, id="a link elsewhere"),
        pytest.param({"vr": "OB", "BulkDataURI": ROOT + BULK, "Value": [{}]}, id="a link and a value"),
        pytest.param({"vr": "OB", "bulkDataURI": ROOT + BULK}, id="a part spelt otherwise"),
        pytest.param({"vr": "OB", "More": {"BulkDataURI": ROOT + BULK}}, id="a part nobody knows"),
        pytest.param({"vr": "LO", "Value": "x"}, id="a value that is no list"),
        pytest.param("x", id="no element"),
        pytest.param(None, id="nothing"),
    ],
)
def test_an_element_that_cannot_be_passed_on_is_left_out(element: object) -> None:
    sequence = {"vr": "SQ", "Value": [{"00420011": element}]}
    assert links().rewrite({"00420011": element, "00400100": sequence}, STUDY) == {
        "00400100": {"vr": "SQ", "Value": [{}]}
    }


@pytest.mark.parametrize("tag", ["0020000d", "StudyInstanceUID", "00200000D", "0020000D\n", ""])
def test_a_tag_spelt_otherwise_is_left_out(tag: str) -> None:
    assert links().rewrite({tag: {"vr": "UI", "Value": ["1"]}}, STUDY) == {}


def test_a_retrieve_url_of_nothing_ours_is_left_out() -> None:
    assert links().rewrite({"00081190": {"vr": "UR", "Value": ["http://elsewhere/"]}}, STUDY) == {}


def test_nesting_without_end_is_a_failure() -> None:
    item: dict[str, Any] = {}
    for _ in range(5000):
        item = {"00400100": {"vr": "SQ", "Value": [item]}}
    with pytest.raises(ArchiveFailed):
        links().rewrite(item, STUDY)


uris = st.sampled_from([ROOT + BULK, ROOT + BULK.replace(STUDY, "9"), "/dicom-web" + BULK, ROOT, "x"]) | st.text()
tags = st.sampled_from(["00081190", "00420011", "00400100", "0040E010", "0020000d"])
nested = st.recursive(
    st.fixed_dictionaries({"vr": st.just("UR"), "BulkDataURI": uris})
    | st.fixed_dictionaries({"vr": st.just("UR"), "Value": st.lists(uris)}),
    lambda inner: st.fixed_dictionaries(
        {"vr": st.just("SQ"), "Value": st.lists(st.dictionaries(tags, inner, max_size=3), max_size=3)}
    ),
)


@given(st.dictionaries(st.sampled_from(["00081190", "00420012", "00400100"]), nested))
def test_what_names_the_archive_in_a_link_is_never_passed_on(item: dict[str, Any]) -> None:
    def links_in(value: object) -> list[str]:
        if isinstance(value, list):
            return [link for each in value for link in links_in(each)]
        if not isinstance(value, dict):
            return []
        here = [value["BulkDataURI"]] if "BulkDataURI" in value else []
        for tag in ("00081190", "0040E010"):
            here += value.get(tag, {}).get("Value", [])
        return here + [link for each in value.values() for link in links_in(each)]

    passed = links().rewrite(item, STUDY)
    assert all(str(link).startswith(f"{PUBLIC}/studies/{STUDY}") for link in links_in(passed))
    json.dumps(passed)


@pytest.mark.parametrize(
    ("element", "expected"),
    [
        ({"vr": "UI", "Value": ["1.2"]}, "1.2"),
        ({"vr": "UI", "Value": ["1.2", "1.3"]}, None),
        ({"vr": "UI", "Value": []}, None),
        ({"vr": "UI", "Value": [7]}, None),
        ({"vr": "UI"}, None),
        ("1.2", None),
    ],
)
def test_a_uid_is_one_text_or_none(element: object, expected: str | None) -> None:
    assert text({"0020000D": element}, "0020000D") == expected
    assert text({}, "0020000D") is None
