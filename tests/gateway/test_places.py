"""What does not say where it belongs is passed on only from where the archive says it is."""

from __future__ import annotations

import asyncio

import pytest

from keyhole.errors import ArchiveFailed
from keyhole.gateway.fetch import Source
from keyhole.gateway.places import Places
from keyhole.gateway.scoping import Capabilities
from tests.gateway.fake_archive import element
from tests.gateway.gate import BAD, FRAME, OK, OTHER_SERIES, SERIES, Gate, archive
from tests.gateway.small_archive import SmallArchive, failing, instance

HERE = (OK, SERIES, f"{SERIES}.1")
ASTRAY = (OK, SERIES, f"{OTHER_SERIES}.1")
FOREIGN = (OK, SERIES, "9.9.9.1.1")


def path(named: tuple[str, ...]) -> str:
    return "".join(f"/{what}/{uid}" for what, uid in zip(("studies", "series", "instances"), named, strict=False))


@pytest.fixture
def small() -> SmallArchive:
    return archive()


class Lenient(SmallArchive):
    """Finds an instance by its own UID alone, whatever is above it in the path; says the truth about it."""

    def _answer(self, path: list[str], query: dict[str, str]) -> tuple[int, list[dict[str, object]]]:
        if path[-1] == "metadata" and len(path) == 7:
            return 200, [item for item in self.instances if self._uids(item)[2] == path[5]]
        return super()._answer(path, query)


class TestPlaces:
    async def test_what_is_there_is_there_and_what_is_not_is_not(self, small: SmallArchive) -> None:
        places = Places()
        for named, there in (((OK,), True), (HERE[:2], True), (HERE, True), (ASTRAY, False), (FOREIGN, False)):
            assert await places.holds(small, named) is there
        assert not await places.holds(small, (BAD, SERIES))

    async def test_it_is_asked_for_once(self, small: SmallArchive) -> None:
        places = Places()
        assert all(await asyncio.gather(*(places.holds(small, HERE) for _ in range(20))))
        assert await places.holds(small, HERE)
        assert len(small.asked) == 1

    async def test_what_is_not_there_now_may_come(self, small: SmallArchive) -> None:
        places = Places()
        assert not await places.holds(small, (OK, SERIES, f"{SERIES}.3"))
        small.instances.append(instance(OK, SERIES, f"{SERIES}.3", small.root))
        assert await places.holds(small, (OK, SERIES, f"{SERIES}.3"))

    async def test_it_is_believed_for_a_while(self, small: SmallArchive) -> None:
        now = [0.0]
        places = Places(life=10, clock=lambda: now[0])
        assert await places.holds(small, HERE)
        small.instances.clear()
        assert await places.holds(small, HERE)
        now[0] = 10
        assert not await places.holds(small, HERE)

    async def test_what_is_remembered_is_bounded(self, small: SmallArchive) -> None:
        places = Places(most=3)
        for item in small.instances:
            places.learn("main", item)
        assert len(places._known) == 3

    async def test_what_an_archive_says_of_itself_is_not_asked_for_again(self, small: SmallArchive) -> None:
        places = Places()
        places.learn("main", small.instances[0])
        places.learn("main", {})
        assert await places.holds(small, HERE)
        assert await places.holds(small, HERE[:2])
        assert small.asked == []

    async def test_another_archive_is_another_place(self, small: SmallArchive) -> None:
        places = Places()
        places.learn("elsewhere", small.instances[0])
        small.instances.clear()
        assert not await places.holds(small, HERE)

    @pytest.mark.parametrize("mute", [{"0020000E"}, {"0020000D"}, {"0020000D", "0020000E", "00080018"}])
    async def test_an_archive_whose_searches_are_mute_is_asked_for_metadata(self, mute: set[str]) -> None:
        class Mute(Lenient):
            def _shown(self, item: dict[str, object]) -> dict[str, object]:
                return {tag: value for tag, value in item.items() if tag not in mute}

        small = Mute(archive().instances)
        places = Places()
        assert await places.holds(small, HERE)
        assert not await places.holds(small, ASTRAY)
        assert not await places.holds(small, FOREIGN)

    async def test_what_names_two_series_names_none(self, small: SmallArchive) -> None:
        small.instances[0]["0020000E"] = element(SERIES, OTHER_SERIES, vr="UI")
        places = Places()
        places.learn("main", small.instances[0])
        assert len(places._known) == 0

    async def test_an_archive_that_does_not_say_has_failed_and_is_asked_anew(self, small: SmallArchive) -> None:
        places = Places()
        small.answers[f"{path(HERE)}/metadata"] = failing(ArchiveFailed("gone"))
        with pytest.raises(ArchiveFailed):
            await places.holds(small, HERE)
        small.answers.clear()
        assert await places.holds(small, HERE)


def lenient(**able: bool) -> Gate:
    gate = Gate(Lenient(archive().instances))
    gate.sources["main"] = Source(gate.archive, Capabilities(**able))
    return gate


PICTURES = ("/frames/1", "/rendered", "/bulk/7FE00010", "/bulkdata", "/frames/1/rendered", "/thumbnail")


class TestThroughTheGateway:
    @pytest.mark.parametrize("below", PICTURES)
    @pytest.mark.parametrize("parents", [True, False, None])
    async def test_a_shared_series_opens_no_other(self, below: str, parents: bool | None) -> None:
        gate = lenient(**({} if parents is None else {"parents": parents}))
        visitor = await gate.visitor((OK, SERIES))
        for named in (ASTRAY, FOREIGN):
            assert (await gate.get(visitor, path(named) + below)).status == 404
            assert not any(target.startswith(path(named) + below) for target in gate.archive.asked)
        if "thumb" not in below:
            assert (await gate.get(visitor, path(HERE) + below)).status == 200

    @pytest.mark.parametrize("below", PICTURES)
    @pytest.mark.parametrize("parents", [False, None])
    async def test_a_shared_study_opens_no_other(self, below: str, parents: bool | None) -> None:
        gate = lenient(**({} if parents is None else {"parents": parents}))
        visitor = await gate.visitor()
        for named in (FOREIGN, (OK, "9.9.9.1", "9.9.9.1.1")):
            assert (await gate.get(visitor, path(named) + below)).status == 404
        assert (await gate.get(visitor, f"{path((OK, '9.9.9.1'))}/rendered")).status == 404

    async def test_after_metadata_no_picture_takes_another_request(self) -> None:
        gate = lenient()
        visitor = await gate.visitor((OK, SERIES))
        assert (await gate.get(visitor, f"{path(HERE[:2])}/metadata")).status == 200
        before = len(gate.archive.asked)
        for _ in range(3):
            assert (await gate.get(visitor, FRAME)).status == 200
        assert len(gate.archive.asked) == before + 3

    async def test_an_archive_that_checks_is_asked_once_for_whoever_holds_the_study(self) -> None:
        gate = lenient(parents=True)
        assert (await gate.get(await gate.visitor(), FRAME)).status == 200
        assert gate.archive.asked == [FRAME]

    async def test_whoever_holds_the_archive_is_not_kept_waiting(self) -> None:
        gate = lenient()
        answer = await gate.caller.call("GET", f"/dicom-web{FRAME}", await gate.key("reader"))
        assert answer.status == 200
        assert gate.archive.asked == [FRAME]
