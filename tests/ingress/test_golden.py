"""Watched objects in, everything that HAProxy gets out: pairs of files, and HAProxy reads the result."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from control_plane.adapters.gateway.binary import find_haproxy
from control_plane.adapters.gateway.certificate import make_self_signed
from control_plane.adapters.gateway.files import encode_map
from operators.ingress.config import INHERITED, render_config, render_slots
from operators.ingress.desired import Before, Translator
from operators.ingress.launch import listen
from operators.ingress.model import MAP_NAMES, Desired, Positions
from operators.ingress.objects import TlsSecret, Watched
from operators.ingress.settings import IngressSettings
from operators.ingress.store import KINDS
from tests.ingress.objects import CLASS

DATA = Path(__file__).parent.parent / "data" / "ingress"
CASES = sorted(path.stem for path in (DATA / "input").glob("*.yaml"))
SETTINGS = IngressSettings(run_folder=Path("/run/ingress"), data_folder=Path("/data/ingress"))
KIND_NAMES = {"Ingress": "ingresses", "Service": "services", "Endpoints": "endpoints"}


def compare(name: str, rendered: str) -> None:
    """Compare with the golden file; INGOT_REGENERATE=1 writes it anew."""
    path = DATA / "output" / name
    if os.environ.get("INGOT_REGENERATE"):
        path.write_text(rendered)
    assert rendered == path.read_text(), f"run INGOT_REGENERATE=1 pytest {__file__} and read the difference"


def watched(case: str) -> Watched:
    """Read a case as the store would."""
    readers = {kind.name: kind.read for kind in KINDS}
    objects: dict[str, dict[str, object]] = {name: {} for name in KIND_NAMES.values()}
    for document in yaml.safe_load_all((DATA / "input" / f"{case}.yaml").read_text()):
        kind, metadata = KIND_NAMES[document["kind"]], document["metadata"]
        objects[kind][f"{metadata['namespace']}/{metadata['name']}"] = readers[kind](document)
    return Watched(**objects, secrets={"fn/api-certificate": TlsSecret(pem="the chain and its key\n")})  # type: ignore[arg-type]


def rendered(desired: Desired) -> str:
    """Return all of a wanted state as text."""
    parts = [f"# {name}\n{encode_map(desired.maps[name])}" for name in MAP_NAMES]
    used = max(desired.positions.slots.values(), default=-1) + 1
    parts.append("# slots\n" + render_slots(used, desired.servers))
    parts += [f"# certificate {each.id}: {' '.join(each.hosts)}\n" for each in desired.certificates.values()]
    for verdict in desired.verdicts:
        pending = verdict.pending
        said = (
            f"{pending.reason}, {'final' if pending.final else 'for now'}: {pending.message}"
            if pending
            else "served"
        )
        parts.append(f"# {verdict.key} generation {verdict.generation}: {said}\n")
        parts += [f"probe {probe.table} {probe.host} {probe.path}\n" for probe in verdict.probes]
    return "".join(parts)


@pytest.mark.parametrize("case", CASES)
def test_the_wanted_state_is_the_golden_one(case: str) -> None:
    compare(f"{case}.txt", rendered(Translator(CLASS).desired(watched(case), Before())))


def test_the_configuration_is_the_golden_one() -> None:
    positions = Positions(
        appended=("Knative-Serving-Revision", "Who"), matched=("Knative-Serving-Tag", "X-One")
    )
    compare("ingress.cfg", render_config(SETTINGS, positions))


@pytest.mark.parametrize("case", CASES)
def test_haproxy_takes_the_configuration(case: str, tmp_path: Path) -> None:
    settings = IngressSettings(run_folder=tmp_path, data_folder=tmp_path)
    desired = Translator(CLASS).desired(watched(case), Before())
    for name in MAP_NAMES:
        settings.map_file(name).write_text(encode_map(desired.maps[name]))
    settings.default_certificate.write_text(make_self_signed(["ingot.invalid"], 1, datetime.now(UTC)))
    settings.certificate_list.write_text(f"{settings.default_certificate}\n")
    settings.config_file.write_text(render_config(settings, desired.positions))
    settings.slots_file.write_text(render_slots(desired.positions.count, desired.servers))
    with listen("127.0.0.1:0") as opened:
        checked = subprocess.run(
            [find_haproxy(), "-c", "-f", settings.config_file, "-f", settings.slots_file],
            env=dict.fromkeys(INHERITED.values(), str(opened.fileno())),
            pass_fds=[opened.fileno()],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert checked.returncode == 0, checked.stderr
    assert "WARNING" not in checked.stderr
