"""Codes for paper: ten characters that stand for a link where nothing can be clicked (design section 7).

A code is derived as links are, so that a letter can be printed again and nothing of it is stored; what is stored is a
keyed digest, by which the share is found. 50 bits, looked up globally, are enough behind limits and a second look
(recipients' fact sheet, section 4, design a): a share without passcode and birth date has no code.
"""

from __future__ import annotations

import unicodedata

from keyhole.access.condition import Conditions
from keyhole.access.secret import Secret
from keyhole.access.share import Share
from keyhole.sharing.link import Ring

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""32 letters and digits, without I, L, O and U."""

LENGTH = 10
_GROUP = 4
_BITS = 5
_LONGEST = 100
"""Characters of what is read as a code: people put blanks and dashes where they like, within reason."""

_LOOK_ALIKES = str.maketrans("ILO", "110")
_LEFT_OUT = frozenset({"Cf", "Pd", "Pc", "Zs", "Zl", "Zp"})
"""Categories of characters that mean nothing here: blanks, dashes, and what cannot be seen (Unicode section 4.5)."""

_LEFT_OUT_AS_WELL = frozenset("\t\r\n\v\f\N{MINUS SIGN}.·")


def possible(conditions: Conditions) -> bool:
    """Whether a share that asks *conditions* may have a code: one that asks something its letter does not tell."""
    return conditions.passcode is not None or conditions.birth_date is not None


def paper_code(ring: Ring, key_id: str, share_id: str, generation: int) -> Secret:
    """The code of a share's link, without groups; KeyError when its key has left the ring."""
    number = int.from_bytes(ring.derive("paper", share_id, str(generation), key_id=key_id))
    return Secret("".join(ALPHABET[number >> _BITS * place & 31] for place in reversed(range(LENGTH))))


def paper_digest(ring: Ring, key_id: str, share_id: str, generation: int) -> bytes:
    """What is kept of a share's code to find the share by; KeyError when its key has left the ring."""
    return _digest(ring, key_id, paper_code(ring, key_id, share_id, generation))


def digests(ring: Ring, code: Secret) -> tuple[bytes, ...]:
    """What may be kept of *code*: one for each key that links may have been derived from."""
    now = ring.now
    return tuple(_digest(now, key_id, code) for key_id in now.keys)


def _digest(ring: Ring, key_id: str, code: Secret) -> bytes:
    return ring.derive("paper digest", code.reveal(), key_id=key_id)


def opens(share: Share | None, code: Secret, ring: Ring) -> bool:
    """Whether *code* is that of *share*'s present link, and the share may have one at all.

    False for no share, after the same work.
    """
    key_id, name, generation = (ring.current, "", 0) if share is None else (share.key_id, share.id, share.generation)
    try:
        right = paper_code(ring, key_id, name, generation).matches(code)
    except KeyError:
        return False
    return share is not None and right and share.paper is not None and possible(share.conditions)


def grouped(code: Secret) -> str:
    """*code* as it is printed: ``ABCD-EFGH-JK``."""
    value = code.reveal()
    return "-".join(value[start : start + _GROUP] for start in range(0, len(value), _GROUP))


def parse_code(text: str) -> Secret | None:
    """The code that *text* spells, or None when it spells none.

    Case, blanks and dashes are forgiven, and so are letters that look like digits: I and L are 1, O is 0.
    """
    if len(text) > _LONGEST:
        return None
    # Keyboards for other scripts have wide letters and digits, which this makes plain.
    plain = "".join(filter(_counts, unicodedata.normalize("NFKC", text)))
    value = plain.upper().translate(_LOOK_ALIKES) if plain.isascii() else ""
    return Secret(value) if len(value) == LENGTH and set(value) <= set(ALPHABET) else None


def _counts(letter: str) -> bool:
    return unicodedata.category(letter) not in _LEFT_OUT and letter not in _LEFT_OUT_AS_WELL
