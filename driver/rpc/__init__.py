"""gRPC and protobuf, and nothing but: what the services receive is checked and converted here, and nowhere else."""
