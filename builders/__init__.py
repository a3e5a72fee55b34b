"""Draft to image: pure planning, thin running; knows nothing of the control plane."""
