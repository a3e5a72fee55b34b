"""The operator: makes Function resources run on Knative. It has no database and works with the control plane down."""
