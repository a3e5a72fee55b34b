"""The services of one process, as `bootstrap` assembles them and the edges use them."""

from __future__ import annotations

from dataclasses import dataclass

from control_plane.services.access import Access
from control_plane.services.accounts import Accounts
from control_plane.services.api_keys import ApiKeys
from control_plane.services.audit import Audit
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
from control_plane.services.settings import Settings
from control_plane.services.sharing import Sharing
from control_plane.services.takedowns import Takedowns
from control_plane.services.test_runs import TestRuns
from control_plane.services.tokens import Tokens
from control_plane.services.usage import Usage
from control_plane.services.versions import Versions

__all__ = ["Services"]


@dataclass(frozen=True, slots=True)
class Services:
    """One object for each family of use cases."""

    access: Access
    accounts: Accounts
    api_keys: ApiKeys
    audit: Audit
    departments: Departments
    drafts: Drafts
    events: Events
    evidence: Evidence
    exports: Exports
    files: Files
    functions: Functions
    health: Health
    idempotency: Idempotency
    imports: Imports
    invocations: Invocations
    logs: Logs
    market: Market
    members: Members
    monitor: Monitor
    organizations: Organizations
    packages: Packages
    previews: Previews
    projects: Projects
    releases: Releases
    reruns: Reruns
    review_lists: ReviewLists
    reviews: Reviews
    sessions: Sessions
    settings: Settings
    sharing: Sharing
    takedowns: Takedowns
    test_runs: TestRuns
    tokens: Tokens
    usage: Usage
    versions: Versions
