"""A whole control plane over a database and in-memory ports, and people to act in it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine

from control_plane.adapters.embedded.anchor import Ed25519Signer
from control_plane.domain.access import Role
from control_plane.domain.files import Quota
from control_plane.domain.identity import Actor
from control_plane.domain.releases import Release
from control_plane.domain.reviews import Review
from control_plane.domain.versions import Version
from control_plane.errors import NotFound
from control_plane.services.access import Access
from control_plane.services.accounts import Accounts
from control_plane.services.api_keys import ApiKeys
from control_plane.services.audit import Audit
from control_plane.services.changes import Changes
from control_plane.services.departments import Departments
from control_plane.services.drafts import Drafts
from control_plane.services.events import Events
from control_plane.services.evidence import Evidence
from control_plane.services.exporting import Attest, Exporting, Seal
from control_plane.services.exports import Exports
from control_plane.services.file_removal import FileRemoval
from control_plane.services.files import Files
from control_plane.services.functions import Functions
from control_plane.services.imports import Imports, Trust
from control_plane.services.market import Market
from control_plane.services.members import Members
from control_plane.services.organizations import Organizations
from control_plane.services.packages import Packages
from control_plane.services.places import At
from control_plane.services.previews import Previews
from control_plane.services.projects import Projects
from control_plane.services.reconciler import Reconciler, Step
from control_plane.services.releases import Releases, Wish
from control_plane.services.review_lists import ReviewLists
from control_plane.services.reviews import Reviews
from control_plane.services.run_watch import RunWatch
from control_plane.services.sessions import Sessions
from control_plane.services.settings import Settings
from control_plane.services.sharing import Sharing
from control_plane.services.takedowns import Takedowns
from control_plane.services.test_runs import Builds, TestRuns
from control_plane.services.tokens import Tokens
from control_plane.services.versions import Versions
from control_plane.store.unit_of_work import Store
from tests.support.clock import FakeClock
from tests.support.entropy import FakeEntropy
from tests.support.fakes import (
    FakeAnchor,
    FakeBlobs,
    FakeBreached,
    FakeBuilder,
    FakeFileBytes,
    FakeGateway,
    FakePasswords,
    FakeRuntime,
    FakeSealer,
    FakeSigner,
    InlineExecutor,
)

__all__ = ["PASSWORD", "World"]

PASSWORD = "a rather long sentence"


@dataclass
class World:
    """Every service, wired as bootstrap does it, but over fakes."""

    engine: Engine
    clock: FakeClock = field(default_factory=FakeClock)
    pokes: list[int] = field(default_factory=list)
    entropy: FakeEntropy = field(default_factory=FakeEntropy)
    # Dicts, unless real ones are given.
    blobs: Any = field(default_factory=FakeBlobs)
    file_bytes: Any = field(default_factory=FakeFileBytes)
    # The release key; what the trust list says of another's; what attests a release, if anything does.
    signer: Ed25519Signer = field(default_factory=lambda: Ed25519Signer(bytes(range(32))))
    trust: Trust = lambda public, project, now: None
    attest: Attest | None = None

    def __post_init__(self) -> None:
        self.builder, self.sealer = FakeBuilder(), FakeSealer()
        self.anchor, self.runtime, self.executor = FakeAnchor(), FakeRuntime(), InlineExecutor()
        self.gateway = FakeGateway(self.runtime)
        self.store = Store(self.engine)
        self.changes = Changes(self.store, self.clock, self.entropy, lambda: self.pokes.append(1))
        passwords = FakePasswords()
        self.access = Access(self.changes)
        self.breached = FakeBreached()
        self.accounts = Accounts(self.changes, passwords, self.breached)
        self.members, self.departments = Members(self.changes, passwords), Departments(self.changes)
        self.sessions = Sessions(self.changes, passwords)
        self.tokens = Tokens(self.changes)
        self.organizations, self.projects = Organizations(self.changes), Projects(self.changes)
        self.functions = Functions(self.changes)
        self.drafts = Drafts(self.changes, self.blobs, self.builder)
        self.versions = Versions(self.changes, self.blobs, self.builder, self.drafts)
        self.builds = Builds(self.blobs, self.builder, self.drafts)
        self.run_executor = InlineExecutor()
        self.test_runs = TestRuns(self.changes, self.builds, self.runtime, self.run_executor)
        self.run_watch = RunWatch(self.changes, self.runtime)
        self.packages = Packages(self.changes)
        self.previews = Previews(self.changes, self.builds, self.runtime)
        self.reviews = Reviews(self.changes, self.blobs, self.builder)
        self.review_lists, self.takedowns = ReviewLists(self.changes), Takedowns(self.changes)
        self.evidence = Evidence(self.changes, self.blobs, self.builder)
        self.releases = Releases(self.changes, self.builder)
        self.api_keys = ApiKeys(self.changes)
        self.settings = Settings(self.changes, self.sealer)
        self.files = Files(self.changes, self.file_bytes, b"key of files", Quota(1_000, 5_000, 8))
        self.file_removal = FileRemoval(self.changes, self.file_bytes)
        self.sharing = Sharing(self.changes)
        self.market = Market(self.changes, self.blobs, self.builder)
        self.audit = Audit(self.changes, FakeSigner(), self.anchor)
        self.events = Events(self.changes)
        self.exports = Exports(self.changes, self.blobs, self.builder)
        self.imports = Imports(
            self.changes,
            self.blobs,
            self.builder,
            # A test may change its mind in between.
            lambda *asked: self.trust(*asked),  # noqa: PLW0108
            platform="linux-x86_64",
        )
        self.exporting = Exporting(self.changes, Seal(self.signer, "linux-x86_64", "namespaces"), self.attest)
        self.restart_reconciler()

    def restart_reconciler(self) -> None:
        """As after a kill: nothing is remembered but the database."""
        self.reconciler = Reconciler(
            self.changes,
            self.runtime,
            self.gateway,
            self.executor,
            isolation="namespaces",
            poke=lambda: self.pokes.append(2),
        )

    def owner(self, organization: str = "acme") -> Actor:
        """Return the first owner, signed in."""
        text = self.accounts.open_claim()
        email = f"owner@{organization}.example"
        self.accounts.claim(text, email=email, name="Olga", password=PASSWORD, organization=organization)
        return self.sign_in(email)

    def sign_in(self, email: str, password: str = PASSWORD) -> Actor:
        """Return a signed-in actor."""
        opened = self.sessions.login(email=email, password=password)
        return self.sessions.authenticate(opened.text)

    def member(
        self, owner: Actor, name: str, role: Role, *, project: str = "", department: str = ""
    ) -> Actor:
        """Return an invited member with a password of their own."""
        email = f"{name}@{owner.organization[-6:]}.example"
        at = At(project=project, department=department)
        invited = self.members.invite(owner, email=email, name=name, role=role, at=at)
        actor = self.sign_in(email, invited.one_time_password)
        self.accounts.change_password(actor, current=invited.one_time_password, new=PASSWORD)
        return self.sign_in(email)

    def drafted(self, author: Actor, name: str = "orders", text: str = "x = 1\n", **declared: Any) -> str:
        """Make a function if needed, put a source file and a declaration into its draft; return its name."""
        if not self._known(author, name):
            self.functions.create(author, project="main", name=name)
        files = {"function.py": text.encode(), "ingot.json": json.dumps(declared).encode()}
        self.drafts.put_all(author, name, files, if_match=self.drafts.get(author, name).etag)
        return name

    def _known(self, author: Actor, name: str) -> bool:
        try:
            return self.functions.get(author, name).name == name
        except NotFound:
            return False

    def frozen(self, author: Actor, name: str = "orders", text: str = "x = 1\n", **declared: Any) -> Version:
        """Return a version frozen from such a draft."""
        return self.versions.freeze(author, self.drafted(author, name, text, **declared))

    def approved(self, author: Actor, reviewer: Actor, version: Version) -> Review:
        """Submit and approve a version."""
        review = self.reviews.submit(author, version.function, version.number)
        return self.reviews.approve(reviewer, review.id, digest=review.digest)

    def released(self, operator: Actor, version: Version) -> Release:
        """Release a version with all traffic and let the reconciler do it."""
        release = self.releases.apply(operator, version.function, [Wish(version.number, 100)])
        self.settle()
        return self.releases.get(operator, version.function, release.number)

    def settle(self, steps: int = 5) -> Step:
        """Step until nothing is left to do."""
        step = self.reconciler.step()
        for _ in range(steps):
            if step.settled:
                break
            step = self.reconciler.step()
        return step
