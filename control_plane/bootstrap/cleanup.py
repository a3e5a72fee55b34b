"""Clean-ups of this machine: of the control database, of content, and of usage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from control_plane.adapters.embedded.clock import SystemClock
from control_plane.adapters.embedded.host.log_files import overdue_logs
from control_plane.bootstrap.databases import usage_engine
from control_plane.bootstrap.images import make_image_retention
from control_plane.bootstrap.parts import make_changes
from control_plane.bootstrap.storage import make_contents, make_file_bytes
from control_plane.domain.retention import DAY_MS, Removal
from control_plane.errors import NotFound
from control_plane.services.changes import Changes
from control_plane.services.file_removal import FileRemoval
from control_plane.services.retention import Retention, Rules
from control_plane.settings import Settings
from control_plane.store.usage_retention import UsageRetention

__all__ = ["Cleanup", "make_cleanup", "make_retention", "usage_limit"]


@dataclass(frozen=True, slots=True)
class Cleanup:
    """What `ingot cleanup` does."""

    # Everything that is over, and what one batch of each kind removes.
    preview: Callable[[], tuple[Removal, ...]]
    clean: Callable[[], tuple[Removal, ...]]


def make_retention(settings: Settings, changes: Changes) -> Retention:
    """Return the clean-up of the control database and of content."""
    kept = settings.retention
    rules = Rules(
        test_run_days=kept.test_run_days,
        event_days=kept.event_days,
        credential_days=kept.credential_days,
        content_hours=kept.content_hours,
        draft_days=kept.draft_days,
        batch=kept.batch,
    )
    return Retention(changes, make_contents(settings), rules)


def usage_limit(settings: Settings, now_ms: int) -> int:
    """Return the time before which calls are over; 0 when they are kept for ever."""
    days = settings.retention.usage_days
    return now_ms - days * DAY_MS if days else 0


def make_cleanup(settings: Settings) -> Cleanup:
    """Return the clean-up of everything, for a person who asks for it."""
    if not settings.database.control_url and not (settings.data / "db" / "control.db").exists():
        raise NotFound(f"{settings.data} holds no Ingot.", hint="Name its data folder with --data.")
    changes = make_changes(settings)
    retention = make_retention(settings, changes)
    files = FileRemoval(changes, make_file_bytes(settings))
    images = make_image_retention(settings, changes)
    logs = settings.data / "host" / "logs"
    days = settings.retention.log_days
    usage = UsageRetention(usage_engine(settings))
    before = usage_limit(settings, SystemClock().now_ms())

    def preview() -> tuple[Removal, ...]:
        old = overdue_logs(logs, SystemClock().now_ms(), days)
        over = Removal("logs", len(old), sum(path.stat().st_size for path in old))
        calls = Removal("calls", usage.over(before))
        return (*retention.preview(), *images.preview(), files.preview(), over, calls)

    def clean() -> tuple[Removal, ...]:
        calls = Removal("calls", usage.remove(before, settings.retention.batch))
        gone = Removal("files", files.delete_due(settings.retention.batch))
        over = overdue_logs(logs, SystemClock().now_ms(), days)[: settings.retention.batch]
        for path in over:
            path.unlink(missing_ok=True)
        content = (*retention.clean_content(), *images.clean())
        return (*retention.clean_rows(), *content, gone, Removal("logs", len(over)), calls)

    return Cleanup(preview, clean)
