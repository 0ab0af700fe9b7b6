"""Secrets: they do not show themselves, and do not compare in a time that tells."""

from __future__ import annotations

import hashlib

import pytest

from keyhole.access.secret import Secret, base32, is_id, new_id, new_secret


def test_a_secret_does_not_show_itself() -> None:
    secret = Secret("swordfish")
    assert "swordfish" not in f"{secret} {secret!r} {[secret]}"
    assert repr(secret) == "Secret(***)"
    assert secret.reveal() == "swordfish"


def test_a_secret_is_compared_with_matches_only() -> None:
    assert Secret("a").matches(Secret("a"))
    assert not Secret("a").matches(Secret("b"))
    with pytest.raises(TypeError):
        _ = Secret("a") == Secret("a")
    with pytest.raises(TypeError):
        {Secret("a")}


def test_its_digest_is_what_is_stored() -> None:
    assert Secret("a").digest() == hashlib.sha256(b"a").digest()


def test_ids_are_16_characters_that_mailers_leave_alone() -> None:
    assert all(is_id(new_id()) for _ in range(100))
    assert len({new_id() for _ in range(100)}) == 100


@pytest.mark.parametrize("text", ["", "a" * 15, "a" * 17, "A" * 16, "a" * 15 + "1", "a" * 16 + "\n", "a" * 15 + "é"])
def test_is_no_id(text: str) -> None:
    assert not is_id(text)


def test_a_new_secret_has_160_bits() -> None:
    assert len(new_secret().reveal()) == 32
    assert len({new_secret().reveal() for _ in range(100)}) == 100


def test_base32_is_lower_case_and_unpadded() -> None:
    assert base32(b"\x00\xff\x10") == "ad7ra"
