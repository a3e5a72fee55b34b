"""The operator: runs Function resources on Knative, without a database and with the control plane down."""
