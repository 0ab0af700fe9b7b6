"""The languages that recipients read: what is said to them, and how dates are written.

The English text stands in the code and is its own name in the catalogues, ``<tag>/<domain>.po``; ``make messages``
keeps those in step, and a test refuses a text that is missing in a language. How to add one: docs/how-to/languages.md.
"""

from keyhole.language.language import ENGLISH, LANGUAGES, Language, language, later
from keyhole.language.negotiation import negotiated

__all__ = ["ENGLISH", "LANGUAGES", "Language", "language", "later", "negotiated"]
