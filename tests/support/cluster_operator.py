"""The operator as a process beside the running cluster, under its own rights and with a key of its own."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from control_plane.domain.attestations import ReleaseStatement, TakedownStatement, workload_digest
from operators.cluster import Cluster, connect
from operators.kinds import ADMISSION, FUNCTION, POD
from tests.operators.stage import sign
from tests.support.function_host import until

__all__ = ["PRIVATE", "ROOT", "ClusterOperator", "call"]

ROOT = Path(__file__).resolve().parents[2]
# The gateway's listener for calls inside the cluster.
PRIVATE = "http://198.18.255.1:8081"


class ClusterOperator:
    """Starts, stops and kills operators, and writes what they look at."""

    def __init__(self, state: Path) -> None:
        self._credentials = state / "credentials"
        self.cluster: Cluster = connect(str(self._credentials / "admin.kubeconfig"))
        self._key = Ed25519PrivateKey.generate()
        self._entry = f"test-{os.getpid()}"
        self._epoch = 0
        self.processes: list[subprocess.Popen[bytes]] = []
        self.log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the operator
        self._functions: set[str] = set()

    def prepare(self) -> None:
        """Give the cluster the kinds, rights and trust that the operator needs."""
        for folder in ("crds", "base/operator", "base/console"):
            for path in sorted((ROOT / "knative" / folder).glob("*.yaml")):
                for manifest in yaml.safe_load_all(path.read_text()):
                    # Rights may name a namespace that is only just being made.
                    until(partial(self._apply_any, manifest), 30)
        until(lambda: self.cluster.list(FUNCTION) is not None, 10)
        public = base64.b64encode(self._key.public_key().public_bytes_raw()).decode()
        self._entries = {self._entry: json.dumps({"key": public, "namespaces": ["test-*"]})}
        self._trust(self._entries)

    def trust(self, name: str, entry: dict[str, Any]) -> None:
        """Trust one more key."""
        self._entries[name] = json.dumps(entry)
        self._trust(self._entries)

    def _apply_any(self, manifest: dict[str, Any]) -> bool:
        words = ("apply", "--server-side", "--force-conflicts", "-f", "-")
        return self._kubectl(*words, said=json.dumps(manifest)).returncode == 0

    def logs(self, namespace: str) -> str:
        """Return what all of a namespace's functions have written."""
        pods = [pod["metadata"]["name"] for pod in self.cluster.list(POD, namespace)]
        words = ("logs", "-n", namespace, "-c", "user-container")
        return "".join(self._kubectl(*words, pod).stdout for pod in pods)

    def _kubectl(self, *words: str, said: str = "") -> subprocess.CompletedProcess[str]:
        kubectl = self._credentials.parent / "bin" / "kubectl"
        command = [str(kubectl), "--kubeconfig", str(self._credentials / "admin.kubeconfig"), *words]
        return subprocess.run(command, input=said, capture_output=True, text=True, timeout=30, check=False)

    def _trust(self, entries: dict[str, str]) -> None:
        self.cluster.apply(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "ingot-trust", "namespace": "ingot-system"},
                "data": entries,
            },
            self._entry,
        )

    def acting_as(self, user: str) -> Cluster:
        """Return a client that has this user's rights alone."""
        client = connect(str(self._credentials / "admin.kubeconfig"))
        ask = client._pool.request

        def asked(method: str, address: str, **fields: Any) -> Any:
            headers = {**fields.pop("headers"), "Impersonate-User": user}
            return ask(method, address, headers=headers, **fields)

        client._pool.request = asked  # type: ignore[method-assign,assignment]
        return client

    def start(self, **settings: str) -> subprocess.Popen[bytes]:
        """Start one more operator process."""
        given = {f"INGOT_OPERATOR_{name}": value for name, value in settings.items()}
        environment = {
            "PATH": os.environ["PATH"],
            "INGOT_OPERATOR_KUBECONFIG": str(self._credentials / "operator.kubeconfig"),
            # The shortest lease there is: tests wait for it.
            "INGOT_OPERATOR_LEASE_S": "5",
            **given,
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "operators"],
            cwd=ROOT,
            env=environment,
            stdout=self.log,
            stderr=self.log,
        )
        self.processes.append(process)
        return process

    def kill(self, process: subprocess.Popen[bytes], number: int = signal.SIGKILL) -> None:
        """End one operator process."""
        process.send_signal(signal.SIGCONT)
        process.send_signal(number)
        process.wait(30)
        self.processes.remove(process)

    def close(self) -> None:
        """End every process and forget what the tests made the cluster remember."""
        for process in list(self.processes):
            self.kill(process, signal.SIGTERM)
        for function in self._functions:
            self.cluster.delete(ADMISSION, "", function.replace("_", "-"))
        self._trust({})
        self.cluster.close()
        self.log.close()

    def text(self) -> str:
        """Return what all processes have written."""
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def write(self, body: dict[str, Any], **changes: Any) -> dict[str, Any]:
        """Write a Function with a new attestation; returns what was written."""
        self._epoch += 1
        spec, meta = body["spec"], body["metadata"]
        self._functions.add(spec["function"])
        statement = ReleaseStatement(
            function=spec["function"],
            organization=spec["organization"],
            project=spec["project"],
            namespace=meta["namespace"],
            name=meta["name"],
            release=spec["release"]["digest"],
            workload=workload_digest(spec),
            approvals=1,
            epoch=self._epoch,
        )
        attestation = sign(replace(statement, **changes), self._key)
        attested = body | {"spec": spec | {"attestation": attestation}}
        self.cluster.apply(attested, "kubectl")
        return attested

    def bury(self, function: str, *versions: str) -> None:
        """Take versions down by a signed statement."""
        self._epoch += 1
        statement = TakedownStatement(function, self._epoch, 0, versions)
        self.cluster.apply(
            {
                "apiVersion": "ingot.dev/v1alpha1",
                "kind": "Tombstone",
                "metadata": {"name": function.replace("_", "-")},
                "spec": {"function": function, "statement": sign(statement, self._key)},
            },
            "console",
        )

    def status(self, namespace: str, name: str) -> dict[str, Any]:
        """Return a Function's status."""
        return dict((self.cluster.get(FUNCTION, namespace, name) or {}).get("status") or {})

    def condition(self, namespace: str, name: str, kind: str = "Ready") -> tuple[str, str, str]:
        """Return (status, reason, message) of a condition of the newest generation."""
        body = self.cluster.get(FUNCTION, namespace, name) or {"metadata": {}}
        for one in (body.get("status") or {}).get("conditions", ()):
            if one["type"] == kind and one["observedGeneration"] == body["metadata"]["generation"]:
                return one["status"], one["reason"], one["message"]
        return "", "", ""

    def await_reason(self, namespace: str, name: str, reason: str, timeout_s: float = 60) -> str:
        """Wait until `Ready` has this reason, and return its message."""
        until(
            lambda: self.condition(namespace, name)[1] == reason,
            timeout_s,
            f"{reason} of {name}, is {self.condition(namespace, name)}",
        )
        return self.condition(namespace, name)[2]


def call(namespace: str, name: str, document: Any = None, timeout_s: float = 30) -> httpx.Response:
    """Call a function, or NAME-FUNCTION, by its address inside the cluster."""
    host = f"{name}.{namespace}.svc.cluster.local"
    return httpx.post(PRIVATE, json=document, headers={"Host": host}, timeout=timeout_s)
