"""What a Function becomes: pure functions from values to manifests that know nothing of the control plane."""
