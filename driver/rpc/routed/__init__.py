"""The services of a controller: every call goes on, as it came, to the node that has what it is about."""
