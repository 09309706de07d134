"""Private keys, requests for certificates and what certificates say, by openssl(1): the node carries no library for it."""

import calendar
import re
import time

import msgspec

from ..model.errors import HostFailed
from . import command, files

PATIENCE = 30.0
_DATE = re.compile(r"^not(Before|After)=(.+)$", re.MULTILINE)
_NAME = re.compile(r"DNS:([^,\s]+)")
# Its own, so that nothing depends on the host's: openssl-req(1) wants one, whatever stands in it.
_SETTINGS = "[req]\ndistinguished_name=none\nreq_extensions=names\n[none]\n[names]\nsubjectAltName=DNS:{name}\n"
_WORD = re.compile(r"[A-Za-z0-9_.-]{1,253}\Z")


class Certificate(msgspec.Struct, frozen=True):
    """What a certificate says: its DNS names, and from when until when it is good (Unix seconds)."""

    names: tuple[str, ...]
    starts: float
    ends: float


def make_key(path: str) -> None:
    """``path`` is a new ECDSA P-256 key, PKCS#8 PEM, mode 0600; what was there is replaced. NoSpace, HostFailed."""
    made = command.run(
        ("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"), timeout=PATIENCE
    )
    files.write_durably(path, made.out.encode(), 0o600)


def request(key_path: str, dns_name: str) -> str:
    """A PKCS#10 request, PEM, signed by the key in ``key_path``, that asks for ``dns_name`` and nothing else. HostFailed."""
    if not _WORD.match(dns_name):
        raise HostFailed(f"no certificate can be asked for {dns_name!r}: it is no DNS name")
    asked = command.run(
        ("openssl", "req", "-new", "-sha256", "-key", key_path, "-subj", "/", "-config", "/dev/stdin"),
        stdin=_SETTINGS.format(name=dns_name).encode(),
        timeout=PATIENCE,
    )
    return asked.out


def certificate(path: str) -> Certificate:
    """What the first certificate in ``path`` says. HostFailed when there is none."""
    shown = command.run(
        ("openssl", "x509", "-in", path, "-noout", "-dates", "-ext", "subjectAltName"), timeout=PATIENCE
    ).out
    dates = {kind: _seconds(text) for kind, text in _DATE.findall(shown)}
    return Certificate(tuple(_NAME.findall(shown)), dates["Before"], dates["After"])


def why_not(path: str, bundle_path: str, dns_name: str) -> str:
    """Empty if the certificate in ``path`` is good now, names ``dns_name`` and is signed by a CA in the bundle; else why not.

    The bundle's certificates are trusted as they stand, whether roots or not, as gRPC does.
    """
    argv = ("openssl", "verify", "-partial_chain", "-no-CApath", "-no-CAstore", "-CAfile", bundle_path)
    done = command.run((*argv, "-untrusted", path, "-verify_hostname", dns_name, path), timeout=PATIENCE, ok=range(256))
    if done.code == 0:
        return ""
    reasons = re.findall(r"^error \d+ at \d+ depth lookup: (.+)$", done.err + done.out, re.MULTILINE)
    return reasons[0] if reasons else (done.err.strip().splitlines() or ["openssl verify refused it"])[0][:200]


def _seconds(text: str) -> float:
    # ``Nov 24 15:28:26 2026 GMT``: ASN1_TIME_print(3), in English whatever the locale.
    return float(calendar.timegm(time.strptime(text, "%b %d %H:%M:%S %Y GMT")))
