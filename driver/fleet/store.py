"""A small SQLite file of the controller's own, used from one thread of its own."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, TypeVar

from ..model import errors

T = TypeVar("T")


class Store:
    """One database file, created when missing. ``durable``: a commit is on the disk when it returns."""

    def __init__(self, path: Path, *, tables: str, schema: int, sync: Literal["durable", "lazy"]) -> None:
        self._path = path
        self._tables = tables
        self._schema = schema
        self._sync = "FULL" if sync == "durable" else "OFF"
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=path.name)
        self._connection: sqlite3.Connection | None = None

    async def open(self) -> None:
        """Ready. DataDamaged, naming the file, when it cannot be read; NewerSchema when a newer Holdall wrote it."""
        await self._in_thread(self._open)

    def _open(self) -> None:
        with self._failing("opened"):
            connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
            try:
                found = int(connection.execute("PRAGMA user_version").fetchone()[0])
                if found > self._schema:
                    raise errors.NewerSchema(
                        f"{self._path} was written by a newer Holdall (schema {found}, this one knows {self._schema})"
                    )
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute(f"PRAGMA synchronous={self._sync}")
                connection.executescript(self._tables)
                connection.execute(f"PRAGMA user_version={self._schema}")
            except BaseException:
                connection.close()
                raise
        self._connection = connection

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What ``work`` returns, done as one transaction that is committed, or rolled back when it raises."""
        return await self._in_thread(lambda: self._run(work))

    def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        connection = self._connection
        assert connection is not None, "the store is used before it was opened"
        with self._failing("written"):
            connection.execute("BEGIN")
            try:
                result = work(connection)
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")
        return result

    async def do(self, statement: str, *values: str | bytes) -> None:
        """One statement, committed."""
        await self.run(lambda db: db.execute(statement, values) and None)

    async def close(self) -> None:
        """Everything is written and the file released."""
        if self._connection is not None:
            await self._in_thread(self._connection.close)
            self._connection = None
        self._thread.shutdown(wait=False)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        # Not cancelled with the caller: a transaction that began is finished, or its thread would be left inside it.
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, work))

    @contextlib.contextmanager
    def _failing(self, verb: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname in ("SQLITE_FULL", "SQLITE_IOERR_SHMSIZE"):
                raise errors.NoSpace(f"{self._path} cannot be {verb}: {error}") from error
            raise errors.HostFailed(f"{self._path} cannot be {verb}: {error}") from error
        except sqlite3.DatabaseError as error:
            raise errors.DataDamaged(
                f"{self._path} cannot be {verb}: {error}; move it away, and it is made anew from what the nodes have"
            ) from error
