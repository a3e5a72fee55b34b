"""From packages to the tree of a base image: what is kept, and what Debian's own set-up would have written.

Pure: packages come read. Bytecode is made elsewhere, since it needs an interpreter.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterable, Iterator

from builders.base.filesystem import Node, Tree, file, folder, link
from builders.errors import BuildError

__all__ = ["USER", "base_tree"]

# Numeric, so that a cluster can see that it is not root; the name is for people.
USER = 65532

# Debian 12 links these into /usr; packages still ship files by the old names.
_MERGED = ("bin", "sbin", "lib", "lib64")
_DROPPED = re.compile(
    r"(?:boot|home|root|media|mnt|srv|proc|sys|run|var|dev|usr/(?:games|include|local|sbin|src))(?:/.*)?"
    r"|usr/share/(?!zoneinfo/|ca-certificates/|doc/[^/]+/copyright$|common-licenses/).*"
    r"|usr/share/zoneinfo/(?:right|posix)/.*"
    r"|usr/lib/(?:binfmt\.d|valgrind|tmpfiles\.d|systemd)/.*"
    r"|usr/lib/x86_64-linux-gnu/(?:gconv|audit|perl|pkgconfig|engines-3)/.*"
    r"|usr/lib/python3\.[0-9]+/(?:idlelib|test|ensurepip|lib2to3|pydoc_data|tkinter|turtledemo|unittest/test"
    r"|__phello__|config-[^/]+)/.*"
    r"|usr/lib/python3\.[0-9]+/(?:EXTERNALLY-MANAGED|turtle\.py)"
    r"|usr/lib/debug/.*|(?:.*/)?__pycache__/.*"
    r"|etc/(?:apt|default|dpkg|init\.d|ld\.so\.conf\.d|python3\.[0-9]+|update-motd\.d|profile\.d|skel|opt)(?:/.*)?"
    r"|etc/(?:issue|issue\.net|motd|debian_version|host\.conf|bindresvport\.blacklist|gai\.conf)"
)
_CERTIFICATES = "usr/share/ca-certificates/"
_BUNDLE = "etc/ssl/certs/ca-certificates.crt"

_Members = Iterable[tuple[tarfile.TarInfo, bytes]]


def base_tree(packages: Iterable[tuple[str, bytes, _Members]]) -> Tree:
    """Return the tree of (name, control file, members) of each package."""
    tree: Tree = {}
    for name, control, members in packages:
        for path, node in _nodes(name, members):
            tree[path] = node
        # Where scanners look for the packages of images without a package manager.
        tree[f"var/lib/dpkg/status.d/{name}"] = file(control)
    tree |= _made_at_setup(tree)
    return {path: node for path, node in tree.items() if not path.startswith(_CERTIFICATES)}


def _nodes(package: str, members: _Members) -> Iterator[tuple[str, Node]]:
    kept: dict[str, Node] = {}
    for member, content in members:
        path = _merged(member.name.removeprefix("./").strip("/"))
        if not path or ".." in path.split("/"):
            continue
        if member.islnk():
            # A second name of a file that came before it.
            node = kept[_merged(member.linkname.removeprefix("./").strip("/"))]
        elif member.isdir():
            continue
        elif member.issym():
            node = link(member.linkname)
        elif member.isreg():
            node = file(content, executable=bool(member.mode & 0o100))
        else:
            raise BuildError("base_unavailable", f"{package} holds {path!a}, which is a device or the like.")
        kept[path] = node
        if not _DROPPED.fullmatch(path):
            yield path, node


def _merged(path: str) -> str:
    return f"usr/{path}" if path.split("/", 1)[0] in _MERGED else path


def _made_at_setup(tree: Tree) -> Tree:
    """Return what the packages' own scripts make on a whole system."""
    bundle = b"".join(
        tree[path].content.rstrip(b"\n") + b"\n"
        for path in sorted(tree)
        if path.startswith(_CERTIFICATES) and path.endswith(".crt")
    )
    made: Tree = {name: link(f"usr/{name}") for name in _MERGED}
    made |= {
        "etc/passwd": file(
            b"root:x:0:0:root:/:/nonexistent\n"
            + f"function:x:{USER}:{USER}:function:/tmp:/nonexistent\n".encode()
        ),
        "etc/group": file(f"root:x:0:\nfunction:x:{USER}:\n".encode()),
        "etc/nsswitch.conf": file(b"passwd: files\ngroup: files\nhosts: files dns\n"),
        "etc/hosts": file(b"127.0.0.1 localhost\n::1 localhost\n"),
        "etc/localtime": link("/usr/share/zoneinfo/Etc/UTC"),
        # Every container runtime mounts memory there by itself; a volume of one's own costs each start.
        "tmp": link("dev/shm"),
        "var/tmp": folder(0o1777),
        # Where a container's own file systems are mounted over.
        **{name: folder() for name in ("dev", "proc", "sys", "run")},
    }
    if bundle:
        # The second is where OpenSSL looks when nobody tells it anything.
        made |= {_BUNDLE: file(bundle), "usr/lib/ssl/cert.pem": link(f"/{_BUNDLE}")}
    return made
