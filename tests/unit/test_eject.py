"""What is ejected is plain Knative: nothing in it needs Ingot."""

from __future__ import annotations

from operators.resources.plain import PlainFunction, make_plain_service, secret_name

LIMITS = {"memory_mb": 128, "timeout_ms": 2_500, "concurrency": 3, "instances": 5}


def test_the_service_says_all_that_the_version_asks_for_and_nothing_of_ingots() -> None:
    image = f"registry.example/orders@sha256:{'a' * 64}"
    made = make_plain_service(PlainFunction("orders", 7, image, LIMITS, {"REGION": "eu"}, ("TOKEN",)))
    assert (made["apiVersion"], made["kind"]) == ("serving.knative.dev/v1", "Service")
    assert made["metadata"] == {"name": "orders"}
    template = made["spec"]["template"]
    # Without the digest of an attestation, an account that nobody makes, and a label that hides it.
    assert set(template["metadata"]) == {"annotations"}
    assert all(name.startswith("autoscaling.knative.dev/") for name in template["metadata"]["annotations"])
    assert "serviceAccountName" not in template["spec"]
    assert template["metadata"]["annotations"]["autoscaling.knative.dev/max-scale"] == "5"
    assert (template["spec"]["containerConcurrency"], template["spec"]["timeoutSeconds"]) == (3, 3)
    [container] = template["spec"]["containers"]
    assert (container["image"], container["resources"]["limits"]) == (image, {"memory": "128Mi"})
    assert container["securityContext"]["readOnlyRootFilesystem"]
    variables = {one["name"]: one for one in container["env"]}
    assert variables["REGION"]["value"] == "eu"
    assert variables["TOKEN"]["valueFrom"]["secretKeyRef"] == {"name": secret_name("orders"), "key": "TOKEN"}
