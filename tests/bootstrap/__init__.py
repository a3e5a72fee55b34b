"""What starts the one-node cluster, without one: values, files, and rules in a network of their own."""
