"""Orthanc's own REST API through Keyhole, as programs written for Orthanc call it; WADO-URI, as old viewers do."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from pydicom import dcmread

from tests.e2e import dataset
from tests.e2e.dataset import ANNA, BORIS, PRIOR, STRANGER, STUDY
from tests.servers.keyhole import Answer, Keyhole, keyhole
from tests.servers.orthanc import Orthanc

pytestmark = pytest.mark.e2e

SERIES = f"{STUDY}.1"
INSTANCE = f"{STUDY}.1.1"
HAS_LABELS, COMPUTES_TAGS = 20, 18
"""Versions of Orthanc's API (1.12.0, 1.11.0)."""


def name_of(*parts: str) -> str:
    """The name that Orthanc derives from a PatientID and UIDs."""
    digest = hashlib.sha1("|".join(parts).encode(), usedforsecurity=False).hexdigest()
    return "-".join(digest[at : at + 8] for at in range(0, 40, 8))


PATIENT_NAME = name_of(ANNA.id)
STUDY_NAME = name_of(ANNA.id, STUDY)
PRIOR_NAME = name_of(ANNA.id, PRIOR)
STRANGER_NAME = name_of(BORIS.id, STRANGER)
SERIES_NAME = name_of(ANNA.id, STUDY, SERIES)
INSTANCE_NAME = name_of(ANNA.id, STUDY, SERIES, INSTANCE)


@pytest.fixture(scope="module", params=["orthanc_debian", "orthanc_trixie"])
def orthanc(request: pytest.FixtureRequest) -> Orthanc:
    running: Orthanc = request.getfixturevalue(request.param)
    return running


@pytest.fixture(scope="module")
def server(orthanc: Orthanc, studies: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyhole]:
    """A Keyhole with two archives: Orthanc with its REST API, and a folder with the same studies."""
    folder = tmp_path_factory.mktemp("keyhole-rest")
    config = folder / "keyhole.toml"
    config.write_text(f'[archives.copies]\nroot = "{studies}"\n')
    settings = {**orthanc.settings, "KEYHOLE_ARCHIVE_ORTHANC": orthanc.rest, "KEYHOLE_CONFIG": str(config)}
    with keyhole(folder, settings) as running:
        yield running


@dataclass(frozen=True)
class Client:
    """A program with a key or a bearer, that knows where Orthanc is said to be."""

    server: Keyhole
    credential: dict[str, str]
    root: str = "/orthanc"

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        return self.server.ask(method, self.root + path, {**self.credential, **headers}, body)

    def json(self, path: str) -> Any:
        answer = self.ask("GET", path)
        assert answer.status == 200, (path, answer.status, answer.body[:300])
        return answer.json()

    def find(self, **request: Any) -> Any:
        answer = self.ask("POST", "/tools/find", json.dumps(request).encode(), **{"Content-Type": "application/json"})
        assert answer.status == 200, (request, answer.status, answer.body[:300])
        return answer.json()


def of_key(server: Keyhole, *roles: str) -> Client:
    return Client(server, {"Authorization": f"Bearer {server.key('-'.join(roles), *roles)}"})


@pytest.fixture(scope="module")
def administrator(server: Keyhole) -> Client:
    return of_key(server, "administrator")


@pytest.fixture(scope="module")
def reader(server: Keyhole) -> Client:
    return of_key(server, "reader")


@pytest.fixture(scope="module")
def visitor(server: Keyhole) -> Client:
    """A program that opened a link to one study."""
    return Client(server, server.open(server.share(STUDY)).as_bearer)


@pytest.fixture(scope="module")
def visitor_of_series(server: Keyhole) -> Client:
    return Client(server, server.open(server.share(STUDY, series=SERIES)).as_bearer)


class TestAnAdministratorsKey:
    def test_finds_looks_and_takes_files_with_it(self, administrator: Client) -> None:
        assert STUDY_NAME in administrator.json("/studies")
        (found,) = administrator.find(Level="Study", Query={"StudyInstanceUID": STUDY}, Expand=True)
        assert found["ID"] == STUDY_NAME
        assert administrator.json(f"/instances/{INSTANCE_NAME}/tags?simplify")["PatientID"] == ANNA.id
        file = administrator.ask("GET", f"/instances/{INSTANCE_NAME}/file")
        assert dcmread(io.BytesIO(file.body)).SOPInstanceUID == INSTANCE
        assert file.headers["content-type"] == "application/dicom"

    def test_sees_what_the_whole_archive_holds(self, administrator: Client) -> None:
        assert administrator.json("/statistics")["CountStudies"] >= 5
        assert administrator.json("/system")["Version"]
        assert administrator.json("/changes?limit=1")["Changes"]
        assert len(administrator.json("/studies?since=1&limit=2")) == 2
        assert administrator.json("/studies?expand&limit=1&since=0")[0]["MainDicomTags"]

    def test_looks_up_what_lies_below_and_beside(self, administrator: Client) -> None:
        looked_up = administrator.ask("POST", "/tools/lookup", STUDY.encode())
        assert [each["ID"] for each in looked_up.json()] == [STUDY_NAME]
        assert SERIES_NAME in [each["ID"] for each in administrator.json(f"/studies/{STUDY_NAME}/series")]
        assert INSTANCE_NAME in [each["ID"] for each in administrator.json(f"/series/{SERIES_NAME}/instances")]

    def test_takes_an_archive_with_it_and_that_is_an_export(self, server: Keyhole, administrator: Client) -> None:
        answer = administrator.ask("GET", f"/series/{SERIES_NAME}/archive")
        assert answer.headers["content-disposition"].startswith("attachment;")
        with zipfile.ZipFile(io.BytesIO(answer.body)) as package:
            assert package.testzip() is None
            assert dcmread(io.BytesIO(package.read(package.namelist()[0]))).StudyInstanceUID == STUDY
        assert [row for row in server.trail() if row["event"] == "export" and row["study"] == STUDY]

    @pytest.mark.parametrize(("accept", "form"), [("image/png", "PNG"), ("image/jpeg", "JPEG"), ("*/*", "PNG")])
    def test_gets_pictures_in_the_form_that_is_asked_for(self, administrator: Client, accept: str, form: str) -> None:
        answer = administrator.ask("GET", f"/instances/{INSTANCE_NAME}/preview", Accept=accept)
        assert Image.open(io.BytesIO(answer.body)).format == form

    def test_stores_labels_and_deletes(self, administrator: Client, orthanc: Orthanc) -> None:
        file = new_instance(orthanc, "77")
        stored = administrator.ask("POST", "/instances", file, **{"Content-Type": "application/dicom"})
        assert stored.status == 200, stored.body
        names = stored.json()
        assert names["Status"] == "Success"
        study = names["ParentStudy"]
        if orthanc.json("/system")["ApiVersion"] >= HAS_LABELS:
            assert administrator.ask("PUT", f"/studies/{study}/labels/teaching").status == 200
            assert administrator.json(f"/studies/{study}/labels") == ["teaching"]
            assert administrator.ask("DELETE", f"/studies/{study}/labels/teaching").status == 200
        assert administrator.ask("DELETE", f"/studies/{study}").status == 200
        assert administrator.ask("GET", f"/studies/{study}").status == 404

    def test_anonymises_and_deletes_the_result(self, administrator: Client, orthanc: Orthanc) -> None:
        stored = administrator.ask("POST", "/instances", new_instance(orthanc, "78")).json()
        body = b'{"Replace": {"PatientName": "Nobody"}, "Force": true, "KeepSource": false}'
        made = administrator.ask("POST", f"/studies/{stored['ParentStudy']}/anonymize", body)
        assert made.status == 200, made.body
        assert administrator.json(made.json()["Path"])["PatientMainDicomTags"]["PatientName"] == "Nobody"
        assert administrator.ask("GET", f"/studies/{stored['ParentStudy']}").status == 404
        assert administrator.ask("DELETE", made.json()["Path"]).status == 200

    def test_does_not_administer(self, administrator: Client) -> None:
        assert administrator.ask("GET", "/jobs").status == 404
        assert administrator.ask("POST", "/tools/execute-script", b"print(1)").status == 404
        assert administrator.ask("POST", "/tools/shutdown").status == 404


def new_instance(orthanc: Orthanc, number: str) -> bytes:
    """A DICOM file of a study of its own."""
    status, body = orthanc.ask("GET", f"/instances/{INSTANCE_NAME}/file")
    assert status == 200
    made = dcmread(io.BytesIO(body))
    made.StudyInstanceUID = f"{dataset.ROOT}.{number}"
    made.SeriesInstanceUID = f"{dataset.ROOT}.{number}.1"
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = f"{dataset.ROOT}.{number}.1.1"
    made.PatientID, made.PatientName = f"NEW-{number}", "New^Somebody"
    written = io.BytesIO()
    made.save_as(written)
    return written.getvalue()


class TestAReadersKey:
    def test_reads_everything(self, reader: Client) -> None:
        assert {STUDY_NAME, STRANGER_NAME} <= set(reader.json("/studies"))
        assert reader.ask("GET", f"/instances/{INSTANCE_NAME}/file").status == 200

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("DELETE", f"/studies/{STUDY_NAME}"),
            ("DELETE", f"/studies/{name_of('nobody')}"),
            ("POST", f"/studies/{STUDY_NAME}/anonymize"),
            ("POST", f"/studies/{STUDY_NAME}/modify"),
            ("PUT", f"/studies/{STUDY_NAME}/labels/x"),
            ("POST", "/instances"),
            ("POST", "/modalities/pacs/store"),
            ("GET", "/modalities"),
        ],
    )
    def test_changes_nothing_and_learns_nothing_by_trying(
        self, reader: Client, orthanc: Orthanc, method: str, path: str
    ) -> None:
        assert reader.ask(method, path, b"{}" if method == "POST" else None).status == 403
        assert orthanc.ask("GET", f"/studies/{STUDY_NAME}")[0] == 200


class TestAnUploadersKey:
    def test_stores_and_reads_nothing(self, server: Keyhole, orthanc: Orthanc) -> None:
        uploader = of_key(server, "uploader")
        stored = uploader.ask("POST", "/instances", new_instance(orthanc, "79"))
        assert stored.status == 200
        assert uploader.ask("GET", f"/studies/{stored.json()['ParentStudy']}").status == 403
        assert uploader.ask("GET", "/studies").status == 403
        assert uploader.ask("POST", "/tools/create-dicom", b'{"Parent": "x"}').status == 403
        assert orthanc.ask("DELETE", f"/studies/{stored.json()['ParentStudy']}")[0] == 200


class TestAVisitsBearer:
    def test_lists_what_it_can_open_and_nothing_else(self, visitor: Client) -> None:
        assert visitor.json("/studies") == [STUDY_NAME]
        assert [each["ID"] for each in visitor.json("/studies?expand")] == [STUDY_NAME]
        assert visitor.json("/patients") == []
        series = visitor.json("/series?expand")
        assert {each["ParentStudy"] for each in series} == {STUDY_NAME}
        instances = visitor.json("/instances")
        assert INSTANCE_NAME in instances
        assert all(visitor.ask("GET", f"/series/{each['ID']}").status == 200 for each in series)
        assert all(visitor.ask("GET", f"/instances/{name}").status == 200 for name in instances[:20])

    def test_opens_nothing_else(self, visitor: Client) -> None:
        nowhere = visitor.ask("GET", f"/studies/{name_of('nobody')}")
        for path in (f"/studies/{STRANGER_NAME}", f"/studies/{PRIOR_NAME}/series", f"/patients/{PATIENT_NAME}"):
            answer = visitor.ask("GET", path)
            assert (answer.status, answer.body) == (nowhere.status, nowhere.body) == (404, nowhere.body)

    @pytest.mark.parametrize("path", ["/statistics", "/changes", "/system", "/plugins"])
    def test_learns_no_figures_of_the_archive(self, visitor: Client, path: str) -> None:
        assert visitor.ask("GET", path).status == 404

    def test_takes_no_files_from_a_share_that_lets_look(self, visitor: Client) -> None:
        for path in (
            f"/instances/{INSTANCE_NAME}/file",
            f"/studies/{STUDY_NAME}/archive",
            f"/studies/{PRIOR_NAME}/media",
        ):
            assert visitor.ask("GET", path).status == 403

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
    @pytest.mark.parametrize("path", [f"/studies/{STUDY_NAME}", "/tools/find", "/instances", "/nowhere"])
    def test_only_reads(self, visitor: Client, orthanc: Orthanc, method: str, path: str) -> None:
        assert visitor.ask(method, path, b"{}").status == 405
        assert orthanc.ask("GET", f"/studies/{STUDY_NAME}")[0] == 200

    def test_of_a_series_does_not_see_its_study(self, visitor_of_series: Client) -> None:
        assert visitor_of_series.json("/series") == [SERIES_NAME]
        assert visitor_of_series.json("/studies") == []
        assert visitor_of_series.ask("GET", f"/studies/{STUDY_NAME}").status == 404
        assert [each["ID"] for each in visitor_of_series.json(f"/studies/{STUDY_NAME}/series")] == [SERIES_NAME]
        assert visitor_of_series.json(f"/studies/{STUDY_NAME}/series?expand=false") == [SERIES_NAME]
        listed = visitor_of_series.json(f"/studies/{STUDY_NAME}/instances")
        assert {each["ParentSeries"] for each in listed} == {SERIES_NAME}

    def test_is_told_what_is_counted_in_its_study_and_nothing_beside(self, visitor: Client, orthanc: Orthanc) -> None:
        counting = "NumberOfStudyRelatedSeries;NumberOfPatientRelatedStudies"
        computes = orthanc.json("/system")["ApiVersion"] >= COMPUTES_TAGS
        for name in ("requested-tags", "requestedTags"):
            told = visitor.json(f"/studies/{STUDY_NAME}?{name}={counting}")
            assert set(told.get("RequestedTags", {})) == ({"NumberOfStudyRelatedSeries"} if computes else set())
            assert told.get("RequestedTags") == visitor.json(f"/studies?expand&{name}={counting}")[0].get(
                "RequestedTags"
            )

    def test_is_not_told_what_orthanc_keeps_beside_the_images(self, visitor: Client, reader: Client) -> None:
        assert reader.json(f"/studies/{STUDY_NAME}/metadata?expand")["LastUpdate"]
        assert visitor.ask("GET", f"/studies/{STUDY_NAME}/metadata?expand").status == 404
        assert "Labels" not in visitor.json(f"/studies/{STUDY_NAME}")
        assert visitor.json(f"/instances/{INSTANCE_NAME}/simplified-tags")["PatientID"] == ANNA.id


class TestArchivesByName:
    def test_a_key_reaches_each(self, server: Keyhole, reader: Client) -> None:
        for name in ("archive", "copies"):
            answer = server.get(f"/archives/{name}/dicom-web/studies?StudyInstanceUID={STUDY}", reader.credential)
            (found,) = answer.json()
            root = f"{server.public_url}/archives/{name}/dicom-web/studies/{STUDY}"
            assert found["00081190"]["Value"] == [root]
        assert server.get(f"/archives/archive/orthanc/studies/{STUDY_NAME}", reader.credential).status == 200
        assert server.get(f"/orthanc/dicom-web/studies/{STUDY}/metadata", reader.credential).status == 200

    def test_what_is_not_orthanc_has_no_such_root(self, server: Keyhole, reader: Client) -> None:
        assert server.get("/archives/copies/orthanc/studies", reader.credential).status == 404

    def test_a_visit_of_one_learns_of_no_other(self, server: Keyhole, visitor: Client) -> None:
        answers = [
            server.ask(method, f"/archives/{name}/{api}", visitor.credential)
            for method in ("GET", "OPTIONS")
            for name in ("copies", "nowhere")
            for api in ("dicom-web/studies", f"dicom-web/studies/{STUDY}/metadata", "orthanc/studies", "orthanc")
        ]
        assert {(answer.status, answer.body) for answer in answers} == {(404, answers[0].body)}
        assert server.get(f"/archives/archive/dicom-web/studies/{STUDY}/metadata", visitor.credential).status == 200


WADO = f"requestType=WADO&studyUID={STUDY}&seriesUID={SERIES}&objectUID={INSTANCE}"


class TestWadoUri:
    """On Orthanc and on the folder: both serve what it is translated into."""

    @pytest.fixture(params=["archive", "copies"])
    def root(self, request: pytest.FixtureRequest) -> str:
        return f"/archives/{request.param}/dicom-web"

    def test_a_picture_comes_when_nothing_is_asked_for(self, server: Keyhole, reader: Client, root: str) -> None:
        answer = server.get(f"{root}/wado?{WADO}", reader.credential)
        assert Image.open(io.BytesIO(answer.body)).format == "JPEG"

    def test_a_picture_of_the_size_and_window_asked_for(self, server: Keyhole, reader: Client, root: str) -> None:
        more = "&contentType=image%2Fpng&columns=40&rows=40&windowCenter=500&windowWidth=900&frameNumber=1"
        answer = server.get(f"{root}/wado?{WADO}{more}", reader.credential)
        picture = Image.open(io.BytesIO(answer.body))
        assert picture.format == "PNG"
        assert max(picture.size) == 40

    def test_the_file_comes_bare(self, server: Keyhole, reader: Client, root: str) -> None:
        answer = server.get(f"{root}/wado?{WADO}&contentType=application%2Fdicom", reader.credential)
        assert answer.headers["content-type"] == "application/dicom"
        assert dcmread(io.BytesIO(answer.body)).SOPInstanceUID == INSTANCE

    def test_a_wrong_parent_finds_nothing(self, server: Keyhole, reader: Client, root: str) -> None:
        wrong = WADO.replace(f"studyUID={STUDY}", f"studyUID={STRANGER}")
        assert server.get(f"{root}/wado?{wrong}", reader.credential).status == 404

    def test_a_visit_looks_and_takes_no_file(self, server: Keyhole) -> None:
        visit = server.open(server.share(STUDY))
        for root, credential in ((f"{visit.below}dicom-web", visit.as_cookie), ("/dicom-web", visit.as_bearer)):
            assert server.get(f"{root}/wado?{WADO}", credential).status == 200
            assert server.get(f"{root}/wado?{WADO}&contentType=application/dicom", credential).status == 403
            other = WADO.replace(STUDY, STRANGER)
            assert server.get(f"{root}/wado?{other}", credential).status == 404
            mixed = WADO.replace(f"studyUID={STUDY}", f"studyUID={STUDY}&studyUID={STRANGER}")
            assert server.get(f"{root}/wado?{mixed}", credential).status in (400, 404)
