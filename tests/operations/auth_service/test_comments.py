"""JSON with comments, in which a string is a string whatever it holds."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyhole.operations.auth_service import comments

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("text", "means"),
    [
        pytest.param("{} // the end", {}, id="to the end of the line"),
        pytest.param("[1, /* two,\n*/ 3]", [1, 3], id="over lines"),
        pytest.param('{"url": "http://a/b"}', {"url": "http://a/b"}, id="not in a string"),
        pytest.param(r'["\"// no", "/* no */"]', ['"// no', "/* no */"], id="nor behind an escaped quote"),
        pytest.param("[1 // a\n, 2] // b", [1, 2], id="two of them"),
        pytest.param('["a" /* "b" */]', ["a"], id="a string in a comment is none"),
    ],
)
def test_comments_say_nothing(text: str, means: object) -> None:
    assert comments.loads(text) == means


@pytest.mark.parametrize("text", ["[1, 2,]", "{/*}", "", "[" * 5000, "1 /* */ /* 2", '"\\'])
def test_what_is_not_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        comments.loads(text)


@given(VALUES, st.sampled_from(["// c\n", '/* " */', "/**/", '//"\n', "/*\n// */"]))
def test_comments_between_lines_change_nothing(value: object, comment: str) -> None:
    lines = json.dumps(value, indent=1).split("\n")
    assert comments.loads(comment + (" " + comment + "\n").join(lines) + comment) == value
