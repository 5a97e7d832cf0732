"""Near vectors in PostgreSQL with the extension pgvector: a table an index. Ignores what rows mean.

Up to `EXACT_ROWS` rows, or so few allowed, all are compared; beyond, a table has an HNSW index. It filters after it
searched, so when it finds too few of the allowed, all of them are compared after all. The tables lie in a schema of
their own and can always be built again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from retrieval.dense import EF_CONSTRUCTION, EF_SEARCH, EXACT_ROWS
from retrieval.vectors import Nearest, VectorIndex, VectorsAway, new_name, read_name, write_name

SCHEMA = "trivium_vectors"
_PREFIX = "v"
_LOCK = 7_046_029  # any number: two processes do not make the schema at once
_MOST_EF_SEARCH = 1_000  # of pgvector
_UNDEFINED_TABLE = "42P01"


class PgVectorIndexes:
    """Indexes in one database.

    Args:
        engine: On PostgreSQL; closed by whoever opened it.
    Raises:
        ValueError: the extension is not there and cannot be created, or nothing answers.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        try:
            with engine.begin() as connection:
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
                connection.execute(text("CREATE EXTENSION IF NOT EXISTS vector"))
                connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
        except SQLAlchemyError as error:
            raise ValueError(
                f"vectors: PostgreSQL has no pgvector or schema {SCHEMA} for this user ({type(error).__name__}). "
                "As an administrator: CREATE EXTENSION vector, and GRANT CREATE ON DATABASE to the user."
            ) from error

    def build(self, vectors_ND: NDArray[np.float32]) -> VectorIndex:
        """As `VectorIndexes.build`."""
        name, (num_rows, dim) = new_name(_PREFIX), vectors_ND.shape
        with _answering(), self._engine.begin() as connection:
            connection.execute(text(f"CREATE TABLE {SCHEMA}.{name} (row integer PRIMARY KEY, unit vector({dim}))"))
            psycopg: Any = connection.connection
            with psycopg.cursor() as cursor, cursor.copy(f"COPY {SCHEMA}.{name} FROM STDIN") as copy:
                for row, vector_D in enumerate(vectors_ND):
                    copy.write_row((row, _literal(vector_D)))
            if num_rows > EXACT_ROWS:
                options = f"ef_construction = {EF_CONSTRUCTION}"
                connection.execute(
                    text(f"CREATE INDEX ON {SCHEMA}.{name} USING hnsw (unit vector_ip_ops) WITH ({options})")
                )
        return _PgVectorIndex(self._engine, name, num_rows)

    def load(self, path: Path) -> VectorIndex:
        """As `VectorIndexes.load`."""
        name, num_rows = read_name(path, prefix=_PREFIX)
        try:
            with self._engine.connect() as connection:
                found = connection.scalar(text(f"SELECT count(*) FROM {SCHEMA}.{name}"))  # noqa: S608 - our own name
        except SQLAlchemyError as error:
            raise OSError(f"{path.name}: its table cannot be read") from error
        if found != num_rows:
            raise OSError(f"{path.name}: its table has {found} rows for {num_rows}")
        return _PgVectorIndex(self._engine, name, num_rows)

    def drop(self, path: Path) -> None:
        """As `VectorIndexes.drop`."""
        try:
            name, _ = read_name(path, prefix=_PREFIX)
            with self._engine.begin() as connection:
                connection.execute(text(f"DROP TABLE IF EXISTS {SCHEMA}.{name}"))
        except (OSError, SQLAlchemyError):
            return

    def close(self) -> None:
        """Nothing: the engine is another's."""


class _PgVectorIndex:
    def __init__(self, engine: Engine, name: str, num_rows: int) -> None:
        self._engine, self._name, self._num_rows = engine, name, num_rows
        self.is_gone = False

    def __len__(self) -> int:
        return self._num_rows

    def save(self, path: Path) -> None:
        write_name(path, self._name, self._num_rows)

    def nearest(self, query_D: NDArray[np.float32], *, k: int, allowed: NDArray[np.bool_] | None = None) -> Nearest:
        num_allowed = len(self) if allowed is None else int(np.count_nonzero(allowed))
        k = min(k, num_allowed)
        if k < 1:
            return np.zeros(0, np.int64), np.zeros(0, np.float32)
        mask = None if allowed is None or num_allowed == len(self) else np.packbits(allowed, bitorder="little")
        try:
            with _answering(), self._engine.begin() as connection:
                found: Nearest | None = None
                if num_allowed > EXACT_ROWS:
                    effort = min(max(EF_SEARCH, 2 * k) * len(self) // num_allowed, _MOST_EF_SEARCH)
                    connection.execute(text(f"SET LOCAL hnsw.ef_search = {effort}"))
                    found = self._select(connection, query_D, k, mask)
                if found is None or len(found[0]) < k:
                    connection.execute(text("SET LOCAL enable_indexscan = off"))
                    found = self._select(connection, query_D, k, mask)
                return found
        except VectorsAway as error:
            cause = error.__cause__
            if isinstance(cause, DBAPIError) and getattr(cause.orig, "sqlstate", None) == _UNDEFINED_TABLE:
                self.is_gone = True
            raise

    def _select(
        self, connection: Connection, query_D: NDArray[np.float32], k: int, mask: NDArray[np.uint8] | None
    ) -> Nearest:
        where = "" if mask is None else "WHERE get_bit(:mask, row) = 1"
        statement = text(
            f"SELECT row, unit <#> CAST(:query AS vector) FROM {SCHEMA}.{self._name} {where} "  # noqa: S608 - our own
            "ORDER BY unit <#> CAST(:query AS vector) LIMIT :k"
        )
        values = {"query": _literal(query_D), "k": k} | ({} if mask is None else {"mask": mask.tobytes()})
        found = connection.execute(statement, values).all()
        cosines = np.array([-product for _, product in found], np.float32)
        return np.array([row for row, _ in found], np.int64), np.clip(cosines, -1, 1)


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        raise VectorsAway(f"pgvector: {type(error).__name__}") from error


def _literal(vector_D: NDArray[np.float32]) -> str:
    return "[" + ",".join(map(repr, vector_D.tolist())) + "]"
