"""The Kubernetes API, as the controller uses it. The node role imports nothing of this."""
