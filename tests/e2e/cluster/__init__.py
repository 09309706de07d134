"""A real Kubernetes on this machine, without a container engine or an image registry: README.md says how."""
