"""The Helm chart, made from the kustomize base: the same text with values where installations differ.

Pure but for reading the base. With the values that the chart comes with it
renders to the base; nobody keeps a second copy of a manifest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from control_plane.errors import Invalid
from knative.deploy.overlay import NAMESPACE

__all__ = ["chart_files"]

_KNATIVE = "workloads/gateway-rights.yaml"
_SETTINGS = "workloads/settings.yaml"
# Left out where a value says so: what another installation, or an administrator, has put there already.
_OPTIONAL = {
    _KNATIVE: ".Values.gateway.knative",
    "operator/rbac.yaml": ".Values.rights",
    "console/rbac.yaml": ".Values.rights",
}


def _node_port(name: str) -> str:
    wanted = f"{{{{ with .Values.service.{name}Port }}}}, nodePort: {{{{ . }}}}{{{{ end }}}}"
    return f"{{name: {name}, port: 80, targetPort: {name}{wanted} }}"


# What is written in the base -> what stands there in the chart. Each must be found.
_CHANGES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "workloads/migrate.yaml": (
        ("  name: ingot-migrate\n", "  name: ingot-migrate-{{ .Release.Revision }}\n"),
    ),
    "workloads/operator.yaml": (
        ("  replicas: 2\n", "  replicas: {{ .Values.operator.replicas }}\n"),
        (f"knative-serving,{NAMESPACE}", "knative-serving,{{ .Release.Namespace }}"),
    ),
    "workloads/console.yaml": (
        ("value: $(GATEWAY_INTERNAL_SERVICE_HOST):80", "value: {{ .Values.gateway.ingress | quote }}"),
        ("  type: ClusterIP\n", "  type: {{ .Values.service.type }}\n"),
        (
            "{name: console, port: 80, targetPort: console}",
            _node_port("console"),
        ),
        (
            "{name: functions, port: 80, targetPort: functions}",
            _node_port("functions"),
        ),
        ("requests: {storage: 20Gi}", "requests: {storage: {{ .Values.data.size }} }"),
    ),
}


def chart_files(knative: Path, version: str, image: str) -> dict[str, str]:
    """Return path -> text of every file of the chart, from the folder that holds base and CRDs."""
    base = knative / "base"
    resources = yaml.safe_load((base / "kustomization.yaml").read_text())["resources"]
    files = {
        "Chart.yaml": _dump(
            {
                "apiVersion": "v2",
                "name": "ingot",
                "version": version,
                "appVersion": version,
                "description": "Ingot: reviewed, immutable functions that scale to zero, on Knative.",
                "type": "application",
            }
        ),
        "values.yaml": _values(_settings(base), image),
    }
    for path in sorted((knative / "crds").glob("*.yaml")):
        files[f"crds/{path.name}"] = path.read_text()
    for name in resources:
        files[f"templates/{name.replace('/', '-')}"] = _template(name, (base / name).read_text())
    own = (knative / "overlays/dev/services.yaml").read_text()
    files["templates/gateway-beside.yaml"] = _when("not .Values.gateway.knative", _placed(own))
    return files


def _settings(base: Path) -> str:
    return str(yaml.safe_load((base / _SETTINGS).read_text())["data"]["ingot.toml"])


def _template(name: str, text: str) -> str:
    for old, new in _CHANGES.get(name, ()):
        if old not in text:
            raise Invalid(
                f"{name} of the base holds no {old!r} any more.", hint="Change knative/deploy/chart.py."
            )
        text = text.replace(old, new)
    if name == _SETTINGS:
        text = text[: text.index("  ingot.toml: |")] + "  ingot.toml: |\n{{ .Values.settings | indent 4 }}\n"
    text = re.sub(
        r"^( +)image: ingot$", r'\1image: {{ required "image is needed" .Values.image }}', text, flags=re.M
    )
    text = _placed(text)
    return _when(_OPTIONAL[name], text) if name in _OPTIONAL else text


def _placed(text: str) -> str:
    return text.replace(f"namespace: {NAMESPACE}", "namespace: {{ .Release.Namespace }}")


def _when(condition: str, text: str) -> str:
    return f"{{{{- if {condition} }}}}\n{text}{{{{- end }}}}\n"


def _values(settings: str, image: str) -> str:
    values = {
        "image": image,
        "settings": settings,
        "operator": {"replicas": 2},
        "service": {"type": "ClusterIP", "consolePort": None, "functionsPort": None},
        "data": {"size": "20Gi"},
        "rights": True,
        "gateway": {"knative": True, "ingress": "$(GATEWAY_INTERNAL_SERVICE_HOST):80"},
    }
    told = """\
# image: by its digest.
# settings: the settings file.
# service: ports are of the node, where type is NodePort.
# data.size: of the control plane's volume.
# rights: whether the accounts of control plane and operator, and what they may do, are part of the release.
# gateway.knative: whether Knative's own Services lead here.
# gateway.ingress: where the control plane hands calls over.
"""
    return told + _dump(values)


def _dump(value: Mapping[str, Any]) -> str:
    return str(yaml.safe_dump(dict(value), sort_keys=False, width=1000))
