"""What tests put in the way of a ledger's effects."""

import threading


class Watch:
    """Remembers every effect, with its first argument."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, object]] = []

    def before(self, name: str, args: tuple[object, ...]) -> None:
        """See driver.host.effect."""

    def after(self, name: str, args: tuple[object, ...]) -> None:
        """See driver.host.effect."""
        self.seen.append((name, args[0] if args else None))

    def count(self, name: str) -> int:
        return sum(seen == name for seen, _ in self.seen)


class Gate(Watch):
    """Holds every effect of one name until opened: a store that hangs."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self.reached = threading.Event()
        self.open = threading.Event()

    def before(self, name: str, args: tuple[object, ...]) -> None:
        """See driver.host.effect."""
        if name == self._name:
            self.reached.set()
            assert self.open.wait(30)


class Refusal(Watch):
    """Lets the first effects of one name fail."""

    def __init__(self, name: str, error: BaseException, times: int = 1) -> None:
        super().__init__()
        self._name = name
        self._error = error
        self._left = times

    def before(self, name: str, args: tuple[object, ...]) -> None:
        """See driver.host.effect."""
        if name == self._name and self._left:
            self._left -= 1
            raise self._error
