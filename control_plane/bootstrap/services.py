"""The services of the processes that answer people."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from builders.build import machine_platform
from control_plane.adapters.embedded.breached import BreachedFile, NoBreachedList
from control_plane.adapters.embedded.function_logs import DayFileLogs
from control_plane.adapters.embedded.passwords import ArgonPasswords
from control_plane.adapters.embedded.secrets import AesSealer
from control_plane.bootstrap.databases import usage_engine
from control_plane.bootstrap.images import make_builder
from control_plane.bootstrap.parts import (
    file_quota,
    key,
    make_audit,
    make_changes,
    make_runtime,
    read_settings,
)
from control_plane.bootstrap.storage import make_blobs, make_file_bytes
from control_plane.bootstrap.trust import make_trust
from control_plane.services.access import Access
from control_plane.services.accounts import Accounts
from control_plane.services.api_keys import ApiKeys
from control_plane.services.container import Services
from control_plane.services.departments import Departments
from control_plane.services.drafts import Drafts
from control_plane.services.events import Events
from control_plane.services.evidence import Evidence
from control_plane.services.exports import Exports
from control_plane.services.files import Files
from control_plane.services.functions import Functions
from control_plane.services.health import Health
from control_plane.services.idempotency import Idempotency
from control_plane.services.imports import Imports
from control_plane.services.invocations import Invocations
from control_plane.services.logs import Logs
from control_plane.services.market import Market
from control_plane.services.members import Members
from control_plane.services.monitor import Monitor
from control_plane.services.organizations import Organizations
from control_plane.services.packages import Packages
from control_plane.services.previews import Previews
from control_plane.services.projects import Projects
from control_plane.services.releases import Releases
from control_plane.services.reruns import Reruns
from control_plane.services.review_lists import ReviewLists
from control_plane.services.reviews import Reviews
from control_plane.services.sessions import Sessions
from control_plane.services.settings import Settings as SettingsService
from control_plane.services.sharing import Sharing
from control_plane.services.takedowns import Takedowns
from control_plane.services.test_runs import Builds, TestRuns
from control_plane.services.tokens import Tokens
from control_plane.services.usage import Usage
from control_plane.services.versions import Versions
from control_plane.store.invocation_queries import InvocationReader
from control_plane.store.series_queries import SeriesReader
from control_plane.store.usage_queries import UsageReader

__all__ = ["build_services"]


def build_services(document: Mapping[str, Any], keys: Mapping[str, str]) -> Services:
    """Return the services of the api and streams processes; they hold what `keys` allow."""
    settings = read_settings(document)
    changes = make_changes(settings)
    blobs = make_blobs(settings)
    builder = make_builder(settings, blobs)
    passwords = ArgonPasswords(at_once=max(1, settings.identity.hashes_at_once // settings.api.count))
    leaked = settings.identity.breached_passwords
    breached = BreachedFile(Path(leaked)) if leaked else NoBreachedList()
    sealer = AesSealer(key(keys, "master"))
    drafts = Drafts(changes, blobs, builder)
    builds, runtime = Builds(blobs, builder, drafts), make_runtime(settings)
    counted = usage_engine(settings)
    calls, usage = InvocationReader(counted), UsageReader(counted)
    logs = DayFileLogs(settings.data / "host" / "logs")
    return Services(
        access=Access(changes),
        accounts=Accounts(changes, passwords, breached),
        api_keys=ApiKeys(changes),
        audit=make_audit(settings, changes, keys),
        departments=Departments(changes),
        drafts=drafts,
        events=Events(changes),
        evidence=Evidence(changes, blobs, builder),
        exports=Exports(changes, blobs, builder),
        files=Files(
            changes,
            make_file_bytes(settings),
            key(keys, "files"),
            file_quota(settings),
        ),
        functions=Functions(changes),
        health=Health(changes, {"usage database": usage.answers}),
        idempotency=Idempotency(changes, sealer),
        imports=Imports(changes, blobs, builder, make_trust(settings), platform=machine_platform()),
        invocations=Invocations(changes, calls, logs),
        logs=Logs(changes, logs),
        market=Market(changes, blobs, builder),
        members=Members(changes, passwords),
        monitor=Monitor(changes, SeriesReader(counted)),
        organizations=Organizations(changes),
        packages=Packages(changes),
        previews=Previews(changes, builds, runtime),
        projects=Projects(changes),
        releases=Releases(changes, builder),
        reruns=Reruns(changes, calls, runtime),
        review_lists=ReviewLists(changes),
        reviews=Reviews(changes, blobs, builder),
        sessions=Sessions(changes, passwords),
        settings=SettingsService(changes, sealer),
        sharing=Sharing(changes),
        test_runs=TestRuns(changes, builds, runtime),
        takedowns=Takedowns(changes),
        tokens=Tokens(changes),
        usage=Usage(usage),
        versions=Versions(changes, blobs, builder, drafts),
    )
