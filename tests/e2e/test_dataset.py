"""The test data hold what the tests rely on."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

from tests.e2e import dataset, phantom


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return dataset.write(tmp_path_factory.mktemp("studies"), dataset.everything())


def test_every_instance_of_the_replay_set_is_there(folder: Path) -> None:
    written = {
        (str(made.StudyInstanceUID), str(made.SeriesInstanceUID), str(made.SOPInstanceUID))
        for made in (dcmread(path, stop_before_pixels=True) for path in folder.rglob("*.dcm"))
    }
    assert dataset.instances_named() <= written


def test_the_replay_set_is_whole() -> None:
    assert len(dataset.replay()) == 306


def test_the_recorded_study_has_the_recorded_size() -> None:
    made = list(dataset.recorded())
    assert (len(made), len({one.SeriesInstanceUID for one in made})) == (67, 8)


def _screenshot(study: str, number: int) -> bytes:
    values = phantom.pixels(study, number, 128).astype(float) * 255 / 1000
    shown = Image.new("L", (900, 600))
    shown.paste(Image.fromarray(values.astype(np.uint8)).resize((600, 600)), (150, 0))
    png = io.BytesIO()
    shown.save(png, "PNG")
    return png.getvalue()


def test_a_slice_is_recognised_and_no_other_is_taken_for_it() -> None:
    shown = _screenshot(dataset.STUDY, 7)
    assert phantom.likeness(shown, dataset.STUDY, 7) > 0.9
    others = [(dataset.STUDY, n) for n in range(1, 61) if n != 7] + [(dataset.PRIOR, n) for n in range(1, 61)]
    assert max(phantom.likeness(shown, *other) for other in others) < 0.6


def test_a_black_viewport_looks_like_nothing() -> None:
    png = io.BytesIO()
    Image.new("L", (900, 600)).save(png, "PNG")
    assert phantom.likeness(png.getvalue(), dataset.STUDY, 7) == 0
