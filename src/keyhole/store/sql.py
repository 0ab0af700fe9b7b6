"""Statements built with SQLAlchemy Core, compiled to each database's SQL and run on the drivers themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import ClauseElement

DialectName = Literal["sqlite", "postgresql"]
Values = Mapping[str, Any]
Row = tuple[Any, ...]

_DIALECTS: dict[DialectName, Dialect] = {
    "sqlite": sqlite.dialect(paramstyle="named"),
    "postgresql": postgresql.psycopg.dialect(),  # type: ignore[no-untyped-call]
}
_NOTHING: Values = {}


def _compiled(clause: ClauseElement, dialect: DialectName) -> SQLCompiler:
    compiled = clause.compile(dialect=_DIALECTS[dialect], compile_kwargs={"render_postcompile": True})
    assert isinstance(compiled, SQLCompiler)  # noqa: S101 - what compiling a statement gives
    return compiled


class Statement:
    """A statement that runs often: compiled once per database, its values given at each run."""

    def __init__(self, clause: ClauseElement) -> None:
        """Keep *clause*; its ``bindparam`` names are the values' names."""
        self._clause = clause
        self._compiled: dict[DialectName, tuple[str, Values]] = {}

    def on(self, dialect: DialectName, values: Values) -> tuple[str, Values]:
        """The text for *dialect*, and *values* with the constants of the statement."""
        held = self._compiled.get(dialect)
        if held is None:
            held = self._compiled[dialect] = self._compile(dialect)
        text, constants = held
        return text, {**constants, **values} if constants else values

    def _compile(self, dialect: DialectName) -> tuple[str, Values]:
        compiled = _compiled(self._clause, dialect)
        return str(compiled), {name: value for name, value in compiled.params.items() if value is not None}


class Cursor(Protocol):
    """What both drivers' cursors do (PEP 249)."""

    @property
    def rowcount(self) -> int:
        """The number of rows that the last statement touched."""

    def execute(self, query: str, params: Values = ..., /) -> object:
        """Run one statement."""

    def executemany(self, query: str, params_seq: Sequence[Values], /) -> object:
        """Run one statement for each of several values."""

    def fetchall(self) -> list[Any]:
        """All rows of the last statement."""


class Transaction:
    """Statements inside one transaction of a driver."""

    __slots__ = ("_cursor", "_dialect")

    def __init__(self, cursor: Cursor, dialect: DialectName) -> None:
        """Run on *cursor*, which somebody else has begun a transaction on."""
        self._cursor = cursor
        self._dialect = dialect

    @property
    def cursor(self) -> Cursor:
        """The driver's cursor."""
        return self._cursor

    def rows(self, statement: Statement, values: Values = _NOTHING) -> list[Row]:
        """The rows that *statement* returns."""
        self._cursor.execute(*statement.on(self._dialect, values))
        return self._cursor.fetchall()

    def row(self, statement: Statement, values: Values = _NOTHING) -> Row | None:
        """The first row that *statement* returns."""
        rows = self.rows(statement, values)
        return rows[0] if rows else None

    def count(self, statement: Statement, values: Values = _NOTHING) -> int:
        """How many rows *statement* touched."""
        self._cursor.execute(*statement.on(self._dialect, values))
        return self._cursor.rowcount

    def many(self, statement: Statement, values: Sequence[Values]) -> None:
        """Run *statement*, which has no constants, for each of *values*."""
        if values:
            text, _ = statement.on(self._dialect, _NOTHING)
            self._cursor.executemany(text, values)

    def select(self, clause: ClauseElement) -> list[Row]:
        """The rows of a query that was built for this once, with its values inside."""
        compiled = _compiled(clause, self._dialect)
        self._cursor.execute(str(compiled), compiled.construct_params())
        return self._cursor.fetchall()

    def run(self, text: str) -> None:
        """Run a fixed *text* without values."""
        self._cursor.execute(text)
