"""Logs and metrics. Imports nothing of ours; what it shows is handed to it."""
