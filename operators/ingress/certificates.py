"""Shows certificates by the runtime socket, without a reload, and keeps the list that a start reads.

Only what HAProxy has taken stands in the list, so that nobody's Secret can keep
it from starting. A file is named by the hash of its content and never changes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from control_plane.adapters.gateway.files import write_atomically
from control_plane.adapters.gateway.runtime_socket import RuntimeSocket, UnexpectedAnswer
from operators.ingress.model import Certificate
from operators.ingress.settings import IngressSettings

__all__ = ["CertificateRefused", "hide", "listed", "show", "write_list"]


class CertificateRefused(Exception):
    """HAProxy would not take a certificate; the others are not touched."""


def _one_line(answer: str) -> str:
    return " ".join(answer.split())[:300]


def _line(settings: IngressSettings, certificate: Certificate) -> str:
    return f"{settings.certificate_file(certificate.id)} {' '.join(certificate.hosts)}"


def write_file(settings: IngressSettings, certificate: Certificate) -> None:
    """Write a certificate with its key for its owner alone."""
    path = settings.certificate_file(certificate.id)
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(
        temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
    )
    with os.fdopen(descriptor, "w") as file:
        file.write(certificate.pem)
    temporary.replace(path)


def write_list(settings: IngressSettings, certificates: Iterable[Certificate]) -> None:
    """Write the list that a start reads; the first certificate is for all other hosts."""
    lines = [str(settings.default_certificate), *(_line(settings, each) for each in certificates)]
    write_atomically(settings.certificate_list, "".join(f"{line}\n" for line in lines), durable=False)


def listed(settings: IngressSettings) -> frozenset[str]:
    """Return the ids in the list, which HAProxy has taken before."""
    try:
        lines = settings.certificate_list.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return frozenset()
    names = {line.split(" ", 1)[0] for line in lines if line}
    stems = {name.rpartition("/")[2].removesuffix(".pem") for name in names}
    return frozenset(stem for stem in stems if settings.certificate_file(stem).exists())


def show(settings: IngressSettings, channel: RuntimeSocket, certificate: Certificate) -> None:
    """Show a certificate for its hosts from now on. Raises CertificateRefused, OSError."""
    path = settings.certificate_file(certificate.id)
    channel.ask(f"new ssl cert {path}")
    said = channel.ask(f"set ssl cert {path} <<\n{certificate.pem}")
    answer = channel.ask(f"commit ssl cert {path}") if "Transaction" in said else said
    if "Success!" in answer:
        answer = channel.ask(
            f"add ssl crt-list {settings.certificate_list} <<\n{_line(settings, certificate)}"
        )
        if "Success!" in answer:
            return
    channel.ask(f"abort ssl cert {path}")
    channel.ask(f"del ssl cert {path}")
    raise CertificateRefused(f"HAProxy does not take it: {_one_line(answer)}")


def hide(settings: IngressSettings, channel: RuntimeSocket, name: str) -> None:
    """Show a certificate no more. Raises UnexpectedAnswer, OSError."""
    path = settings.certificate_file(name)
    answer = channel.ask(f"del ssl crt-list {settings.certificate_list} {path}")
    if "deleted" not in answer:
        raise UnexpectedAnswer(f"HAProxy keeps a certificate: {_one_line(answer)}")
    channel.ask(f"del ssl cert {path}")
