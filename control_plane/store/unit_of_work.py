"""One transaction over the control database, with the row modules on it.

On SQLite a writing one takes the write lock at once; on PostgreSQL the
organization's audit head is locked instead (`AuditRows.lock`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from control_plane.errors import Conflict, Invalid, Unavailable
from control_plane.store.credential_rows import CredentialRows
from control_plane.store.delivery_rows import DeliveryRows
from control_plane.store.department_rows import DepartmentRows
from control_plane.store.export_rows import ExportRows, OriginRows
from control_plane.store.file_rows import FileRows
from control_plane.store.function_rows import FunctionRows
from control_plane.store.idempotency_rows import IdempotencyRows
from control_plane.store.identity_rows import IdentityRows
from control_plane.store.journal_rows import AuditRows, CounterRows, OutboxRows
from control_plane.store.package_rows import PackageRows
from control_plane.store.preview_rows import PreviewRows
from control_plane.store.release_rows import ReleaseRows, ValueRows
from control_plane.store.retention_rows import RetentionRows
from control_plane.store.review_rows import ReviewRows
from control_plane.store.rows import ONE_MOMENT
from control_plane.store.share_rows import ShareRows
from control_plane.store.tenant_wall import EVERYONE, REACH, TenantWall
from control_plane.store.turns import Turns
from control_plane.store.version_rows import VersionRows

__all__ = ["Store", "UnitOfWork"]


class UnitOfWork:
    """The rows of one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._wall = TenantWall(connection)
        self.identity = IdentityRows(connection)
        self.departments = DepartmentRows(connection)
        self.credentials = CredentialRows(connection)
        self.functions = FunctionRows(connection)
        self.versions = VersionRows(connection)
        self.packages = PackageRows(connection)
        self.previews = PreviewRows(connection)
        self.reviews = ReviewRows(connection)
        self.releases = ReleaseRows(connection)
        self.values = ValueRows(connection)
        self.exports = ExportRows(connection)
        self.origins = OriginRows(connection)
        self.files = FileRows(connection)
        self.shares = ShareRows(connection)
        self.audit = AuditRows(connection)
        self.outbox = OutboxRows(connection)
        self.deliveries = DeliveryRows(connection)
        self.counters = CounterRows(connection)
        self.idempotency = IdempotencyRows(connection)
        self.retention = RetentionRows(connection)

    def reach(self, organization: str) -> None:
        """Let the rest of the transaction see one more organization's rows; the caller has decided why."""
        self._wall.open(organization)

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turn the database's errors into the error tree here already, for a part of a longer transaction."""
        with _translated():
            yield

    @contextmanager
    def savepoint(self) -> Iterator[UnitOfWork]:
        """Open a part of the transaction that can be taken back alone."""
        with _translated(), self._wall.kept(), self.audit.kept(), self._connection.begin_nested():
            yield self


class Store:
    """Opens transactions on an engine from `engine.create_engine`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # SQLite has one writer. PostgreSQL has many, and makes those of one organization wait.
        self._turns = Turns(_file(engine)) if engine.dialect.name == "sqlite" else None
        self._reading = engine.execution_options(ingot_read_only=True)

    @contextmanager
    def begin(self, reach: str = EVERYONE) -> Iterator[UnitOfWork]:
        """Open a writing transaction on one organization's rows, or on all; it commits at the end."""
        turn = self._turns.one() if self._turns else nullcontext()
        with _translated(), turn, self._engine.connect() as connection:
            connection.execution_options(**{REACH: reach})
            with connection.begin():
                yield UnitOfWork(connection)

    @contextmanager
    def read(self, reach: str = EVERYONE) -> Iterator[UnitOfWork]:
        """Open a transaction that sees one moment and writes nothing."""
        with _translated(), self._reading.connect() as connection:
            # What was read once is the same until the end: no row changes within one moment.
            connection.execution_options(**{ONE_MOMENT: {}, REACH: reach})
            with connection.begin():
                yield UnitOfWork(connection)


def _file(engine: Engine) -> Path | None:
    name = engine.url.database or ""
    return None if name in {"", ":memory:"} else Path(name)


@contextmanager
def _translated() -> Iterator[None]:
    """Turn what callers can act on into the error tree; anything else is a bug and passes."""
    try:
        yield
    except IntegrityError as error:
        raise Conflict(
            "Somebody else made the same thing at this moment.", hint="Look again, then repeat."
        ) from error
    except (OperationalError, PoolTimeoutError) as error:
        raise Unavailable("The database does not answer.", hint="Try again in a moment.") from error
    except DataError as error:
        # SQLite's texts hold it, PostgreSQL's cannot.
        if "NUL (0x00)" in str(error.orig):
            raise Invalid("A text holds the character NUL.", hint="Leave it out.") from error
        raise
    except DBAPIError as error:
        if error.connection_invalidated:
            raise Unavailable("The database closed the connection.", hint="Try again.") from error
        raise
