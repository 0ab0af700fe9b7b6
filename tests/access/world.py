"""A small world of patients, studies and series, and hypothesis strategies over it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from keyhole.access.grant import Grant, Lineage, StudyFilter
from keyhole.access.resource import Action, Resource
from keyhole.access.subject import Kind, Subject

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)

ARCHIVE = Resource.whole("main")
ELSEWHERE = Resource.whole("research")
ANNA = Resource.patient("main", "PAT-1")
BORIS = Resource.patient("main", "PAT-2", "clinic")
STUDY = Resource.of("main", "1.2.3")
PRIOR = Resource.of("main", "1.2.4")
OTHER = Resource.of("main", "1.2.30")
SERIES = Resource.of("main", "1.2.3", "1.2.3.1")
SISTER = Resource.of("main", "1.2.3", "1.2.3.2")
INSTANCE = Resource.of("main", "1.2.3", "1.2.3.1", "1.2.3.1.1")
TWIN = Resource.of("research", "1.2.3")

LINEAGES = {
    "1.2.3": Lineage(ANNA, "user:anna", frozenset({"teaching"}), frozenset({("00080060", "CT")})),
    "1.2.4": Lineage(ANNA, "user:ben", frozenset(), frozenset({("00080060", "MR")})),
    "1.2.30": Lineage(BORIS, "user:ben", frozenset({"teaching", "tumour-board"})),
}
"""What is known of the studies of ``main``, by StudyInstanceUID."""

NODES = (STUDY, PRIOR, OTHER, SERIES, SISTER, INSTANCE, Resource.of("main", "1.2.30", "1.2.30.1"))
FILTERS = (
    StudyFilter("main", owner="user:anna"),
    StudyFilter("main", label="teaching"),
    StudyFilter("main", attributes=frozenset({("00080060", "MR")})),
    StudyFilter("research", label="teaching"),
)

SHARE = "share:abcdefghijklmnop"
VISIT = Subject(Kind.VISIT, "visit:qrstuvwxyz234567", frozenset({SHARE, "visit:qrstuvwxyz234567"}))
ANNA_HERSELF = Subject(Kind.SESSION, "user:anna", frozenset({"user:anna", "role:radiologist"}))


def lineage(resource: Resource) -> Lineage:
    """What is known of *resource*'s study."""
    if resource.archive != "main" or resource.study is None:
        return Lineage()
    return LINEAGES[resource.study]


def grant(
    target: Resource | StudyFilter = STUDY,
    *actions: Action,
    to: str = SHARE,
    not_before: datetime | None = None,
    expires_at: datetime | None = None,
    withdrawn_at: datetime | None = None,
) -> Grant:
    """A grant of *actions* (retrieving, when none is named) on *target*."""
    return Grant(to, frozenset(actions or {Action.RETRIEVE}), target, "test", not_before, expires_at, withdrawn_at)


principals = st.sampled_from([SHARE, "visit:qrstuvwxyz234567", "user:anna", "user:ben", "role:radiologist", "key:k1"])
actions = st.sampled_from(Action)
nodes = st.sampled_from(NODES)
targets = st.one_of(nodes, st.sampled_from((ARCHIVE, ELSEWHERE, ANNA, BORIS, TWIN)), st.sampled_from(FILTERS))
times = st.sampled_from((NOW - HOUR, NOW, NOW + HOUR))
maybe_times = st.none() | times
grants = st.builds(
    Grant,
    principal=principals,
    actions=st.frozensets(actions, min_size=1),
    target=targets,
    cause=st.just("test"),
    not_before=maybe_times,
    expires_at=maybe_times,
    withdrawn_at=maybe_times,
)
grant_lists = st.lists(grants, max_size=6)
subjects = st.builds(
    Subject,
    kind=st.sampled_from(Kind),
    name=st.just("somebody"),
    principals=st.frozensets(principals, max_size=4),
    ceiling=st.frozensets(actions),
)
