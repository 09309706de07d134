"""Opening what a user names, inside one directory and nowhere else (openat2(2))."""


def open_beneath(dirfd: int, path: str, flags: int, mode: int = 0, *, follow: bool = True) -> int:
    """A descriptor (close-on-exec) for ``path`` below ``dirfd``, resolved in one step with RESOLVE_BENEATH.

    Symbolic links that stay below are followed unless ``follow`` is false; magic links never are. Raises
    InvalidArgument when the path is absolute, leaves the directory or meets a link it may not follow; NotFound;
    HostFailed with the errno for everything else.
    """
    raise NotImplementedError
