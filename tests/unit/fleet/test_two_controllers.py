"""Two controllers over one set of notes: requests and answers get lost or come late, nodes fill up and die, controllers
are killed or stand still at any step. There is never a second volume of a name, and never a volume without its note."""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from driver.fleet.claims import FRESH, ON_ITS_WAY
from driver.model import errors

from .sim import PLACED, Controller, OnItsWay, World

which = st.integers(0, 1)
ACTS = [
    *["create until sent"] * 6,
    *["create"] * 2,
    *["step"] * 4,
    *["steps"] * 6,
    *["fill or empty"] * 6,
    *["lose", "wait", "arrive late", "delete"] * 2,
    *["create wrongly", "kill", "lose or find"],
]


class TwoControllers(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self._directory = Path(tempfile.mkdtemp(prefix="fleet-"))
        self._runner = asyncio.Runner()
        self.world = World()
        self.controllers = [Controller(self.world, self._directory / name) for name in "xy"]

    def do(self, work: Coroutine[Any, Any, None]) -> None:
        self._runner.run(work)

    def teardown(self) -> None:
        for one in self.controllers:
            self.do(one.kill(arrives=False))
        self._runner.close()
        shutil.rmtree(self._directory)

    @property
    def sent(self) -> list[OnItsWay]:
        return [*self.world.late, *(one.sending for one in self.controllers if one.sending)]

    @rule(what=st.sampled_from(ACTS), who=which, some=which)
    def act(self, what: str, who: int, some: int) -> None:
        """One thing happens, to one controller or to one node. One rule with weights: what is rare gets in nobody's way."""
        controller, node = self.controllers[who], self.world.nodes[some]
        match what:
            case "create" if not controller.is_busy:
                self.do(controller.begin_create(refuses=False))
            case "create until sent" if not controller.is_busy:
                self.do(controller.begin_create(refuses=False))
                self.do(controller.until_sent())
            case "create wrongly" if not controller.is_busy:
                self.do(controller.begin_create(refuses=True))
            case "delete" if not controller.is_busy:
                self.do(controller.begin_delete(node))
            case "step" if controller.is_busy:
                self.do(controller.proceed())
            case "steps":
                self.proceed(controller)
            case "lose" if controller.is_busy:
                self.do(controller.fail(arrives=some == 1))
            case "kill":
                self.do(controller.kill(arrives=some == 1))
            case "fill or empty":
                node.is_full = not node.is_full
            case "lose or find":
                node.is_lost = not node.is_lost
            case "arrive late" if self.world.late:
                self.arrive_late()
            case "wait":
                self.wait(50.0 if some else 20.0)

    def proceed(self, controller: Controller) -> None:
        """All that it does, without anything in between."""
        while controller.is_busy:
            self.do(controller.proceed())
            self.nothing_is_doubled_or_lost()

    def arrive_late(self) -> None:
        late = self.world.late.pop(0)
        with contextlib.suppress(errors.DomainError):
            late.node.check()
            late.node.create(late.refuses)

    def wait(self, seconds: float) -> None:
        """Time passes, also for a controller that stands still; a request that has left is delivered by a bound."""
        now = self.world.time + seconds
        if all(now - one.since < ON_ITS_WAY - FRESH for one in self.sent):
            self.world.time = now

    # -- what always holds -----------------------------------------------------------------------------------------------

    @invariant()
    def nothing_is_doubled_or_lost(self) -> None:
        having = [node for node in self.world.nodes if node.has_it]
        assert len(having) <= 1, "two volumes of one name"
        for node in having:
            note = self.world.notes.notes.get(PLACED)
            assert note is not None, "a note was dropped under a volume"
            assert note.node == node.name, f"the volume is on {node.name}, and its note says {note.node}"


TwoControllers.TestCase.settings = settings(
    max_examples=40, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck)
)
TestTwoControllers = TwoControllers.TestCase
