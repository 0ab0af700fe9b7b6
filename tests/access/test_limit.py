"""Limits as values."""

from __future__ import annotations

from datetime import timedelta

from keyhole.access.limit import Bucket


def test_buckets_of_one_name_and_pace_are_one() -> None:
    assert len({Bucket("answers a", 20, timedelta(seconds=6)), Bucket("answers a", 20, timedelta(seconds=6))}) == 1
    assert Bucket("answers a", 20, timedelta(seconds=6)) != Bucket("answers a", 10, timedelta(seconds=6))
