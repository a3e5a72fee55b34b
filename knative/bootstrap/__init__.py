"""A Kubernetes of one node with Knative, built from Go modules, started and removed by this package.

It knows nothing of the control plane. Everything it makes lies in its own folders,
devices, rules and cgroups, so that `down` can prove that nothing is left.
"""
