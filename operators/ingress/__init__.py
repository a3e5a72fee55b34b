"""Knative's ingress class on HAProxy: watched objects become maps, slots and certificates.

`desired` is the pure function in the middle; `watch` feeds it, `proxy` makes its
result live, `controller` joins the two and reports. Nothing here needs the
control plane: it shares only the gateway's way of speaking to HAProxy.
"""
