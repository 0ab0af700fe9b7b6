"""Where settings come from, what each may say, what must hold between them, and how problems are told."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyhole.errors import Misconfigured
from keyhole.settings import Bind, Settings, load_settings, parse_duration
from keyhole.settings.reference import reference

LOCAL = "http://127.0.0.1:8000"
PUBLIC = "https://images.example"
REACH = "can be reached from other machines, and without https anybody on the way reads links and images: "


@pytest.fixture
def enough(tmp_path: Path) -> dict[str, str]:
    """The least that serves."""
    return {"KEYHOLE_ARCHIVE": str(tmp_path), "KEYHOLE_DATA": str(tmp_path), "KEYHOLE_PUBLIC_URL": LOCAL}


def problems(env: Mapping[str, str], toml: Path | None = None, **options: Any) -> tuple[str, ...]:
    with pytest.raises(Misconfigured) as caught:
        load_settings(env, toml, options)
    return caught.value.problems


class TestSources:
    def test_three_settings_are_enough(self, enough: dict[str, str], tmp_path: Path) -> None:
        settings = load_settings(enough)
        assert settings.archive == str(tmp_path)
        assert settings.every_archive()["archive"].folder == tmp_path
        assert settings.bind == Bind("127.0.0.1", 8000)
        assert settings.staff_url == "http://localhost:8002"

    def test_without_them_all_three_are_asked_for_at_once(self) -> None:
        assert problems({}) == (
            "KEYHOLE_ARCHIVE is not set: DICOMweb root of the archive, or a folder of DICOM files",
            "KEYHOLE_DATA is not set: folder for the database and the key file",
            "KEYHOLE_PUBLIC_URL is not set: URL under which recipients reach the public listener; links begin with it",
        )

    def test_options_go_before_the_environment_and_that_before_the_file(
        self, enough: dict[str, str], tmp_path: Path
    ) -> None:
        toml = tmp_path / "keyhole.toml"
        toml.write_text("workers = 2\nrequests_per_visit = 2\narchive_timeout = 2\n")
        env = {**enough, "KEYHOLE_WORKERS": "3", "KEYHOLE_REQUESTS_PER_VISIT": "3"}
        settings = load_settings(env, toml, {"workers": 4, "archive_timeout": None})
        assert (settings.workers, settings.requests_per_visit, settings.archive_timeout) == (4, 3, 2)

    def test_the_environment_may_name_the_file(self, enough: dict[str, str], tmp_path: Path) -> None:
        (tmp_path / "keyhole.toml").write_text("workers = 2\n")
        assert load_settings({**enough, "KEYHOLE_CONFIG": str(tmp_path / "keyhole.toml")}).workers == 2

    def test_an_empty_variable_is_not_set(self, enough: dict[str, str]) -> None:
        assert load_settings({**enough, "KEYHOLE_WORKERS": ""}).workers == 1

    def test_variables_of_container_platforms_are_none_of_ours(self, enough: dict[str, str]) -> None:
        assert load_settings({**enough, "KEYHOLE_PORT": "tcp://10.0.0.1:8000"}).workers == 1

    def test_a_file_that_is_not_there_is_told(self, enough: dict[str, str], tmp_path: Path) -> None:
        assert problems(enough, tmp_path / "no.toml") == (
            f"{tmp_path}/no.toml cannot be read: No such file or directory",
        )

    def test_a_file_that_is_no_toml_is_told(self, enough: dict[str, str], tmp_path: Path) -> None:
        (tmp_path / "keyhole.toml").write_text("workers = \n")
        (problem,) = problems(enough, tmp_path / "keyhole.toml")
        assert problem.startswith(f"{tmp_path}/keyhole.toml is not TOML: Invalid value (at line 1")

    def test_problems_are_named_as_whoever_made_them_spelt_it(self, enough: dict[str, str], tmp_path: Path) -> None:
        toml = tmp_path / "keyhole.toml"
        toml.write_text(
            'requests_per_visit = 0\nwrkers = 3\n[archives.pacs]\nroot = "https://pacs.example"\nurl = ""\n'
        )
        assert problems({**enough, "KEYHOLE_ARCHIVE_TIMEOUT": "soon"}, toml, workers="many") == (
            f"archives.pacs.url in {toml} is not a setting",
            "KEYHOLE_ARCHIVE_TIMEOUT is not a number: 'soon'",
            f"requests_per_visit in {toml} must be at least 1: 0",
            "--workers is not a whole number: 'many'",
            f"wrkers in {toml} is not a setting: did you mean workers?",
        )

    def test_settings_are_frozen_and_go_to_workers_whole(self, enough: dict[str, str]) -> None:
        settings = load_settings({**enough, "KEYHOLE_METRICS_TOKEN": "sixteen letters!"})
        with pytest.raises(ValueError, match="frozen"):
            settings.workers = 2  # type: ignore[misc]
        assert pickle.loads(pickle.dumps(settings)) == settings  # noqa: S301 - our own


class TestSecrets:
    ENV = {  # noqa: RUF012 - not changed
        "KEYHOLE_ARCHIVE_USER": "orthanc",
        "KEYHOLE_ARCHIVE_PASSWORD": "hunter2-password",
        "KEYHOLE_ARCHIVE_HEADERS": "X-Api-Key: hunter2-key\nX-Other: a b",
        "KEYHOLE_DATABASE": "postgresql://u:hunter2-database@db/keyhole",
        "KEYHOLE_METRICS_TOKEN": "hunter2-token-long",
    }

    def test_they_do_not_show(self, enough: dict[str, str]) -> None:
        settings = load_settings({**enough, **self.ENV})
        assert "hunter2" not in repr(settings) + str(settings) + repr(settings.every_archive())
        assert settings.archive_headers["X-Api-Key"].get_secret_value() == "hunter2-key"

    @pytest.mark.parametrize("name", [name for name in ENV if name != "KEYHOLE_ARCHIVE_USER"])
    def test_each_may_come_from_a_file(self, enough: dict[str, str], tmp_path: Path, name: str) -> None:
        (tmp_path / "secret").write_text(self.ENV[name] + "\n")
        env = {**enough, **self.ENV, f"{name}_FILE": str(tmp_path / "secret")}
        del env[name]
        assert load_settings(env) == load_settings({**enough, **self.ENV})

    def test_a_file_and_a_value_are_one_too_many(self, enough: dict[str, str]) -> None:
        env = {**enough, **self.ENV, "KEYHOLE_METRICS_TOKEN_FILE": "/run/secrets/token"}
        assert problems(env) == ("KEYHOLE_METRICS_TOKEN and KEYHOLE_METRICS_TOKEN_FILE are both set: which one holds?",)

    def test_a_file_that_is_not_there_is_all_that_is_told_of_it(self, enough: dict[str, str]) -> None:
        env = {**enough, "KEYHOLE_ARCHIVE_USER": "a", "KEYHOLE_ARCHIVE_PASSWORD_FILE": "/no/such"}
        assert problems(env) == (
            "KEYHOLE_ARCHIVE_PASSWORD_FILE cannot be read: '/no/such' (No such file or directory)",
        )

    def test_a_file_that_is_no_text_is_told(self, enough: dict[str, str], tmp_path: Path) -> None:
        (tmp_path / "secret").write_bytes(b"\xff" * 20)
        (problem,) = problems({**enough, "KEYHOLE_METRICS_TOKEN_FILE": str(tmp_path / "secret")})
        assert problem.endswith("(not UTF-8)")

    def test_a_table_of_archives_takes_files_too(self, enough: dict[str, str], tmp_path: Path) -> None:
        (tmp_path / "secret").write_text("hunter2\n")
        toml = tmp_path / "keyhole.toml"
        toml.write_text(
            '[archives.pacs]\nroot = "https://pacs.example/dicom-web/"\nuser = "k"\nheaders = { X-Site = "north" }\n'
            f'password_file = "{tmp_path}/secret"\n'
        )
        settings = load_settings({**enough, "KEYHOLE_ARCHIVE_NAME": "main"}, toml)
        assert list(settings.every_archive()) == ["main", "pacs"]
        pacs = settings.every_archive()["pacs"]
        assert (pacs.root, pacs.folder, pacs.user) == ("https://pacs.example/dicom-web", None, "k")
        assert pacs.password is not None
        assert pacs.password.get_secret_value() == "hunter2"

    @pytest.mark.parametrize(
        "bad", ["https://u:hunter2@images.example", "u:hunter2@images.example", "http://u:hunt/er2@x/"]
    )
    def test_a_password_in_a_url_is_refused_and_not_shown(self, enough: dict[str, str], bad: str) -> None:
        (problem,) = problems({**enough, "KEYHOLE_PUBLIC_URL": bad})
        assert "hunt" not in problem

    def test_what_is_wrong_with_a_secret_is_told_without_it(self, enough: dict[str, str]) -> None:
        env = {
            "KEYHOLE_DATABASE": "mysql://u:hunter2@db",
            "KEYHOLE_METRICS_TOKEN": "hunter2",
            "KEYHOLE_ARCHIVE_HEADERS": "hunter2",
            "KEYHOLE_ARCHIVE_PASSWORD": "hunter2",
        }
        assert problems({**enough, **env}) == (
            "KEYHOLE_ARCHIVE_PASSWORD and KEYHOLE_ARCHIVE_USER are needed together",
            'KEYHOLE_ARCHIVE_HEADERS is not made of lines such as "X-Api-Key: secret"',
            "KEYHOLE_DATABASE does not start with postgresql://",
            "KEYHOLE_METRICS_TOKEN is shorter than 16 characters",
        )


BAD = {
    "ARCHIVE": ["ftp://a/b", "/no/such/folder", "http:///x", "https://a?b=c"],
    "ARCHIVE_NAME": ["Main", "a b", "-a", "a" * 33, "a/b"],
    "ARCHIVE_ORTHANC": ["orthanc", "/folder"],
    "ARCHIVE_TIMEOUT": ["0", "-1", "x", "nan", "3601"],
    "REQUESTS_PER_VISIT": ["0", "1.5"],
    "DATA": [__file__],
    "INSECURE_HTTP": ["maybe"],
    "TLS_CERT": ["/no/such/file"],
    "TRUSTED_PROXIES": ["proxy.example", "10.0.0.1/8", "0.0.0.0/0", "::/0", "10.0.0.1;10.0.0.2"],
    "PUBLIC_URL": [
        "localhost",
        "ftp://a",
        "https://",
        "https://a/b",
        "https://a?b",
        "https://a#b",
        "https://a b",
        "https://ä.example",
        "https://a:99999",
        "https://[::1",
        "https://[x:y]",
    ],
    "BIND": ["8000", ":8000", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:65536", "::1:8000", "[127.0.0.1]:80", "on"],
    "STAFF_URL": ["staff"],
    "WORKERS": ["0", "65", "two"],
    "LONGEST_SHARE": ["365", "1y", "0d", "-1d", "1.5d", "", "٣d"],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in BAD.items() for value in values if value]
)
def test_what_a_setting_cannot_be_is_told_with_its_name(enough: dict[str, str], name: str, value: str) -> None:
    told = problems({**enough, f"KEYHOLE_{name}": value})
    assert any(problem.startswith(f"KEYHOLE_{name} ") and value in problem for problem in told)


class TestUrls:
    @pytest.mark.parametrize(
        ("given", "spelt"),
        [
            ("https://Images.Example/", "https://images.example"),
            ("https://images.example:443", "https://images.example"),
            ("https://images.example.:8443", "https://images.example:8443"),
            ("http://127.0.0.1:80", "http://127.0.0.1"),
            ("https://[2001:DB8:0:0::1]:8443", "https://[2001:db8::1]:8443"),
        ],
    )
    def test_an_origin_has_the_spelling_that_browsers_send(
        self, enough: dict[str, str], given: str, spelt: str
    ) -> None:
        settings = load_settings({**enough, "KEYHOLE_PUBLIC_URL": given})
        assert settings.public_url == spelt

    @pytest.mark.parametrize(
        ("public", "staff"),
        [
            ("http://127.0.0.1:8000", "http://localhost:8002"),
            ("http://localhost:8000", "http://127.0.0.1:8002"),
            (PUBLIC, "http://localhost:8002"),
        ],
    )
    def test_the_staff_url_is_another_name_of_this_machine_by_itself(
        self, enough: dict[str, str], public: str, staff: str
    ) -> None:
        assert load_settings({**enough, "KEYHOLE_PUBLIC_URL": public}).staff_url == staff

    def test_without_a_staff_listener_there_is_no_staff_url(self, enough: dict[str, str]) -> None:
        assert load_settings({**enough, "KEYHOLE_STAFF_BIND": "off"}).staff_url is None

    def test_a_staff_listener_on_every_address_needs_its_url(self, enough: dict[str, str]) -> None:
        env = {**enough, "KEYHOLE_STAFF_BIND": "0.0.0.0:8002", "KEYHOLE_INSECURE_HTTP": "yes"}
        assert problems(env) == ("KEYHOLE_STAFF_URL is not set: URL under which staff reach the staff listener",)

    @pytest.mark.parametrize("staff", ["http://127.0.0.1:8002", "http://127.0.0.1", "http://127.0.0.1.:8002"])
    def test_the_staff_url_is_on_another_host_than_the_public_one(self, enough: dict[str, str], staff: str) -> None:
        assert problems({**enough, "KEYHOLE_STAFF_URL": staff}) == (
            "KEYHOLE_STAFF_URL must have another host name than KEYHOLE_PUBLIC_URL: cookies ignore ports",
        )

    def test_a_readable_url_for_other_machines_is_refused(self, enough: dict[str, str]) -> None:
        env = {**enough, "KEYHOLE_PUBLIC_URL": "http://images.example", "KEYHOLE_STAFF_URL": "http://staff.example"}
        assert problems(env) == tuple(
            f"KEYHOLE_{name}_URL is for other machines, and without https anybody on the way reads links and images: "
            "use https; KEYHOLE_INSECURE_HTTP=yes forces it"
            for name in ("PUBLIC", "STAFF")
        )
        assert load_settings({**env, "KEYHOLE_INSECURE_HTTP": "yes"}).public_url == "http://images.example"


class TestReach:
    @pytest.fixture
    def files(self, tmp_path: Path) -> dict[str, str]:
        (tmp_path / "a.pem").touch()
        return dict.fromkeys(("KEYHOLE_TLS_CERT", "KEYHOLE_TLS_KEY"), str(tmp_path / "a.pem"))

    def test_a_listener_that_others_reach_is_refused_without_https_and_why_is_told(
        self, enough: dict[str, str]
    ) -> None:
        names = ("", "STAFF_", "INTERNAL_")
        env = {f"KEYHOLE_{name}BIND": f"192.0.2.1:800{port}" for port, name in enumerate(names)}
        told = problems({**enough, **env, "KEYHOLE_PUBLIC_URL": PUBLIC, "KEYHOLE_STAFF_URL": "https://staff.example"})
        assert {problem.partition(REACH)[0] for problem in told} == {f"KEYHOLE_{name}BIND " for name in names}
        assert len(told) == 3
        assert all(problem.endswith("; KEYHOLE_INSECURE_HTTP=yes forces it") for problem in told)

    @pytest.mark.parametrize("bind", ["127.0.0.1:1", "127.8.8.8:1", "[::1]:1", "localhost:1", "off"])
    def test_the_loopback_needs_nothing(self, enough: dict[str, str], bind: str) -> None:
        assert load_settings({**enough, "KEYHOLE_BIND": bind})

    def test_a_certificate_is_enough(self, enough: dict[str, str], files: dict[str, str]) -> None:
        env = {**enough, **files, "KEYHOLE_PUBLIC_URL": PUBLIC, "KEYHOLE_BIND": "[::]:8000"}
        settings = load_settings({**env, "KEYHOLE_STAFF_BIND": "192.0.2.1:8002"})
        assert settings.staff_url == "https://192.0.2.1:8002"

    def test_but_not_for_the_internal_listener(self, enough: dict[str, str], files: dict[str, str]) -> None:
        env = {**enough, **files, "KEYHOLE_PUBLIC_URL": PUBLIC, "KEYHOLE_INTERNAL_BIND": "192.0.2.1:8001"}
        assert problems(env)[0].startswith("KEYHOLE_INTERNAL_BIND " + REACH)

    def test_a_certificate_contradicts_plain_urls(self, enough: dict[str, str], files: dict[str, str]) -> None:
        env = {**enough, **files, "KEYHOLE_STAFF_URL": "http://localhost:8002"}
        assert problems(env) == (
            "KEYHOLE_PUBLIC_URL does not start with https:, but KEYHOLE_TLS_CERT is set",
            "KEYHOLE_STAFF_URL does not start with https:, but KEYHOLE_TLS_CERT is set",
        )

    def test_a_certificate_needs_its_key(self, enough: dict[str, str], files: dict[str, str]) -> None:
        del files["KEYHOLE_TLS_KEY"]
        env = {**enough, **files, "KEYHOLE_PUBLIC_URL": PUBLIC}
        assert problems(env) == ("KEYHOLE_TLS_KEY and KEYHOLE_TLS_CERT are needed together",)

    def test_a_named_proxy_before_an_https_url_is_enough(self, enough: dict[str, str]) -> None:
        env = {
            **enough,
            "KEYHOLE_PUBLIC_URL": PUBLIC,
            "KEYHOLE_STAFF_URL": "https://staff.example",
            "KEYHOLE_BIND": "0.0.0.0:8000",
            "KEYHOLE_STAFF_BIND": "0.0.0.0:8002",
        }
        assert len(problems(env)) == 2
        settings = load_settings({**env, "KEYHOLE_TRUSTED_PROXIES": "10.0.0.0/8, 2001:db8::1"})
        assert settings.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("2001:db8::1"))

    def test_two_listeners_have_two_addresses(self, enough: dict[str, str]) -> None:
        env = {**enough, "KEYHOLE_STAFF_BIND": "127.0.0.1:8000", "KEYHOLE_INTERNAL_BIND": "127.0.0.1:8000"}
        assert problems(env) == (
            "KEYHOLE_STAFF_BIND is the same as KEYHOLE_BIND",
            "KEYHOLE_INTERNAL_BIND is the same as KEYHOLE_BIND",
        )


def test_two_archives_have_two_names(enough: dict[str, str], tmp_path: Path) -> None:
    toml = tmp_path / "keyhole.toml"
    toml.write_text('[archives.archive]\nroot = "https://pacs.example"\n')
    told = problems(enough, toml)
    assert told == (f"archives in {toml} holds the name of the default archive, KEYHOLE_ARCHIVE_NAME",)


@pytest.mark.parametrize("content", ["archives = 1", "[archives]\npacs = 1", "[archives.PACS]\nroot = 'https://a'"])
def test_what_is_no_table_of_archives_is_told(enough: dict[str, str], tmp_path: Path, content: str) -> None:
    toml = tmp_path / "keyhole.toml"
    toml.write_text(content)
    (told,) = problems(enough, toml)
    assert told.startswith("archives")


@pytest.mark.parametrize(
    ("text", "time"), [("7d", timedelta(days=7)), ("12h", timedelta(hours=12)), ("030m", timedelta(minutes=30))]
)
def test_a_duration_is_a_number_and_a_unit(text: str, time: timedelta) -> None:
    assert parse_duration(text) == time


@given(st.text())
def test_a_duration_is_never_none_at_all(text: str) -> None:
    with suppress(ValueError):
        assert parse_duration(text) > timedelta(0)


@given(st.ip_addresses(), st.integers(0, 65535))
def test_an_address_is_read_as_it_is_written(host: Any, port: int) -> None:
    assert Bind.parse(str(Bind(str(host), port))) == Bind(str(host), port)


def test_every_setting_has_its_help_on_the_reference_page() -> None:
    page = Path(__file__).parents[1] / "docs" / "reference" / "settings.md"
    assert page.read_text() == reference(), "run: python -m keyhole.settings.reference > docs/reference/settings.md"
    assert all(field.description for field in Settings.model_fields.values())
