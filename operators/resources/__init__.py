"""What a Function resource becomes: pure functions from values to manifests. Knows nothing of the control plane."""
