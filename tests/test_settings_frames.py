"""Whose pages may frame ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from keyhole.errors import Misconfigured
from keyhole.settings import Settings, load_settings


@pytest.fixture
def enough(tmp_path: Path) -> dict[str, str]:
    """The least that serves."""
    return {
        "KEYHOLE_ARCHIVE": str(tmp_path),
        "KEYHOLE_DATA": str(tmp_path),
        "KEYHOLE_PUBLIC_URL": "https://images.hospital.test",
    }


def load(enough: dict[str, str], ancestors: str, **more: str) -> Settings:
    return load_settings({**enough, "KEYHOLE_FRAME_ANCESTORS": ancestors, **more})


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        pytest.param("", (), id="nobody, unless somebody is named"),
        pytest.param("https://portal.hospital.test", ("https://portal.hospital.test",), id="one"),
        pytest.param("https://a.test, https://b.test:8443", ("https://a.test", "https://b.test:8443"), id="several"),
        pytest.param("HTTPS://Portal.Test:443/", ("https://portal.test",), id="as browsers spell it"),
        pytest.param("http://localhost:3000", ("http://localhost:3000",), id="this machine, without https"),
    ],
)
def test_origins_are_kept_as_browsers_spell_them(enough: dict[str, str], given: str, kept: tuple[str, ...]) -> None:
    assert load(enough, given).frame_ancestors == kept


@pytest.mark.parametrize(
    "given",
    [
        pytest.param("*", id="everybody"),
        pytest.param("https://*.hospital.test", id="a pattern"),
        pytest.param("https:", id="a scheme"),
        pytest.param("'self'", id="a word of the policy"),
        pytest.param("https://portal.test; script-src *", id="another directive"),
        pytest.param("https://portal.test https://evil.test", id="two in one"),
        pytest.param("https://portal.test/page", id="a path"),
        pytest.param("https://anna:secret@portal.test", id="a user"),
    ],
)
def test_what_is_no_origin_is_refused(enough: dict[str, str], given: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        load(enough, given)
    (told,) = caught.value.problems
    assert told.startswith("KEYHOLE_FRAME_ANCESTORS ")
    assert "secret" not in told


def test_our_own_pages_never_frame_ours(enough: dict[str, str]) -> None:
    with pytest.raises(Misconfigured) as caught:
        load(enough, "https://portal.hospital.test,https://Images.Hospital.test:443")
    (told,) = caught.value.problems
    assert told.startswith("KEYHOLE_FRAME_ANCESTORS names KEYHOLE_PUBLIC_URL: ")


def test_a_page_without_https_frames_nothing_unless_forced(enough: dict[str, str]) -> None:
    with pytest.raises(Misconfigured) as caught:
        load(enough, "http://portal.hospital.test")
    (told,) = caught.value.problems
    assert told.startswith("KEYHOLE_FRAME_ANCESTORS names http://portal.hospital.test, and anybody on the way")
    found = load(enough, "http://portal.hospital.test", KEYHOLE_INSECURE_HTTP="yes")
    assert found.frame_ancestors == ("http://portal.hospital.test",)
