"""The façade: from a draft's files to a locked, frozen and built version.

    files  = archive.read_archive(upload)                  # or a mapping from anywhere
    plan   = read_draft(files)                             # pure
    locked = lock(plan, cache_dir)                         # network; part of the draft from here on
    frozen = freeze(plan, locked)                          # pure; the version's digest
    built  = build(frozen, files, locked, folders)         # deterministic, re-entrant after kill -9

Signatures (all failures are `builders.errors.BuildError`):

    read_draft(files: Mapping[str, bytes]) -> Plan
    lock(plan, cache_dir, *, previous: Lock | None = None, timeout_s=120.0, progress=None) -> Lock
    read_lock(content: bytes) -> Lock                      # the draft's stored lock, back from bytes
    freeze(plan, lock) -> Frozen                           # .manifest: bytes, .digest: "sha256:<hex>"
    build(frozen, files, lock, folders, *, platform=None, timeout_s=600.0, progress=None) -> Built
    machine_platform() -> str                              # "linux-x86_64" or "linux-aarch64"

`Lock.content` is canonical JSON, `Lock.digest` its "sha256:<hex>". `build`
unpacks each layer to `<folders.layers>/<hex of its digest>/`: put that folder
itself on the import path. `Built.layers` maps the role "function" (always)
and "deps" (when there are dependencies) to "sha256:<hex>". `progress` is
called with the name of each phase as it starts. Nothing else may live here.
"""
