"""All studies of a patient, by exact PatientID and issuer, and the birth date that they agree on."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyhole.access.condition import Conditions
from keyhole.access.decision import Event, Reason, Scope
from keyhole.access.resource import Resource
from keyhole.access.share import PatientName, Priors, Share
from keyhole.errors import ArchiveFailed, Refused, StoreFailed
from keyhole.gateway.order import MOST_RESOURCES, AskedPatient
from keyhole.gateway.patients import Growth, Patients
from keyhole.sharing.condition import birth_date_digest
from tests.gateway.fake_archive import element
from tests.gateway.gate import BAD, OK, SECOND, SIBLING, Gate
from tests.gateway.small_archive import SmallArchive, failing

EVERYTHING = Scope(frozenset({Resource.whole("main")}))
TODAY = date(2026, 3, 1)
BORN = "19850214"


def archive(**patients: tuple[str, str, str]) -> SmallArchive:
    """An archive whose studies have these PatientIDs, issuers and birth dates, each study a day older."""
    small = SmallArchive()
    for number, (study, (patient, issuer, born)) in enumerate(patients.items()):
        uid = study.replace("_", ".").strip(".")
        small.holding(uid, f"{uid}.1")
        for item in small.instances:
            if item["0020000D"]["Value"] == [uid]:
                item["00080020"] = element(f"{TODAY - timedelta(days=number):%Y%m%d}", vr="DA")
                item |= {tag: element(value) for tag, value in _tags(patient, issuer, born) if value}
    return small


def _tags(patient: str, issuer: str, born: str) -> tuple[tuple[str, str], ...]:
    return (("00100020", patient), ("00100021", issuer), ("00100030", born))


def gate(**patients: tuple[str, str, str]) -> Gate:
    return Gate(archive=archive(**patients))


def patients(world: Gate) -> Patients:
    return Patients(world.finder.studies)


TWO_CLINICS = {
    "_1_2_1": ("P1", "A", BORN),
    "_1_2_2": ("P1", "A", BORN),
    "_1_2_3": ("P1", "B", BORN),
    "_9_9_9": ("p1", "A", BORN),
}


class TestFinding:
    async def test_a_patient_is_an_id_and_its_issuer_newest_study_first(self) -> None:
        name, studies = await patients(gate(**TWO_CLINICS)).named("main", EVERYTHING, AskedPatient("P1", "A"))
        assert (name, studies) == (PatientName("P1", "A"), [OK, SECOND])

    async def test_an_id_of_two_issuers_needs_one_named(self) -> None:
        with pytest.raises(Refused, match="more than one patient") as refused:
            await patients(gate(**TWO_CLINICS)).named("main", EVERYTHING, AskedPatient("P1"))
        assert refused.value.hint == "say which one: --issuer ISSUER"

    async def test_the_only_issuer_need_not_be_named(self) -> None:
        world = gate(_1_2_1=("P1", "A", BORN))
        assert (await patients(world).named("main", EVERYTHING, AskedPatient("P1")))[0] == PatientName("P1", "A")

    async def test_no_issuer_is_not_any_issuer(self) -> None:
        world = gate(_1_2_1=("P1", "", BORN), _1_2_2=("P1", "A", BORN))
        name, studies = await patients(world).named("main", EVERYTHING, AskedPatient("P1", ""))
        assert (name.issuer, studies) == ("", [OK])

    @pytest.mark.parametrize(
        "asked", [AskedPatient("p1", "B"), AskedPatient("P0"), AskedPatient("P1 "), AskedPatient("P11")]
    )
    async def test_nobody_else_is_found_and_the_refusal_names_nobody(self, asked: AskedPatient) -> None:
        with pytest.raises(Refused, match="no study of this patient") as refused:
            await patients(gate(**TWO_CLINICS)).named("main", EVERYTHING, asked)
        assert asked.id not in f"{refused.value} {refused.value.hint}"

    async def test_what_a_lenient_archive_finds_besides_is_not_taken(self) -> None:
        world = gate(**TWO_CLINICS)
        world.archive.ignores = frozenset({"00100020", "PatientID"})
        _, studies = await patients(world).named("main", EVERYTHING, AskedPatient("P1", "A"))
        assert studies == [OK, SECOND]

    @pytest.mark.parametrize("name", ["", " ", "*", "P*", "P?", "P\\Q", "P\n1", "P" * 65, "\\"])
    def test_what_could_be_more_than_one_patient_is_no_name(self, name: str) -> None:
        with pytest.raises(Refused) as refused:
            AskedPatient(name)
        assert len(name) < 3 or name not in str(refused.value)

    @given(st.text(max_size=70))
    def test_a_name_holds_nothing_that_a_search_reads_in_another_way(self, name: str) -> None:
        try:
            asked = AskedPatient(name)
        except Refused:
            return
        assert not set("*?\\\n\0") & set(asked.id)
        assert repr(asked) == "AskedPatient()"

    async def test_the_studies_of_a_patient_are_found_from_one_of_them(self) -> None:
        name, studies = await patients(gate(**TWO_CLINICS)).whose("main", EVERYTHING, [SECOND])
        assert (name, studies) == (PatientName("P1", "A"), [OK, SECOND])

    async def test_studies_of_two_patients_have_no_priors_in_common(self) -> None:
        with pytest.raises(Refused, match="not of one patient"):
            await patients(gate(**TWO_CLINICS)).whose("main", EVERYTHING, [OK, SIBLING])

    async def test_nor_has_one_without_a_patient(self) -> None:
        with pytest.raises(Refused, match="does not say whose"):
            await patients(gate(_1_2_1=("", "", ""), _1_2_2=("", "", ""))).whose("main", EVERYTHING, [OK])


class TestBirthDates:
    async def test_is_what_all_studies_agree_on(self) -> None:
        assert await patients(gate(**TWO_CLINICS)).birth_date("main", EVERYTHING, [OK, SECOND, OK], TODAY) == BORN

    @pytest.mark.parametrize(
        "born", ["", "1985", "198502", "19000101", "00010101", "19700101", "00000000", "20260302", "x"]
    )
    async def test_is_not_asked_where_it_proves_nothing_nor_ever_printed(self, born: str) -> None:
        world = gate(_1_2_1=("P1", "A", BORN), _1_2_2=("P1", "A", born))
        with pytest.raises(Refused, match=f"that of study {SECOND} is missing, incomplete or a placeholder") as refused:
            await patients(world).birth_date("main", EVERYTHING, [OK, SECOND], TODAY)
        assert refused.value.hint == "ask for a passcode instead: --passcode generate"
        said = f"{refused.value} {refused.value.hint}"
        assert BORN not in said
        assert len(born) < 4 or born not in said

    async def test_is_not_asked_where_studies_differ(self) -> None:
        world = gate(_1_2_1=("P1", "A", BORN), _1_2_2=("P1", "A", "19850215"))
        with pytest.raises(Refused, match="do not have the same") as refused:
            await patients(world).birth_date("main", EVERYTHING, [OK, SECOND], TODAY)
        assert "1985" not in str(refused.value)

    async def test_is_not_that_of_another_study_that_the_archive_answers_with(self) -> None:
        world = gate(_1_2_1=("P1", "A", ""), _9_9_9=("P3", "A", BORN))
        world.archive.intruders = [world.archive.instances[-1]]
        with pytest.raises(Refused):
            await patients(world).birth_date("main", EVERYTHING, [OK], TODAY)


class TestGrowing:
    def growth(self, world: Gate) -> Growth:
        return Growth(
            shares=world.store, find=world.finder.studies, ring=world.ring, ledger=world.ledger, now=world.clock
        )

    async def share(self, world: Gate, **more: Any) -> Share:
        values = {"priors": Priors.FUTURE, "patient": PatientName("P1", "A")}
        return await world.share((OK,), **(values | more))

    async def test_what_came_later_is_added_on_record_and_nothing_else(self) -> None:
        world = gate(**TWO_CLINICS)
        share = await self.share(world)
        grown = await self.growth(world).grown(share)
        assert grown.resources == (Resource.of("main", OK), Resource.of("main", SECOND))
        assert await world.store.share(share.id) == grown
        [row] = await world.trail(Event.SHARE_CHANGED)
        assert (row.subject, row.share, row.detail) == (
            "keyhole",
            share.id,
            {"resources": f"main:{SECOND}", "added": "1"},
        )
        assert "P1" not in repr(row)

    async def test_what_was_there_is_not_news(self) -> None:
        world = gate(**TWO_CLINICS)
        grown = await self.growth(world).grown(await self.share(world))
        assert await self.growth(world).grown(grown) is grown
        assert len(await world.trail(Event.SHARE_CHANGED)) == 1

    @pytest.mark.parametrize("priors", [Priors.NONE, Priors.PRESENT])
    async def test_other_shares_stay_as_they_are_and_the_archive_is_not_asked(self, priors: Priors) -> None:
        world = gate(**TWO_CLINICS)
        patient = None if priors is Priors.NONE else PatientName("P1", "A")
        share = await self.share(world, priors=priors, patient=patient)
        assert await self.growth(world).grown(share) is share
        assert world.archive.begun == 0

    @pytest.mark.parametrize(("error", "reason"), [(ArchiveFailed("down"), Reason.ARCHIVE_FAILED)])
    async def test_what_cannot_be_looked_for_stays_away(self, error: Exception, reason: Reason) -> None:
        world = gate(**TWO_CLINICS)
        world.archive.answers["/studies"] = failing(error)
        share = await self.share(world)
        assert await self.growth(world).grown(share) is share
        [row] = await world.trail(Event.FAILURE)
        assert (row.reason, row.share, row.subject) == (reason, share.id, "keyhole")

    async def test_nothing_is_added_without_a_record(self) -> None:
        world = gate(**TWO_CLINICS)
        share = await self.share(world)
        world.store.lost = StoreFailed("full")
        with pytest.raises(StoreFailed):
            await self.growth(world).grown(share)
        world.store.lost = None
        assert await world.store.share(share.id) == share

    async def test_a_share_holds_no_more_than_shares_hold_and_says_so(self) -> None:
        later = {f"_1_9_{number}": ("P1", "A", BORN) for number in range(MOST_RESOURCES + 5)}
        world = gate(_1_2_1=("P1", "A", BORN), **later)
        grown = await self.growth(world).grown(await self.share(world))
        assert len(grown.resources) == MOST_RESOURCES
        [row] = await world.trail(Event.SHARE_CHANGED)
        assert (row.detail["added"], row.detail["left_out"]) == ("99", "6")
        assert await self.growth(world).grown(grown) is grown
        [row] = await world.trail(Event.FAILURE)
        assert (row.reason, row.detail["left_out"]) == (Reason.SEARCH_TOO_BROAD, "6")

    async def test_a_study_of_another_birth_date_than_the_link_asks_for_stays_away(self) -> None:
        world = gate(
            _1_2_1=("P1", "A", BORN), _1_2_2=("P1", "A", "19991231"), _1_2_3=("P1", "A", BORN), _9_9_9=("P1", "A", "")
        )
        share = await self.share(world)
        digest = birth_date_digest(world.ring, share.key_id, share.id, BORN)
        share = replace(share, conditions=Conditions(birth_date=digest))
        grown = await self.growth(world).grown(share)
        assert [resource.study for resource in grown.resources] == [OK, SIBLING]
        [row] = await world.trail(Event.SHARE_CHANGED)
        assert row.detail["left_out"] == "2"
        assert BAD not in str(row)

    async def test_nothing_is_added_where_the_birth_date_cannot_be_compared(self) -> None:
        world = gate(**TWO_CLINICS)
        share = await self.share(world)
        digest = birth_date_digest(world.ring, share.key_id, share.id, BORN)
        share = replace(share, conditions=Conditions(birth_date=digest), key_id="left the ring")
        assert await self.growth(world).grown(share) is share
        assert not await world.trail(Event.SHARE_CHANGED)

    async def test_the_visit_that_begins_sees_what_came_later(self) -> None:
        world = gate(**TWO_CLINICS)
        world.openings = replace(world.openings, refresh=self.growth(world).grown)
        visitor = await world.open(await self.share(world))
        for study, status in ((OK, 200), (SECOND, 200), (SIBLING, 404), (BAD, 404)):
            assert (await world.get(visitor, f"/studies/{study}/metadata")).status == status, study
