"""What is an address that mail may go to."""

from __future__ import annotations

from email.headerregistry import Address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from keyhole.errors import Refused
from keyhole.gateway.post.address import address


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("dr@praxis.example", "dr@praxis.example"),
        (" dr@praxis.example ", "dr@praxis.example"),
        ("Dr.Roe+x@PRAXIS.example", "Dr.Roe+x@praxis.example"),
        ("dr@röntgen.example", "dr@xn--rntgen-wxa.example"),
        ("dr@straße.example", "dr@xn--strae-oqa.example"),
        ("o'neil@mail", "o'neil@mail"),
    ],
)
def test_an_address_is_written_as_mail_servers_read_it(text: str, wanted: str) -> None:
    assert address(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nobody",
        "@b.example",
        "a@",
        "a@b@c.example",
        "Dr Roe <a@b.example>",
        "a@b.example, c@d.example",
        "a@b.example\r\nBcc: evil@evil.example",
        "a@b.example\n",
        '"a b"@b.example',
        "a@[192.0.2.7]",
        "ä@b.example",
        ".a@b.example",
        "a..b@b.example",
        "a@-b.example",
        "a@b..example",
        "a@b.example.",
        "a@\u202eb.example",
        "a@b\u200b.\u2028example",
        "a" * 65 + "@b.example",
        "a@" + ".".join(["b" * 60] * 5),
    ],
)
def test_anything_else_is_none(text: str) -> None:
    with pytest.raises(Refused, match="not a mail address") as refused:
        address(text)
    assert "evil" not in str(refused.value)


def test_mail_goes_to_the_domains_that_are_set_and_to_no_other() -> None:
    allowed = frozenset({"Praxis.example", "röntgen.example"})
    assert address("dr@praxis.EXAMPLE", allowed)
    assert address("dr@xn--rntgen-wxa.example", allowed)
    for other in ("dr@praxis.example.evil.example", "dr@sub.praxis.example", "dr@evil.example"):
        with pytest.raises(Refused, match=r"Praxis\.example, röntgen\.example only"):
            address(other, allowed)


@given(st.text(max_size=80) | st.from_regex(r"[^@]{1,20}@[^@]{1,20}"))
@example("a@b.example\x00")
def test_whatever_passes_is_one_mailbox_in_printable_ascii(text: str) -> None:
    try:
        passed = address(text)
    except Refused:
        return
    assert passed.isascii()
    assert passed.isprintable()
    assert not set(passed) & set(' \t<>()[],;:\\"')
    assert Address(addr_spec=passed).addr_spec == passed
    assert address(passed) == passed
