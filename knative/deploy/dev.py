"""Ingot on the one-node cluster of this repository: what it needs there made, applied, and removed again.

For trying and for tests. What a production cluster gets, and from whom, is its operators' to decide.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import yaml
from minio import Minio
from minio.deleteobjects import DeleteObject
from psycopg import sql

from builders.base.contents import USER
from builders.signature import SigningKey
from knative.bootstrap.commands import run
from knative.bootstrap.configs import REGISTRY_USER
from knative.bootstrap.parts import POSTGRES_PORT, S3_PORT
from knative.bootstrap.plan import NODE_ADDRESS, REGISTRY, Plan
from knative.bootstrap.stores import BUCKET, ROLE, S3_USER, Passwords, ensure_passwords
from knative.deploy.overlay import NAMESPACE, SECRETS, make_kustomization, make_secret

__all__ = ["CONSOLE", "FUNCTIONS", "DevIngot"]

ROOT = Path(__file__).resolve().parents[2]
# As the dev overlay's settings say.
CONSOLE = f"http://{NODE_ADDRESS}:30080"
FUNCTIONS = f"http://{NODE_ADDRESS}:30081"
DATABASE = "ingot_dev"
PREFIX = "ingot-dev"
_OBJECTS = "dev/"
_DATA = "/var/lib/ingot/data"
_POD = "ingot-console-0"
_VOLUME = "ingot-dev-data"
_CLAIM = f"data-{_POD}"
_PYTHON = "/usr/bin/python3.11"


class DevIngot:
    """Ingot in the one-node cluster, by its administrator's hands."""

    def __init__(self, plan: Plan, say: Callable[[str], None]) -> None:
        self._plan, self._say = plan, say
        self._passwords: Passwords = ensure_passwords(plan)
        self._folder = plan.state / "ingot-dev"

    def kubectl(self, *words: str | Path, given: str = "", seconds: float = 60) -> str:
        """Run the administrator's kubectl."""
        command = [self._plan.bin / "kubectl", f"--kubeconfig={self._plan.kubeconfig}", *words]
        return run(command, given=given, timeout=seconds)

    def prepare(self) -> str:
        """Push the images, make database, namespace, kinds and Secrets; returns Ingot's image."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = self._signing_key()
        self._say("images")
        image = self._push(key)
        self._say("database, kinds, Secrets")
        self._admin("CREATE DATABASE {} OWNER {}", DATABASE, ROLE)
        kinds = ("-f", ROOT / "knative/crds", "-f", ROOT / "knative/base/operator/namespace.yaml")
        self.kubectl("apply", "--server-side", "--force-conflicts", *kinds)
        made = [make_secret(name, self._values(name, key)) for name in SECRETS]
        made.append(self._volume())
        self._apply({"apiVersion": "v1", "kind": "List", "items": made}, "ingot-dev")
        return image

    def kustomization(self, image: str) -> Path:
        """Write the kustomization of the dev overlay with this image; returns its folder."""
        folder = ROOT / "build" / "deploy" / "dev"
        folder.mkdir(parents=True, exist_ok=True)
        overlay = os.path.relpath(ROOT / "knative/overlays/dev", folder)
        (folder / "kustomization.yaml").write_text(json.dumps(make_kustomization(overlay, image), indent=2))
        return folder

    def wait(self, seconds: int = 240) -> None:
        """Wait until everything is rolled out, then let the cluster trust this Ingot's releases."""
        for what in ("statefulset/ingot-console", "deployment/ingot-operator", "deployment/ingot-gateway"):
            self._say(f"waiting for {what}")
            self.kubectl(
                "rollout", "status", what, "-n", NAMESPACE, f"--timeout={seconds}s", seconds=seconds + 30
            )
        listed = self.inside("-m", "control_plane.cli.main", "trust", "--data", _DATA)
        self._apply(json.loads(listed), "ingot-dev")

    def delete(self, folder: Path) -> None:
        """Delete what a kustomization has made, and wait until it is gone.

        The rights of control plane and operator have no label and stay: others beside the cluster use them.
        """
        words = ("-l", "app.kubernetes.io/name=ingot", "--ignore-not-found", "--timeout=120s")
        self.kubectl("delete", "-k", folder, *words, seconds=180)
        # Those of earlier images have other names.
        self.kubectl("delete", "job", "-n", NAMESPACE, "-l", "app.kubernetes.io/component=migrate")

    def helm(self, program: Path, image: str) -> None:
        """Install the chart with the dev overlay's settings."""
        overlay = yaml.safe_load((ROOT / "knative/overlays/dev/settings.yaml").read_text())
        values = {
            "settings": overlay["data"]["ingot.toml"],
            "operator": {"replicas": 1},
            "service": {"type": "NodePort", "consolePort": 30080, "functionsPort": 30081},
            "rights": False,
            "gateway": {"knative": False, "ingress": "$(INGOT_GATEWAY_INTERNAL_SERVICE_HOST):80"},
        }
        chart = ROOT / "build/chart/ingot"
        run([ROOT / ".venv/bin/python", ROOT / "scripts/chart.py", "--image", image, "--folder", chart])
        words = ("install", "ingot", chart, "--namespace", NAMESPACE, "--skip-crds", "--values", "-")
        self._helm(program, *words, given=json.dumps(values))

    def uninstall(self, program: Path) -> None:
        """Remove what `helm` installed."""
        self._helm(program, "uninstall", "ingot", "--namespace", NAMESPACE, "--wait", "--ignore-not-found")

    def _helm(self, program: Path, *words: str | Path, given: str = "") -> None:
        run([program, f"--kubeconfig={self._plan.kubeconfig}", *words], given=given, timeout=300)

    def owner_link(self) -> str:
        """Return the one-time text of the first owner; empty when there is one."""
        program = (
            f"import os; p = '{_DATA}/keys/owner-link'; print(open(p).read() if os.path.exists(p) else '')"
        )
        return self.inside("-c", program).strip()

    def inside(self, *words: str) -> str:
        """Run Python in the control plane's pod."""
        return self.kubectl("exec", "-n", NAMESPACE, _POD, "--", _PYTHON, *words)

    def forget(self) -> None:
        """Remove database, objects, data and Secrets; the namespace, the kinds and the images stay."""
        self.kubectl("delete", "pvc", _CLAIM, "-n", NAMESPACE, "--ignore-not-found", seconds=90)
        self.kubectl("delete", "pv", _VOLUME, "--ignore-not-found", seconds=90)
        shutil.rmtree(self._data, ignore_errors=True)
        for name in SECRETS:
            self.kubectl("delete", "secret", name, "-n", NAMESPACE, "--ignore-not-found")
        # A trust list without this Ingot's entry: it is what this field manager applies.
        empty = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "ingot-trust", "namespace": NAMESPACE},
        }
        self._apply(empty, "ingot-dev")
        self._admin("DROP DATABASE IF EXISTS {} WITH (FORCE)", DATABASE)
        store = Minio(f"{NODE_ADDRESS}:{S3_PORT}", S3_USER, self._passwords.s3, secure=False)
        found = store.list_objects(BUCKET, prefix=_OBJECTS, recursive=True)
        objects = [DeleteObject(one.object_name) for one in found if one.object_name]
        for error in store.remove_objects(BUCKET, objects):
            self._say(f"not removed: {error}")

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def _volume(self) -> dict[str, Any]:
        """Return the volume of the control plane: a folder of this machine, without a storage class.

        A pod's own scratch space would not do: the meter does not count on when its log was lost.
        """
        self._data.mkdir(mode=0o700, exist_ok=True)
        os.chown(self._data, USER, USER)
        # The kubelet has to come by.
        self._folder.chmod(0o711)
        return {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": _VOLUME, "labels": {"app.kubernetes.io/name": "ingot"}},
            "spec": {
                "capacity": {"storage": "20Gi"},
                "accessModes": ["ReadWriteOnce"],
                "persistentVolumeReclaimPolicy": "Retain",
                "claimRef": {"namespace": NAMESPACE, "name": _CLAIM},
                "hostPath": {"path": str(self._data), "type": "Directory"},
            },
        }

    def _apply(self, document: dict[str, Any], manager: str) -> None:
        words = ("apply", "--server-side", "--force-conflicts", f"--field-manager={manager}", "-f", "-")
        self.kubectl(*words, given=json.dumps(document))

    def _push(self, key: Path) -> str:
        credentials = {
            "INGOT_REGISTRY_USER": REGISTRY_USER,
            "INGOT_REGISTRY_PASSWORD": self._passwords.registry,
        }
        python = ROOT / ".venv/bin/python"
        to = ("--registry", REGISTRY, "--plain-http", "--key", key, "--folder", self._folder)
        place: tuple[str | Path, ...] = ("push", *to)
        base: list[str | Path] = [python, ROOT / "scripts/base_image.py", *place, "--prefix", PREFIX]
        run(base, timeout=1200, environment=credentials)
        own: list[str | Path] = [
            python,
            ROOT / "scripts/ingot_image.py",
            *place,
            "--repository",
            f"{PREFIX}/ingot",
        ]
        return run(own, timeout=1200, environment=credentials).strip()

    def _signing_key(self) -> Path:
        path = self._folder / "signing-key.pem"
        if not path.exists():
            path.touch(0o600)
            path.write_bytes(SigningKey.generate().pem)
        return path

    def _values(self, name: str, key: Path) -> dict[str, str]:
        if name == "ingot-keys":
            return self._kept_keys()
        if name == "ingot-registry":
            return {"password": self._passwords.registry, "signing-key.pem": key.read_text()}
        if name == "ingot-storage":
            return {"secret-key": self._passwords.s3}
        login = f"{ROLE}:{self._passwords.postgres}@{NODE_ADDRESS}:{POSTGRES_PORT}"
        return dict.fromkeys(SECRETS[name], f"postgresql+psycopg://{login}/{DATABASE}")

    def _kept_keys(self) -> dict[str, str]:
        """Return the keys of before: with new ones everything that is sealed would be unreadable."""
        path = self._folder / "keys.json"
        if not path.exists():
            names = SECRETS["ingot-keys"]
            made = {name: base64.b64encode(secrets.token_bytes(32)).decode() for name in names}
            path.touch(0o600)
            path.write_text(json.dumps(made))
        kept: dict[str, str] = json.loads(path.read_text())
        return kept

    def _admin(self, statement: str, *names: str) -> None:
        with psycopg.connect(
            host=NODE_ADDRESS,
            port=POSTGRES_PORT,
            user="postgres",
            password=self._passwords.postgres_admin,
            dbname="postgres",
            autocommit=True,
            connect_timeout=10,
        ) as connection:
            try:
                connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
            except psycopg.errors.DuplicateDatabase:
                # A start that was broken off left it.
                return
