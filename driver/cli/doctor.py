"""``holdall doctor``: compare the records with what is really there."""

import click

from csi.holdall.v1 import holdall_pb2 as holdall

from . import rows
from .session import Session, talks
from .show import Show


@click.command()
@click.option("--repair", is_flag=True, help="Mend what is certainly ours and certainly harmless.")
@talks
async def doctor(session: Session, show: Show, repair: bool) -> int:
    """Compare records, pool contents, mounts and loop devices, and explain every difference.

    Changes nothing without --repair. Exit code 1 while something is wrong that was not mended.
    """
    wrong = found = 0
    async for finding in session.stream(session.holdall.Doctor, holdall.DoctorRequest(repair=repair)):
        found += 1
        wrong += finding.severity != "info" and not finding.repaired
        show.line(rows.finding(finding), _words(finding))
    if not found:
        show.note("Everything is as the records say.")
    elif wrong and not repair:
        show.note(f"{wrong} of {found} findings need attention; --repair mends those that say so.")
    return 1 if wrong else 0


def _words(finding: holdall.Finding) -> str:
    state = "mended" if finding.repaired else finding.severity
    remedy = f"\n         {finding.remedy}" if finding.remedy and not finding.repaired else ""
    return f"{state + ':':<8} {finding.explanation} [{finding.kind}]{remedy}"
