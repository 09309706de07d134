"""What builds, checks and proves the project; nothing here is installed with it."""
