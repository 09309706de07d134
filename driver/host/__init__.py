"""The kernel and its programs, one noun a module: mounts, loop devices, ioctls, commands.

Everything here is synchronous and knows nothing of volumes. Failures are ``driver.model.errors``; a call that changes
the world is an ``effect`` (effect.py), so that tests can stop the process after any of them.
"""
